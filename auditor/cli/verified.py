"""The command that says whether one record is verified, for programs that check before they act."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.cli.options import (
    CONSISTENT,
    DEFAULT_DATA,
    DEFAULT_MAP,
    DRIFT,
    UNVERIFIED,
    DataOption,
    FlowOption,
    JsonOption,
    MapOption,
    TextCommand,
    app,
    existing_ledger,
    fail,
    load,
    say,
)

if TYPE_CHECKING:
    from auditor.history.verified import RecordVerdict
    from auditor.ledger import Ledger
    from auditor.map.integration_map import IntegrationMap


@app.command(cls=TextCommand)
def verified(
    data_type: Annotated[str, typer.Argument(metavar="TYPE", help="The data type.")],
    key: Annotated[str, typer.Argument(help="The record's key.")],
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    flow: FlowOption = None,
    within: Annotated[
        str | None, typer.Option(help="How old the verdict may be, such as 5s; by default two intervals of a flow.")
    ] = None,
    read: Annotated[
        bool, typer.Option("--read", help="If the ledger cannot tell, read the record now, within the budgets.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check whether a record is verified, from the ledger: 0 verified, 1 differs, 3 unknown."""
    from auditor.cli.documents import print_json
    from auditor.history.verified import RecordState, record_verdict
    from auditor.map.integration_map import UnknownNameError
    from probes.durations import parse_duration

    if read and flow:
        fail("--read reads every system that holds the record; leave out --flow")
    try:
        within_s = None if within is None else parse_duration(within)
    except ValueError as error:
        fail(f"--within: {error}")
    loaded = load(map_)
    opened, ledger = existing_ledger(data, as_json=as_json)
    digest_key = opened.digest_key()
    try:
        verdict = record_verdict(
            loaded,
            ledger,
            data_type,
            key,
            now=datetime.now(UTC),
            within_s=within_s,
            flows=flow,
            series={name: loaded.flow(name).comparer(digest_key).series for name in loaded.flows},
        )
        if read and verdict.verdict is RecordState.UNKNOWN:
            verdict = _read(loaded, ledger, data_type, key, within_s)
    except UnknownNameError as error:
        fail(str(error))
    finally:
        ledger.close()
    if as_json:
        print_json(verdict.as_document())
    else:
        _print(verdict)
    codes = {RecordState.VERIFIED: CONSISTENT, RecordState.DIFFERS: DRIFT}
    raise typer.Exit(codes.get(verdict.verdict, UNVERIFIED))


def _read(loaded: IntegrationMap, ledger: Ledger, data_type: str, key: str, within_s: float | None) -> RecordVerdict:
    """A fresh reading, charged to the systems' budgets; a difference is read twice."""
    from auditor.history.verified import live_verdict
    from auditor.systems.allowance import open_allowances
    from auditor.systems.live_record import read_record
    from auditor.systems.reader import open_readers

    readers = open_readers(loaded, open_allowances(loaded.systems, ledger.spending))
    try:
        views = [read_record(loaded, readers, data_type, key)]
        if views[0].verdict == "differs":
            views.append(read_record(loaded, readers, data_type, key))
    finally:
        for reader in readers.values():
            reader.close()
    return live_verdict(loaded, views, datetime.now(UTC), within_s)


def _print(verdict: RecordVerdict) -> None:
    from auditor.cli.rows import print_rows

    rows = [
        {
            "flow": each.flow,
            "from": each.source,
            "to": each.target,
            "verdict": each.verdict.value,
            "as_of_at": each.as_of_at,
            "fields": ", ".join(each.fields),
            "why": "; ".join(each.reasons),
        }
        for each in verdict.flows
    ]
    print_rows("", rows)
    as_of = f" as of {verdict.as_of_at:%Y-%m-%d %H:%M:%S} UTC" if verdict.as_of_at is not None else ""
    why = f" ({'; '.join(verdict.reasons)})" if verdict.read_live and verdict.reasons else ""
    read = ", read now" if verdict.read_live else ""
    say(f"{verdict.data_type} {verdict.key}: {verdict.verdict.value}{as_of}{read}{why}")
    if verdict.without_flow:
        say(f"not compared, because no flow leads there: {', '.join(verdict.without_flow)}")

"""The command that lists differing records. It reads only the ledger."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

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
    app,
    audited_at,
    causes_named,
    existing_ledger,
    flows_of,
    load,
    say,
)

SHOWN = 100
"""Rows of one flow and kind in a table; `--json` has all listed ones."""


@app.command()
def drift(
    flows: Annotated[list[str] | None, typer.Argument(metavar="[FLOW]...", help="Only these flows.")] = None,
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    flow: FlowOption = None,
    cause: Annotated[
        list[str] | None, typer.Option("--cause", help="Only divergences of these causes, comma-separated.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the records that differ, are pending or cannot be verified, without reading any system."""
    from auditor.cli.documents import print_json
    from auditor.cli.rows import print_rows
    from auditor.history.findings import findings
    from auditor.history.status import flow_status
    from auditor.ledger import LISTED
    from checks.cause import Cause
    from probes.wording import counted

    causes = causes_named(",".join(cause), "--cause", [each.value for each in Cause]) if cause else ()
    loaded = load(map_)
    wanted = flows_of(loaded, [*(flows or ()), *(flow or ())] or None)
    _, ledger = existing_ledger(data, as_json=as_json)
    by_flow = [findings(ledger, name, causes=causes, limit=LISTED if as_json else SHOWN) for name in wanted]
    standing = [each for each in flow_status(loaded, ledger, datetime.now(UTC)) if each.flow in wanted]
    watched, read_at = ledger.lease.now().holder is not None, audited_at(ledger)
    ledger.close()
    if as_json:
        states = {each.flow: each for each in standing}
        print_json(
            [
                {
                    "flow": each.flow,
                    "state": states[each.flow].state,
                    "why": states[each.flow].why,
                    "counts": each.counts,
                    "divergent_records": each.divergent,
                    "pending_records": each.pending,
                    "unverified_records": each.unverified,
                }
                for each in by_flow
            ]
        )
    else:
        print_rows("", [row for each in by_flow for row in each.as_rows()])
        beyond = sum(each.beyond for each in by_flow)
        if beyond:
            say(f"{beyond} more; --json lists up to {LISTED} of each kind, `auditor query` all that differ")
        for stands in standing:
            if stands.unknown:
                say(f"{stands.flow}: {stands.unknown}: {stands.why}")
        pending = sum(each.counts["pending"] for each in by_flow)
        if pending and read_at is not None and not watched:
            say(
                f"{counted(pending, 'pending record')} {'is' if pending == 1 else 'are'} undecided as of "
                f"{read_at:%Y-%m-%d %H:%M:%S} UTC, not late: the next `auditor once`, or `auditor run`, decides"
            )
        if not any(sum(each.counts.values()) for each in by_flow):
            other = sum(sum(each.open_by_cause.values()) for each in standing) if causes else 0
            say(
                f"no records are known to differ for {'this cause' if len(causes) == 1 else 'these causes'}; "
                f"{counted(other, 'record')} differ{'s' if other == 1 else ''} for other causes"
                if other
                else "no records are known to differ"
            )
    silent = {each.flow for each in standing if each.stale}
    raise typer.Exit(
        DRIFT
        if any(each.divergent and each.flow not in silent for each in by_flow)
        else UNVERIFIED
        if any(each.unknown for each in standing)
        else CONSISTENT
    )

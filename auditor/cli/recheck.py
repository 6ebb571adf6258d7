"""The command that asks the running daemon to read records next."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.cli.acting import ByOption, known_by, login, seconds_of
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
    flows_of,
    load,
    say,
)

if TYPE_CHECKING:
    from auditor.desk.rechecks import Wanted
    from auditor.ledger import Ledger
    from checks.rechecks import Recheck

LOOK_S = 0.25


@app.command(cls=TextCommand)
def recheck(
    data_type: Annotated[str, typer.Argument(metavar="TYPE", help="The data type.")],
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="The records' keys.")],
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    flow: FlowOption = None,
    wait: Annotated[str, typer.Option(help="How long to wait for the readings; 0s to ask and leave.")] = "1m",
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the running daemon to read records next, within its budgets, and show what it finds."""
    from auditor.cli.documents import print_json
    from auditor.cli.rows import err, print_rows
    from auditor.desk.rechecks import ask, daemon_runs, wanted_of
    from auditor.map.integration_map import UnknownNameError
    from checks.escalation import RefusedError
    from checks.rechecks import RecheckState, summary
    from probes.wording import did_you_mean

    loaded = load(map_)
    wait_s = seconds_of("--wait", wait) or 0.0
    if data_type not in loaded.data_types:
        fail(f"unknown data type {data_type!r}{did_you_mean(data_type, loaded.data_types)}")
    flows = flows_of(loaded, flow) if flow else None
    workspace, ledger = existing_ledger(data, as_json=as_json)
    try:
        wanted = wanted_of(loaded, data_type, keys, flows)
        if not daemon_runs(ledger, workspace.folder):
            fail("no auditor is running with this ledger, so nobody would read them: start `auditor run`", UNVERIFIED)
        who = login() if by is None else by
        ask(ledger, workspace.folder, wanted, who=who, known_by=known_by())
    except (RefusedError, UnknownNameError) as error:
        fail(str(error))
    with err.status("waiting for the readings"):
        found = _awaited(ledger, wanted, wait_s)
    ledger.close()
    now = datetime.now(UTC)
    rows = [each.as_row(now) for each in found]
    if as_json:
        print_json(rows)
    else:
        print_rows("", rows)
        say(summary(found, now))
    states = {each.state(now) for each in found}
    if RecheckState.DIFFERS in states:
        raise typer.Exit(DRIFT)
    raise typer.Exit(CONSISTENT if states <= {RecheckState.AGREES} else UNVERIFIED)


def _awaited(ledger: Ledger, wanted: Wanted, wait_s: float) -> list[Recheck]:
    """The requests, once all have been read or after this long."""
    ends_s = time.monotonic() + wait_s
    while True:
        found = ledger.rechecks.listed(wanted)
        if all(each.read_at is not None for each in found) or time.monotonic() >= ends_s:
            return found
        time.sleep(LOOK_S)

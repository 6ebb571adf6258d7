"""The command that lets the running daemon read its map again."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.cli.options import (
    CONSISTENT,
    DEFAULT_DATA,
    UNVERIFIED,
    USAGE,
    DataOption,
    JsonOption,
    app,
    existing_ledger,
    fail,
    say,
)

if TYPE_CHECKING:
    from auditor.ledger import Ledger, MapLoad
    from auditor.workspace import Workspace

LOOK_S = 0.25
PULSE_S = 30.0
"""A daemon that lives has touched its file within this time."""


@app.command()
def reload(
    data: DataOption = DEFAULT_DATA,
    map_: Annotated[
        Path | None,
        typer.Option("--map", "-m", help="Make sure that the daemon's map is this one; it cannot read another."),
    ] = None,
    wait: Annotated[str, typer.Option(help="How long to wait for the daemon's answer.")] = "2m",
    as_json: JsonOption = False,
) -> None:
    """Let the running daemon read its map again: 0 it is in force, 2 it was refused, 3 no daemon answered."""
    from auditor.cli.documents import print_json
    from auditor.cli.rows import err
    from probes.durations import parse_duration
    from probes.wording import counted

    try:
        wait_s = parse_duration(wait)
    except ValueError as error:
        fail(f"--wait: {error}")
    workspace, ledger = existing_ledger(data, as_json=as_json)
    _need_daemon(workspace, ledger)
    if map_ is not None:
        in_force = ledger.map_loads.standing().in_force
        if in_force is not None and in_force.location != str(map_.resolve()):
            fail(
                f"the daemon reads {in_force.location}; where its map is cannot change while it runs: "
                f"restart it with `auditor run --map {map_}`"
            )
    with err.status("waiting for the daemon"):
        answer = _answer(workspace, ledger, wait_s)
    ledger.close()
    if answer is None:
        fail("the daemon has not answered: see its log, and `auditor status`", UNVERIFIED)
    if as_json:
        print_json(answer.as_row())
    elif answer.outcome == "refused":
        for each in answer.mistakes:
            say("{file}:{line}:{column} {path}: {message}".format(**each))
    else:
        _print_changes(answer)
    if answer.outcome == "refused":
        say(f"refused: {counted(len(answer.mistakes), 'mistake')} in {answer.location}; the map in force stays")
        raise typer.Exit(USAGE)
    if answer.outcome == "unchanged":
        say(f"{answer.location} has not changed since the daemon loaded it")
    else:
        say(f"{answer.location} is in force: {counted(len(answer.changes), 'change')}")
    raise typer.Exit(CONSISTENT)


def _print_changes(answer: MapLoad) -> None:
    from auditor.cli.rows import print_rows

    print_rows("", [{word: each[word] for word in ("path", "change", "before", "after")} for each in answer.changes])


def _need_daemon(workspace: Workspace, ledger: Ledger) -> None:
    """Exit with what to do unless a daemon holds the ledger's lease."""
    from auditor.daemon.pulse_file import pulse
    from auditor.ledger import is_gone, this_process

    holder = ledger.lease.now().holder
    if holder is not None and not is_gone(holder, this_process("reload", workspace.folder)):
        if holder.does != "run":
            fail(f"`auditor {holder.does}` holds the ledger, and reads the map once, when it starts", UNVERIFIED)
        return
    if time.time() - pulse(workspace.folder) / 1e9 < PULSE_S:
        fail(
            f"no auditor is running with the ledger {ledger.name}, but one is with the data folder "
            f"{workspace.folder}: set AUDITOR_LEDGER as it was set for that one. The ledger, the data folder and the "
            "ports cannot change while it runs: restart it to change them",
            UNVERIFIED,
        )
    fail("no auditor is running with this ledger; `auditor run` reads the map when it starts", UNVERIFIED)


def _answer(workspace: Workspace, ledger: Ledger, wait_s: float) -> MapLoad | None:
    """What became of a request; None if nobody has answered it in time."""
    number = ledger.map_loads.ask(datetime.now(UTC))
    ends_s = time.monotonic() + wait_s
    try:
        while time.monotonic() < ends_s:
            answer = ledger.map_loads.load(number)
            if answer is not None and answer.outcome is not None:
                return answer
            if ledger.lease.now().holder is None:
                _need_daemon(workspace, ledger)
            time.sleep(LOOK_S)
    finally:
        ledger.map_loads.withdraw(number)
    return None

"""The commands around the demo: start it, and play scenarios in it."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.cli.options import (
    DEMO_DATA,
    UNVERIFIED,
    app,
    existing_ledger,
    fail,
    is_there,
    path_option,
    say,
    short,
    workspace,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditor.ledger import Ledger
    from auditor.scenarios import Programme, Scenario, Stage

demo = typer.Typer(help="Start the demo company, the auditor and the dashboard, or play a scenario in it.")
app.add_typer(demo, name="demo")

POLL_S = 0.5
HEALS_WITHIN_S = 180.0
"""How long after the end of a scenario its incidents are waited for."""

SETTLES_S = 15.0
"""How long a scenario without incidents is watched after its end."""

QUIET_S = 45.0
"""How long no further conflict must have come up before all are decided; by then people have heard of them."""

PORT = 8501
SHOWN = 3
"""Records of each flow and cause that are shown."""

DataOfDemo = Annotated[Path, path_option("--data", help="Where the demo keeps everything; AUDITOR_DATA is ignored.")]
DataOfRunning = Annotated[
    Path | None,
    path_option(
        "--data",
        help="Where the running demo keeps everything: by default AUDITOR_DATA, if a demo runs there, or var/demo.",
    ),
]


@demo.callback(invoke_without_command=True)
def _demo(
    context: typer.Context,
    data: DataOfDemo = DEMO_DATA,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The dashboard's port; 0 for any free one.")] = PORT,
    status_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Serve /healthz and /metrics of the auditor on this port of 127.0.0.1."),
    ] = None,
    engines: Annotated[
        bool,
        typer.Option(
            "--engines",
            help="Documents in MongoDB, the warehouse in PostgreSQL and the bus in Redis, at the addresses in "
            "DEMO_DOCUMENTS, DEMO_WAREHOUSE and DEMO_BUS. The rest as always.",
        ),
    ] = False,
) -> None:
    """Start the demo company, the auditor and the dashboard. Press Ctrl-C to stop everything."""
    if (command := context.invoked_subcommand) is not None:
        if data != DEMO_DATA:
            fail(f"write --data behind the command: auditor demo {command} --data {short(data)}")
        if port != PORT or status_port is not None or engines:
            fail(f"--port, --status-port and --engines are for starting a demo: `auditor demo {command}` has none")
        return
    from auditor.demo import RunningError, run_demo

    try:
        code = run_demo(workspace(data).folder, port, status_port, engines=engines)
    except RunningError as error:
        fail(str(error), UNVERIFIED)
    raise typer.Exit(code)


@demo.command("list")
def list_(data: DataOfRunning = None) -> None:
    """List the scenarios that a running demo can play."""
    from auditor.cli.rows import print_rows

    programme = _programme(_stage(_running_in(data)))
    known = programme.scenarios.values()
    print_rows("", [{"name": each.name, "what": each.title, "prevented by": each.pattern} for each in known])


@demo.command()
def play(
    name: Annotated[str, typer.Argument(help="The scenario, as `auditor demo list` names it.")],
    data: DataOfRunning = None,
    prevented: Annotated[
        bool, typer.Option("--prevented", help="Play it with the pattern that prevents it.")
    ] = False,
    hold: Annotated[
        bool, typer.Option("--hold", help="Leave it broken, and return at once; `auditor demo mend` ends it.")
    ] = False,
) -> None:
    """Break the running demo in one way, and show what the auditor makes of it."""
    from auditor.scenarios import StageError

    data = _running_in(data)
    stage = _stage(data)
    programme = _programme(stage)
    if name not in programme.scenarios:
        from probes.wording import did_you_mean

        hint = did_you_mean(name, programme.scenarios, then="`auditor demo list` shows all")
        fail(f"there is no scenario {name!r}{hint}")
    scenario = programme.scenarios[name]
    _, ledger = existing_ledger(data)
    heard = len(stage.messages())
    try:
        stage.play(name, prevented=prevented, held=hold)
    except StageError as error:
        ledger.close()
        fail(str(error), UNVERIFIED)
    sys.stdout.write(_playbill(scenario, prevented=prevented, held=hold))
    if hold:
        ledger.close()
        say(f"it {'plays' if prevented else 'stays broken'} until `auditor demo mend`")
        return
    try:
        decide = None if prevented or not scenario.decided_for else partial(_decide, data, ledger, scenario)
        _watch(stage, ledger, scenario, heard, decide, prevented=prevented)
    finally:
        ledger.close()


@demo.command()
def mend(data: DataOfRunning = None) -> None:
    """Mend what the scenario that plays has broken."""
    data = _running_in(data)
    stage = _stage(data)
    programme = _programme(stage)
    playing = programme.playing
    if playing is None:
        say("nothing is being played")
        return
    _, ledger = existing_ledger(data)
    try:
        if not playing.prevented:
            _decide(data, ledger, programme.scenarios[playing.name], playing.begun_at)
    finally:
        ledger.close()
    stage.mend()
    if playing.prevented:
        say(f"{playing.name} is over")
    else:
        say(f"{playing.name} is mended; its incidents close once the copies have agreed for a while")


def _running_in(data: Path | None) -> Path:
    """The folder of the running demo: the one that is named, or that of `AUDITOR_DATA`, or the usual one."""
    from auditor.scenarios import ADDRESS

    if data is not None:
        return data
    exported = os.environ.get("AUDITOR_DATA")
    if not exported:
        return DEMO_DATA
    # The variable may name an installation of the user's own, beside which a demo runs in the usual folder.
    folders = (Path(exported), DEMO_DATA)
    running = [each for each in folders if is_there(each / "company" / ADDRESS, "the demo's folder")]
    return running[0] if running else folders[0]


def _stage(data: Path) -> Stage:
    from auditor.scenarios import Stage, StageError

    try:
        return Stage.in_folder(data / "company")
    except StageError as error:
        fail(str(error), UNVERIFIED)


def _programme(stage: Stage) -> Programme:
    from auditor.scenarios import StageError

    try:
        return stage.programme()
    except StageError as error:
        fail(str(error), UNVERIFIED)


def _playbill(scenario: Scenario, *, prevented: bool, held: bool) -> str:
    """What is about to happen, and how long it lasts unless it is held."""
    lines = [f"{scenario.title}", f"  {scenario.situation}"]
    if prevented:
        lines += [f"  Prevented by: {scenario.pattern}", f"  {scenario.prevented}"]
    elif not held:
        lines += [f"  {scenario.ending(held=False)} With --hold, it stays broken until `auditor demo mend`."]
    return "\n".join(lines) + "\n\n"


def _decide(data: Path, ledger: Ledger, scenario: Scenario, since: datetime) -> None:
    """Decide all conflicts that came up since, as the scenario asks; one that asks for nothing has none decided."""
    from auditor.cli.acting import known_by, login
    from auditor.conflicts.decisions import decide_waiting
    from auditor.demo import load_map
    from probes.wording import counted

    if not scenario.decided_for:
        return
    decided = decide_waiting(
        load_map(data / "company"),
        ledger,
        since=since,
        choice=scenario.decided_for,
        who=login(),
        known_by=known_by(),
        now=datetime.now(UTC),
    )
    _print("decided", f"{counted(decided, 'conflict')} for {scenario.decided_for}")


def _watch(
    stage: Stage,
    ledger: Ledger,
    scenario: Scenario,
    heard: int,
    decide: Callable[[datetime], None] | None,
    *,
    prevented: bool,
) -> None:
    """Print verdicts and messages as they come, until all has healed.

    Args:
        decide: decides the conflicts that came up since an instant, before the scenario is mended; None if it mends
            itself.
        prevented: nothing is broken, and nothing has to be mended.
    """
    from auditor.ledger import LISTED
    from checks.cause import MEANINGS, Cause

    begun_at = datetime.now(UTC)
    known = set(_verdicts(ledger))
    shown: Counter[tuple[str, str]] = Counter()
    ended_s: float | None = None
    while True:
        for flow, key, cause in _verdicts(ledger):
            if (flow, key, cause) not in known:
                known.add((flow, key, cause))
                shown[flow, cause] += 1
                if shown[flow, cause] <= SHOWN:
                    _print("verdict", f"{flow} {key}: {cause}, {MEANINGS[Cause(cause)].words}")
        messages = stage.messages()
        for message in messages[heard:]:
            _print("message", message.title)
        heard = len(messages)
        if decide is not None and _all_wait(ledger, begun_at):
            decide(begun_at)
            stage.mend()
            decide = None
        playing = _programme(stage).playing
        if ended_s is None and (playing is None or playing.name != scenario.name):
            ended_s = time.monotonic()
            if not prevented:
                _print("mended", scenario.person)
        if ended_s is not None:
            lasted_s = time.monotonic() - ended_s
            live = len(ledger.incidents.rows(live_only=True, limit=LISTED))
            if lasted_s > HEALS_WITHIN_S or (lasted_s > SETTLES_S and not live):
                _print("over", "no incident is open" if not live else f"{live} still open: see `auditor incidents`")
                return
        time.sleep(POLL_S)


def _all_wait(ledger: Ledger, since: datetime) -> bool:
    """Whether conflicts have come up since, and none did for a while: then all are there that a cause leads to."""
    opened = [each.opened_at for each in ledger.conflicts.listed(live_only=True) if each.opened_at >= since]
    return bool(opened) and (datetime.now(UTC) - max(opened)).total_seconds() > QUIET_S


def _verdicts(ledger: Ledger) -> list[tuple[str, str, str]]:
    """Flow, key and cause of what differs now."""
    from auditor.ledger import LISTED

    return [
        (flow, str(each["key"]), str(each["cause"]))
        for flow in ledger.findings.open_by_cause()
        for each in ledger.findings.divergent(flow, [], LISTED)
    ]


def _print(what: str, text: str) -> None:
    from auditor.escaping import visible

    at = datetime.now(UTC).strftime("%H:%M:%S")
    sys.stdout.write(visible(f"{at} {what}: {text}") + "\n")
    sys.stdout.flush()

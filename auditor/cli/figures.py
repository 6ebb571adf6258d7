"""The commands that show what is known about the flows: their state, their lag and how far they are verified."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from auditor.cli.options import (
    CONSISTENT,
    DEFAULT_DATA,
    DEFAULT_MAP,
    DRIFT,
    UNVERIFIED,
    DataOption,
    FailOption,
    FlowOption,
    JsonOption,
    MapOption,
    SinceOption,
    app,
    causes_failing,
    existing_ledger,
    fail,
    flows_of,
    is_there,
    load,
    say,
    workspace,
)
from auditor.cli.silences import say_silences

if TYPE_CHECKING:
    from auditor.history.budgets import BudgetUse

NOBODY_AUDITS = "no auditor is running, so this is as of the last audit; start `auditor run` to audit continuously"


@app.command()
def status(
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    fail_on: FailOption = "any",
    as_json: JsonOption = False,
) -> None:
    """Show what the last audits found, without reading any system."""
    from dataclasses import asdict

    from auditor.alerts.drill_rule import problem
    from auditor.cli.documents import print_json
    from auditor.cli.rows import print_rows
    from auditor.cli.tables import status_row, system_row
    from auditor.history.budgets import budget_use
    from auditor.history.status import flow_status, system_status
    from auditor.senders.slack_bot import SlackBotSettings

    failing = causes_failing(fail_on)
    try:
        loaded = load(map_)
    except typer.Exit:
        _say_refused(data)
        raise
    _, ledger = existing_ledger(data, as_json=as_json)
    now = datetime.now(UTC)
    flows = flow_status(loaded, ledger, now)
    systems = system_status(loaded, ledger, now)
    budgets = budget_use(loaded, ledger, now)
    lost = [{**asdict(each), "advice": each.advice} for each in ledger.outbox.undelivered()]
    silences = [each for each in ledger.silences.listed(at=now) if each.holds(now)]
    standing = ledger.map_loads.standing()
    lease = ledger.lease.now()
    heartbeat = ledger.heartbeats.state() if loaded.alerts.heartbeat is not None else None
    bot = loaded.alerts.senders.get("slack_bot")
    buttons = ledger.listening.state() if isinstance(bot, SlackBotSettings) and bot.listens else None
    drill = ledger.drills.state() if loaded.alerts.held_drill is not None else None
    stuck = (
        problem(loaded.alerts.held_drill, drill, now, lease.since_at) if loaded.alerts.held_drill and drill else ""
    )
    ledger.close()
    if as_json:
        print_json(
            {
                "flows": [each.as_row() for each in flows],
                "systems": systems,
                "undelivered": lost,
                "silences": [{**asdict(each), "hides": each.matcher_text} for each in silences],
                "budgets": [each.as_document() for each in budgets],
                "auditor": lease.as_row(),
                "map": standing.as_document(),
                "heartbeat": heartbeat and asdict(heartbeat),
                "buttons": buttons and asdict(buttons),
                "drill": drill and {**asdict(drill), "problem": stuck},
            }
        )
    else:
        say(f"audited by {lease}" if lease.holder is not None else NOBODY_AUDITS)
        if standing.refused is not None:
            say(f"{standing}; correct the map, then run `auditor reload`")
        print_rows("Flows", [status_row(each) for each in flows])
        for each in flows:
            if each.why:
                say(f"{each.flow}: {each.state}: {each.why}")
        print_rows("Systems", [system_row(each) for each in systems])
        _print_budgets(budgets)
        print_rows("Messages not delivered", lost)
        say_silences(silences)
        if heartbeat is not None:
            say(f"heartbeat {heartbeat}")
        if buttons is not None:
            say(f"buttons in Slack: {buttons}" if lease.holder is not None else "buttons in Slack: nobody listens")
        if drill is not None:
            say(f"drill: {stuck or drill}")
    raise typer.Exit(
        DRIFT
        if any(set(each.open_by_cause) & failing for each in flows if not each.stale)
        else UNVERIFIED
        if stuck or any(each.unknown for each in flows)
        else CONSISTENT
    )


def _print_budgets(budgets: Sequence[BudgetUse]) -> None:
    from auditor.cli.rows import print_rows
    from auditor.history.budgets import WHY_LEFT_OUT

    print_rows("Budgets", [each.as_row() for each in budgets])
    if any(each.shed for each in budgets):
        say(f"reads left out: {WHY_LEFT_OUT}")


def _say_refused(data: Path) -> None:
    """Say that a running auditor has refused the map that cannot be loaded here."""
    from auditor.ledger import LedgerError

    if not is_there(data, "the data"):
        return
    with contextlib.suppress(LedgerError):
        ledger = workspace(data, make=False).existing_ledger()
        if ledger is not None:
            standing = ledger.map_loads.standing()
            ledger.close()
            if standing.refused is not None:
                say(str(standing))


def documents(rows: Iterable[dict[str, Any]], lacks: list[str]) -> list[dict[str, Any]]:
    """Figures for programs, each with the missing parts of the history."""
    return [{**row, "incomplete": lacks} for row in rows]


def end_unknown(unknown: list[str]) -> NoReturn:
    """Report what is unknown about the flows, and exit with the matching code."""
    for each in unknown:
        say(each)
    raise typer.Exit(UNVERIFIED if unknown else CONSISTENT)


def _since(text: str, now: datetime) -> datetime:
    from probes.durations import parse_duration

    try:
        return now - timedelta(seconds=parse_duration(text))
    except (ValueError, OverflowError) as error:
        fail(f"--since: {error}")


def figures_of(
    map_: Path,
    data: Path,
    since: str,
    flow: list[str] | None,
    ask: Callable[..., list[Any]],
    *,
    as_json: bool,
    whole: bool = False,
) -> tuple[list[Any], datetime, list[str], list[str]]:
    """Query the history for the figures of some flows over a time range.

    Args:
        as_json: print a document.
        whole: the figures show how far a flow is verified, so every flow that is not fully verified counts.

    Returns:
        The figures, the present instant, a sentence for each flow that is not being audited or is held back (with
        `whole`, also for each that is pending or unverified), and a sentence for each archive file missing from the
        figures.
    """
    from auditor.history.archive_files import missing_since
    from auditor.history.lens import Lens
    from auditor.history.status import flow_status

    loaded, now = load(map_), datetime.now(UTC)
    wanted, begins = flows_of(loaded, flow), _since(since, now)
    _, ledger = existing_ledger(data, as_json=as_json)
    lens = Lens(ledger)
    try:
        lens.refresh()
        figures = [each for each in ask(loaded, ledger, lens, begins, now) if each.flow in wanted]
        standing = [each for each in flow_status(loaded, ledger, now) if each.flow in wanted]
        unknown = [each for each in standing if (each.unknown if whole else each.outdated)]
        lacks = [str(each) for each in missing_since(lens.missing, begins)]
        return figures, now, [f"{each.flow}: {each.unknown}: {each.why}" for each in unknown], lacks
    finally:
        lens.close()
        ledger.close()


@app.command()
def lag(
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    since: SinceOption = "24h",
    flow: FlowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how long changes take to arrive, each figure as an interval; no traffic is not a lag."""
    from auditor.cli.documents import print_json
    from auditor.cli.rows import print_rows
    from auditor.history.figure_rows import lag_row
    from auditor.history.lag import lags

    def ask(loaded: Any, _: Any, lens: Any, begins: datetime, now: datetime) -> list[Any]:
        return lags(loaded, lens, begins, now)

    figures, _, silent, lacks = figures_of(map_, data, since, flow, ask, as_json=as_json)
    if as_json:
        print_json(documents((each.as_row() for each in figures), lacks))
    else:
        print_rows("", [lag_row(each) for each in figures])
    end_unknown([*silent, *lacks])


@app.command()
def objectives(
    flows: Annotated[list[str] | None, typer.Argument(metavar="[FLOW]...", help="Only these flows.")] = None,
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    flow: FlowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what each flow promises, whether it keeps it, and what is left of its error budget."""
    from auditor.cli.documents import print_json
    from auditor.cli.rows import print_rows
    from auditor.history.objectives import objectives as objective_figures
    from checks.objectives import Standing

    wanted = [*(flows or ()), *(flow or ())] or None
    figures, _, unknown, lacks = figures_of(map_, data, "0s", wanted, objective_figures, as_json=as_json)
    if as_json:
        print_json(documents((each.as_document() for each in figures), lacks))
    else:
        print_rows("", [each.as_row() for each in figures])
    for each in (*unknown, *lacks):
        say(each)
    states = {each.standing for each in figures}
    unclear = unknown or lacks or Standing.UNDECIDED in states
    raise typer.Exit(DRIFT if Standing.BROKEN in states else UNVERIFIED if unclear else CONSISTENT)


@app.command()
def coverage(
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    since: SinceOption = "24h",
    flow: FlowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how far each flow is verified, which changes are undecided, and at most how many records differ."""
    from auditor.cli.documents import print_json
    from auditor.cli.rows import print_rows
    from auditor.history.coverage import coverage as coverages
    from auditor.history.figure_rows import coverage_row

    figures, now, unknown, lacks = figures_of(map_, data, since, flow, coverages, as_json=as_json, whole=True)
    if as_json:
        print_json(documents((each.as_row() for each in figures), lacks))
    else:
        print_rows("", [coverage_row(each, now) for each in figures])
    end_unknown([*unknown, *lacks])

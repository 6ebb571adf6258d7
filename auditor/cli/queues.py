"""The commands that show queues, and the dead letters in them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from auditor.cli.figures import documents, end_unknown, figures_of
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
    SinceOption,
    app,
    flows_of,
    say,
)


@app.command()
def backlog(
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    since: SinceOption = "1h",
    flow: FlowOption = None,
    recovery: Annotated[bool, typer.Option("--funnel", help="What happened to failed messages.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show every queue: depth, oldest age, rates, trend, time to drain, and whether it is being consumed."""
    from auditor.cli.documents import print_json
    from auditor.cli.rows import print_rows
    from auditor.history.backlogs import backlogs, unread_queues
    from auditor.history.figure_rows import backlog_row, funnel_row
    from auditor.history.letters import funnels

    if recovery:
        funnel_figures, _, silent, lacks = figures_of(
            map_,
            data,
            since,
            flow,
            lambda loaded, _, lens, begins, now: funnels(loaded, lens, begins, now),
            as_json=as_json,
        )
        if as_json:
            print_json(documents((each.as_row() for each in funnel_figures), lacks))
        else:
            print_rows("", [funnel_row(each) for each in funnel_figures])
            for stage in funnel_figures[0].stages if funnel_figures else ():
                say(f"{stage.name}: {stage.why}")
        end_unknown([*silent, *lacks])
    unread: list[str] = []

    def ask(loaded: Any, _: Any, lens: Any, begins: datetime, now: datetime) -> list[Any]:
        queues = backlogs(loaded, lens, begins)
        unread.extend(unread_queues(loaded, flows_of(loaded, flow), queues, now))
        return queues

    figures, now, _, lacks = figures_of(map_, data, since, flow, ask, as_json=as_json)
    if as_json:
        print_json(documents((each.as_row() for each in figures), lacks))
    elif figures:
        print_rows("", [{**backlog_row(each, now), "notes": each.message or each.notes} for each in figures])
    else:
        say(f"no queue was read in the last {since}")
    for each in (*unread, *lacks):
        say(each)
    broken = [each for each in figures if each.message or each.depth is None]
    raise typer.Exit(UNVERIFIED if broken or unread or lacks or not figures else CONSISTENT)


@app.command()
def letters(
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    since: SinceOption = "24h",
    flow: FlowOption = None,
    by_reason: Annotated[bool, typer.Option("--by-reason", help="One row per reason instead of per letter.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show waiting dead letters: why they failed, which records they explain, and what a replay would fix."""
    from dataclasses import asdict

    from auditor.cli.documents import print_json
    from auditor.cli.rows import print_rows
    from auditor.history.figure_rows import letter_row, reason_row
    from auditor.history.letters import letters as read_letters
    from auditor.history.letters import unseen_letters

    unseen: list[str] = []

    def ask(loaded: Any, _: Any, lens: Any, begins: datetime, now: datetime) -> list[Any]:
        waiting = read_letters(loaded, lens, begins, 0 if by_reason else None)
        unseen.extend(unseen_letters(loaded, flows_of(loaded, flow), lens, now))
        return list(waiting.groups if by_reason else waiting.rows)

    figures, _, _, lacks = figures_of(map_, data, since, flow, ask, as_json=as_json)
    if as_json:
        print_json(documents((asdict(each) for each in figures), lacks))
    elif figures:
        rows = [reason_row(each) if by_reason else {"letter": each.letter_id, **letter_row(each)} for each in figures]
        hidden = set() if any(row.get("remarks") for row in rows) else {"remarks"}
        print_rows("", [{name: value for name, value in row.items() if name not in hidden} for row in rows])
    elif not unseen:
        say("no dead letters are waiting")
    for each in (*unseen, *lacks):
        say(each)
    raise typer.Exit(DRIFT if figures else UNVERIFIED if unseen or lacks else CONSISTENT)

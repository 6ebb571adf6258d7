"""The commands for decisions: conflicts that no rule decides, and repair proposals."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from auditor.cli.acting import (
    ByOption,
    Patterns,
    TextOption,
    Verbs,
    at_desk,
    check_causes,
    check_words,
    is_wanted,
    login,
    seconds_of,
)
from auditor.cli.options import (
    CONSISTENT,
    DEFAULT_DATA,
    DEFAULT_MAP,
    DRIFT,
    UNVERIFIED,
    DataOption,
    FlowOption,
    JsonOption,
    ListGroup,
    MapOption,
    app,
    audited_at,
    existing_ledger,
    fail,
    flows_of,
    load,
    say,
    write,
)

if TYPE_CHECKING:
    from auditor.ledger import Ledger

conflicts = typer.Typer(
    cls=ListGroup,
    help="Conflicts that no rule decides: list (also without a command), show, ack, unack, snooze, assign, "
    "comment, decide.",
)
app.add_typer(conflicts, name="conflicts")

STATES = ("open", "deferred", "decided", "overdue", "kept", "not_kept", "settled")
OVER = ("kept", "not_kept", "settled")


def _document(ledger: Ledger, number: int) -> dict[str, Any]:
    """A conflict as it is now, for programs."""
    from dataclasses import asdict

    case = ledger.conflicts.find(number)
    return {} if case is None else {name: each for name, each in asdict(case[0]).items() if name != "expected"}


VERBS = Verbs(group=conflicts, kind="conflict", document=_document, attends="say that you look at it")

ConflictArgument = Annotated[int, typer.Argument(metavar="NUMBER", help="The conflict's number.", min=1)]


@conflicts.command("list")
def list_conflicts(
    data: DataOption = DEFAULT_DATA,
    state: Annotated[Patterns, typer.Option(help=f"Only in these states: {', '.join(STATES)}.")] = None,
    flow: Annotated[Patterns, typer.Option(help="Only about these flows; * stands for any text.")] = None,
    cause: Annotated[Patterns, typer.Option(help="Only of these causes; * stands for any text.")] = None,
    mine: Annotated[bool, typer.Option("--mine", help="Only those that are assigned to you.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Include closed conflicts.")] = False,
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the conflicts that wait: which record, why nothing decides it, who works on it, and until when."""
    from dataclasses import asdict

    from auditor.cli.documents import print_json
    from auditor.cli.rows import print_rows
    from checks.cause import Cause

    check_words("--state", state, STATES)
    check_causes(cause, [each.value for each in Cause])
    wanted: dict[str, list[str]] = {"state": state or [], "flow": flow or [], "cause": cause or []}
    wanted["assignee"] = [by or login()] if mine else []
    _, ledger = existing_ledger(data, as_json=as_json)
    live_only = not everything and not set(OVER) & set(state or ())
    cases = ledger.conflicts.listed(live_only=live_only)
    audited = audited_at(ledger)
    ledger.close()
    rows = [{**asdict(each), "expected": None} for each in cases]
    rows = [row for row in rows if is_wanted(row, wanted)]
    for row in rows:
        del row["expected"], row["divergence_id"]
    if as_json:
        print_json(rows)
    elif rows:
        columns = (
            "conflict_id",
            "flow",
            "key",
            "cause",
            "why",
            "state",
            "assignee",
            "acknowledged_by",
            "opened_at",
            "due_at",
            "came_back_of",
        )
        print_rows("", [{name: row[name] for name in columns} for row in rows])
    elif audited is None:
        say(f"nothing has been audited yet in {data}")
    else:
        matching = " that match" if any(wanted.values()) else ""
        none = f"no conflicts so far{matching}" if not live_only else f"no conflicts{matching} are waiting"
        say(f"{none}; last audit {audited:%Y-%m-%d %H:%M:%S} UTC")
    waits = any(row["closed_at"] is None for row in rows)
    raise typer.Exit(DRIFT if waits else CONSISTENT if audited or cases else UNVERIFIED)


@conflicts.command()
def show(
    number: ConflictArgument,
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    as_json: JsonOption = False,
) -> None:
    """Show one conflict: both values, both times, both writers, why the rule abstained, and what was done."""
    from dataclasses import asdict

    from auditor.cli.documents import print_json
    from auditor.cli.rows import print_rows
    from auditor.conflicts.brief import brief_of

    loaded = load(map_)
    _, ledger = existing_ledger(data, as_json=as_json)
    case = ledger.conflicts.find(number)
    ledger.close()
    if case is None:
        fail(f"there is no conflict {number}")
    conflict, decisions, about = case
    brief = brief_of(loaded, conflict, about)
    acts = [asdict(each) for each in decisions]
    if as_json:
        shown = {name: value for name, value in asdict(conflict).items() if name != "expected"}
        print_json({"conflict": shown, "evidence": asdict(brief), "decisions": acts})
        return
    print_rows(
        f"Conflict {number}: {conflict.data_type} {conflict.key} in {conflict.flow}, {conflict.state}",
        [{"": word, "what": what} for word, what in brief.lines()],
    )
    print_rows("Fields", [asdict(each) for each in brief.fields])
    print_rows("History", acts)


@conflicts.command()
def decide(
    number: ConflictArgument,
    choice: Annotated[str, typer.Argument(help="The system whose copy is right, or `other`.")],
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    within: Annotated[str | None, typer.Option(help="By when the systems must agree on it, such as 2h.")] = None,
    text: TextOption = "",
    by: ByOption = None,
) -> None:
    """Record which copy is right. Nothing is written to any system; later readings check that it was carried out."""
    within_s = seconds_of("--within", within)
    with at_desk(map_, data, by) as desk:
        desk.decide(number, choice, within_s=within_s, text=text)
    say(f"decided for {choice}; `auditor repair` shows what would have to be written")


VERBS.register()


@app.command()
def repair(
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    flow: FlowOption = None,
    format_: Annotated[Literal["sql", "json", "csv"], typer.Option("--format", help="sql, json or csv.")] = "sql",
) -> None:
    """Propose what would make differing records right, read live. Nothing is ever executed."""
    from auditor.cli.rows import err
    from auditor.conflicts.repair import propose
    from auditor.conflicts.repair_formats import write_csv, write_json, write_sql
    from auditor.history.status import flow_status
    from auditor.systems.allowance import open_allowances
    from auditor.systems.reader import open_readers
    from probes.wording import counted

    loaded = load(map_)
    wanted = flows_of(loaded, flow)
    workspace, ledger = existing_ledger(data)
    standing = [each for each in flow_status(loaded, ledger, datetime.now(UTC)) if each.flow in wanted]
    readers = open_readers(loaded, open_allowances(loaded.systems, ledger.spending))
    for name, clock in ledger.measurements.clocks().items():
        if name in readers:
            readers[name].clock = clock
    try:
        with err.status("reading the records that differ"):
            digest_key = workspace.digest_key()
            ledger.installation.check_key(digest_key)
            proposals = propose(loaded, ledger, readers, digest_key, wanted)
    finally:
        for reader in readers.values():
            reader.close()
        ledger.close()
    if format_ == "sql":
        write(write_sql(loaded, proposals))
    elif format_ == "json":
        write(write_json(proposals) + "\n")
    else:
        write(write_csv(proposals))
    without = sum(each.action == "none" for each in proposals)
    proposed = counted(len(proposals) - without, "proposal")
    say(f"{proposed}, {counted(without, 'record')} without a proposal")
    unknown = [each for each in standing if each.audited_at is None]
    for each in unknown:
        say(f"{each.flow}: {each.why}, so what differs is not known")
    if unknown:
        raise typer.Exit(UNVERIFIED)

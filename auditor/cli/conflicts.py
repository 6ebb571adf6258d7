"""The commands for decisions: conflicts that no rule decides, and repair proposals."""

from __future__ import annotations

import getpass
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
    audited_at,
    existing_ledger,
    fail,
    flows_of,
    load,
    say,
    write,
)

if TYPE_CHECKING:
    from checks.escalation import Act

conflicts = typer.Typer(help="Conflicts that no rule decides: list, show, decide, defer, assign, comment.")
app.add_typer(conflicts, name="conflicts")

MOST_NUMBER = 2**63 - 1
"""The largest row number that a ledger can have."""

ConflictArgument = Annotated[int, typer.Argument(metavar="NUMBER", help="The conflict's number.", min=1)]
WhoOption = Annotated[
    str | None, typer.Option("--who", envvar="AUDITOR_USER", help="Who does this; your login name otherwise.")
]
TextOption = Annotated[str, typer.Option("--text", help="Why; it stays with the conflict.")]


@conflicts.callback(invoke_without_command=True)
def _list(
    context: typer.Context,
    data: DataOption = DEFAULT_DATA,
    everything: Annotated[bool, typer.Option("--all", help="Include closed conflicts.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Conflicts that no rule decides: list, show, decide, defer, assign, comment."""
    if context.invoked_subcommand is not None:
        return
    from dataclasses import asdict

    from auditor.cli.documents import print_json
    from auditor.cli.rows import print_rows

    _, ledger = existing_ledger(data, as_json=as_json)
    cases = ledger.conflicts.listed(live_only=not everything)
    audited = audited_at(ledger)
    ledger.close()
    rows = [{**asdict(each), "expected": None} for each in cases]
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
            "opened_at",
            "due_at",
            "came_back_of",
        )
        print_rows("", [{name: row[name] for name in columns} for row in rows])
    elif audited is None:
        say(f"nothing has been audited yet in {data}")
    else:
        none = "no conflicts so far" if everything else "no conflicts are waiting"
        say(f"{none}; last audit {audited:%Y-%m-%d %H:%M:%S} UTC")
    waits = any(each.closed_at is None for each in cases)
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
    case = ledger.conflicts.find(number) if number <= MOST_NUMBER else None
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
    who: WhoOption = None,
) -> None:
    """Record which copy is right. Nothing is written to any system; later readings check that it was carried out."""
    from checks.escalation import Act

    within_s = _seconds("--within", within)
    _act(map_, data, number, Act.DECIDE, who, choice=choice, within_s=within_s, text=text)
    say(f"decided for {choice}; `auditor repair` shows what would have to be written")


@conflicts.command()
def defer(
    number: ConflictArgument,
    until: Annotated[str, typer.Argument(metavar="FOR", help="For how long, such as 2d.")],
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    text: TextOption = "",
    who: WhoOption = None,
) -> None:
    """Defer a conflict; it reopens automatically."""
    from checks.escalation import Act

    until_at = datetime.now(UTC) + timedelta(seconds=_seconds("FOR", until) or 0)
    _act(map_, data, number, Act.DEFER, who, until_at=until_at, text=text)
    say(f"deferred until {until_at:%Y-%m-%d %H:%M} UTC")


@conflicts.command()
def assign(
    number: ConflictArgument,
    to: Annotated[str, typer.Argument(help="Who decides it.")],
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    text: TextOption = "",
    who: WhoOption = None,
) -> None:
    """Assign a conflict to someone."""
    from checks.escalation import Act

    _act(map_, data, number, Act.ASSIGN, who, assignee=to, text=text)
    say(f"assigned to {to}")


@conflicts.command(cls=TextCommand)
def comment(
    number: ConflictArgument,
    text: Annotated[str, typer.Argument(help="The comment.")],
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    who: WhoOption = None,
) -> None:
    """Add a comment."""
    from checks.escalation import Act

    _act(map_, data, number, Act.COMMENT, who, text=text)
    say("comment added")


def _seconds(word: str, text: str | None) -> float | None:
    from probes.durations import parse_duration

    try:
        return None if text is None else parse_duration(text)
    except ValueError as error:
        fail(f"{word}: {error}")


def _act(map_: Any, data: Any, number: int, what: Act, who: str | None, **more: Any) -> None:
    from auditor.conflicts.decisions import act
    from checks.escalation import RefusedError

    loaded = load(map_)
    _, ledger = existing_ledger(data)
    if number > MOST_NUMBER:
        ledger.close()
        fail(f"there is no conflict {number}")
    try:
        known_by = f"command line, login {_account()}"
        act(loaded, ledger, number, what, who=who or _login(), known_by=known_by, now=datetime.now(UTC), **more)
    except RefusedError as error:
        fail(str(error))
    finally:
        ledger.close()


def _account() -> str:
    """The account that owns this process, whatever the environment says."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"user {os.getuid()}"


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

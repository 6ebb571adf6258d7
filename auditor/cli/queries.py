"""The commands on saved queries, which the Query page and everyone with this ledger share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auditor.cli.acting import ByOption, known_by, login
from auditor.cli.options import (
    DEFAULT_DATA,
    UNVERIFIED,
    DataOption,
    JsonOption,
    ListGroup,
    TextCommand,
    app,
    existing_ledger,
    fail,
    fail_in_lines,
    path_option,
    say,
)
from auditor.cli.query import statement

if TYPE_CHECKING:
    from auditor.desk.shelf import Shelf
    from auditor.ledger import Ledger
    from checks.saved_queries import SavedQuery

queries = typer.Typer(
    cls=ListGroup,
    help="Saved queries, shared by name: list them, show, save, rename and delete one. Without a command: list.",
)
app.add_typer(queries, name="queries")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The query's name; case does not matter.")]


@queries.command("list")
def list_queries(data: DataOption = DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """List the saved queries. `auditor query --saved NAME` runs one."""
    from auditor.cli.documents import print_json
    from auditor.cli.rows import print_rows

    _, ledger = existing_ledger(data, as_json=as_json)
    listed = ledger.saved_queries.listed()
    ledger.close()
    if as_json:
        print_json([_document(each) for each in listed])
    elif listed:
        print_rows("", [_row(each) for each in listed])
    else:
        say('no query has been saved yet; `auditor queries save NAME "SQL"` saves one')


@queries.command(cls=TextCommand)
def show(name: NameArgument, data: DataOption = DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """Print the SQL of a saved query, and who saved it."""
    from auditor.cli.documents import print_json
    from auditor.cli.options import write

    found = saved_query(data, name, as_json=as_json)
    if as_json:
        print_json(_document(found))
        return
    say(f"{found.name}, {found.last_text}" + (f": {found.description}" if found.description else ""))
    write(found.sql + "\n")


@queries.command(cls=TextCommand)
def save(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name of its own, of at most 80 characters.")],
    sql: Annotated[str | None, typer.Argument(help="The SQL, or - to read it from standard input.")] = None,
    file: Annotated[
        Path | None,
        path_option("--file", "-f", help="Read the SQL from this file."),
    ] = None,
    description: Annotated[str, typer.Option(help="What it answers, in one sentence.")] = "",
    replace: Annotated[
        bool, typer.Option("--replace", help="Change the query of this name if there is one.")
    ] = False,
    data: DataOption = DEFAULT_DATA,
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Save a query for everyone; it is checked and not run."""
    from auditor.cli.documents import print_json
    from checks.saved_queries import named

    text = statement(sql, file)
    with _at_shelf(data, by) as (shelf, ledger):
        known = named(name, ledger.saved_queries.listed()) if replace else None
        if known is None:
            shelf.save(name, text, description)
        else:
            shelf.change(known.query_id, sql=text, description=description or None)
        saved = named(name, ledger.saved_queries.listed())
    if as_json and saved is not None:
        print_json(_document(saved))
    else:
        say("saved" if known is None else "changed")


@queries.command(cls=TextCommand)
def rename(
    name: NameArgument,
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")],
    data: DataOption = DEFAULT_DATA,
    by: ByOption = None,
) -> None:
    """Rename a saved query."""
    from checks.saved_queries import existing

    with _at_shelf(data, by) as (shelf, ledger):
        shelf.change(existing(name, ledger.saved_queries.listed()).query_id, name=new)
    say("renamed")


@queries.command(cls=TextCommand)
def delete(
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data: DataOption = DEFAULT_DATA,
    by: ByOption = None,
) -> None:
    """Delete a saved query, for everyone."""
    from checks.saved_queries import existing

    with _at_shelf(data, by) as (shelf, ledger):
        known = existing(name, ledger.saved_queries.listed())
        if not yes:
            if not sys.stdin.isatty():
                fail(f"the saved query {known.name!r} would be deleted for everyone: add --yes")
            typer.confirm(f"Delete the saved query {known.name!r}, {known.last_text}?", abort=True, err=True)
        shelf.delete(known.query_id, seen_at=known.changed_at or known.made_at)
    say("deleted")


def saved_query(data: Path, name: str, *, as_json: bool = False) -> SavedQuery:
    """The saved query of this name; exits if there is none."""
    from checks.escalation import RefusedError
    from checks.saved_queries import existing

    _, ledger = existing_ledger(data, as_json=as_json)
    try:
        return existing(name, ledger.saved_queries.listed())
    except RefusedError as error:
        fail(str(error))
    finally:
        ledger.close()


@contextmanager
def _at_shelf(data: Path, by: str | None) -> Iterator[tuple[Shelf, Ledger]]:
    """The shelf for the person who runs the command; if it refuses an act, exit with the reason."""
    from auditor.console.query import QueryError, UnusableLedgerError, check_query
    from auditor.desk.shelf import Shelf
    from checks.escalation import RefusedError

    workspace, ledger = existing_ledger(data)
    who = login() if by is None else by
    try:
        yield Shelf(ledger, who=who, known_by=known_by(), check=partial(check_query, workspace)), ledger
    except RefusedError as error:
        fail(str(error))
    except UnusableLedgerError as error:
        fail(str(error), UNVERIFIED)
    except QueryError as error:
        fail_in_lines(f"not saved, because the query would be refused: {error}")
    finally:
        ledger.close()


def _document(each: SavedQuery) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(each)


def _row(each: SavedQuery) -> dict[str, object]:
    return {
        "name": each.name,
        "description": each.description,
        "by": each.changed_by or each.who,
        "at": each.changed_at or each.made_at,
    }

"""`auditor query`: where its statement comes from, and how its result is shown."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from auditor.cli.options import (
    CONSISTENT,
    DEFAULT_DATA,
    UNVERIFIED,
    DataOption,
    JsonOption,
    TextCommand,
    app,
    existing_ledger,
    fail,
    fail_in_lines,
    path_option,
    say,
    short,
    workspace,
    write,
)

if TYPE_CHECKING:
    from auditor.console.query import QueryResult

SQL_BYTES = 1024**2
"""The most bytes read from a file or standard input; a statement may have a quarter of it, checked later."""

TABLE_BYTES = 4 * 1024**2
"""Most of a result that is shown as a table: some hundred screens. `--json` and `--csv` show all of it."""

CELL_CHARACTERS = 2000
"""Most of one value that is shown in a table."""

TABLE_WIDTH = 200


def statement(sql: str | None, file: Path | None) -> str:
    """The statement from an argument, a file, or standard input."""
    if (sql is None) == (file is None):
        fail("give the SQL as one argument, as --file FILE, or as - to read it from standard input")
    if sql is not None and sql != "-":
        return sql
    try:
        if file is None or str(file) == "-":
            content = sys.stdin.buffer.read(SQL_BYTES + 1)
        else:
            with file.open("rb") as opened:
                content = opened.read(SQL_BYTES + 1)
    except (OSError, ValueError) as error:
        fail(f"cannot read {short(file) if file else 'standard input'}: {getattr(error, 'strerror', None) or error}")
    if len(content) > SQL_BYTES:
        fail(f"the SQL in {file or 'standard input'} is longer than {SQL_BYTES >> 20} MiB")
    try:
        text = content.decode("utf-16" if content[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig")
    except UnicodeDecodeError as error:
        fail(f"the SQL in {file or 'standard input'} is not UTF-8: byte {error.start + 1}")
    if not text.strip():
        fail(f"there is no SQL in {file or 'standard input'}")
    return text


def print_answer(result: QueryResult, form: Literal["table", "json", "csv"]) -> None:
    """Show a result; report on standard error if it was cut."""
    from auditor.console.answers import rows_of

    rows = rows_of(result.table)
    if form == "json":
        from auditor.cli.documents import print_json

        print_json({"rows": rows, "truncated": result.truncated, "incomplete": list(result.warnings)})
    elif form == "csv":
        from auditor.console.exports import csv_text

        write(csv_text(result.table))
    elif rows:
        _print_table(rows)
    else:
        say("no rows")
    if result.truncated:
        say(result.cut_text)
    for each in result.warnings:
        say(each)


def _print_table(rows: list[dict[str, Any]]) -> None:
    from auditor.cli.rows import print_rows

    shown: list[dict[str, Any]] = []
    columns, size, long = len(rows[0]), 0, 0
    width = max(1, TABLE_WIDTH // columns - 3)
    for row in rows:
        cells = {}
        longest = 1
        for name, value in row.items():
            text = value if isinstance(value, str) else str(value) if isinstance(value, list | dict | bytes) else None
            if text is not None and len(text) > CELL_CHARACTERS:
                long += 1
                text = text[:CELL_CHARACTERS] + "…"
            longest = max(longest, len(text or ""))
            cells[name] = value if text is None else text
        size += -(-longest // width) * max(TABLE_WIDTH, 4 * columns)
        if size > TABLE_BYTES and shown:
            break
        shown.append(cells)
    print_rows("", shown, verbatim=True)
    if len(shown) < len(rows):
        say(f"only the first {len(shown)} of {len(rows)} rows fit in a table; --json and --csv show all")
    if long:
        say(f"values are cut after {CELL_CHARACTERS} characters in a table; --json and --csv show them whole")


@app.command(cls=TextCommand)
def query(
    sql: Annotated[
        str | None,
        typer.Argument(help="A SELECT over the views of docs/views.md, or - to read it from standard input."),
    ] = None,
    file: Annotated[
        Path | None,
        path_option("--file", "-f", help="Read the SQL from this file."),
    ] = None,
    saved: Annotated[
        str | None, typer.Option("--saved", metavar="NAME", help="Run a saved query; `auditor queries` lists them.")
    ] = None,
    data: DataOption = DEFAULT_DATA,
    timeout: Annotated[str, typer.Option(help="Stop the query after this long.")] = "20s",
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV on standard output, for a spreadsheet.")] = False,
) -> None:
    """Query the history with SQL (read-only, in a process of its own, with limits)."""
    from auditor.console.query import NoLedgerError, QueryError, UnusableLedgerError, run_query
    from probes.durations import parse_duration

    if as_json and as_csv:
        fail("choose one of --json and --csv")
    try:
        timeout_s = parse_duration(timeout)
        if saved is None:
            text = statement(sql, file)
        elif sql is None and file is None:
            from auditor.cli.queries import saved_query

            text = saved_query(data, saved, as_json=as_json).sql
        else:
            fail("give the SQL or --saved, not both")
        result = run_query(workspace(data, make=False), text, timeout_s=timeout_s)
    except NoLedgerError:
        existing_ledger(data, as_json=as_json)
        raise
    except UnusableLedgerError as error:
        fail(str(error), UNVERIFIED)
    except QueryError as error:
        fail_in_lines(str(error))
    except ValueError as error:
        fail(str(error))
    print_answer(result, "json" if as_json else "csv" if as_csv else "table")
    raise typer.Exit(UNVERIFIED if result.warnings else CONSISTENT)

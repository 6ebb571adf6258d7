"""Ad-hoc drift queries: one read-only SELECT over the views, in a process of its own.

The cage has four walls. The parsed tree may name only the views and harmless functions; the engine has no
files, no network and no settings left; the transaction is read-only; and the process has limits of memory,
time and rows, and is killed when it does not end by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from auditor.archived import named_in
from auditor.ledger import LedgerError
from auditor.lens import Lens
from auditor.views import VIEWS, sources_of
from auditor.workspace import Workspace

TIMEOUT_S = 20.0
ROW_LIMIT = 10_000
MEMORY_BYTES = 4 * 1024**3
RESULT_BYTES = 64 * 1024**2
KILL_AFTER_S = 10.0
REFUSED = 4
"""Exit code of the query's process when it says why."""

WARNINGS = b"warnings"
"""Under this name the answer carries what it lacks."""

TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest", "repeat"})
"""Table functions that read nothing."""

FORBIDDEN_FUNCTIONS = frozenset(
    {"getenv", "getvariable", "current_setting", "query", "query_table", "which_secret", "sql_auto_complete"}
)
_FORBIDDEN_PREFIXES = ("read_", "parquet_", "duckdb_", "pragma_", "glob", "sniff_", "write_", "copy_")
_CTE_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_INTERNAL = ("live_", "duckdb_", "pg_", "sqlite_", "pragma_", "information_schema", "incoming")
_STATEMENTS = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})


class QueryError(Exception):
    """A query was refused or failed; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryResult:
    """What a query answered.

    Attributes:
        table: at most `ROW_LIMIT` rows.
        truncated: there were more.
        warnings: what the answer lacks.
    """

    table: pa.Table
    truncated: bool
    warnings: tuple[str, ...] = ()


def run_query(workspace: Workspace, sql: str, *, timeout_s: float = TIMEOUT_S) -> QueryResult:
    """Run a stranger's query in a process of its own.

    Raises:
        QueryError: for anything but one read-only SELECT over the views, and for every limit.
    """
    asked = {
        "folder": str(workspace.folder),
        "ledger_url": workspace.ledger_url,
        "archive": workspace.archive,
        "sql": sql,
        "timeout_s": timeout_s,
    }
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "auditor.query"],
            input=json.dumps(asked).encode(),
            capture_output=True,
            timeout=timeout_s + KILL_AFTER_S,
            check=False,
            cwd=Path(__file__).parent.parent,
            env=kept,
        )
    except subprocess.TimeoutExpired:
        raise QueryError(f"stopped after {timeout_s:g} s; ask for a shorter time or fewer columns") from None
    if done.returncode == 0:
        with pa.ipc.open_stream(done.stdout) as reader:
            table = reader.read_all()
        truncated = table.num_rows > ROW_LIMIT
        warnings = tuple(json.loads((table.schema.metadata or {}).get(WARNINGS, b"[]")))
        table = table.replace_schema_metadata(None)
        return QueryResult(table=table.slice(0, ROW_LIMIT), truncated=truncated, warnings=warnings)
    if done.returncode == REFUSED:
        raise QueryError(done.stderr.decode(errors="replace").strip())
    raise QueryError(
        f"the query's process ended with {done.returncode}: it may have run out of memory "
        f"({MEMORY_BYTES >> 30} GiB); ask for a shorter time or fewer columns"
    )


def refuse(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Check the parsed tree of a query.

    Raises:
        QueryError: unless it is exactly one SELECT over the views.
    """
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise QueryError(_first_lines(error)) from None
    if len(statements) != 1:
        raise QueryError(f"exactly one statement is run, got {len(statements)}")
    told = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
    tree = json.loads(told[0]) if told else {}
    if tree.get("error"):
        message = str(tree.get("error_message", ""))
        raise QueryError(
            "only SELECT statements are run here"
            if "Only SELECT" in message
            else message or "only SELECT statements are run here"
        )
    ctes = {str(entry.get("key", "")).lower() for node in _nodes(tree) for entry in _cte_entries(node)}
    for name in ctes:
        # A name of its own for every CTE: one that hides a table elsewhere in the query would open it.
        if name in VIEWS or not _CTE_NAME.fullmatch(name) or name.startswith(_INTERNAL):
            raise QueryError(f"choose another name than {name!r} in WITH")
    for node in _nodes(tree):
        _refuse_node(node, ctes)


def _refuse_node(node: dict[str, Any], ctes: set[str]) -> None:
    type_ = str(node.get("type", ""))
    if type_.endswith("_NODE") and type_ not in _STATEMENTS:
        raise QueryError("only SELECT statements are run here, also inside WITH")
    if type_ == "BASE_TABLE":
        name = str(node.get("table_name", "")).lower()
        qualified = node.get("schema_name") or node.get("catalog_name")
        if qualified:
            raise QueryError(f"write {name} without a schema; there are: {', '.join(VIEWS)}")
        if name not in VIEWS and name not in ctes:
            raise QueryError(f"there is no view {name!r}; there are: {', '.join(VIEWS)}")
    if type_ == "TABLE_FUNCTION":
        name = str((node.get("function") or {}).get("function_name", "")).lower()
        if name not in TABLE_FUNCTIONS:
            raise QueryError(f"the table function {name!r} is not allowed here")
    if type_ in {"SHOW_REF", "COLUMN_DATA", "DELIM_GET"}:
        raise QueryError("only the views can be read here")
    if node.get("class") == "FUNCTION" or "function_name" in node:
        name = str(node.get("function_name", "")).lower()
        if name in FORBIDDEN_FUNCTIONS or name.startswith(_FORBIDDEN_PREFIXES):
            raise QueryError(f"the function {name!r} is not allowed here")


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    todo = [tree]
    while todo:
        each = todo.pop()
        if isinstance(each, dict):
            yield each
            todo.extend(each.values())
        elif isinstance(each, list):
            todo.extend(each)


def _cte_entries(node: dict[str, Any]) -> list[dict[str, Any]]:
    held = node.get("cte_map")
    entries = held.get("map", []) if isinstance(held, dict) else []
    found = [entry for entry in entries if isinstance(entry, dict)]
    if node.get("cte_name"):
        found.append({"key": node["cte_name"]})
    return found


def _first_lines(error: Exception) -> str:
    return "\n".join(str(error).strip().splitlines()[:6])


def _answer(asked: dict[str, Any]) -> pa.Table:
    workspace = Workspace.at(Path(asked["folder"]), ledger_url=asked["ledger_url"], archive=asked["archive"])
    ledger = workspace.ledger()
    lens = Lens(ledger)
    try:
        lens.refresh()
        ledger.close()
        connection = lens.lock_down()
        refuse(connection, asked["sql"])
        clock = threading.Timer(float(asked["timeout_s"]), connection.interrupt)
        clock.daemon = True
        clock.start()
        try:
            try:
                table = _read(connection, asked["sql"])
            except (duckdb.InterruptException, duckdb.BinderException, duckdb.CatalogException):
                raise
            except (duckdb.Error, pa.ArrowException, OSError):  # what fails while batches are read is Arrow's error
                with contextlib.suppress(duckdb.Error):
                    connection.execute("ROLLBACK")
                if not lens.leave_out_unreadable():
                    raise
                table = _read(connection, asked["sql"])
            lacks = [
                str(each) for each in named_in(lens.missing, asked["sql"], {view: sources_of(view) for view in VIEWS})
            ]
            return table.replace_schema_metadata({WARNINGS: json.dumps(lacks).encode()})
        except duckdb.InterruptException:
            raise QueryError(f"stopped after {asked['timeout_s']:g} s; ask for less") from None
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise QueryError(_first_lines(error)) from None
        finally:
            clock.cancel()
    finally:
        lens.close()


def _read(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    connection.execute("BEGIN TRANSACTION READ ONLY")
    answer = connection.sql(sql)
    if answer is None:
        raise QueryError("only SELECT statements are run here")
    reader = answer.to_arrow_reader(1000)
    batches, rows, size = [], 0, 0
    for batch in reader:
        batches.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows > ROW_LIMIT:
            break
        if size > RESULT_BYTES:
            raise QueryError(f"the answer is larger than {RESULT_BYTES >> 20} MiB")
    return pa.Table.from_batches(batches, reader.schema).slice(0, ROW_LIMIT + 1)


def _main() -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    asked = json.load(sys.stdin)
    try:
        table = _answer(asked)
    except (QueryError, LedgerError) as error:
        sys.stderr.write(str(error))
        return REFUSED
    with pa.ipc.new_stream(sys.stdout.buffer, table.schema) as writer:
        writer.write_table(table)
    return 0


if __name__ == "__main__":
    sys.exit(_main())

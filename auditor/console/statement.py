"""Checks an untrusted statement: the parsed tree decides, never the text or the type of the statement."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import duckdb

from auditor.console.advice import advised, no_function, no_table_function, no_view
from auditor.console.allowed_functions import FUNCTIONS, OPERATORS, TABLE_FUNCTIONS
from auditor.console.limits import QueryError
from auditor.history.views import VIEWS

SQL_BYTES = 256 * 1024
"""Real statements are a thousandth of this; the parser uses a thousand times a statement's size."""

_PIVOT = re.compile(r"\bPIVOT\b", re.IGNORECASE)

ONLY_SELECT = (
    "only SELECT statements are run here, and DESCRIBE, SUMMARIZE, EXPLAIN and SHOW TABLES over the views; "
    "nothing can be written or set"
)

_CTE_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_INTERNAL = ("live_", "duckdb_", "pg_", "sqlite_", "pragma_", "information_schema", "incoming")
_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_SPACE = r"(?:\s|--[^\n]*(?:\n|\Z)|/\*(?:[^*]|\*(?!/))*\*/)"
_EXPLAIN = re.compile(rf"{_SPACE}*+EXPLAIN{_SPACE}++(ANALYZE{_SPACE}++)?", re.IGNORECASE)
_LISTING = frozenset({'"tables"', "__show_tables_expanded"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """An allowed statement.

    Attributes:
        sql: the SELECT in it.
        act: run it, explain it with or without running it, or list the views.
        views: the views that it names.
    """

    sql: str
    act: Literal["run", "explain", "analyze", "list"]
    views: frozenset[str]


def read_statement(connection: duckdb.DuckDBPyConnection, sql: str) -> Statement:
    """Check the parsed tree of a statement.

    Args:
        connection: used only for parsing.

    Raises:
        QueryError: unless it is exactly one harmless query over the views.
    """
    _refuse_text(sql)
    statements = _parsed(connection, sql)
    if not statements:
        raise QueryError(
            "there is no statement; write a SELECT over the views, such as SELECT * FROM changes LIMIT 10"
        )
    if len(statements) != 1:
        raise QueryError(
            f"exactly one statement is allowed, got {len(statements)}; run them one after the other, or join SELECTs "
            "with UNION ALL BY NAME"
        )
    act: Literal["run", "explain", "analyze", "list"] = "run"
    if _explains(statements[0]):
        explain = _EXPLAIN.match(sql)
        if explain is None:
            raise QueryError("write EXPLAIN or EXPLAIN ANALYZE, without options")
        act, sql = "analyze" if explain[1] else "explain", sql[explain.end() :]
        if len(_parsed(connection, sql)) != 1:
            raise QueryError("write EXPLAIN or EXPLAIN ANALYZE before one SELECT")
    tree = _tree(connection, sql)
    if act == "run" and _lists(tree):
        return Statement(sql=sql, act="list", views=frozenset())
    ctes = {str(entry.get("key", "")).lower() for node in _nodes(tree) for entry in _cte_entries(node)}
    for name in ctes:
        # A CTE may not take the name of a view or internal table: hiding one elsewhere would expose it.
        if name in VIEWS or not _CTE_NAME.fullmatch(name) or name.startswith(_INTERNAL):
            raise QueryError(f"choose another name than {name[:100]!r} in WITH")
    views = set()
    for node in _nodes(tree):
        _refuse_node(node, ctes)
        if node.get("type") == "BASE_TABLE":
            views.add(str(node["table_name"]).lower())
        if node.get("type") == "SHOW_REF" and node.get("table_name"):
            views.add(str(node["table_name"]).lower())
    return Statement(sql=sql, act=act, views=frozenset(views & VIEWS.keys()))


def _refuse_text(sql: str) -> None:
    if len(sql.encode(errors="replace")) > SQL_BYTES:
        raise QueryError(f"the statement is longer than {SQL_BYTES >> 10} KiB; ask for less at a time")
    if "\0" in sql:
        raise QueryError("the statement holds a NUL character; remove it")
    try:
        sql.encode()
    except UnicodeEncodeError:
        raise QueryError("the statement is not valid Unicode text") from None


def _parsed(connection: duckdb.DuckDBPyConnection, sql: str) -> list[Any]:
    try:
        return list(connection.extract_statements(sql))
    except duckdb.Error as error:
        raise QueryError(advised(str(error), sql, {})) from None


def _explains(statement: Any) -> bool:
    try:
        return bool(statement.type == duckdb.StatementType.EXPLAIN)
    except ValueError:
        return False  # a kind of statement unknown to the driver


def _tree(connection: duckdb.DuckDBPyConnection, sql: str) -> dict[str, Any]:
    try:
        row = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
        tree: dict[str, Any] = json.loads(row[0]) if row else {"error": True}
    except (duckdb.Error, ValueError, RecursionError):
        raise QueryError("the statement is nested too deeply, or cannot be parsed; break it up with WITH") from None
    if tree.get("error"):
        message = str(tree.get("error_message") or "")
        if "Only SELECT" in message and _PIVOT.search(sql):
            raise QueryError(
                f"{ONLY_SELECT}; name the values of a PIVOT: PIVOT changes ON verdict IN ('met', 'breach')"
            )
        raise QueryError(ONLY_SELECT if "Only SELECT" in message else message or ONLY_SELECT)
    if len(tree.get("statements", ())) != 1:
        raise QueryError("exactly one statement is allowed")
    return tree


def _lists(tree: dict[str, Any]) -> bool:
    """Whether the statement is SHOW TABLES or a plain DESCRIBE, which list the views."""
    node = tree["statements"][0].get("node", {})
    shown = node.get("from_table", {})
    return (
        shown.get("type") == "SHOW_REF"
        and shown.get("show_type") == "SHOW_SPECIAL"
        and shown.get("table_name") in _LISTING
        and [each.get("type") for each in node.get("select_list", ())] == ["STAR"]
        and node.get("where_clause") is None
    )


def _refuse_node(node: dict[str, Any], ctes: set[str]) -> None:
    type_ = str(node.get("type", ""))
    if type_.endswith("_NODE") and type_ not in _NODES:
        raise QueryError(f"{ONLY_SELECT}, also inside WITH")
    if type_ == "BASE_TABLE":
        _refuse_table(node, ctes)
    elif type_ == "TABLE_FUNCTION":
        name = str((node.get("function") or {}).get("function_name", "")).lower()
        if name not in TABLE_FUNCTIONS:
            raise QueryError(no_table_function(name))
    elif type_ == "SHOW_REF":
        _refuse_show(node, ctes)
    elif type_ in {"COLUMN_DATA", "DELIM_GET", "CTE", "BOUND_TABLE_REF"}:
        raise QueryError(f"only the views can be read here; there are: {', '.join(VIEWS)}")
    if node.get("class") in {"FUNCTION", "WINDOW"} or "function_name" in node:
        _refuse_function(node)


def _refuse_table(node: dict[str, Any], ctes: set[str]) -> None:
    name = str(node.get("table_name", "")).lower()
    path = (node.get("qualified_name") or {}).get("path") or [name]
    if node.get("schema_name") or node.get("catalog_name") or len(path) != 1:
        raise QueryError(f"write {name[:100]} without a schema or catalog before it")
    if name not in VIEWS and name not in ctes:
        raise QueryError(no_view(name))
    if node.get("at_clause"):
        raise QueryError(
            "the views have no versions; leave AT out, and compare an instant such as changes.enrolled_at"
        )


def _refuse_show(node: dict[str, Any], ctes: set[str]) -> None:
    shown, name = node.get("show_type"), str(node.get("table_name") or "").lower()
    if shown in {"DESCRIBE", "SUMMARY"} and node.get("query") and not name:
        return  # the query inside is checked like every other
    if shown == "SHOW" and name in VIEWS and not node.get("schema_name") and not node.get("catalog_name"):
        return
    if shown in {"SHOW_SPECIAL", "SHOW_FROM"}:
        raise QueryError(f"write SHOW TABLES alone; there are: {', '.join(VIEWS)}")
    raise QueryError(f"only the views can be described here; there are: {', '.join(VIEWS)}")


def _refuse_function(node: dict[str, Any]) -> None:
    name = str(node.get("function_name", "")).lower()
    if node.get("schema") or node.get("catalog"):
        raise QueryError(f"write the function {name[:100]!r} without a schema before it")
    if name not in FUNCTIONS and name not in OPERATORS and name not in TABLE_FUNCTIONS:
        raise QueryError(no_function(name))
    if node.get("export_state"):
        raise QueryError("EXPORT_STATE is not allowed here; leave it out, and take the finished aggregate")


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
    cte_map = node.get("cte_map")
    entries = cte_map.get("map", []) if isinstance(cte_map, dict) else []
    ctes = [entry for entry in entries if isinstance(entry, dict)]
    if node.get("cte_name"):
        ctes.append({"key": node["cte_name"]})
    return ctes

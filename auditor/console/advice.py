"""What to do about a statement that the engine rejects, added to its message. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from auditor.console.allowed_functions import FUNCTIONS, TABLE_FUNCTIONS
from auditor.history.views import COLUMNS, VIEWS

Columns = Mapping[str, Sequence[str]]
"""By view of the statement, its columns."""

_FIRST_WORDS = ("SELECT", "WITH", "FROM", "VALUES", "DESCRIBE", "SUMMARIZE", "SHOW", "EXPLAIN", "PIVOT", "UNPIVOT")
_WORDS = (
    *_FIRST_WORDS,
    *(
        "WHERE",
        "GROUP",
        "ORDER",
        "HAVING",
        "LIMIT",
        "OFFSET",
        "JOIN",
        "UNION",
        "DISTINCT",
        "QUALIFY",
        "INTERVAL",
        "CASE",
    ),
)

_COLUMN = re.compile(
    r'Referenced column "?(?P<name>.{1,200}?)"? not found in FROM clause'
    r'|(?:Values list|Table) "(?P<table>.{1,200}?)" does not have a column named "(?P<of_table>.{1,200}?)"'
    r'|Column "(?P<joined>.{1,200}?)" does not exist on (?:left|right) side of join'
)
_RESERVED = frozenset(
    (
        "AT",
        "CHECK",
        "COLUMN",
        "DEFAULT",
        "END",
        "ONLY",
        "PRIMARY",
        "REFERENCES",
        "TABLE",
        "THEN",
        "TO",
        "UNIQUE",
        "USER",
    )
)
"""Reserved words that people take for names of columns."""

_FROM = re.compile(r"\bFROM\b|\bPIVOT\b", re.IGNORECASE)
_TABLE = re.compile(r'Referenced table "(?P<name>.{1,200}?)" not found')
_NO_FROM = re.compile(r'Referenced column "(?P<name>.{1,200}?)" was not found because the FROM clause is missing')
_GROUPED = re.compile(r'column "(?P<name>.{1,200}?)" must appear in the GROUP BY clause')
_NO_MATCH = re.compile(r"(?P<first>[^\n]*No function matches[^\n]*)(?:\n.*)?", re.DOTALL)
_SYNTAX = re.compile(r'syntax error at or near "(?P<word>\w{1,40})"')
_CONVERSION = re.compile(r"Conversion Error|Could not convert string")


def advised(message: str, sql: str, columns: Columns) -> str:
    """An engine's message about a statement, with what to do about it.

    Args:
        columns: of the views that the statement names.
    """
    if match := _COLUMN.search(message):
        name = match["name"] or match["of_table"] or match["joined"]
        candidates = re.findall(r'"([^"]+)"', message.partition("Candidate bindings:")[2])
        return _no_column(name, sql, columns, candidates)
    for pattern, advice in _ADVICE:
        if match := pattern.search(message):
            return advice(message, match)
    return message


def _no_column(name: str, sql: str, columns: Columns, candidates: Sequence[str]) -> str:
    """Args:
    candidates: columns that the engine proposes, also those of a subquery or of WITH.
    """
    single = len(_FROM.findall(sql)) == 1  # so that the views are what the column is looked for in
    said = f"there is no column {name!r}" + (f" in {' and '.join(columns)}" if single and columns else "")
    own = [column for listed in columns.values() for column in listed]
    known = list(dict.fromkeys([*candidates, *own]))
    close = difflib.get_close_matches(name.lower(), known, n=1)
    if close:
        return f"{said}; did you mean {close[0]!r}?"
    if f'"{name}"' in sql:
        text = name.replace("'", "''")
        return f"{said}; double quotes name a column: write a text in single quotes, '{text}'"
    others = [view for view in VIEWS if name in COLUMNS.get(view, ()) and view not in columns]
    if others:
        return f"{said}; {', '.join(others)} {'have' if len(others) > 1 else 'has'} one of this name"
    if single and len(columns) == 1:
        return f"{said}; its columns: {', '.join(own)}"
    return f"{said}; DESCRIBE lists the columns of a view"


def _no_table(message: str, match: re.Match[str]) -> str:
    candidates = re.findall(r'"([^"]+)"', message[match.end() :])
    known = f": {' or '.join(candidates)}" if candidates else ""
    return f"there is no table or alias {match['name']!r} in FROM; name columns with one that is there{known}"


def _no_from(_message: str, match: re.Match[str]) -> str:
    return (
        f"there is no column {match['name']!r}, because the statement has no FROM; add the view, such as FROM changes"
    )


def _grouped(_message: str, match: re.Match[str]) -> str:
    name = match["name"]
    return (
        f"column {name!r} is neither grouped nor aggregated; write GROUP BY ALL, add it to GROUP BY, or take one of "
        f"its values with any_value({name})"
    )


def _no_match(message: str, _match: re.Match[str]) -> str:
    first = _NO_MATCH.match(message)
    said = (first["first"] if first else message).replace(" You might need to add explicit type casts.", "")
    return (
        f"{said.rstrip('.')}. Cast an argument, such as x::DOUBLE; from an instant subtract an interval, such as "
        "now() - INTERVAL 1 HOUR"
    )


def _syntax(message: str, match: re.Match[str]) -> str:
    word = match["word"].upper()
    if word in _RESERVED:
        return (
            f"{message.rstrip()}\n\nSQL reserves this word; if it is a name, write it in double quotes: "
            f'"{match["word"]}"'
        )
    close = [] if word in _WORDS else difflib.get_close_matches(word, _WORDS, n=1, cutoff=0.8)
    return f"{message.rstrip()}\n\ndid you mean {close[0]}?" if close else message


def _conversion(message: str, _match: re.Match[str]) -> str:
    return f"{message.rstrip()}\n\ntry_cast(x AS type) gives NULL for what cannot be converted"


_ADVICE: Sequence[tuple[re.Pattern[str], Callable[[str, re.Match[str]], str]]] = (
    (_TABLE, _no_table),
    (_NO_FROM, _no_from),
    (_GROUPED, _grouped),
    (re.compile(r"No function matches"), _no_match),
    (_SYNTAX, _syntax),
    (_CONVERSION, _conversion),
)


def no_view(name: str) -> str:
    """A view that does not exist, and the nearest one; all of them if none is near."""
    said = f"there is no view {name[:100]!r}"
    close = difflib.get_close_matches(name, VIEWS, n=1)
    return f"{said}; did you mean {close[0]!r}?" if close else f"{said}; there are: {', '.join(VIEWS)}"


def no_function(name: str) -> str:
    """A function that does not exist or is not allowed, and the nearest allowed one."""
    said = f"the function {name[:100]!r} does not exist, or is not allowed here"
    return f"{said}{_near(name, FUNCTIONS) or '; only functions that read nothing but their arguments are allowed'}"


def no_table_function(name: str) -> str:
    """A table function that is not allowed, and what there is instead."""
    said = f"the table function {name[:100]!r} is not allowed here"
    allowed = ", ".join(sorted(TABLE_FUNCTIONS))
    return f"{said}{_near(name, TABLE_FUNCTIONS) or f'; read a view, or use one of {allowed}'}"


def _near(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(names), n=1, cutoff=0.75)
    return f"; did you mean {close[0]!r}?" if close else ""

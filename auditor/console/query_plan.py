"""What DuckDB's plan of a statement reads of the ledger, and the plan in a form for people. Pure.

The ledger's tables are streams without statistics when a statement is planned, so its plan is right whatever they
contain: rows that fail the filter directly above a scan, and columns that the scan does not project, do not change
the result. Column names begin with a random mark, so nothing in a statement can pass for one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast

from auditor.console.ledger_rows import Bound, Wanted
from auditor.history.views import COLUMNS

_SCAN = "PYTHON_ARROW_SCAN"
_INSTANT = r"'(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})?)\+00'::TIMESTAMP WITH TIME ZONE"
_COLUMN = re.compile(r'[\w.]+|"[\w.]+"')
"""A term that consists of a boolean column."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SHOWN = (
    "Projections", "Expression", "Filters", "Conditions", "Join Type", "Groups", "Aggregates", "Order By", "Top",
    "Limit", "Offset", "CTE Name", "Total Files Read", "Estimated Cardinality",
)  # fmt: skip
"""The details shown of a step; the rest names internal files and tables."""


class Names:
    """The column names of the streams.

    Args:
        mark: the secret prefix of every name.
    """

    def __init__(self, mark: str) -> None:
        self._name = re.compile(rf'"?{mark}\.(\w+)\.(\w+)"?')
        column = rf'"?{mark}\.(?P<source>\w+)\.(?P<column>\w+)"?'
        self._compared = re.compile(rf"\({column} (?P<relation>>=|<=|>|<|=) {_INSTANT}\)")
        self._between = re.compile(rf"\({column} BETWEEN {_INSTANT} AND {_INSTANT}\)")
        self._equal = re.compile(rf"\({column} = '(?P<text>[A-Za-z0-9_ .:/-]{{0,200}})'\)")
        self._null = re.compile(rf"\({column} IS (?P<not>NOT )?NULL\)")
        self._mark = mark

    def of(self, source: str) -> dict[str, str]:
        """By column of a table, its name in the stream."""
        return {column: f"{self._mark}.{source}.{column}" for column in COLUMNS[source]}

    def wanted(self, plan: Sequence[Mapping[str, Any]], sources: Sequence[str]) -> dict[str, Wanted]:
        """What a plan reads, by table; everything if the plan is not understood."""
        scans: dict[str, list[Wanted]] = {source: [] for source in sources}
        for step, above in _steps(plan, None):
            if step.get("name") != _SCAN:
                continue
            details = step.get("extra_info") or {}
            matches = [self._name.fullmatch(each) for each in _listed(details.get("Projections"))]
            read = {(match[1], match[2]) for match in matches if match}
            if len(read) != len(matches) or len({source for source, _ in read}) != 1 or details.get("Filters"):
                return {source: Wanted(columns=frozenset(COLUMNS[source])) for source in sources}
            source = next(source for source, _ in read)
            scans[source].append(Wanted(columns=frozenset(name for _, name in read), bounds=self._bounds(above)))
        return {source: _either(reads) for source, reads in scans.items()}

    def _bounds(self, above: Mapping[str, Any] | None) -> tuple[Bound, ...]:
        if above is None or above.get("name") != "FILTER":
            return ()
        bounds: list[Bound] = []
        for expression in _listed((above.get("extra_info") or {}).get("Expression")):
            for term in _terms(expression):
                bounds += self._bound(term)
        return tuple(bounds)

    def _bound(self, term: str) -> list[Bound]:
        if match := self._between.fullmatch(term):
            return [(match["column"], ">=", _instant(match[3])), (match["column"], "<=", _instant(match[4]))]
        if match := self._compared.fullmatch(term):
            at = _instant(match[4])
            relations = {">": (">=",), "<": ("<=",), "=": (">=", "<=")}.get(match["relation"], (match["relation"],))
            return [(match["column"], cast(Literal[">=", "<="], each), at) for each in relations]
        if (match := self._equal.fullmatch(term)) and COLUMNS[match["source"]].get(match["column"]) == "text":
            return [(match["column"], "=", match["text"])]
        if match := self._null.fullmatch(term):
            return [(match["column"], "is not null" if match["not"] else "is null", None)]
        return []

    def shown(self, plan: Sequence[Mapping[str, Any]]) -> list[str]:
        """A plan as lines for people: its steps, indented, without files and internal names."""
        return [line for step in plan for line in self._lines(step, 0)]

    def _lines(self, step: Mapping[str, Any], depth: int) -> Iterator[str]:
        name = str(step.get("name") or step.get("type") or "")
        info = step.get("extra_info") or {}
        if name in {"RESULT_COLLECTOR", "EXPLAIN_ANALYZE"}:
            for child in step.get("children") or ():
                yield from self._lines(child, depth)
            return
        function = str(info.get("Function") or "")
        if _SCAN in {name, function}:
            sources = {match[1] for match in map(self._name.fullmatch, _listed(info.get("Projections"))) if match}
            name = f"SCAN {', '.join(sorted(sources))} in the ledger"
        elif "PARQUET" in name + function:
            name = "SCAN the archive"
        details = [
            f"{key.lower()} " + self._name.sub(r"\2", ", ".join(_listed(info[key])))
            for key in _SHOWN
            if info.get(key)
        ]
        if "intermediate_rows" in step:
            details.append(f"{step['intermediate_rows']} rows in {float(step.get('timing') or 0):.4f} s")
        yield "  " * depth + name + (": " + "; ".join(details) if details else "")
        for child in step.get("children") or ():
            yield from self._lines(child, depth + 1)


def _steps(
    plan: Sequence[Mapping[str, Any]], above: Mapping[str, Any] | None
) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any] | None]]:
    todo: list[tuple[Mapping[str, Any], Mapping[str, Any] | None]] = [(step, above) for step in plan]
    while todo:
        step, over = todo.pop()
        yield step, over
        todo += [(child, step) for child in step.get("children") or ()]


def _listed(entry: Any) -> list[str]:
    if entry is None:
        return []
    return [str(each) for each in entry] if isinstance(entry, list) else [str(entry)]


def _terms(expression: str) -> list[str]:
    """The terms of a conjunction, each in its parentheses; the whole expression if it is none."""
    inner = expression[1:-1] if expression.startswith("(") and expression.endswith(")") else expression
    terms, begun, depth, quoted = [], 0, 0, False
    whole = True  # no term continues after the parenthesis that it began with
    for at, character in enumerate(inner):
        if character == "'":
            quoted = not quoted
        elif quoted:
            continue
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
            if depth < 0:
                return []  # the outer parentheses were not a pair
            whole = whole and (depth > 0 or at + 1 == len(inner) or inner.startswith(" AND ", at + 1))
        elif depth == 0 and inner.startswith(" AND ", at):
            terms.append(inner[begun:at])
            begun = at + 5
    terms.append(inner[begun:])
    if whole and len(terms) > 1 and all(term.startswith("(") or _COLUMN.fullmatch(term) for term in terms):
        return terms
    return [expression]


def _instant(text: str) -> int:
    return (datetime.fromisoformat(text + "+00:00") - _EPOCH) // _MICROSECOND


def _either(scans: Sequence[Wanted]) -> Wanted:
    """What any of its scans reads of a table."""
    columns = frozenset[str]().union(*(scan.columns for scan in scans))
    bounds: list[Bound] = []
    for column, relation, _ in scans[0].bounds if scans else ():
        values = [[value for name, by, value in scan.bounds if (name, by) == (column, relation)] for scan in scans]
        if not all(values) or any((column, relation) == (name, by) for name, by, _ in bounds):
            continue
        if relation in {"is null", "is not null"}:
            bounds.append((column, relation, None))
        elif relation == "=":
            if len({value for each in values for value in each}) == 1:
                bounds.append((column, relation, values[0][0]))
        else:
            tightest = max if relation == ">=" else min
            loosest = min if relation == ">=" else max
            bounds.append((column, relation, loosest(tightest(cast(list[int], each)) for each in values)))
    return Wanted(columns=columns, bounds=tuple(bounds))

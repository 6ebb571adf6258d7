"""What DuckDB's own plan of a statement reads of the ledger, and the plan as people may see it. Pure.

The ledger's tables are streams without statistics when a statement is planned, so its plan is right whatever they
hold: rows that fail the filter straight above a scan, and columns that the scan does not project, change no answer.
Columns have names that begin with a mark nobody outside knows, so that nothing in a statement passes for one.
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
"""A term that is a column which is true."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SHOWN = (
    "Projections", "Expression", "Filters", "Conditions", "Join Type", "Groups", "Aggregates", "Order By", "Top",
    "Limit", "Offset", "CTE Name", "Total Files Read", "Estimated Cardinality",
)  # fmt: skip
"""What is shown of a step; the rest names files and tables that are nobody's business."""


class Names:
    """What the streams' columns are called.

    Args:
        mark: which begins every name; nobody outside knows it.
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
        """By column of a table, its name."""
        return {column: f"{self._mark}.{source}.{column}" for column in COLUMNS[source]}

    def wanted(self, plan: Sequence[Mapping[str, Any]], sources: Sequence[str]) -> dict[str, Wanted]:
        """What a plan reads, by table; all of it where the plan cannot be understood."""
        scans: dict[str, list[Wanted]] = {source: [] for source in sources}
        for step, above in _steps(plan, None):
            if step.get("name") != _SCAN:
                continue
            told = step.get("extra_info") or {}
            found = [self._name.fullmatch(each) for each in _listed(told.get("Projections"))]
            read = {(match[1], match[2]) for match in found if match}
            if len(read) != len(found) or len({source for source, _ in read}) != 1 or told.get("Filters"):
                return {source: Wanted(columns=frozenset(COLUMNS[source])) for source in sources}
            source = next(source for source, _ in read)
            scans[source].append(Wanted(columns=frozenset(name for _, name in read), bounds=self._bounds(above)))
        return {source: _either(found) for source, found in scans.items()}

    def _bounds(self, above: Mapping[str, Any] | None) -> tuple[Bound, ...]:
        if above is None or above.get("name") != "FILTER":
            return ()
        bounds: list[Bound] = []
        for expression in _listed((above.get("extra_info") or {}).get("Expression")):
            for term in _terms(expression):
                bounds += self._bound(term)
        return tuple(bounds)

    def _bound(self, term: str) -> list[Bound]:
        if found := self._between.fullmatch(term):
            return [(found["column"], ">=", _instant(found[3])), (found["column"], "<=", _instant(found[4]))]
        if found := self._compared.fullmatch(term):
            at = _instant(found[4])
            relations = {">": (">=",), "<": ("<=",), "=": (">=", "<=")}.get(found["relation"], (found["relation"],))
            return [(found["column"], cast(Literal[">=", "<="], each), at) for each in relations]
        if (found := self._equal.fullmatch(term)) and COLUMNS[found["source"]].get(found["column"]) == "text":
            return [(found["column"], "=", found["text"])]
        if found := self._null.fullmatch(term):
            return [(found["column"], "is not null" if found["not"] else "is null", None)]
        return []

    def shown(self, plan: Sequence[Mapping[str, Any]]) -> list[str]:
        """A plan as lines for people: its steps, indented, without files and internal names."""
        return [line for step in plan for line in self._lines(step, 0)]

    def _lines(self, step: Mapping[str, Any], depth: int) -> Iterator[str]:
        name = str(step.get("name") or step.get("type") or "")
        told = step.get("extra_info") or {}
        if name in {"RESULT_COLLECTOR", "EXPLAIN_ANALYZE"}:
            for child in step.get("children") or ():
                yield from self._lines(child, depth)
            return
        function = str(told.get("Function") or "")
        if _SCAN in {name, function}:
            sources = {match[1] for match in map(self._name.fullmatch, _listed(told.get("Projections"))) if match}
            name = f"SCAN {', '.join(sorted(sources))} in the ledger"
        elif "PARQUET" in name + function:
            name = "SCAN the archive"
        details = [
            f"{key.lower()} " + self._name.sub(r"\2", ", ".join(_listed(told[key])))
            for key in _SHOWN
            if told.get(key)
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


def _listed(told: Any) -> list[str]:
    if told is None:
        return []
    return [str(each) for each in told] if isinstance(told, list) else [str(told)]


def _terms(expression: str) -> list[str]:
    """The terms of a conjunction, each in its parentheses; the expression alone where it is none."""
    inner = expression[1:-1] if expression.startswith("(") and expression.endswith(")") else expression
    terms, begun, depth, quoted = [], 0, 0, False
    whole = True  # no term goes on behind the parenthesis that it began with
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
                return []  # the outer parentheses were no pair
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
    """What is wanted of a table by any of its scans."""
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

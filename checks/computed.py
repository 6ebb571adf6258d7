"""Fields that a system does not hold itself: their values, computed from the fields that it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from checks.fields import FieldRule
from probes.exact_json import Undecodable
from probes.expressions import Expression, ExpressionError, rounded
from probes.settings import Binding


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """Where the value of one compared field comes from.

    Attributes:
        start: the position of its value among those of the row, or of the first value that it is computed from.
        expression: how it is computed; None for a field that the system holds.
        exact: numbers are decimals; False for a field whose values are floating-point numbers.
    """

    start: int
    expression: Expression | None
    exact: bool


class Columns:
    """The values of the compared fields, from a row of which some fields are computed.

    Args:
        binding: says which fields are computed, and so which values a row has.
        rules: the fields whose values are wanted, in order.
    """

    def __init__(self, binding: Binding, rules: Sequence[tuple[str, FieldRule]]) -> None:
        sources = []
        at = 0
        for name, rule in rules:
            computed = binding.computed.get(name)
            expression = None if computed is None else computed.expression
            sources.append(_Source(start=at, expression=expression, exact=rule.type != "float"))
            at += len(binding.sources(name))
        self._sources = tuple(sources)

    def values(self, held: Sequence[Any]) -> list[Any]:
        """The raw value of each field; an `Undecodable` with the reason where an expression has none."""
        return [
            held[source.start] if source.expression is None else _computed(source, source.expression, held)
            for source in self._sources
        ]


def columns_of(binding: Binding, rules: Sequence[tuple[str, FieldRule]]) -> Columns | None:
    """How the fields follow from a row; None where each value of the row is one of the fields."""
    return Columns(binding, rules) if any(name in binding.computed for name, _ in rules) else None


def _computed(source: _Source, expression: Expression, held: Sequence[Any]) -> Any:
    try:
        value = expression.value(held[source.start : source.start + len(expression.fields)])
    except ExpressionError as error:
        return Undecodable(f"it is computed, and that failed: {error}")
    return rounded(value) if source.exact else value

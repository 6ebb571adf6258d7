"""What is kept of how two values differ: kinds from a fixed list, unless the field is clear."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.difference_kinds import KINDS, blurred, kind_of, pattern_of
from checks.differences import shape_of
from checks.fields import FieldRule, parser_for

CASES: list[tuple[dict[str, Any], Any, Any, str, str]] = [
    ({"type": "decimal"}, "1", "123457.78", "higher", "+123456.78"),
    ({"type": "decimal"}, "123457.78", "1", "lower", "-123456.78"),
    ({"type": "integer"}, 5, 1_234_567, "higher", "+1234562"),
    ({"type": "float"}, 1.5, 2.75, "higher", "+1.25"),
    ({"type": "decimal"}, "1.5", "150", "times 100", "times 100"),
    ({"type": "decimal"}, "1.5", "-150", "times -100", "times -100"),
    ({"type": "decimal"}, "1037.2", "1001.5", "lower", "-35.7"),
    ({"type": "decimal"}, "5", "-5", "sign", "sign"),
    ({"type": "decimal"}, "5.25", "5.3", "rounded", "rounded"),
    ({"type": "money", "currency": "EUR"}, "11.11", "13.45", "higher", "+2.34"),
    ({"type": "string"}, "a long description", "a long", "cut", "cut at 6"),
    ({"type": "string"}, "Ada", "ADA", "case", "case"),
    ({"type": "string"}, "Ada", "Eve", "", ""),
    ({"type": "timestamp"}, "2026-03-01T12:00:00Z", "2026-03-01T14:00:00Z", "+02:00", "+02:00"),
    ({"type": "timestamp"}, "2026-03-01T12:00:00Z", "2026-03-01T06:15:00Z", "-05:45", "-05:45"),
    ({"type": "timestamp"}, "2026-03-01T12:00:00Z", "2026-03-01T12:07:03.5Z", "later", "+00:07:03.5"),
    ({"type": "timestamp"}, "2026-03-01T12:00:00Z", "2026-02-01T12:00:00Z", "earlier", "-672:00"),
    ({"type": "timestamp"}, "2026-03-01T12:00:00.25Z", "2026-03-01T12:00:00Z", "rounded", "-00:00:00.25"),
]


@pytest.mark.parametrize(("words", "owner", "target", "kind", "exact"), CASES)
def test_only_a_clear_field_tells_how_far_apart(
    words: dict[str, Any], owner: Any, target: Any, kind: str, exact: str
) -> None:
    for evidence, expected in (("private", kind), ("masked", kind), ("clear", exact)):
        rule = FieldRule.model_validate({**words, "evidence": evidence})
        parse = parser_for(rule, "a", "UTC")
        left, right = parse(owner), parse(target)
        assert pattern_of(rule, shape_of(rule, left, right), left, right) == expected
    assert blurred(exact) == kind or kind == "rounded"
    assert blurred(exact) in KINDS


@given(st.decimals(allow_nan=False, allow_infinity=False), st.decimals(allow_nan=False, allow_infinity=False))
def test_a_number_is_only_ever_of_a_kind(one: Decimal, other: Decimal) -> None:
    rule = FieldRule(type="decimal")
    if one != other:
        assert kind_of(rule, shape_of(rule, one, other), one, other) in KINDS


@given(st.text())
def test_what_was_kept_before_is_brought_down_to_a_kind(pattern: str) -> None:
    assert blurred(pattern) in KINDS
    assert len(KINDS) < 200

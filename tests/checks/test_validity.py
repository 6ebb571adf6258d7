"""What a value must be in itself."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from checks.validity import RuleError, RuleSet, Validity, violation
from checks.values import UnreadableError


@pytest.mark.parametrize(
    ("words", "value", "text", "broken"),
    [
        ({"required": True}, None, "NULL", "required"),
        ({"required": True}, "x", "x", ""),
        ({"min": 0}, Decimal(-5), "-5", "below 0"),
        ({"min": 0}, (Decimal(-5), "EUR"), "-5 EUR", "below 0"),
        ({"max": 10}, 10, "10", ""),
        ({"max": 10}, 11, "11", "above 10"),
        ({"min": "2026-01-01"}, "2025-12-31", "2025-12-31", "below 2026-01-01"),
        ({"one_of": ["a", "b"]}, "c", "c", "not one of the allowed values"),
        ({"matches": r"\d+"}, "12x", "12x", r"does not match \d+"),
        ({"min": 0}, None, "NULL", ""),
    ],
)
def test_violation(words: dict[str, Any], value: Any, text: str, broken: str) -> None:
    assert violation(Validity.model_validate(words), value, text) == broken


def test_refuses_a_pattern_that_does_not_parse() -> None:
    with pytest.raises(ValueError, match="not a regular expression"):
        Validity(matches="(")


FIELDS = {
    "amount": "money",
    "state": "enum",
    "paid_at": "timestamp",
    "tags": "set",
    "number": "integer",
    "extra": "json",
}
HELD: dict[str, Any] = {
    "amount": (Decimal("-5.10"), "EUR"),
    "state": "open",
    "paid_at": datetime(2026, 1, 1, tzinfo=UTC),
    "tags": ["lead"],
    "number": 2**70,
    "extra": {"a": [Decimal(1)]},
}


@pytest.mark.parametrize(
    ("rule", "keeps"),
    [
        ("amount >= 0", False),
        ("amount >= 0 || state == 'credit'", False),
        ("amount_currency in ['EUR', 'USD']", True),
        ("paid_at > timestamp('2025-01-01T00:00:00Z')", True),
        ("'lead' in tags", True),
        ("number > 5", True),
        ("extra.a[0] == 1", True),
        ("state == 'amount'", False),
    ],
)
def test_rules_speak_of_fields_in_their_own_types(rule: str, keeps: bool) -> None:
    assert RuleSet({"r": rule}, FIELDS).broken(HELD) == ([] if keeps else [("r", rule)])


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("amout >= 0", "undeclared reference to 'amout'"),
        ("amount +", "the expression ends too early"),
        ("size(state)", "does not say true or false"),
        ("state.capital() == 'X'", "undeclared reference to 'capital'"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused_by_name(rule: str, said: str) -> None:
    with pytest.raises(RuleError, match=re.escape(said)) as caught:
        RuleSet({"no negatives": rule}, FIELDS)
    assert str(caught.value).startswith("no negatives: ")


@pytest.mark.parametrize("rule", ["extra.b == 1", "amount > 'x'", "amount", "1 / 0 == state"])
def test_a_rule_that_cannot_be_applied_says_so_and_never_quotes_a_value(rule: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        RuleSet({"r": rule}, FIELDS).broken(HELD)
    assert "rule r: " in str(caught.value)
    assert "5.1" not in str(caught.value)


def test_a_null_field_is_not_asked_about_unless_the_rule_speaks_of_null() -> None:
    without = {**HELD, "amount": None, "paid_at": None}
    assert RuleSet({"r": "amount >= 0"}, FIELDS).broken(without) == []
    assert RuleSet({"r": "amount != null"}, FIELDS).broken(without) == [("r", "amount != null")]
    assert RuleSet({"r": "paid_at > timestamp('2025-01-01T00:00:00Z')"}, FIELDS).broken(without) == []
    del without["state"]
    assert RuleSet({"r": "state == 'x'"}, FIELDS).broken(without) == []


def test_a_rule_is_not_applied_to_a_part_of_a_text() -> None:
    with pytest.raises(UnreadableError, match="NUL"):
        RuleSet({"r": "state == 'open'"}, FIELDS).broken({**HELD, "state": "open\0closed"})


def test_a_rule_cannot_run_for_long() -> None:
    ten = "[1,2,3,4,5,6,7,8,9,10]"
    nested = f"{ten}.all(a, {ten}.all(b, {ten}.all(c, {ten}.all(d, {ten}.all(e, a + b + c + d + e > number)))))"
    with pytest.raises(UnreadableError, match="rule r"):
        RuleSet({"r": nested}, FIELDS).broken({**HELD, "number": 0})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a >", "r: at 1:4: the expression ends too early; a value is missing"),
        ("", "r: at 1:1: the expression ends too early; a value is missing"),
        ("a > > 1", "r: at 1:5: > cannot stand here"),
        ("a > 1 b", "r: at 1:7: b cannot stand here"),
        ("(a", "r: at 1:3: ) is missing"),
        ("a = 1", "r: at 1:3: = is not part of the language; to compare, write =="),
        ("x > 1", "r: at 1:1: undeclared reference to 'x'"),
    ],
)
def test_what_is_wrong_with_a_rule_is_one_sentence_with_its_position(text: str, said: str) -> None:
    with pytest.raises(RuleError) as refused:
        RuleSet({"r": text}, {"a": "integer"})
    assert str(refused.value) == said

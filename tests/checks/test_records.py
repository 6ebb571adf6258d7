"""Comparing records: fingerprints, duplicates, evidence, validity."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.comparison import Agreement, Comparison
from checks.delete_flags import flag_of
from checks.field_text import show
from checks.fields import FieldRule, parser_for
from checks.records import RecordComparer
from checks.sides import Side
from checks.validity import RuleSet
from probes.contract import MISSING
from probes.settings import DeleteFlag

RULES = [
    ("name", FieldRule(type="string", evidence="private")),
    ("amount", FieldRule(type="decimal", evidence="clear")),
]


def side(system: str, rules: list[tuple[str, FieldRule]]) -> Side:
    return Side(
        system=system,
        parse_key=parser_for(FieldRule(type="integer"), system, None),
        parse_changed_at=parser_for(FieldRule(type="timestamp"), system, "UTC"),
        parsers=tuple(parser_for(rule, system, "UTC") for _, rule in rules),
    )


def comparer(rules: list[tuple[str, FieldRule]] | None = None, key: bytes = b"k" * 32) -> RecordComparer:
    of = rules or RULES
    return RecordComparer(rules=of, owner=side("a", of), target=side("b", of), digest_key=key)


def row(*values: Any) -> tuple[Any, ...]:
    return (1, None, *values)


def test_equal_copies_agree_and_share_a_fingerprint() -> None:
    found = comparer().compare(1, [row("x", "1.50")], [row("x", 1.5)])
    assert found.agrees
    assert found.owner is not None
    assert found.target is not None
    assert found.owner.fingerprint == found.target.fingerprint


def test_differences_are_told_as_far_as_the_policy_allows() -> None:
    found = comparer().compare(1, [row("secret name", "1")], [row("other", "2")])
    told = {each.field: (each.owner_value, each.target_value) for each in found.differences}
    assert told == {"name": ("text", "text"), "amount": ("1", "2")}
    assert not found.agrees


@pytest.mark.parametrize(("policy", "shown"), [("private", "text"), ("masked", "s***t (7)"), ("clear", "sekreat")])
def test_evidence_policies(policy: str, shown: str) -> None:
    assert show(FieldRule.model_validate({"evidence": policy}), "sekreat") == shown


def test_several_rows_of_a_key_are_a_duplicate_and_never_agree() -> None:
    found = comparer().compare(1, [row("x", 1)], [row("x", 1), row("x", 1)])
    assert found.duplicates == ("several rows in b",)
    assert not found.agrees


def test_an_unreadable_value_makes_the_record_unverifiable() -> None:
    found = comparer().compare(1, [row("x", "twelve")], [row("x", "twelve")])
    assert found.unverifiable == "amount in a: not a decimal: text"
    assert not found.agrees


def test_an_absent_record_is_no_difference_of_fields() -> None:
    found = comparer().compare(1, [row("x", 1)], [])
    assert (found.agrees, found.differences) == (False, ())
    assert comparer().compare(1, [], []).agrees


def test_rows_without_a_readable_key_are_counted() -> None:
    made = comparer()
    grouped, nameless, *_ = made.group(
        made.owner, [(1, None, "x", 1), ("1", None, "y", 1), (None, None, "z", 1), ("q", None, "w", 1)]
    )
    assert {key: len(rows) for key, rows in grouped.items()} == {1: 2}
    assert nameless == [None, "q"]


def test_rows_marked_as_deleted_are_set_aside_unless_another_row_of_their_record_is_not() -> None:
    made = comparer([("name", FieldRule())])
    side = replace(made.owner, flag=flag_of(DeleteFlag(field="gone"), "crm"))
    grouped = made.group(
        side,
        [
            (1, None, "there", False),
            (2, "mark", "gone", True),
            (3, None, "gone", True),
            (3, None, "created again", False),
            (4, None, "who knows", "maybe"),
            (4, None, "there", False),
            (None, None, "gone", True),
            (None, None, "nameless", False),
            (None, None, "nameless", "maybe"),
        ],
    )
    assert grouped.rows == {1: [(1, None, "there")], 3: [(3, None, "created again")]}
    assert grouped.deleted == {2: "mark"}
    assert grouped.unreadable == {4: "whether it is deleted, gone in a: not a boolean: text"}
    assert grouped.nameless == [None, None]
    assert grouped.keys == [1, 3, 2, 4]


def test_null_missing_and_empty_are_three_things() -> None:
    made = comparer([("name", FieldRule())])
    digests = {
        made.fingerprint(made.canonical(made.owner, row(value))) for value in (None, MISSING, "", "None", "MISSING")
    }
    assert len(digests) == 5


def test_another_key_or_other_rules_begin_a_new_series() -> None:
    first = comparer().fingerprint(("x", 1))
    assert first == comparer().fingerprint(("x", 1))
    assert first != comparer(key=b"j" * 32).fingerprint(("x", 1))
    stricter = [RULES[0], ("amount", FieldRule(type="decimal", scale=2))]
    assert first != comparer(stricter).fingerprint(("x", 1))


def test_an_invalid_value_is_told_even_where_the_copies_agree() -> None:
    rules = [("amount", FieldRule.model_validate({"type": "decimal", "valid": {"min": 0}}))]
    found = comparer(rules).compare(1, [row("-5")], [row("-5")])
    assert found.agrees
    assert [each.field for each in found.invalid] == ["amount"]


def test_a_number_that_no_rule_can_reckon_with_hides_no_difference() -> None:
    rules = [("count", FieldRule(type="integer")), ("name", FieldRule())]
    made = RecordComparer(
        rules=rules,
        owner=side("a", rules),
        target=side("b", rules),
        digest_key=b"k" * 32,
        validity=RuleSet({"some": "count > 0"}, {"count": "integer", "name": "string"}),
    )
    huge = 10**400
    assert "beyond what a rule" in made.compare(1, [row(huge, "x")], [row(huge, "x")]).unverifiable
    assert [each.field for each in made.compare(1, [row(huge, "x")], [row(huge + 1, "x")]).differences] == ["count"]
    assert made.compare(1, [row(1, "x" * 10_000)], [row(1, "x" * 10_000)]).agrees


@given(st.lists(st.text(), min_size=2, max_size=2), st.lists(st.text(), min_size=2, max_size=2))
def test_two_tuples_share_a_fingerprint_only_when_they_are_equal(left: list[str], right: list[str]) -> None:
    made = comparer([("a", FieldRule()), ("b", FieldRule())])
    one, two = (made.canonical(made.owner, row(*each)) for each in (left, right))
    assert (made.fingerprint(one) == made.fingerprint(two)) == (one == two)


@given(st.text(), st.text())
def test_swapping_the_sides_changes_nothing_about_agreement(left: str, right: str) -> None:
    made = comparer([("a", FieldRule(casefold=True))])
    assert made.compare(1, [row(left)], [row(right)]).agrees == made.compare(1, [row(right)], [row(left)]).agrees


def test_a_row_is_made_canonical_once() -> None:
    parsed: list[Any] = []

    def noting(name: str) -> Side:
        made = side(name, RULES)

        def noted(parse: Any) -> Any:
            def parse_noted(raw: Any) -> Any:
                parsed.append((name, raw))
                return parse(raw)

            return parse_noted

        return replace(made, parsers=tuple(map(noted, made.parsers)))

    made = RecordComparer(rules=RULES, owner=noting("a"), target=noting("b"), digest_key=b"k" * 32)
    differing = made.meet(1, [row("x", "1")], [row("y", "2")])
    assert isinstance(differing, Comparison)
    assert differing == comparer().compare(1, [row("x", "1")], [row("y", "2")])
    assert len(parsed) == len(set(parsed)) == 4
    agreed = made.meet(1, [row("x", "1.0")], [row("x", "1")])
    assert isinstance(agreed, Agreement)
    told = made.compare_agreed(1, agreed, row("x", "1.0"), row("x", "1"))
    assert told == comparer().compare(1, [row("x", "1.0")], [row("x", "1")])
    assert told.owner is not None
    assert told.owner.fingerprint == agreed.fingerprint
    assert len(parsed) == 8

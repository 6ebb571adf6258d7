"""Differences in words: what differs and how, with no value that today's map keeps private."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.dashboard import evidence
from checks.fields import FieldRule

FIELDS = {
    "plan": FieldRule(type="string", evidence="clear"),
    "name": FieldRule(type="string", evidence="masked"),
    "balance": FieldRule(type="decimal", evidence="private"),
}


def of(field: str, owner: str, copy: str, *, shape: str = "value", pattern: str = "", kind: str = "value") -> str:
    difference = {"field": field, "shape": shape, "owner_value": owner, "target_value": copy, "pattern": pattern}
    return evidence.differences_text(json.dumps([difference]), "", kind, FIELDS)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (of("plan", "free", "team"), "plan: free → team"),
        (of("plan", "Free", "free", shape="case", pattern="case"), "plan: Free → free (in another case)"),
        (of("plan", "", "free", shape="empty"), "plan:  → free (empty on one side)"),
        (of("balance", "a number", "a number"), "balance differs (values are private)"),
        (
            of("balance", "a number", "a number", shape="scaled", pattern="times 100"),
            "balance differs (times 100; values are private)",
        ),
        (of("name", "A***e (6)", "B***e (7)"), "name: A***e (6) → B***e (7)"),
        (of("no debt", "balance >= 0", "", kind="invalid"), "breaks the rule no debt: balance >= 0"),
        (of("gone", "1", "2"), "gone differs"),
        (evidence.differences_text("[]", "several rows in billing", "duplicate", FIELDS), "several rows in billing"),
        (evidence.differences_text("[]", "", "missing", FIELDS), "missing in the copy"),
    ],
)
def test_says_what_differs_and_how(found: str, said: str) -> None:
    assert found == said


def test_what_was_recorded_in_clear_is_hidden_if_the_map_hides_it_today() -> None:
    assert "12.50" not in of("balance", "12.50", "13.50")
    assert "Augusta" not in of("name", "Augusta", "Augusto")


@pytest.mark.parametrize(
    ("copy", "owner", "part"),
    [
        ("Ada Smith", "Ada Smyth", "i"),
        ("Ada", "Ada Smith", ""),
        ("Ada Smith", "Ada", " Smith"),
        ("aa", "aaa", ""),
        ("Eve", "Ada", "Eve"),
        ("cafe\u0301 x", "cafe\u0302 x", "e\u0301"),
        ("a\U0001f44d\U0001f3fbz", "a\U0001f44d\U0001f3ffz", "\U0001f44d\U0001f3fb"),
    ],
)
def test_the_part_that_differs(copy: str, owner: str, part: str) -> None:
    start, end = evidence.changed_part(copy, owner)
    assert copy[start:end] == part


@given(copy=st.text(max_size=12), owner=st.text(max_size=12))
def test_what_is_left_out_of_the_part_is_the_same_in_both(copy: str, owner: str) -> None:
    start, end = evidence.changed_part(copy, owner)
    assert 0 <= start <= end <= len(copy)
    assert owner.startswith(copy[:start])
    assert owner.endswith(copy[end:])


@pytest.mark.parametrize(
    ("owner", "copy", "shown"),
    [
        ("short", "other", "plan: short → other"),
        ("2026-03-01T10:00:00Z", "2026-03-01T10:00:05Z", "plan: …10:00:00Z → …10:00:05Z"),
        ("2026-03-01T10:00:00+00:00", "2026-02-28T09:12:44+00:00", "plan: 2026-03-01… → 2026-02-28…"),
        ("2026-03-01T10:00:00+00:00", "missing", "plan: 2026-03-01… → missing"),
        ("x" * 40 + "1", "x" * 40 + "2", "plan: …xxx1 → …xxx2"),
        ("x" * 40, "x" * 41, "plan: …xxxx → …xxxx"),
        ("7" * 40 + "1" + "0" * 40, "7" * 40 + "2" + "0" * 40, "plan: …7771000000… → …7772000000…"),
        ("e" * 40 + "e\u0301", "e" * 40 + "e\u0300", "plan: …eeee\u0301 → …eeee\u0300"),
    ],
)
def test_a_brief_text_shows_of_long_values_where_they_differ(owner: str, copy: str, shown: str) -> None:
    difference = {"field": "plan", "shape": "value", "owner_value": owner, "target_value": copy}
    text = json.dumps([difference])
    assert evidence.differences_text(text, "", "value", FIELDS, brief=True) == shown
    assert evidence.differences_text(text, "", "value", FIELDS) == f"plan: {owner} → {copy}"


@given(st.text(), st.text())
def test_what_is_left_of_two_values_differs(owner: str, copy: str) -> None:
    if owner != copy and len(owner) > evidence.VALUE_ROOM < len(copy):
        assert evidence.shortened(owner, copy) != evidence.shortened(copy, owner)

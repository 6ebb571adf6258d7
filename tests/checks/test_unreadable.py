"""How values are described without telling them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from checks.fields import FieldRule, parser_for
from checks.unreadable import UnreadableError, describe, spelling


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({"a": 1}, "an object"),
        ({}, "an empty object"),
        ([1, 2], "a list"),
        ("secret", "text"),
        (b"secret", "bytes"),
        (object(), "a value of another type"),
        (True, "a boolean"),
        (7, "a whole number"),
        (Decimal("1.5"), "a number"),
        (datetime(2026, 1, 1, tzinfo=UTC), "an instant"),
        (date(2026, 1, 1), "a date"),
        (UUID(int=1), "a UUID"),
    ],
)
def test_a_value_is_described_in_words_of_the_map(raw: Any, told: str) -> None:
    assert describe(raw) == told


def test_an_object_where_text_is_declared() -> None:
    with pytest.raises(UnreadableError, match="not text: an object"):
        parser_for(FieldRule(type="string"), "crm", None)({"a": "x"})


@pytest.mark.parametrize("depth", [201, 5_000])
def test_valid_json_that_is_nested_too_deeply_is_told_as_such(depth: int) -> None:
    with pytest.raises(UnreadableError, match="JSON nested deeper than 200 levels"):
        parser_for(FieldRule(type="json"), "crm", None)("[" * depth + "]" * depth)


def test_two_values_share_a_spelling_only_where_they_are_the_same() -> None:
    assert spelling(10**5000) != spelling(10**5000 + 1)
    assert spelling(-(10**5000)) != spelling(10**5000)
    assert (spelling("1"), spelling(1)) == ("'1'", "1")
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert spelling(deep) == "a list of 1"
    assert spelling([10**5000]) == "a list of 1"

"""What a value must be in itself."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from checks.validity import Validity, violation


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

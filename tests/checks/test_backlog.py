"""Backlogs against what the map allows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from checks.backlog import Allowance, age_s, over_allowance

ALLOWED = Allowance(dead_letters=2, oldest_letter_s=60, backlog_age_s=30)
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("role", "depth", "age", "over"),
    [
        ("dead", 0, None, 0),
        ("dead", 2, 59, 0),
        ("dead", 3, 1, 3),
        ("dead", 1, 61, 1),
        ("dead", 1, None, None),
        ("dead", None, None, None),
        ("main", 500, 29, 0),
        ("main", 500, 31, 500),
        ("main", 0, 31, 0),
    ],
)
def test_over_allowance(role: str, depth: int | None, age: float | None, over: int | None) -> None:
    assert over_allowance(role, depth, age, ALLOWED) == over  # type: ignore[arg-type]


def test_an_unknown_age_is_unknown_and_a_negative_one_is_0() -> None:
    assert age_s(None, NOW) is None
    assert age_s(NOW + timedelta(seconds=5), NOW) == 0
    assert age_s(NOW - timedelta(seconds=5), NOW) == 5

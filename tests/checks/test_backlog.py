"""Backlogs against what the map allows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from checks.backlog import Allowance, about_to_drop, age_s, over_allowance
from checks.queue_states import Trend

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


@pytest.mark.parametrize(
    ("depth", "age", "direction", "over"),
    [
        (100, 9999, Trend.RISING, 0),
        (101, 29, Trend.LEVEL, 0),
        (101, 31, Trend.LEVEL, 101),
        (101, 29, Trend.RISING, 101),
        (101, None, Trend.UNKNOWN, None),
        (1001, None, Trend.FALLING, 1001),
    ],
)
def test_a_backlog_between_floor_and_ceiling_is_judged_by_age_and_trend(
    depth: int, age: float | None, direction: Trend, over: int | None
) -> None:
    allowed = Allowance(dead_letters=0, oldest_letter_s=None, backlog_age_s=30, floor=100, ceiling=1000)
    assert over_allowance("main", depth, age, allowed, direction) == over


def test_without_a_floor_a_passing_burst_is_no_breach() -> None:
    allowed = Allowance(dead_letters=0, oldest_letter_s=None, backlog_age_s=None)
    assert over_allowance("main", 50, None, allowed, Trend.RISING) == 0


@pytest.mark.parametrize(
    ("depth", "left_s", "retention_s", "dropping"),
    [
        (5, 3_000, 86_400, 5),
        (5, 4_000, 86_400, 0),
        (5, 3_000, 3_600, 0),
        (5, 800, 3_600, 5),
        (5, None, 3_600, None),
        (5, None, None, 0),
        (0, None, 3_600, 0),
        (None, None, 3_600, None),
    ],
)
def test_letters_about_to_be_dropped(
    depth: int | None, left_s: float | None, retention_s: float | None, dropping: int | None
) -> None:
    drops_at = None if left_s is None else NOW + timedelta(seconds=left_s)
    assert about_to_drop(depth, drops_at, retention_s, 3_600, NOW) == dropping

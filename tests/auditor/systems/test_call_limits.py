"""Limits of calls within a time that slides, against a list of all that was ever sent."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from auditor.systems.call_limits import SlidingLimit, ToldLimit

STEPS = st.lists(st.tuples(st.floats(0, 40), st.integers(1, 5)), max_size=60)


def within(sent: list[tuple[float, int]], seconds: float) -> int:
    """The most calls that were ever sent within so many seconds, both ends open at most."""
    return max((sum(n for at, n in sent if begin <= at < begin + seconds) for begin, _ in sent), default=0)


@given(limit=st.integers(1, 12), seconds=st.sampled_from([1.0, 60.0]), steps=STEPS, grain_s=st.sampled_from([0, 7.5]))
def test_there_is_never_one_call_over(
    limit: int, seconds: float, steps: list[tuple[float, int]], grain_s: float
) -> None:
    made, now = SlidingLimit(limit, seconds, grain_s=grain_s), 0.0
    sent: list[tuple[float, int]] = []
    for step, calls in steps:
        now += step
        if made.wait_s(now, calls) <= 0:
            made.spend(now, calls)
            sent.append((now, calls))
    assert within(sent, seconds) <= limit


@example(limit=8, steps=[(0.0, 1), (0.0, 3), (0.0, 5), (0.0, 1)])  # waits less than a float's next step
@given(limit=st.integers(1, 12), steps=STEPS)
def test_who_waits_as_long_as_told_may_go_and_nobody_waits_longer_than_needed(
    limit: int, steps: list[tuple[float, int]]
) -> None:
    made, now = SlidingLimit(limit, 60.0), 0.0
    for step, calls in steps:
        now += step
        wait_s = made.wait_s(now, calls)
        if not math.isfinite(wait_s):
            assert calls > limit
            continue
        if (early := now + wait_s * 0.99) < now + wait_s:
            assert made.wait_s(early, calls) > 0
        now += wait_s + 1e-9 * (1 + now)
        assert made.wait_s(now, calls) == 0.0
        made.spend(now, calls)


def test_what_is_kept_stays_behind() -> None:
    made = SlidingLimit(10, 60.0)
    made.spend(0.0, 8)
    assert made.wait_s(0.0, 2) == 0.0
    assert made.wait_s(0.0, 1, kept=2) == 60.0
    assert made.wait_s(0.0, 9, kept=2) == math.inf


def test_calls_that_follow_each_other_closely_take_no_room_of_their_own() -> None:
    made = SlidingLimit(1_000_000, 86_400.0, grain_s=60.0)
    for at in range(86_400):
        made.spend(at, 1)
    assert len(made._spent) <= 86_400 / 60
    assert made.used(86_400) == 86_400
    assert made.used(86_400 + 43_200) <= 43_200 + 61


@pytest.mark.parametrize(
    ("now", "calls", "kept", "wait_s"), [(0, 5, 0, 0), (0, 6, 0, 30), (0, 4, 2, 30), (30, 99, 0, 0), (31, 99, 9, 0)]
)
def test_a_vendors_word_counts_until_it_counts_anew(now: float, calls: int, kept: int, wait_s: float) -> None:
    assert ToldLimit(limit=100, left=5, until=30).wait_s(now, calls, kept=kept) == wait_s

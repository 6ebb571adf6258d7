"""Bursts: which trials count, when they end, and how rarely they page by chance."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.bursts import (
    DECIDES_S,
    FALSE_RATIO,
    LARGEST,
    LONGEST_S,
    PAGE_AT,
    Burst,
    Ending,
    begin,
    burst_size,
    trial_result,
)
from checks.convergence import Change, Verdict
from checks.judgement import Outcome
from checks.objectives import WindowCounts
from checks.paging import HOUR_S, PERIOD_S
from checks.values import EPOCH

GOALS = st.sampled_from([0.9, 0.99, 0.999, 0.9999])
TRIALS = st.lists(st.sampled_from([Verdict.MET, Verdict.BREACH, Verdict.UNDECIDED, Verdict.SUPERSEDED]), max_size=150)


def begun(size: int = 10, *, draws: bool = True) -> Burst:
    return Burst(begun_at=EPOCH, after_at=EPOCH, size=size, false_ratio=0.001, draws=draws)


def change(verdict: Verdict) -> Change:
    return Change(
        key=1,
        fingerprint=b"1",
        committed_from_at=EPOCH,
        committed_to_at=EPOCH,
        window_s=4,
        enrolled_at=EPOCH,
        verdict=verdict,
    )


@given(per_period=st.floats(1, 1e9), goal=GOALS)
def test_all_bursts_of_a_period_page_falsely_less_often_than_allowed(per_period: float, goal: float) -> None:
    burst = begin(at=EPOCH, after_at=EPOCH, changes_per_period=per_period, goal=goal, draws=True)
    if burst is None:
        return
    q, n = 1 - goal, burst.size
    page = 1 - sum(math.comb(n, k) * q**k * (1 - q) ** (n - k) for k in range(PAGE_AT))
    assert PAGE_AT <= n <= LARGEST
    assert per_period * q * page <= FALSE_RATIO * 1.000_001 + 1e-9
    assert burst.false_ratio <= FALSE_RATIO


@given(few=st.floats(1, 1e8), more=st.floats(1, 100), goal=GOALS)
def test_the_more_changes_the_smaller_a_burst(few: float, more: float, goal: float) -> None:
    assert burst_size(few * more, goal) <= burst_size(few, goal)


@pytest.mark.parametrize(
    ("per_hour", "goal", "size"), [(6, 0.999, 100), (60, 0.999, 84), (600, 0.999, 39), (1e9, 0.9, 0), (60, 1.0, 0)]
)
def test_with_many_changes_or_none_allowed_to_miss_there_is_no_burst(per_hour: float, goal: float, size: int) -> None:
    burst = begin(at=EPOCH, after_at=EPOCH, changes_per_period=per_hour * PERIOD_S / HOUR_S, goal=goal, draws=False)
    assert (burst.size if burst else 0) == size


@given(trials=TRIALS, size=st.integers(3, 100))
def test_a_burst_pages_if_and_only_if_its_first_trials_hold_three_misses(trials: list[Verdict], size: int) -> None:
    burst = begun(size, draws=False)
    for verdict in trials:
        burst = burst.with_change(verdict, EPOCH).judged(EPOCH)
    counted = [each for each in trials if each is not Verdict.SUPERSEDED][:size]
    missed = counted.count(Verdict.BREACH)
    expected = Ending.PAGED if missed >= PAGE_AT else Ending.CLEAN if len(counted) == size else None
    assert burst.ending == expected
    assert burst.trials <= size
    assert burst.trials == len(counted) or expected is Ending.PAGED


@given(results=st.lists(st.sampled_from([Verdict.MET, Verdict.BREACH, Verdict.UNDECIDED]), max_size=40))
def test_records_and_changes_together_are_never_more_than_its_size(results: list[Verdict]) -> None:
    burst = begun(40)
    drawn = replace(burst, waiting=min(burst.wants, len(results)))
    assert drawn.wants == 40 - len(results)
    for _ in range(100):
        drawn = drawn.with_change(Verdict.MET, EPOCH)
    done = drawn.with_records(results)
    assert done.trials == 40
    assert done.waiting == 0
    assert (done.records.total, done.missed) == (len(results), results.count(Verdict.BREACH))


def test_only_changes_committed_later_are_fresh() -> None:
    burst = replace(begun(), after_at=EPOCH + timedelta(seconds=5))
    assert burst.with_change(Verdict.BREACH, EPOCH + timedelta(seconds=4.9)) == burst
    assert burst.with_change(Verdict.BREACH, EPOCH + timedelta(seconds=5)).missed == 1


def test_a_burst_that_paged_decides_for_an_hour_and_another_begins_only_then() -> None:
    burst = replace(begun(), changes=WindowCounts(missed=3)).judged(EPOCH)
    assert burst.ending is Ending.PAGED
    assert burst.decides(EPOCH + timedelta(seconds=DECIDES_S - 1))
    assert not burst.makes_way(EPOCH + timedelta(seconds=DECIDES_S - 1))
    assert burst.makes_way(EPOCH + timedelta(seconds=DECIDES_S))
    assert not begun().makes_way(EPOCH)
    assert replace(begun(), changes=WindowCounts(met=10)).judged(EPOCH).makes_way(EPOCH)


def test_a_burst_with_too_few_trials_expires() -> None:
    assert begun().judged(EPOCH + timedelta(seconds=LONGEST_S - 1)).ending is None
    assert begun().judged(EPOCH + timedelta(seconds=LONGEST_S)).ending is Ending.EXPIRED


@pytest.mark.parametrize(
    ("outcome", "decided", "result"),
    [
        (Outcome.AGREED, [], Verdict.MET),
        (Outcome.AGREED, [Verdict.UNDECIDED], Verdict.MET),
        (Outcome.DIVERGENT, [Verdict.BREACH], Verdict.BREACH),
        (Outcome.INCONCLUSIVE, [Verdict.BREACH], Verdict.BREACH),
        (Outcome.AGREED, [Verdict.BREACH_THEN_CONVERGED], Verdict.BREACH),
        (Outcome.DIVERGENT, [], Verdict.UNDECIDED),
        (Outcome.CANNOT_VERIFY, [], Verdict.UNDECIDED),
        (Outcome.SUSPECTED, [], None),
        (Outcome.IN_FLIGHT, [], None),
        (Outcome.INCONCLUSIVE, [], None),
    ],
)
def test_a_drawn_record_has_missed_only_if_its_change_has(
    outcome: Outcome, decided: list[Verdict], result: Verdict | None
) -> None:
    assert trial_result(outcome, map(change, decided)) is result


def test_its_summary_counts_what_it_has_shown() -> None:
    burst = replace(
        begun(40), changes=WindowCounts(met=1), records=WindowCounts(met=9, missed=1), waiting=2, left_out=27
    )
    assert burst.summary == (
        "under way: 0 of 1 later change and 1 of 10 records read to confirm it missed, 2 records not decided yet; "
        "pages at 3 of at most 40; 27 records left out by the budget until later"
    )
    clean = replace(begun(12, draws=False), changes=WindowCounts(met=12)).judged(EPOCH)
    assert clean.summary == "clean: 0 of 12 later changes missed"


def test_a_flow_that_misses_just_what_it_may_is_hardly_ever_paged_by_its_bursts() -> None:
    chance, paged, periods = random.Random(5), 0, 400
    for _ in range(periods):
        burst: Burst | None = None
        left = 40_320
        while left > 0:
            # Only from a miss on is there anything to count.
            left -= int(chance.expovariate(1) / -math.log1p(-0.001)) + 1
            burst = begin(at=EPOCH, after_at=EPOCH, changes_per_period=40_320, goal=0.999, draws=False)
            assert burst is not None
            while burst.ending is None:
                verdict = Verdict.BREACH if chance.random() < 0.001 else Verdict.MET
                burst = burst.with_change(verdict, EPOCH).judged(EPOCH)
                left -= 1
            paged += burst.ending is Ending.PAGED
    # At most 1.4 are expected; 8 or more have a probability below 0.0002.
    assert paged < 8

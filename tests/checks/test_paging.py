"""When missed changes page, open a ticket, or neither, and how rarely by chance."""

from __future__ import annotations

import math
import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.bursts import Burst, Ending
from checks.objectives import WindowCounts
from checks.paging import (
    BURN_PAIRS,
    DAY_S,
    FALSE_RATIO,
    HOUR_S,
    PERIOD_S,
    SPANS_S,
    Rule,
    SlowBurn,
    burn_threshold,
    burning,
    confirmed,
    decide,
    strict,
)
from checks.values import EPOCH

GOAL = 0.999
PER_HOUR = 60
PER_PERIOD = PER_HOUR * PERIOD_S / HOUR_S


def counts(missed: int, decided: int) -> WindowCounts:
    return WindowCounts(met=decided - missed, missed=missed)


def steady(per_hour: float, missed: dict[float, int]) -> dict[float, WindowCounts]:
    """Changes at a steady rate, with so many misses in the last so many seconds."""
    return {
        span: counts(max((n for at, n in missed.items() if at <= span), default=0), round(per_hour * span / HOUR_S))
        for span in SPANS_S
    }


@pytest.mark.parametrize(
    ("per_hour", "goal", "missed", "decides"),
    [
        (60_000, 0.999, {HOUR_S / 12: 100, HOUR_S: 900}, True),  # 15 times the budget
        (60_000, 0.999, {HOUR_S / 12: 10, HOUR_S: 900}, False),  # over by now, and too short for the others
        (60_000, 0.999, {HOUR_S / 2: 200, 6 * HOUR_S: 2_400}, True),  # 6.7 times
        (60_000, 0.999, {2 * HOUR_S: 400, DAY_S: 4_800}, True),  # 3.3 times
        (60_000, 0.999, {6 * HOUR_S: 450, 3 * DAY_S: 5_200}, True),  # 1.2 times
        (60_000, 0.999, {6 * HOUR_S: 350, 3 * DAY_S: 4_200}, False),  # within the budget
        (60, 0.999, {HOUR_S / 12: 1, HOUR_S: 1}, False),  # 16.7 times the budget, and a single miss
        (60, 0.999, {HOUR_S / 12: 5, HOUR_S: 5}, True),  # all of the last five minutes
        (6, 0.999, {HOUR_S / 12: 1, HOUR_S: 6}, True),  # all of the last hour
        (6, 0.999, {HOUR_S / 12: 0, HOUR_S / 2: 0, HOUR_S: 2}, False),
        (0, 0.999, {}, False),
    ],
)
def test_burn_rates_decide_where_the_traffic_carries_them(
    per_hour: float, goal: float, missed: dict[float, int], decides: bool
) -> None:
    decision = burning(steady(per_hour, missed), goal)
    assert (decision is not None) is decides
    if decision is not None:
        assert decision.false_ratio <= 0.02
        assert "missed their window in the last" in decision.reason


@given(changes=st.integers(1, 200_000), goal=st.sampled_from([0.9, 0.99, 0.999, 0.9999]))
def test_no_pair_decides_below_its_burn_rate_and_none_decides_on_few_misses(changes: int, goal: float) -> None:
    for pair in BURN_PAIRS:
        least = burn_threshold(changes, pair, goal)
        assert least >= pair.rate * (1 - goal) * changes
        assert least >= 5


def test_a_slow_burn_is_found_and_what_is_allowed_is_not() -> None:
    chance = random.Random(3)

    def run(share: float) -> int | None:
        cusum = SlowBurn()
        for hour in range(28 * 24):
            missed = sum(chance.random() < share for _ in range(PER_HOUR))
            cusum = cusum.plus(counts(missed, PER_HOUR), GOAL)
            if cusum.decide(PER_PERIOD):
                return hour
        return None

    assert run(0.001) is None
    found = run(0.005)
    assert found is not None
    assert found < 10 * 24


def test_cusum_starts_anew_where_all_is_met() -> None:
    worse = SlowBurn().plus(counts(5, 10), GOAL)
    assert worse.evidence > 0
    assert worse.plus(counts(0, 100_000), GOAL) == SlowBurn()
    least = math.log(PER_PERIOD / FALSE_RATIO[Rule.CUSUM])
    assert SlowBurn(evidence=least - 0.01).decide(PER_PERIOD) is None
    decision = SlowBurn(evidence=least).decide(PER_PERIOD)
    assert decision is not None
    assert decision.false_ratio == pytest.approx(FALSE_RATIO[Rule.CUSUM])


def test_one_confirmed_miss_of_strict_data_pages() -> None:
    assert strict(0) is None
    decision = strict(1)
    assert decision is not None
    assert decision.rule is Rule.STRICT


def paged(missed: int = 3) -> Burst:
    return Burst(
        begun_at=EPOCH,
        after_at=EPOCH,
        size=83,
        false_ratio=0.0034,
        draws=True,
        changes=counts(0, 4),
        records=counts(missed, 60),
        ended_at=EPOCH + timedelta(minutes=5),
        ending=Ending.PAGED,
    )


def test_a_burst_that_paged_decides_for_an_hour_and_gives_its_reason_and_its_probability() -> None:
    decision = confirmed(paged(), EPOCH + timedelta(minutes=64))
    assert decision is not None
    assert (decision.rule, decision.missed, decision.false_ratio) == (Rule.BURST, 4, 0.0034)
    assert decision.reason == (
        "a change missed its window at 1970-01-01 00:00:00 UTC, and then so did 0 of 4 later changes and 3 of 60 "
        "records read to confirm it (threshold 3 of 83)"
    )
    assert confirmed(paged(), EPOCH + timedelta(minutes=66)) is None


def test_the_burst_decides_first_and_cusum_is_computed_only_if_nothing_else_decides() -> None:
    def never() -> SlowBurn:
        raise AssertionError

    def decided(missed: int, burst: Burst | None, slow: SlowBurn | None) -> Rule | None:
        decision = decide(
            steady(PER_HOUR, {HOUR_S / 12: missed, HOUR_S: missed}),
            GOAL,
            burst=burst,
            slow=never if slow is None else lambda: slow,
            changes_per_period=PER_PERIOD,
            now=EPOCH + timedelta(minutes=10),
        )
        return None if decision is None else decision.rule

    assert decided(5, paged(), None) is Rule.BURST
    assert decided(5, None, None) is Rule.BURN
    assert decided(1, None, SlowBurn(evidence=99.0)) is Rule.CUSUM
    assert decided(1, None, SlowBurn()) is None


def test_undecided_changes_raise_no_burn_rate() -> None:
    few = {span: WindowCounts(met=5, missed=5, undecided=0) for span in SPANS_S}
    many = {span: WindowCounts(met=5, missed=5, undecided=20_000) for span in SPANS_S}
    assert burning(few, GOAL) is not None
    assert burning(many, GOAL) is None
    assert SlowBurn().plus(many[HOUR_S], GOAL) == SlowBurn()

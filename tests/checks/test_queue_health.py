"""Queues over time: rates, trend, drain and who still takes from them."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta

import pytest

from checks.queue_health import drain_s, flowing, rate, slope_per_s, trend, within
from checks.queue_states import Flowing, QueueState, Rate, Trend

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def states(*depths: int | None, **counters: list[int]) -> list[QueueState]:
    return [
        QueueState(
            read_at=NOW + timedelta(seconds=10 * at),
            depth=depth,
            **{name: values[at] for name, values in counters.items()},  # type: ignore[arg-type]
        )
        for at, depth in enumerate(depths)
    ]


def test_a_rate_has_its_error_and_survives_a_reset() -> None:
    found = rate(states(0, 0, 0, 0, arrived=[100, 130, 0, 20]), "arrived")
    assert found is not None
    assert found.per_s == pytest.approx(50 / 20)
    assert found.lower < 2.5 < found.upper
    assert rate(states(1, 2), "arrived") is None
    assert rate(states(1), "arrived") is None
    idle = rate(states(1, 1, taken=[5, 5]), "taken")
    assert idle is not None
    assert (idle.per_s, idle.lower) == (0, 0)
    assert idle.upper == pytest.approx(-math.log(0.025) / 10)


def test_the_poisson_interval_holds_the_truth_as_often_as_it_says() -> None:
    chance, inside = random.Random(7), 0
    for _ in range(1_000):
        count = sum(chance.random() < 0.02 for _ in range(1_000))  # twenty expected
        found = rate(states(0, 0, arrived=[0, count]), "arrived")
        assert found is not None
        inside += found.lower <= 2.0 <= found.upper
    assert inside >= 940


def test_time_to_drain_is_an_interval_that_may_never_end() -> None:
    slow, fast = Rate(per_s=1, lower=0.8, upper=1.2), Rate(per_s=3, lower=2.8, upper=3.2)
    assert drain_s(10, slow, fast) == pytest.approx((10 / 2.4, 10 / 1.6))
    assert drain_s(10, fast, slow) == (math.inf, math.inf)
    least, most = drain_s(10, slow, slow) or (0, 0)
    assert least == pytest.approx(25)
    assert most == math.inf
    assert drain_s(0, fast, slow) == (0, 0)
    assert drain_s(10, None, fast) is None
    assert drain_s(None, slow, fast) is None


def test_a_trend_is_told_only_beyond_chance() -> None:
    assert trend(states(1, 2, 3, 4, 5, 6, 7, 8)) is Trend.RISING
    assert trend(states(8, 7, 6, 5, 4, 3, 2, 1)) is Trend.FALLING
    assert trend(states(3, 3, 3, 3, 3, 3, 3)) is Trend.LEVEL
    assert trend(states(1, 2, 3)) is Trend.UNKNOWN
    chance, false = random.Random(3), 0
    for _ in range(500):
        false += trend(states(*[chance.randrange(100) for _ in range(20)])) is not Trend.LEVEL
    assert false <= 15  # one in a hundred


def test_the_slope_is_not_moved_by_one_outlier() -> None:
    assert slope_per_s(states(0, 10, 20, 500, 40)) == pytest.approx(1.0)
    assert slope_per_s(states(None, 1)) is None


@pytest.mark.parametrize(
    ("depths", "left", "found"),
    [
        ((5, 6, 7), [3, 3, 3], Flowing.STALLED),
        ((5, 5, 5), [3, 3, 3], Flowing.STALLED),
        ((5, 0, 7), [3, 3, 3], Flowing.OK),
        ((5, 6, 7), [3, 4, 5], Flowing.SLOW),
        ((5, 6, 5), [3, 4, 6], Flowing.OK),
        ((7, 6, 5), [3, 3, 3], Flowing.OK),
    ],
)
def test_nobody_taking_from_a_queue_is_stalled(depths: tuple[int, ...], left: list[int], found: Flowing) -> None:
    assert flowing(states(*depths, taken=left)) is found


def test_what_leaves_follows_from_what_arrived_or_from_the_head() -> None:
    assert flowing(states(5, 6, 7, arrived=[5, 6, 7])) is Flowing.STALLED
    assert flowing(states(5, 6, 7, arrived=[5, 7, 9])) is Flowing.SLOW
    same = [QueueState(read_at=NOW + timedelta(seconds=at), depth=3, oldest_at=NOW) for at in range(4)]
    assert flowing(same) is Flowing.STALLED
    assert flowing(states(3, 3, 3)) is Flowing.UNKNOWN
    assert flowing(states(3, None, 3, taken=[1, 1, 1])) is Flowing.UNKNOWN
    assert flowing(states(3, 3, taken=[1, 1])) is Flowing.UNKNOWN


def test_the_latest_states_that_span_a_time() -> None:
    known = tuple(states(1, 2, 3, 4))
    assert within(known, 0) == known[3:]
    assert within(known, 15) == known[1:]
    assert within(known, 20) == known[1:]
    assert within(known, 60) == known
    assert within((), 5) == ()

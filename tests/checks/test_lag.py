"""The lag curve: counts add up, intervals hold the truth, and what is not known is not told."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.lag import EDGES_S, LagCurve, count_cells, fit
from checks.lag_cells import NEVER, cells_of

lags = st.floats(0, 1e7)


@given(lags, lags)
def test_a_lag_lies_between_its_cells(one: float, other: float) -> None:
    lower_s, upper_s = min(one, other), max(one, other)
    cells = cells_of(lower_s, upper_s)
    assert cells is not None
    assert EDGES_S[cells[0]] <= lower_s
    assert upper_s <= EDGES_S[cells[1] + 1]


@given(st.lists(st.tuples(lags, lags), min_size=1, max_size=30))
def test_many_are_counted_as_one_by_one(pairs: list[tuple[float, float]]) -> None:
    lower = np.array([min(pair) for pair in pairs])
    upper = np.array([max(pair) if max(pair) < 1e6 else math.inf for pair in pairs])
    counted = count_cells(lower, upper)
    alone = [cells_of(low, None if math.isinf(high) else high) for low, high in zip(lower, upper, strict=True)]
    assert counted == {pair: alone.count(pair) for pair in set(alone)}


def test_what_is_no_number_enters_no_aggregate() -> None:
    assert cells_of(math.nan, 1) is None
    assert cells_of(0, math.nan) is None
    assert count_cells(np.array([math.nan, 1.0]), np.array([2.0, math.nan])) == {}


def test_no_traffic_is_no_lag() -> None:
    assert fit({}) is None
    assert fit({(1, 2): 0}) is None


@given(st.lists(st.tuples(lags, lags), min_size=1, max_size=30), st.integers(0, 10))
def test_no_other_curve_is_much_likelier(ends: list[tuple[float, float]], waiting: int) -> None:
    lower, upper = (np.array([pick(pair) for pair in ends]) for pick in (min, max))
    still = np.full(waiting, lower.max())
    counts = count_cells(np.concatenate([lower, still]), np.concatenate([upper, np.full(waiting, math.inf)]))
    curve = fit(counts)
    assert curve is not None
    share = np.array(list(counts.values())) / curve.changes
    covers = np.array(
        [(np.arange(len(curve.mass)) >= low) & (np.arange(len(curve.mass)) <= up) for low, up in counts]
    )
    # How much the mean log-likelihood can grow at most. Source: B. G. Lindsay, "The geometry of mixture likelihoods",
    # Annals of Statistics 11 (1983), 86-94, theorem 4.1.
    gain = ((share / (covers @ curve.mass)) @ covers)[curve.mass > 0].max() - 1
    assert gain < 0.01


def test_a_negative_lag_counts_as_none_at_all() -> None:
    assert cells_of(-3, -1) == (0, 0)


def curve_of(true_s: np.ndarray, spread: float = 1.5) -> LagCurve:
    phase = np.random.default_rng(3).uniform(0, 1, len(true_s))
    steps = np.floor(np.log(true_s) / np.log(spread) - phase) + phase
    curve = fit(count_cells(spread**steps, spread ** (steps + 1)))
    assert curve is not None
    return curve


def test_the_curve_finds_the_distribution_behind_intervals() -> None:
    true_s = np.random.default_rng(1).lognormal(np.log(30), 1, 4_000)
    curve = curve_of(true_s)
    for share in (0.25, 0.5, 0.9, 0.95):
        best, lower, upper = curve.quantile(share)
        truth = 30 * math.exp({0.25: -0.6745, 0.5: 0, 0.9: 1.2816, 0.95: 1.6449}[share])
        assert lower <= truth <= upper
        assert best == pytest.approx(truth, rel=0.12)
    best, least, most = curve.exceeds(30)
    assert least <= 0.5 <= most
    assert best == pytest.approx(0.5, abs=0.05)


def test_exact_lags_give_exact_shares() -> None:
    curve = fit({(10, 10): 75, (20, 20): 25})
    assert curve is not None
    assert curve.arrived[11] == pytest.approx(0.75)
    assert curve.exceeds(EDGES_S[15])[0] == pytest.approx(0.25)
    assert EDGES_S[10] < curve.quantile(0.5)[0] <= EDGES_S[11]


def test_beyond_what_was_seen_there_is_no_estimate() -> None:
    curve = fit({(0, 5): 70, (10, NEVER): 30})
    assert curve is not None
    best, lower, upper = curve.quantile(0.95)
    assert (best, upper) == (math.inf, math.inf)
    assert lower <= EDGES_S[10]
    assert curve.quantile(0.5)[2] < math.inf


def test_one_late_arrival_does_not_tell_when_all_others_arrive_that_nobody_follows_longer() -> None:
    curve = fit({(0, 5): 20, (20, NEVER): 79, (21, 22): 1})
    assert curve is not None
    best, lower, upper = curve.quantile(0.95)
    assert (best, upper) == (math.inf, math.inf)
    assert 0 < lower < math.inf
    assert curve.quantile(0.15)[0] < math.inf
    assert curve.supported == pytest.approx(0.21)


@given(st.dictionaries(st.tuples(st.integers(0, 30), st.integers(0, 30)), st.integers(1, 50), min_size=1))
def test_the_band_holds_the_estimate_and_never_turns_back(counts: dict[tuple[int, int], int]) -> None:
    pairs = {(min(pair), max(pair)): count for pair, count in counts.items()}
    curve = fit(pairs)
    assert curve is not None
    least, most = curve.band
    assert np.all(least <= curve.arrived + 1e-9)
    assert np.all(curve.arrived <= most + 1e-9)
    assert np.all(np.diff(least) >= -1e-12)
    assert np.all(np.diff(most) >= -1e-12)
    assert curve.changes == sum(pairs.values())


@given(
    st.dictionaries(st.tuples(st.integers(0, 9), st.integers(10, 20)), st.integers(1, 9), min_size=1),
    st.dictionaries(st.tuples(st.integers(0, 9), st.integers(10, 20)), st.integers(1, 9), min_size=1),
)
def test_hours_add_up(one: dict[tuple[int, int], int], other: dict[tuple[int, int], int]) -> None:
    both = {pair: one.get(pair, 0) + other.get(pair, 0) for pair in {*one, *other}}
    first, second, sum_ = fit(one), fit(other), fit(both)
    assert first is not None
    assert second is not None
    assert sum_ is not None
    assert sum_.changes == first.changes + second.changes

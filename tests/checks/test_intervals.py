"""Intervals of shares: held to exact sums, and to their promises."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.estimates import estimate
from checks.intervals import clopper_pearson, finite_bounds, korn_graubard, sequence_bounds, share_bounds
from checks.sampling import Cohort


def at_least(hits: int, of: int, share: float) -> float:
    return sum(math.comb(of, k) * share**k * (1 - share) ** (of - k) for k in range(hits, of + 1))


@given(st.integers(1, 60).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_clopper_pearson_inverts_the_exact_binomial(seen: tuple[int, int]) -> None:
    hits, of = seen
    lower, upper = clopper_pearson(hits, of)
    assert 0 <= lower <= hits / of <= upper <= 1
    if hits:
        assert at_least(hits, of, lower) == pytest.approx(0.025, abs=1e-6)
    if hits < of:
        assert 1 - at_least(hits + 1, of, upper) == pytest.approx(0.025, abs=1e-6)


def test_nothing_seen_is_an_upper_bound_and_never_zero() -> None:
    assert clopper_pearson(0, 2_300)[1] == pytest.approx(0.0016, abs=1e-4)
    assert clopper_pearson(0, 0) == (0, 1)
    lower, upper = share_bounds(np.array([0, 10]), 10)
    assert (lower[0], upper[1]) == (0, 1)


@given(st.floats(0.001, 0.999), st.integers(10, 10_000))
def test_equal_weights_make_korn_graubard_clopper_pearson(share: float, of: int) -> None:
    hits = round(share * of)
    share = hits / of
    lower, upper = korn_graubard(share, share * (1 - share) / of, of)
    assert (lower, upper) == pytest.approx(clopper_pearson(hits, of), abs=1e-6)


def test_no_sample_says_nothing() -> None:
    assert korn_graubard(0, 0, 0) == (0, 1)
    assert sequence_bounds(0, 0, expected=0.01) == (0, 1)
    assert finite_bounds(0, 0, 100, expected=0.01) == (0, 100)
    told = estimate(Cohort())
    assert (told.share, told.lower, told.upper) == (None, 0, 1)


@given(st.integers(0, 300).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_a_sequence_holds_what_was_seen_and_asks_more_of_it_with_more_confidence(seen: tuple[int, int]) -> None:
    hits, of = seen
    lower, upper = sequence_bounds(hits, of, expected=0.05)
    surer_lower, surer_upper = sequence_bounds(hits, of, expected=0.05, confidence=0.99)
    assert surer_lower <= lower <= upper <= surer_upper
    if of:
        assert lower <= hits / of <= upper


def test_watched_all_along_costs_width() -> None:
    once, watched = clopper_pearson(3, 1_000), sequence_bounds(3, 1_000, expected=0.003)
    assert watched[0] < once[0]
    assert watched[1] > once[1]


@given(
    st.integers(1, 200).flatmap(lambda total: st.tuples(st.just(total), st.integers(0, total), st.integers(0, 2**32)))
)
def test_a_sweep_ends_in_certainty_and_is_possible_all_along(drawn: tuple[int, int, int]) -> None:
    total, differing, seed = drawn
    records = [True] * differing + [False] * (total - differing)
    random.Random(seed).shuffle(records)
    for read in range(total + 1):
        hits = sum(records[:read])
        least, most = finite_bounds(hits, read, total, expected=0.01)
        assert hits <= least <= most <= hits + total - read
    assert (least, most) == (differing, differing)


def test_undecided_records_widen_the_estimate_upwards_only() -> None:
    clear = Cohort(read=1000, divergent=10, weight=1000, weight_divergent=10, square=1000, square_divergent=10)
    unclear = clear + Cohort(undecided=20, weight_undecided=20, square_undecided=20)
    plain, widened = estimate(clear), estimate(unclear)
    assert plain.share == widened.share == 0.01
    assert plain.lower == widened.lower
    assert widened.upper > plain.upper > 0.01

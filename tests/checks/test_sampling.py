"""Choosing by rank: disjoint slices, exact probabilities, and sums that estimate the whole."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.estimates import estimate
from checks.sampling import PAST_ERROR, RECENT, Arc, Cohort, Panel, Pool, affordable_shares, draw, probability_of
from probes.contract import Key
from probes.ranking import RANKS

ranks = st.integers(0, RANKS - 1)
arcs = st.builds(Arc, ranks, st.integers(0, RANKS))


@given(st.lists(arcs, max_size=4), ranks)
def test_the_probability_is_the_length_of_the_union(some: list[Arc], rank: int) -> None:
    grid = [rank + step * (RANKS // 997) for step in range(997)]
    inside = sum(any(low <= at % RANKS < high for arc in some for low, high in arc.spans()) for at in grid)
    assert probability_of(some) == pytest.approx(inside / len(grid), abs=0.02)


@given(st.dictionaries(st.integers(), ranks, max_size=50), arcs)
def test_a_pool_answers_an_arc_around_the_end(keys: dict[Key, int], arc: Arc) -> None:
    within = Pool(keys).within(arc)
    assert len(within) == len(set(within))
    assert set(within) == {key for key, rank in keys.items() if any(low <= rank < high for low, high in arc.spans())}


@given(st.dictionaries(st.integers(), ranks, min_size=1, max_size=50), st.floats(0.05, 1))
def test_one_turn_after_the_other_takes_every_key_of_a_pool(keys: dict[Key, int], share: float) -> None:
    pool, width, start = Pool(keys), round(share * RANKS), 0
    seen: list[object] = []
    while start < RANKS:
        arc = Arc(start, min(width, RANKS - start))
        seen += pool.within(arc)
        start += width
    assert sorted(map(str, seen)) == sorted(map(str, keys))


def test_policies_shrink_together_before_anything_is_chosen() -> None:
    pools = {RECENT: Pool({key: key for key in range(100)}), PAST_ERROR: Pool({key: key for key in range(10)})}
    assert affordable_shares(pools, {RECENT: 0.5, PAST_ERROR: 1.0}, 1000) == {RECENT: 0.5, PAST_ERROR: 1.0}
    assert affordable_shares(pools, {RECENT: 0.5, PAST_ERROR: 1.0}, 30) == {RECENT: 0.25, PAST_ERROR: 0.5}
    assert affordable_shares({}, {}, 30) == {}


def test_a_record_of_two_pools_is_taken_once_with_the_probability_of_either() -> None:
    pools = {RECENT: Pool({7: RANKS // 8}), PAST_ERROR: Pool({7: RANKS // 8, 8: RANKS // 8})}
    turns = {RECENT: Arc(0, RANKS // 4), PAST_ERROR: Arc(RANKS // 8, RANKS // 4)}
    drawn = draw([], Arc(0, RANKS // 100), pools, turns)
    assert drawn[7].probability == pytest.approx(3 / 8)
    assert drawn[8].probability == pytest.approx(1 / 4 + 1 / 100)
    assert {drawn[7].policy, drawn[8].policy} <= {RECENT, PAST_ERROR}


def test_the_weights_of_many_audits_estimate_all_records_without_bias() -> None:
    chance = random.Random(5)
    population, differing = 5_000, set(range(40))
    errors = []
    for _ in range(150):
        by_rank = {key: chance.randrange(RANKS) for key in range(population)}
        ordered = sorted(by_rank, key=lambda key: by_rank[key])
        pools = {PAST_ERROR: Pool({key: by_rank[key] for key in range(60)})}
        start, total = 0, Cohort()
        for turn in range(5):
            taken = ordered[turn * 100 : turn * 100 + 100]
            base = Arc(by_rank[taken[0]], round(0.02 * RANKS))
            drawn = draw(taken, base, pools, {PAST_ERROR: Arc(start, RANKS // 5)})
            start += RANKS // 5
            for key, how in drawn.items():
                total = total.plus(how.probability, divergent=key in differing)
        told = estimate(total)
        assert told.share is not None
        errors.append(told.share - len(differing) / population)
    mean = sum(errors) / len(errors)
    spread = (sum((error - mean) ** 2 for error in errors) / len(errors)) ** 0.5
    assert abs(mean) < 3 * spread / len(errors) ** 0.5


@given(st.lists(st.tuples(st.integers(0, 99), ranks), max_size=60), st.integers(0, 10))
def test_a_panel_is_the_same_in_whatever_order_it_is_met(seen: list[tuple[int, int]], size: int) -> None:
    keys = dict(seen)
    forward = Panel(size=size, ranks={})
    backward = Panel(size=size, ranks={})
    for key, rank in keys.items():
        forward = forward.seen({key: rank})
    backward = backward.seen(dict(reversed(keys.items())))
    assert sorted(forward.ranks.values()) == sorted(backward.ranks.values()) == sorted(keys.values())[:size]


def test_a_record_that_is_gone_leaves_the_panel() -> None:
    panel = Panel(size=3, ranks={}).seen({1: 10, 2: 20})
    assert panel.without([2, 9]).ranks == {1: 10}
    assert panel.without([9]) is panel


@given(st.lists(st.tuples(st.floats(0.001, 1), st.booleans()), max_size=20))
def test_cohorts_add_up_and_take_back(records: list[tuple[float, bool]]) -> None:
    total = Cohort()
    for probability, divergent in records:
        total = total.plus(probability, divergent=divergent)
    halves = [Cohort(), Cohort()]
    for at, (probability, divergent) in enumerate(records):
        halves[at % 2] = halves[at % 2].plus(probability, divergent=divergent)
    assert (halves[0] + halves[1]).weight == pytest.approx(total.weight)
    back = total.minus(halves[0])
    assert (back.read, back.divergent) == (halves[1].read, halves[1].divergent)
    assert Cohort() == total.minus(total)

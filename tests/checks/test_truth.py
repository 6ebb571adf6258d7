"""Enrolment and judgement together against a simulated truth (`benchmarks.simulator`)."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.simulator import (
    ABSENT,
    contains_truth,
    make_restless_world,
    make_world,
    owes_a_breach,
    tally,
    watch,
)
from checks.convergence import Verdict


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=150, deadline=None)
def test_no_certain_verdict_is_ever_wrong(seed: int, orderly: bool) -> None:
    chance = random.Random(seed)
    world = make_world(chance, orderly=orderly)
    seen = watch(world, chance)
    assert seen.widened == seen.negative == 0
    for told in seen.told.values():
        assert not told.breach_false
        assert not told.met_false
        assert not told.flipped
        if orderly:
            assert contains_truth(world, told) is not False


@given(st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_no_certain_verdict_on_a_restless_record_is_ever_wrong(seed: int) -> None:
    chance = random.Random(seed)
    world = make_restless_world(chance)
    seen = watch(world, chance)
    assert seen.widened == seen.negative == 0
    for told in seen.told.values():
        assert not told.breach_false
        assert not told.met_false
        assert not told.flipped
        assert contains_truth(world, told) is not False


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=200, deadline=None)
def test_no_spell_out_of_sight_adds_a_change_that_the_owner_did_not_make(seed: int, marked: bool) -> None:
    chance = random.Random(seed)
    world = replace(make_restless_world(chance), marked=marked)
    seen = watch(world, chance)
    versions = [told.version for told in seen.told.values()]
    assert len(set(versions)) == len(versions) <= len(world.committed_s)
    for told in seen.told.values():
        assert not told.breach_false
        assert not told.met_false
        assert not told.flipped
        assert contains_truth(world, told) is not False


@given(st.integers(0, 2**32), st.booleans(), st.lists(st.floats(0.1, 20), min_size=1, max_size=6))
@settings(max_examples=50, deadline=None)
def test_a_change_that_never_arrives_is_one_breach_however_often_the_auditor_stops(
    seed: int, deleted: bool, outages: list[float]
) -> None:
    chance = random.Random(seed)
    world = make_world(chance, orderly=True)
    dark, end_s = [], world.committed_s[1]
    for windows in outages:
        begin_s = end_s + chance.uniform(0, 3) * world.window_s
        end_s = begin_s + 3.5 * world.every_s + 6 + windows * world.window_s
        dark.append((begin_s, end_s))
    world = replace(
        world,
        committed_s=world.committed_s[:2],
        applied=((-1e6, 0),),
        contents=(0, ABSENT if deleted else 1),
        dark_s=tuple(dark),
        marked=False,
    )
    (told,) = watch(world, chance).told.values()
    assert told.change.verdict is Verdict.BREACH
    assert not told.breach_false


def test_a_record_that_is_first_seen_in_full_traffic_is_followed_and_its_long_outage_found() -> None:
    chance = random.Random(4)
    stuck = 0
    while stuck < 40:
        world = make_restless_world(chance)
        moves = [when for when in world.committed_s if when > world.every_s]
        if not world.first_sight or world.dark_s or len(moves) < 12 or moves[-1] < 4 * world.window_s:
            continue
        stuck += 1
        behind = replace(world, applied=((-1e6, 0),), contents=tuple(range(len(world.committed_s))))
        seen = watch(behind, chance)
        assert seen.enrolled
        assert seen.opened
        assert any(told.change.verdict is Verdict.BREACH for told in seen.told.values())


def test_nearly_every_breach_that_can_be_told_is_called() -> None:
    counted = tally(400, 11, orderly=True)
    assert counted["tellable"] > 100
    assert counted["tellable_called"] >= 0.99 * counted["tellable"]


def test_a_world_without_lag_has_no_breach() -> None:
    chance = random.Random(1)
    for _ in range(100):
        world = make_world(chance, orderly=True)
        instant = [(when, version) for version, when in enumerate(world.committed_s)]
        seen = watch(replace(world, applied=tuple(instant)), chance)
        verdicts = {told.change.verdict for told in seen.told.values()}
        assert not verdicts & {Verdict.BREACH, Verdict.BREACH_THEN_CONVERGED}


@pytest.mark.parametrize("seed", range(5))
def test_a_dropped_change_is_a_breach(seed: int) -> None:
    chance = random.Random(seed)
    world = make_world(chance, orderly=True)
    world = replace(world, committed_s=world.committed_s[:2], applied=((-1e6, 0),))
    seen = watch(world, chance)
    (told,) = seen.told.values()
    assert owes_a_breach(world, told, seen) == (True, True)
    assert told.change.verdict is Verdict.BREACH

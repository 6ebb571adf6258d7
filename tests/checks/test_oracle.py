"""Every state that two copies can be in: the table in `checks.causes` against the one written down beside it."""

from __future__ import annotations

import itertools

import pytest

from benchmarks.attribution import found_for
from benchmarks.causes_oracle import OWNER_STATES, TARGET_STATES, Pair, alone, pairs, row_of
from checks.partition import minority, partition


def test_every_pair_of_states_is_called_what_the_table_calls_it() -> None:
    wrong = [(pair, row_of(pair), found_for(pair)) for pair in pairs() if found_for(pair) != row_of(pair)]
    assert wrong == []
    assert sum(1 for _ in pairs()) > 600


@pytest.mark.parametrize("systems", [2, 3, 4, 5, 6])
def test_the_minority_is_who_is_outside_the_one_largest_group(systems: int) -> None:
    names = [f"s{number}" for number in range(systems)]
    states = sorted({*OWNER_STATES, *TARGET_STATES})[: 6 if systems < 6 else 4]
    for combination in itertools.product(states, repeat=systems):
        held = dict(zip(names, combination, strict=True))
        groups = partition({name: state.encode() for name, state in held.items()})
        assert set(minority(groups)) == alone(held), held
        assert sorted(name for group in groups for name in group) == sorted(names)


def test_the_oracle_itself_knows_its_table() -> None:
    assert row_of(Pair("v1", "v0", "agreed", "", "", False)).cause == "late"
    assert row_of(Pair("v0", "other", "agreed", "", "", True)).at_once is False

"""Heartbeats: what is known of each slot, and that nothing unknown looks fine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.dashboard.beats import Beat, Episode, beats


@pytest.mark.parametrize(
    ("read", "episodes", "found"),
    [
        ({}, [], "nnnn"),
        ({0: False, 1: False, 2: False, 3: False}, [], "aaaa"),
        ({1: False}, [], "naan"),
        ({0: True, 2: False}, [], "ccaa"),
        ({0: False, 2: False}, [Episode(timing=False, first=1, last=2)], "adda"),
        ({0: False, 2: False}, [Episode(timing=True, first=1, last=9)], "alll"),
        (
            {0: False, 2: False},
            [Episode(timing=True, first=0, last=3), Episode(timing=False, first=2, last=2)],
            "lldl",
        ),
        ({0: False}, [Episode(timing=False, first=-3, last=3)], "ddnn"),
    ],
)
def test_each_slot_shows_the_gravest_of_what_is_known(
    read: dict[int, bool], episodes: list[Episode], found: str
) -> None:
    words = {"n": Beat.NO_DATA, "a": Beat.AGREES, "c": Beat.CANNOT_VERIFY, "d": Beat.DIFFERS, "l": Beat.LATE}
    assert beats(read, episodes, slots=4, bridged=1) == [words[each] for each in found]


@given(
    read=st.dictionaries(st.integers(0, 39), st.booleans()),
    episodes=st.lists(
        st.builds(Episode, timing=st.booleans(), first=st.integers(-5, 45), last=st.integers(-5, 45)), max_size=5
    ),
    bridged=st.integers(0, 5),
)
def test_a_slot_agrees_only_where_an_audit_read_everything_and_nothing_differed(
    read: dict[int, bool], episodes: list[Episode], bridged: int
) -> None:
    found = beats(read, episodes, slots=40, bridged=bridged)
    assert len(found) == 40
    for slot, beat in enumerate(found):
        speaking = [each for each in read if slot - bridged <= each <= slot]
        assert (beat is Beat.NO_DATA) == (not speaking)
        if beat is Beat.AGREES:
            assert not read[max(speaking)]
            assert not any(each.first <= slot <= each.last for each in episodes)

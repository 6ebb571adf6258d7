"""The text of a key of several fields: readable, and of one key only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.composite_keys import joined, parted

PARTS = st.lists(st.one_of(st.integers(), st.text(min_size=1), st.text("a/%25F", min_size=1)), min_size=2, max_size=4)


def test_a_key_reads_as_its_parts() -> None:
    assert joined([7, "A-1"]) == "7/A-1"
    assert joined(["a/b", "100%"]) == "a%2Fb/100%25"


@given(PARTS)
def test_the_parts_come_back(parts: list[int | str]) -> None:
    assert parted(joined(parts), len(parts)) == tuple(str(part) for part in parts)


@given(PARTS, PARTS)
def test_no_two_keys_share_a_text(one: list[int | str], other: list[int | str]) -> None:
    if [str(each) for each in one] != [str(each) for each in other]:
        assert joined(one) != joined(other)


@pytest.mark.parametrize("text", ["7", "7/a/b", "7/a%20b", "7/%", "7/%2f"])
def test_what_is_the_text_of_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="2 parts"):
        parted(text, 2)

"""How well a day is verified: nothing that was not read looks verified."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.coverage_days import CoverageCounts, Covered


@pytest.mark.parametrize(
    ("counts", "covered"),
    [
        (CoverageCounts(), Covered.NO_DATA),
        (CoverageCounts(audits=3, due=100, verdicts=100), Covered.ENOUGH),
        (CoverageCounts(audits=3, due=100, verdicts=99), Covered.ENOUGH),
        (CoverageCounts(audits=3, due=100, verdicts=98), Covered.PART),
        (CoverageCounts(audits=100, failed=1, due=100, verdicts=100), Covered.ENOUGH),
        (CoverageCounts(audits=100, failed=2, due=100, verdicts=100), Covered.PART),
        (CoverageCounts(audits=3, due=100, verdicts=0), Covered.NONE),
        (CoverageCounts(audits=3, failed=3), Covered.NONE),
        (CoverageCounts(audits=3), Covered.NOTHING_DUE),
        (CoverageCounts(audits=3, failed=1), Covered.PART),
    ],
)
def test_a_day(counts: CoverageCounts, covered: Covered) -> None:
    assert counts.covered(0.99) is covered


@given(
    st.integers(0, 50).flatmap(lambda audits: st.tuples(st.just(audits), st.integers(0, audits))),
    st.integers(0, 50).flatmap(lambda due: st.tuples(st.just(due), st.integers(0, due))),
    st.floats(0.01, 1),
)
def test_verified_means_that_enough_was_read_and_got_a_verdict(
    audits: tuple[int, int], due: tuple[int, int], goal: float
) -> None:
    counts = CoverageCounts(audits=audits[0], failed=audits[1], due=due[0], verdicts=due[1])
    found = counts.covered(goal)
    if found is Covered.ENOUGH:
        assert counts.verdicts >= goal * counts.due - 1e-9
        assert counts.verdicts > 0
        assert counts.audits - counts.failed >= goal * counts.audits - 1e-9
    assert (found is Covered.NO_DATA) == (counts.audits == 0)
    if found is Covered.NONE:
        assert not counts.verdicts or counts.failed == counts.audits

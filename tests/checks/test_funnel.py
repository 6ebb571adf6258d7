"""The recovery funnel never claims more than was seen."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from checks.funnel import STAGES, Fate, Traffic, fates, funnel

SEEN = Traffic(
    changes=1000,
    reads_dead=True,
    letters=40,
    unlooked=0,
    retries=None,
    gone_right=20,
    gone_wrong=5,
    gone_unknown=3,
)


def intervals(traffic: Traffic) -> dict[str, tuple[int | None, int | None]]:
    return {stage.name: (stage.least, stage.most) for stage in funnel(traffic)}


def test_each_stage_is_what_the_probes_can_bound() -> None:
    assert intervals(SEEN) == {
        "emitted": (1000, 1000),
        "failed": (40, None),
        "queued": (40, 40),
        "retried": (20, 28),
        "delivered": (20, 28),
        "updated": (20, 23),
    }
    assert intervals(replace(SEEN, retries=90))["failed"] == (90, None)
    assert intervals(replace(SEEN, unlooked=10))["queued"] == (40, 50)
    assert intervals(replace(SEEN, unlooked=None))["queued"] == (40, None)


def test_what_cannot_be_seen_says_so() -> None:
    stages = funnel(replace(SEEN, reads_dead=False))
    assert [stage.seen for stage in stages] == [True, *[False] * 5]
    assert "names no queue of dead letters" in stages[1].why
    assert intervals(replace(SEEN, reads_dead=False, retries=7))["failed"] == (7, None)


def test_every_letter_has_one_fate() -> None:
    assert fates(SEEN) == {Fate.WAITING: 12, Fate.AGREES: 20, Fate.DIFFERS: 5, Fate.NOT_KNOWN: 3}
    assert fates(replace(SEEN, unlooked=7))[Fate.NOT_READ] == 7
    assert Fate.NOT_READ not in fates(replace(SEEN, unlooked=None))
    assert fates(replace(SEEN, gone_wrong=0, letters=23)) == {Fate.AGREES: 20, Fate.NOT_KNOWN: 3}
    assert fates(replace(SEEN, reads_dead=False)) == {}


counts = st.integers(0, 10_000)


@given(counts, counts, counts, counts, counts, st.none() | counts, st.none() | counts)
def test_intervals_are_intervals_and_the_truth_is_inside(
    changes: int, waiting: int, right: int, wrong: int, unknown: int, unlooked: int | None, retries: int | None
) -> None:
    gone = right + wrong + unknown
    traffic = Traffic(
        changes=changes,
        reads_dead=True,
        letters=waiting + gone,
        unlooked=unlooked,
        retries=retries,
        gone_right=right,
        gone_wrong=wrong,
        gone_unknown=unknown,
    )
    assert sum(fates(traffic).values()) == waiting + gone + (unlooked or 0)
    told = intervals(traffic)
    assert tuple(told) == STAGES
    for least, most in told.values():
        assert least is not None
        assert most is None or least <= most
    for truly_updated in (right, right + unknown):
        least, most = told["updated"]
        assert least is not None
        assert most is not None
        assert least <= truly_updated <= most

"""A field that may arrive later than the others: its window counts where nothing else still differs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.causes import Baseline
from checks.comparison import Comparison, Copy, Place
from checks.convergence import Change, Verdict
from checks.differences import Difference, Shape
from checks.judgement import Outcome, judge
from checks.record_history import History
from checks.records import FIELD_DIGEST_BYTES
from checks.terms import Terms
from tests.checks.test_judgement import after, carried, look

TERMS = Terms(window_s=10, every_s=1, guard_s=0.1, confirm_s=1, field_windows_s={1: 100.0, 2: 40.0})
"""The second field has a window of 100 s, the third one of 40 s."""


def held(values: str) -> Copy:
    digests = b"".join(each.encode().ljust(FIELD_DIGEST_BYTES) for each in values)
    return Copy(tuple(values), values.encode(), None, digests)


def compared(owner: str, target: str) -> Comparison:
    places = tuple(Place(at) for at, (left, right) in enumerate(zip(owner, target, strict=True)) if left != right)
    difference = Difference(field="f", shape=Shape.VALUE, owner_value="", target_value="")
    return Comparison(
        key=1, owner=held(owner), target=held(target), differences=(difference,) * len(places), places=places
    )


OLD, NEW = "000", "111"
BASE = Baseline(owner=b"000", target=b"000", owner_digests=held(OLD).digests, target_digests=held(OLD).digests)


def change(**more: object) -> Change:
    made = Change(
        key=1,
        fingerprint=NEW.encode(),
        committed_from_at=after(0),
        committed_to_at=after(0),
        window_s=10,
        enrolled_at=after(0),
        change_id=1,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def followed(*readings: tuple[float, str]) -> tuple[Verdict, Outcome, History]:
    """The change after these readings of the target."""
    history = History(baseline=BASE, changes=(change(),))
    for seconds, target in readings:
        found = judge(compared(NEW, target), history, look(seconds), TERMS)
        last = found.changes[0] if found.changes else history.changes[0]
        history = carried(history, found)
        if last.settled_at:
            break
    return last.verdict, found.outcome, history


@pytest.mark.parametrize(
    ("target", "window_s"), [("101", 100.0), ("110", 40.0), ("100", 40.0), ("011", 10.0), ("000", 10.0)]
)
def test_the_window_is_the_shortest_of_the_fields_that_still_differ(target: str, window_s: float) -> None:
    assert TERMS.of(compared(NEW, target)).window_s == window_s


def test_the_others_keep_theirs_where_fields_were_left_out() -> None:
    comparison = compared(NEW, "101")
    assert TERMS.of(replace(comparison, partial=True)).window_s == 10
    assert TERMS.of(replace(comparison, unread=comparison.differences)).window_s == 10
    assert replace(TERMS, field_windows_s={}).of(comparison).window_s == 10


def test_a_change_of_which_only_a_later_field_is_missing_is_on_its_way_and_met() -> None:
    assert followed((9, "101"), (50, "101"))[:2] == (Verdict.PENDING, Outcome.IN_FLIGHT)
    assert followed((9, "101"), (50, "101"), (99, NEW))[:2] == (Verdict.MET, Outcome.AGREED)


def test_a_later_field_that_is_missing_after_its_own_window_is_late() -> None:
    verdict, outcome, _ = followed((9, "101"), (101, "101"), (103, "101"))
    assert (verdict, outcome) == (Verdict.BREACH, Outcome.DIVERGENT)
    assert followed((9, "100"), (41, "100"))[0] is Verdict.BREACH


def test_another_field_that_is_missing_after_the_flows_window_is_late() -> None:
    assert followed((9, "000"), (11, "001"))[0] is Verdict.BREACH
    assert followed((9, "000"), (11, "001"), (50, "101"), (60, NEW))[0] is Verdict.BREACH_THEN_CONVERGED


def test_where_nobody_saw_that_the_others_were_in_time_nothing_is_certain() -> None:
    assert followed((9, "000"), (20, "101"))[0] is Verdict.PENDING
    assert followed((9, "000"), (20, "101"), (30, NEW))[0] is Verdict.UNDECIDED
    assert followed((9, "000"), (50, "101"), (101, "101"))[0] in {Verdict.BREACH, Verdict.UNDECIDED}


def test_without_a_change_to_follow_a_later_field_counts_after_its_own_window() -> None:
    history = History(baseline=None)
    opened_s = []
    for seconds in range(0, 121, 4):
        found = judge(compared(NEW, "101"), history, look(seconds), TERMS)
        if found.outcome is Outcome.DIVERGENT:
            opened_s.append(seconds)
        history = carried(history, found)
    assert opened_s[0] > 100


@given(
    rest_s=st.floats(min_value=0.5, max_value=60),
    later_s=st.floats(min_value=0, max_value=200),
    probes=st.lists(st.floats(min_value=0.1, max_value=300), min_size=1, max_size=12, unique=True),
)
def test_no_certain_verdict_is_wrong(rest_s: float, later_s: float, probes: list[float]) -> None:
    """Whatever is probed when: `met` and `breach` are what an observer who saw everything would say."""
    derived_s = rest_s + later_s

    def shown(at: float) -> str:
        return NEW if at >= derived_s else "101" if at >= rest_s else OLD

    verdict = followed(*((at, shown(at)) for at in sorted(probes)))[0]
    kept = rest_s <= 10.05 and derived_s <= 100.05  # an answer takes 0.05 s
    if verdict is Verdict.MET:
        assert kept
    if verdict in {Verdict.BREACH, Verdict.BREACH_THEN_CONVERGED}:
        assert rest_s > 10 or derived_s > 100

"""Which of the owner's versions are followed, and when they were committed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from checks.causes import Baseline, Cause, Kind
from checks.clocks import ClockBounds
from checks.enrolment import Sighting, enrol
from checks.judgement import Divergence, DivergenceState, History
from checks.records import Comparison, Copy
from checks.values import EPOCH

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CLOCK = ClockBounds(lower_s=-0.001, upper_s=0.001, measured_at=NOW)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def comparison(owner: str | None, target: str | None, **more: object) -> Comparison:
    def copy(value: str | None) -> Copy | None:
        return None if value is None else Copy((value,), value.encode(), None)

    differs = ("differs",) if None not in {owner, target} and owner != target else ()
    given: dict[str, object] = {"differences": differs, **more}
    return Comparison(key=1, owner=copy(owner), target=copy(target), **given)  # type: ignore[arg-type]


def sighting(**more: object) -> Sighting:
    usual: dict[str, object] = {"listed": True, "stamp_us": None, "clock": None, "slack_s": 0.1, "seen_at": NOW}
    return Sighting(**{**usual, **more})  # type: ignore[arg-type]


AGREED = History(baseline=Baseline(owner=b"a", target=b"a", agreed_at=after(-60)))


@pytest.mark.parametrize(
    ("seen", "history", "listed", "enrolled"),
    [
        (comparison("b", "a"), AGREED, False, True),
        (comparison("a", "a"), AGREED, True, False),
        (comparison("a", "x"), AGREED, True, False),
        (comparison(None, "a"), AGREED, False, True),
        (comparison(None, None), AGREED, False, False),
        (comparison("b", None), History(), False, True),
        (comparison("b", "b"), History(), True, True),
        (comparison("b", "b"), History(), False, False),
        (comparison("b", "a"), History(), True, False),
        (comparison(None, "a"), History(), True, False),
        (comparison("b", "a", duplicates=("crm",)), AGREED, True, False),
        (comparison(None, None, unverifiable="no"), AGREED, True, False),
    ],
)
def test_what_is_a_change(seen: Comparison, history: History, listed: bool, enrolled: bool) -> None:
    assert (enrol(seen, history, sighting(listed=listed), window_s=5) is not None) is enrolled


def test_the_same_version_is_enrolled_once() -> None:
    first = enrol(comparison("b", "a"), AGREED, sighting(), window_s=5)
    assert first is not None
    pending = replace(AGREED, changes=(first,))
    assert enrol(comparison("b", "a"), pending, sighting(), window_s=5) is None
    second = enrol(comparison("c", "a"), pending, sighting(seen_at=after(9)), window_s=5)
    assert second is not None
    assert second.committed_to_at == after(9)  # its clock begins anew


def test_without_a_stamp_the_commit_lies_between_the_polls() -> None:
    seen = enrol(comparison("b", "a"), AGREED, sighting(not_seen_at=after(-2)), window_s=5)
    assert seen is not None
    assert (seen.committed_from_at, seen.committed_to_at) == (after(-2), NOW)
    unpolled = enrol(comparison("b", "a"), AGREED, sighting(), window_s=5)
    assert unpolled is not None
    assert unpolled.committed_from_at == after(-60)


def test_a_stamp_narrows_the_bracket_of_the_polls() -> None:
    stamp_us = round((after(-1) - EPOCH).total_seconds() * 1e6)
    stamped = sighting(stamp_us=stamp_us, clock=CLOCK, slack_s=0, not_seen_at=after(-2))
    seen = enrol(comparison("b", "a"), AGREED, stamped, window_s=5)
    assert seen is not None
    assert after(-1.01) < seen.committed_from_at <= after(-1) <= seen.committed_to_at < after(-0.99)


def test_a_commit_long_after_its_stamp_is_bracketed_by_the_polls() -> None:  # C2.9
    stamp_us = round((after(-30) - EPOCH).total_seconds() * 1e6)
    stamped = sighting(stamp_us=stamp_us, clock=CLOCK, not_seen_at=after(-2))
    seen = enrol(comparison("b", "a"), AGREED, stamped, window_s=5)
    assert seen is not None
    assert (seen.committed_from_at, seen.committed_to_at) == (after(-2), NOW)


def test_given_up_is_not_followed_again() -> None:
    followed = Divergence(
        key=1,
        kind=Kind.VALUE,
        cause=Cause.LOST,
        state=DivergenceState.OPEN,
        first_seen_at=NOW,
        last_seen_at=NOW,
        version=b"b",
    )
    history = replace(AGREED, divergence=followed)
    assert enrol(comparison("b", "a"), history, sighting(), window_s=5) is None
    assert enrol(comparison("c", "a"), history, sighting(), window_s=5) is not None

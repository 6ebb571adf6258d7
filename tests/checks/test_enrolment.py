"""Which of the owner's versions are followed, and when they were committed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from checks.cause import Cause, Kind
from checks.causes import Baseline
from checks.clocks import ClockBounds
from checks.comparison import Comparison, Copy
from checks.convergence import Change, Operation, Verdict
from checks.enrolment import Sighting, enrol, followed
from checks.record_history import Divergence, DivergenceState, History
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
        (comparison("b", None), History(), False, False),
        (comparison("b", None), History(), True, False),
        (comparison("b", "b"), History(), True, False),
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


def test_a_commit_long_after_its_stamp_is_bracketed_by_the_polls() -> None:
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


@pytest.mark.parametrize("target", [None, "b", "a"])
def test_what_was_created_since_is_followed_whether_it_has_arrived_or_not(target: str | None) -> None:
    created = enrol(comparison("b", target), History(), sighting(fresh=True, not_seen_at=after(-2)), window_s=5)
    assert created is not None
    assert (created.operation, created.committed_from_at) == (Operation.INSERT, after(-2))


def never_agreed(version: str | None, **more: object) -> History:
    """A record that differed when it was seen first."""
    digest = version.encode() if version else b""
    usual: dict[str, object] = {"steady_at": after(-3), "last_seen_at": after(-1), "version": digest}
    seen = Divergence(
        key=1,
        kind=Kind.VALUE,
        cause=Cause.UNEXPLAINED,
        state=DivergenceState.SUSPECTED,
        first_seen_at=after(-3),
        **{**usual, **more},  # type: ignore[arg-type]
    )
    return History(divergence=seen)


@pytest.mark.parametrize(
    ("before", "now", "operation"), [("a", "b", "update"), ("a", None, "delete"), (None, "b", "insert")]
)
def test_a_record_that_never_agreed_is_followed_once_its_owner_is_seen_to_move(
    before: str | None, now: str | None, operation: str
) -> None:
    for target in ("x", "b"):
        if now is None and target is None:
            continue
        moved = enrol(comparison(now, target), never_agreed(before), sighting(listed=False), window_s=5)
        assert moved is not None
        assert (moved.operation.value, moved.committed_from_at, moved.committed_to_at) == (operation, after(-1), NOW)
    assert enrol(comparison(before, "x"), never_agreed(before), sighting(), window_s=5) is None


@pytest.mark.parametrize("unknown", [{"steady_at": None}, {"kind": Kind.DUPLICATE}])
def test_a_version_of_which_nobody_knows_whose_it_was_proves_no_move(unknown: dict[str, object]) -> None:
    kind = unknown.pop("kind", None)
    history = never_agreed("a", **unknown)
    if kind is not None and history.divergence is not None:
        history = replace(history, divergence=replace(history.divergence, kind=Kind.DUPLICATE))
    assert enrol(comparison("b", "x"), history, sighting(), window_s=5) is None


def test_what_the_owner_was_seen_to_hold_a_moment_before_is_known_to_have_changed() -> None:
    seen = enrol(comparison("c", "x"), History(), sighting(earlier=(b"b", after(-0.2))), window_s=5)
    assert seen is not None
    assert (seen.operation, seen.committed_from_at) == (Operation.UPDATE, after(-0.2))


def test_an_answer_that_may_be_old_says_as_much_less_about_when_the_owner_held_something_else() -> None:
    seen = enrol(comparison("b", "a"), AGREED, sighting(stale_s=20), window_s=5)
    assert seen is not None
    assert seen.committed_from_at == after(-80)


def pending(version: str, at: float, mark: int | None, **more: object) -> Change:
    known: dict[str, object] = {"committed_from_at": after(at), "committed_to_at": after(at), "window_s": 5}
    return Change(
        key=1,
        fingerprint=version.encode(),
        enrolled_at=after(at),
        mark=mark,
        **{**known, **more},  # type: ignore[arg-type]
    )


def test_an_unchanged_mark_proves_that_nobody_wrote_however_long_nobody_looked() -> None:
    history = replace(AGREED, changes=(pending("b", -92, 7),))
    assert followed(comparison("b", "a"), history, sighting(version=7, blind=True), window_s=5) is history


def test_a_record_that_was_written_again_may_have_come_back_as_late_as_then() -> None:
    history = replace(AGREED, changes=(pending("z", -93, 6), pending("b", -92, 7)))
    first, last = followed(comparison("b", "a"), history, sighting(version=9), window_s=5).changes
    assert first == history.changes[0]
    assert (last.committed_from_at, last.committed_to_at, last.mark) == (after(-92), NOW, 9)
    assert (last.lost_sight, last.gives_up_at) == (False, after(-32))


def test_a_pending_version_that_is_still_there_after_a_blind_spell_is_one_change_that_may_be_as_late_as_now() -> None:
    seen = {"change_id": 3, "probes": 2, "missed_at": after(-90), "differed_at": after(-90), "behind": b"a"}
    history = replace(AGREED, changes=(pending("z", -93, 6), pending("b", -92, 7, **seen)))
    again = sighting(version=9, blind=True)
    first, second = followed(comparison("b", "a"), history, again, window_s=5).changes
    assert first.lost_sight
    assert (second.change_id, second.mark, second.verdict, second.lost_sight) == (3, 9, Verdict.PENDING, False)
    assert (second.committed_from_at, second.committed_to_at) == (after(-92), NOW)
    assert (second.missed_at, second.behind, second.unseen_before) == (after(-90), None, True)
    assert second.gives_up_at == after(60)  # what was missed meanwhile is looked for now
    known = replace(AGREED, changes=(first, second))
    assert followed(comparison("b", "a"), known, sighting(version=9), window_s=5) is known


@pytest.mark.parametrize("version", ["b", ""])
@pytest.mark.parametrize("mark", [None, 7])
def test_a_breach_is_one_breach_however_often_the_record_is_out_of_sight(version: str, mark: int | None) -> None:
    breached = pending(version, -92, mark, change_id=3, verdict=Verdict.BREACH, differed_at=after(-80))
    history = replace(AGREED, changes=(breached,))
    for seconds in range(0, 50, 10):
        again = sighting(version=mark and mark + seconds, blind=True, seen_at=after(seconds))
        history = followed(comparison(version or None, "a"), history, again, window_s=5)
        (kept,) = history.changes
        assert (kept.change_id, kept.verdict) == (3, Verdict.BREACH)
        assert (kept.committed_to_at, kept.gives_up_at) == (breached.committed_to_at, breached.gives_up_at)
        assert kept.lost_sight is (mark is None or seconds > 0)


def test_a_breach_that_is_certain_stays_one_but_nothing_is_added_to_it_once_the_owner_wrote_again() -> None:
    breached = replace(AGREED, changes=(pending("b", -92, 7, verdict=Verdict.BREACH),))
    (kept,) = followed(comparison("b", "a"), breached, sighting(version=9), window_s=5).changes
    assert (kept.verdict, kept.committed_to_at, kept.lost_sight) == (Verdict.BREACH, after(-92), True)


@pytest.mark.parametrize("blind", [False, True])
def test_what_was_pending_before_a_blind_spell_in_which_the_owner_moved_can_only_arrive(blind: bool) -> None:
    history = replace(AGREED, changes=(pending("b", -92, 7),))
    before, now = followed(comparison("c", "a"), history, sighting(version=9, blind=blind), window_s=5).changes
    assert (before.lost_sight, now.lost_sight) == (blind, False)


def test_a_deletion_has_no_mark_and_may_have_been_undone_while_nobody_looked() -> None:
    history = replace(AGREED, changes=(pending("", -92, None, operation=Operation.DELETE),))
    assert followed(comparison(None, "a"), history, sighting(), window_s=5) is history
    (again,) = followed(comparison(None, "a"), history, sighting(blind=True), window_s=5).changes
    assert (again.operation, again.committed_from_at, again.committed_to_at) == (Operation.DELETE, after(-92), NOW)


def test_a_deletion_that_has_arrived_is_followed_where_it_is_known_when_the_record_was_still_there() -> None:
    gone = comparison(None, None)
    assert enrol(gone, AGREED, sighting(), window_s=5) is None
    seen = enrol(gone, AGREED, sighting(not_seen_at=after(-2)), window_s=5)
    assert seen is not None
    assert (seen.operation, seen.committed_from_at, seen.committed_to_at) == (Operation.DELETE, after(-2), NOW)


def test_two_versions_of_one_reading_are_both_followed() -> None:
    later = comparison("c", "a"), sighting(earlier=(b"b", after(-0.2)), version=2, seen_at=after(0.1))
    found = followed(comparison("b", "a"), AGREED, sighting(version=1), window_s=5, later=later)
    assert [(each.fingerprint, each.mark) for each in found.changes] == [(b"b", 1), (b"c", 2)]
    assert found.changes[1].committed_from_at == after(-0.2)

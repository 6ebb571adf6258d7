"""When a breach begins, lasts and ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from checks.breach_life import (
    DELETIONS,
    PARTIAL,
    SOME_DELETIONS,
    BreachMove,
    BreachSignal,
    OpenBreach,
    begins_anew,
    dated,
    next_move,
)
from checks.breaches import Breach

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SEEN = BreachSignal(
    breach=Breach.ORPHAN, fingerprint="flow/f/orphan", count=3, threshold=2, clear_after_s=60, flow="f"
)


def open_breach(**words: object) -> OpenBreach:
    made = OpenBreach(
        breach_id=1,
        incident_id=1,
        fingerprint="flow/f/orphan",
        breach=Breach.ORPHAN,
        flow="f",
        system=None,
        queue=None,
        opened_at=NOW,
        count=3,
        peak=3,
        clear_since_at=None,
        reason="",
        detail="",
        detail_at=None,
    )
    return replace(made, **words)  # type: ignore[arg-type]


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_begins_at_the_threshold_and_not_below() -> None:
    assert next_move(None, SEEN, NOW) == BreachMove(over=False, count=3, peak=3, clear_since_at=None)
    assert next_move(None, replace(SEEN, count=1), NOW) is None


def test_nothing_changes_while_the_count_stays() -> None:
    assert next_move(open_breach(), SEEN, NOW) is None
    assert next_move(open_breach(), replace(SEEN, count=9), NOW) == BreachMove(
        over=False, count=9, peak=9, clear_since_at=None
    )


def test_below_the_threshold_is_not_over() -> None:
    fewer = next_move(open_breach(), replace(SEEN, count=1), NOW)
    assert fewer is not None
    assert (fewer.over, fewer.clear_since_at) == (False, None)


def test_it_is_over_after_a_time_without_any_however_many_audits_that_were() -> None:
    known = open_breach()
    for second in range(60):
        moved = next_move(known, replace(SEEN, count=0), later(second))
        if moved is not None:
            assert (moved.over, moved.clear_since_at) == (False, NOW)
            known = open_breach(count=moved.count, clear_since_at=moved.clear_since_at)
    over = next_move(known, replace(SEEN, count=0), later(60))
    assert over is not None
    assert over.over


def test_one_record_in_between_begins_the_time_again() -> None:
    again = next_move(open_breach(count=0, clear_since_at=NOW), replace(SEEN, count=1), later(50))
    assert again is not None
    assert again.clear_since_at is None
    clear = next_move(open_breach(count=1), replace(SEEN, count=0), later(70))
    assert clear is not None
    assert (clear.over, clear.clear_since_at) == (False, later(70))


def test_deletions_and_other_changes_that_are_late_after_each_other_are_two_breaches() -> None:
    cleared = open_breach(count=0, clear_since_at=NOW, reason=DELETIONS)
    assert begins_anew(cleared, SEEN)
    assert begins_anew(replace(cleared, reason=""), replace(SEEN, reason=DELETIONS))
    assert not begins_anew(cleared, replace(SEEN, reason=DELETIONS))
    assert not begins_anew(replace(cleared, reason=""), replace(SEEN, reason=PARTIAL)), "both are other changes"
    assert not begins_anew(cleared, replace(SEEN, reason=SOME_DELETIONS))
    lasts = replace(cleared, count=1, clear_since_at=None)
    assert begins_anew(lasts, SEEN), "the deletions are carried over, and others are late"
    assert not begins_anew(lasts, replace(SEEN, reason=SOME_DELETIONS)), "something is left of it"
    assert not begins_anew(replace(lasts, reason=SOME_DELETIONS), SEEN), "the others have been late for as long"
    assert not begins_anew(replace(lasts, reason=""), replace(SEEN, reason=DELETIONS)), "the others may be deleted"
    assert not begins_anew(cleared, replace(SEEN, count=1)), "below the threshold"
    assert not begins_anew(cleared, replace(SEEN, known=False))


def test_an_audit_that_could_not_determine_the_count_moves_nothing() -> None:
    for known in (None, open_breach(), open_breach(count=0, clear_since_at=NOW)):
        assert next_move(known, replace(SEEN, count=0, known=False), later(3600)) is None


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=40))
def test_it_is_over_only_after_its_time_and_never_while_something_is_left(seen: list[tuple[int, bool]]) -> None:
    known: OpenBreach | None = None
    empty_since: datetime | None = None
    for at, (count, certain) in enumerate(seen):
        now = later(25 * at)
        moved = next_move(known, replace(SEEN, count=count, known=certain), now)
        if certain and known is not None:
            empty_since = None if count else empty_since or now
        if moved is None:
            continue
        if moved.over:
            assert empty_since is not None
            assert (now - empty_since).total_seconds() >= SEEN.clear_after_s
            known, empty_since = None, None
        else:
            known = open_breach(count=moved.count, peak=moved.peak, clear_since_at=moved.clear_since_at)
            assert moved.peak >= moved.count


def test_evidence_says_when_it_was_true_and_what_several_breaches_say_is_said_once() -> None:
    told = dated([("5 of 9", NOW), ("", None), ("timeout", later(3)), ("5 of 9", later(60)), ("5 of 9", None)])
    assert told == ["as of 2026-03-01 00:01:00 UTC: 5 of 9", "as of 2026-03-01 00:00:03 UTC: timeout"]
    assert dated([("5 of 9", None)]) == ["as of an unknown time: 5 of 9"]

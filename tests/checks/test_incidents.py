"""When a breach opens, stays, resolves and comes back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from checks.breaches import Breach
from checks.incidents import BreachSignal, Incident, IncidentMove, next_move

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SEEN = BreachSignal(
    breach=Breach.ORPHAN, fingerprint="flow/f/orphan", count=3, threshold=2, clear_after_s=60, flow="f"
)


def incident(**words: object) -> Incident:
    made = Incident(
        incident_id=1,
        fingerprint="flow/f/orphan",
        flow="f",
        system=None,
        breach="orphan",
        state="open",
        opened_at=NOW,
        resolved_at=None,
        count=3,
        peak=3,
        told=3,
        growth=0,
        clear_since_at=None,
        reopened=0,
        summary="",
    )
    return replace(made, **words)  # type: ignore[arg-type]


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_opens_at_the_threshold_and_not_below() -> None:
    opened = next_move(None, SEEN, NOW)
    assert opened is not None
    assert (opened.state, opened.transition, opened.told) == ("open", "opened", 3)
    assert next_move(None, replace(SEEN, count=1), NOW) is None


def test_says_nothing_again_while_it_lasts() -> None:
    assert next_move(incident(), SEEN, NOW) is None
    grown = next_move(incident(), replace(SEEN, count=9), NOW)
    assert grown is not None
    assert (grown.transition, grown.count, grown.peak) == ("", 9, 9)


def test_below_the_threshold_is_not_over() -> None:
    fewer = next_move(incident(), replace(SEEN, count=1), NOW)
    assert fewer is not None
    assert (fewer.state, fewer.clear_since_at) == ("open", None)


def test_it_is_over_after_a_time_without_any_however_many_audits_that_were() -> None:
    known = incident()
    for second in range(60):
        moved = next_move(known, replace(SEEN, count=0), later(second))
        if moved is not None:
            assert (moved.state, moved.transition, moved.clear_since_at) == ("open", "", NOW)
            known = incident(count=moved.count, clear_since_at=moved.clear_since_at)
    over = next_move(known, replace(SEEN, count=0), later(60))
    assert over is not None
    assert (over.state, over.transition) == ("resolved", "resolved")


def test_one_record_in_between_begins_the_time_again() -> None:
    again = next_move(incident(count=0, clear_since_at=NOW), replace(SEEN, count=1), later(50))
    assert again is not None
    assert again.clear_since_at is None
    clear = next_move(incident(count=1), replace(SEEN, count=0), later(70))
    assert clear is not None
    assert (clear.state, clear.clear_since_at) == ("open", later(70))


def test_comes_back_as_the_same_incident() -> None:
    again = next_move(incident(state="resolved", count=0, growth=100), SEEN, NOW)
    assert again is not None
    assert (again.transition, again.reopened, again.told, again.growth) == ("reopened", 1, 3, 0)


def test_an_audit_that_could_not_tell_moves_nothing() -> None:
    for known in (None, incident(), incident(count=0, clear_since_at=NOW)):
        assert next_move(known, replace(SEEN, count=0, known=False), later(3600)) is None


def test_growth_by_2_10_and_100_times_is_told_once_each() -> None:
    told: list[tuple[int, int]] = []
    known = incident(count=5, told=5, peak=5)
    for count in (5, 7, 9, 10, 12, 30, 49, 50, 51, 300, 20, 50, 500, 5_000, 50_000):
        moved = next_move(known, replace(SEEN, count=count), NOW)
        if moved is None:
            continue
        if moved.transition:
            assert moved.transition == "grown"
            told.append((count, moved.growth))
        known = incident(count=moved.count, told=moved.told, growth=moved.growth, peak=moved.peak)
    assert told == [(10, 2), (50, 10), (500, 100)]


def test_a_stop_that_grows_from_5_records_to_256_at_once_is_told_once() -> None:
    moved = next_move(incident(count=5, told=5), replace(SEEN, count=256), NOW)
    assert moved is not None
    assert (moved.transition, moved.growth, moved.told) == ("grown", 10, 5)


def test_a_few_records_more_and_more_audits_in_a_row_are_no_growth() -> None:
    few = next_move(incident(count=1, told=1), replace(SEEN, count=9), NOW)
    assert few is not None
    assert few.transition == ""
    failing = next_move(
        incident(count=3, told=3, breach="unreachable"), replace(SEEN, breach=Breach.UNREACHABLE, count=400), NOW
    )
    assert failing is not None
    assert failing.transition == ""


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=40))
def test_every_opening_is_told_once_and_resolved_at_most_once(seen: list[tuple[int, bool]]) -> None:
    known: Incident | None = None
    told: list[str] = []
    for at, (count, certain) in enumerate(seen):
        moved: IncidentMove | None = next_move(known, replace(SEEN, count=count, known=certain), later(40 * at))
        if moved is None:
            continue
        known = incident(
            state=moved.state,
            count=moved.count,
            peak=moved.peak,
            clear_since_at=moved.clear_since_at,
            reopened=moved.reopened,
        )
        if moved.transition:
            told.append(moved.transition)
    assert told[:1] in ([], ["opened"])
    for before, after in pairwise(told):
        assert (before in {"opened", "reopened"}) == (after == "resolved")

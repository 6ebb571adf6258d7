"""When a breach opens, stays, resolves and comes back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from auditor.incidents import Evidence, Step, step
from auditor.ledger import Incident

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SEEN = Evidence(breach="orphan", fingerprint="flow/f/orphan", count=3, threshold=2, clean_needed=2, flow="f")


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
        clean=0,
        reopened=0,
        summary="",
    )
    return replace(made, **words)  # type: ignore[arg-type]


def test_opens_at_the_threshold_and_not_below() -> None:
    opened = step(None, SEEN)
    assert opened is not None
    assert (opened.state, opened.transition) == ("open", "opened")
    assert step(None, replace(SEEN, count=1)) is None


def test_says_nothing_again_while_it_lasts() -> None:
    assert step(incident(), SEEN) is None
    grown = step(incident(), replace(SEEN, count=9))
    assert grown is not None
    assert (grown.transition, grown.count, grown.peak) == ("", 9, 9)


def test_below_the_threshold_is_not_over_and_one_clean_audit_is_not_enough() -> None:
    fewer = step(incident(), replace(SEEN, count=1))
    assert fewer is not None
    assert fewer.state == "open"
    once = step(incident(), replace(SEEN, count=0))
    assert once is not None
    assert (once.state, once.clean, once.transition) == ("open", 1, "")
    twice = step(incident(clean=1, count=0), replace(SEEN, count=0))
    assert twice is not None
    assert (twice.state, twice.transition) == ("resolved", "resolved")


def test_comes_back_as_the_same_incident() -> None:  # C3.2
    again = step(incident(state="resolved", count=0), SEEN)
    assert again is not None
    assert (again.transition, again.reopened) == ("reopened", 1)


def test_an_audit_that_could_not_tell_moves_nothing() -> None:
    for known in (None, incident(), incident(clean=1)):
        assert step(known, replace(SEEN, count=0, known=False)) is None


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=40))
def test_every_opening_is_told_once_and_resolved_at_most_once(seen: list[tuple[int, bool]]) -> None:
    known: Incident | None = None
    told: list[str] = []
    for count, certain in seen:
        moved: Step | None = step(known, replace(SEEN, count=count, known=certain))
        if moved is None:
            continue
        known = incident(
            state=moved.state, count=moved.count, peak=moved.peak, clean=moved.clean, reopened=moved.reopened
        )
        if moved.transition:
            told.append(moved.transition)
    assert told[:1] in ([], ["opened"])
    for before, after in pairwise(told):
        assert (before in {"opened", "reopened"}) == (after == "resolved")

"""How people handle an incident: the state after each act, what is refused, and what is still reported."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.escalation import RefusedError
from checks.handling import (
    BY_PEOPLE,
    LONGEST,
    NAME_LIMIT,
    TEXT_LIMIT,
    Event,
    Handling,
    State,
    Verb,
    after,
    check,
    handling_of,
    is_told,
    returns,
)
from checks.incidents import Transition
from checks.severity import Severity

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=2)
ACKNOWLEDGED = Handling(state="acknowledged", acknowledged_at=NOW, acknowledged_by="ada")
SNOOZED = Handling(state="snoozed", snoozed_until_at=LATER)
RESOLVED = Handling(state="resolved")


def event(verb: Verb, **values: Any) -> Event:
    return replace(Event(verb=verb, acted_at=NOW, who="ada", known_by="test"), **values)


@pytest.mark.parametrize(
    ("verbs", "state"),
    [
        ([Verb.OPENED], "open"),
        ([Verb.OPENED, Verb.ACKNOWLEDGE], "acknowledged"),
        ([Verb.OPENED, Verb.ACKNOWLEDGE, Verb.UNACKNOWLEDGE], "open"),
        ([Verb.OPENED, Verb.ACKNOWLEDGE, Verb.GROWN, Verb.EXPLAINED, Verb.WORSE], "acknowledged"),
        ([Verb.OPENED, Verb.ACKNOWLEDGE, Verb.GROWN, Verb.RETURNED], "open"),
        ([Verb.OPENED, Verb.SNOOZE], "snoozed"),
        ([Verb.OPENED, Verb.SNOOZE, Verb.ACKNOWLEDGE], "acknowledged"),
        ([Verb.OPENED, Verb.ACKNOWLEDGE, Verb.SNOOZE, Verb.RETURNED], "open"),
        ([Verb.OPENED, Verb.ACKNOWLEDGE, Verb.RESOLVED], "resolved"),
        ([Verb.OPENED, Verb.ACKNOWLEDGE, Verb.RESOLVED, Verb.REOPENED], "open"),
        ([Verb.OPENED, Verb.ACKNOWLEDGE, Verb.FLAPPING], "acknowledged"),
        ([Verb.OPENED, Verb.RESOLVED, Verb.FLAPPING], "open"),
        ([Verb.OPENED, Verb.RESOLVE], "resolved"),
        ([Verb.OPENED, Verb.RESOLVE, Verb.COMMENT], "resolved"),
    ],
)
def test_the_state_follows_from_the_events(verbs: list[Verb], state: str) -> None:
    handling = handling_of(event(verb, until_at=LATER) for verb in verbs)
    assert handling.state == state
    attended = state == "acknowledged"
    assert (handling.acknowledged_by is not None) == attended
    assert (handling.snoozed_until_at is not None) == (state == "snoozed")


@given(st.lists(st.sampled_from(Verb)))
def test_whatever_happens_only_what_is_attended_to_names_who_attends(verbs: list[Verb]) -> None:
    handling = handling_of(event(verb, until_at=LATER, assignee="bob") for verb in verbs)
    assert handling.state in {*State}
    if handling.state in {State.OPEN, State.RESOLVED}:
        assert (handling.acknowledged_at, handling.snoozed_until_at) == (None, None)
    if handling.state == State.SNOOZED:
        assert handling.snoozed_until_at == LATER


def test_whom_it_is_assigned_to_outlives_its_end() -> None:
    handling = after(Handling(), event(Verb.ASSIGN, assignee="bob"))
    assert after(after(handling, event(Verb.RESOLVED)), event(Verb.REOPENED)).assignee == "bob"


@pytest.mark.parametrize(
    ("handling", "act", "why"),
    [
        (RESOLVED, event(Verb.ACKNOWLEDGE), "is resolved; only comments"),
        (RESOLVED, event(Verb.RESOLVE), "is resolved"),
        (ACKNOWLEDGED, event(Verb.ACKNOWLEDGE), "already acknowledged by ada at 2026-03-01 12:00:00 UTC"),
        (Handling(), event(Verb.UNACKNOWLEDGE), "neither acknowledged nor snoozed"),
        (Handling(), event(Verb.SNOOZE), "must be in the future"),
        (Handling(), event(Verb.SNOOZE, until_at=NOW), "must be in the future"),
        (Handling(), event(Verb.SNOOZE, until_at=NOW + LONGEST + timedelta(days=1)), "within 366 days"),
        (Handling(), event(Verb.EXPECT, until_at=LATER), "the reason is empty"),
        (Handling(), event(Verb.EXPECT, until_at=LATER, text=" "), "the reason is empty"),
        (Handling(), event(Verb.UNEXPECT), "no records of incident 7 are expected"),
        (Handling(), event(Verb.COMMENT), "the comment is empty"),
        (Handling(), event(Verb.COMMENT, text="x" * (TEXT_LIMIT + 1)), "has 2,001 characters; at most 2,000"),
        (Handling(), event(Verb.ASSIGN), "assign it to is missing"),
        (Handling(), event(Verb.ASSIGN, assignee="x" * (NAME_LIMIT + 1)), "at most 100"),
        (Handling(), event(Verb.ACKNOWLEDGE, who=" "), "who does this is missing"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(handling: Handling, act: Event, why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        check(7, handling, act)


@pytest.mark.parametrize("verb", sorted(BY_PEOPLE - {Verb.UNACKNOWLEDGE, Verb.UNEXPECT}))
def test_an_open_incident_takes_every_act_that_says_enough(verb: Verb) -> None:
    check(7, Handling(), event(verb, until_at=LATER, assignee="bob", text="because"))


def test_comments_and_the_end_of_an_expectation_are_accepted_of_what_is_over() -> None:
    check(7, RESOLVED, event(Verb.COMMENT, text="it was the proxy"))
    check(7, replace(RESOLVED, expected_until_at=LATER), event(Verb.UNEXPECT))
    check(7, SNOOZED, event(Verb.ACKNOWLEDGE))


@pytest.mark.parametrize(
    ("handling", "transition", "growth", "needed"),
    [
        (ACKNOWLEDGED, Transition.GROWN, 2, ""),
        (ACKNOWLEDGED, Transition.GROWN, 10, "it has grown 10x"),
        (SNOOZED, Transition.GROWN, 100, "it has grown 100x"),
        (ACKNOWLEDGED, Transition.WORSE, 0, "its severity is now critical"),
        (SNOOZED, Transition.EXPLAINED, 0, ""),
        (Handling(), Transition.GROWN, 100, ""),
        (ACKNOWLEDGED, None, 100, ""),
    ],
)
def test_what_ends_an_acknowledgement(
    handling: Handling, transition: Transition | None, growth: int, needed: str
) -> None:
    assert returns(handling, transition, growth, Severity.CRITICAL) == needed


def test_who_attends_to_an_incident_is_not_nagged() -> None:
    hushed = {each for each in Transition if not is_told(ACKNOWLEDGED, each)}
    assert hushed == {Transition.GROWN, Transition.FLAPPING}
    assert {each for each in Transition if is_told(SNOOZED, each)} == {Transition.RESOLVED}
    assert all(is_told(Handling(), each) for each in Transition)

"""How people handle an incident: what they may do when, and the state that follows from it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from checks.escalation import BY_RULE, RefusedError
from checks.incidents import Transition
from checks.severity import Severity
from checks.tables import complete

TEXT_LIMIT = 2_000
"""The longest comment or reason, in characters."""

NAME_LIMIT = 100
"""The longest name of a person or a team."""

LONGEST = timedelta(days=366)
"""How far in the future a snooze, a silence or an expectation may end."""

GROWN_TOO_FAR = 10
"""An incident that has grown by this factor needs people again who have acknowledged or snoozed it."""

ACKNOWLEDGED_MEANS = "it is not escalated, and its growth is reported only from tenfold on"
ACKNOWLEDGED_MEANS_SEVERAL = "they are not escalated, and their growth is reported only from tenfold on"
"""What an acknowledgement of one incident, or of several, leads to."""


class State(StrEnum):
    """The state of an incident."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    SNOOZED = "snoozed"
    RESOLVED = "resolved"


class Verb(StrEnum):
    """What was done about an incident: first by people, then by the auditor."""

    ACKNOWLEDGE = "acknowledge"
    UNACKNOWLEDGE = "unacknowledge"
    SNOOZE = "snooze"
    ASSIGN = "assign"
    COMMENT = "comment"
    RESOLVE = "resolve"
    EXPECT = "expect"
    UNEXPECT = "unexpect"
    SPLIT = "split"
    MERGE = "merge"
    OPENED = "opened"
    GROWN = "grown"
    WORSE = "worse"
    EXPLAINED = "explained"
    REOPENED = "reopened"
    FLAPPING = "flapping"
    RESOLVED = "resolved"
    ESCALATED = "escalated"
    RETURNED = "returned"
    SILENCE_ENDED = "silence_ended"


BY_PEOPLE = frozenset(
    {
        *(Verb.ACKNOWLEDGE, Verb.UNACKNOWLEDGE, Verb.SNOOZE, Verb.ASSIGN, Verb.COMMENT),
        *(Verb.RESOLVE, Verb.EXPECT, Verb.UNEXPECT, Verb.SPLIT, Verb.MERGE),
    }
)

UNATTENDED_SINCE = frozenset({Verb.OPENED, Verb.REOPENED, Verb.UNACKNOWLEDGE, Verb.RETURNED, Verb.SILENCE_ENDED})
"""Events after which an incident waits for somebody to acknowledge it."""

OF_TRANSITION = complete({each: Verb(each.value) for each in Transition})
"""The event that stands for a transition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line in the timeline of an incident.

    Attributes:
        known_by: how the auditor identified the person; None for its own events.
        until_at: of a snooze or an expectation, when it ends.
        text: a comment, a reason, or what the auditor reports.
    """

    verb: Verb
    acted_at: datetime
    who: str = BY_RULE
    known_by: str | None = None
    assignee: str | None = None
    until_at: datetime | None = None
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handling:
    """The state that the events of an incident lead to.

    Attributes:
        snoozed_until_at: until when no messages are sent about it; None if it is not snoozed.
        expected_until_at: until when its records of then may differ.
    """

    state: str = State.OPEN.value
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    snoozed_until_at: datetime | None = None
    assignee: str | None = None
    expected_until_at: datetime | None = None

    @property
    def live(self) -> bool:
        """Whether the incident is not over."""
        return self.state != State.RESOLVED


def after(handling: Handling, event: Event) -> Handling:
    """The state after one more event."""
    match event.verb:
        case Verb.ACKNOWLEDGE:
            return replace(
                handling,
                state=State.ACKNOWLEDGED.value,
                acknowledged_at=event.acted_at,
                acknowledged_by=event.who,
                snoozed_until_at=None,
            )
        case Verb.SNOOZE:
            return replace(handling, state=State.SNOOZED.value, snoozed_until_at=event.until_at)
        case Verb.UNACKNOWLEDGE | Verb.RETURNED | Verb.OPENED | Verb.REOPENED:
            return _unattended(handling, State.OPEN)
        case Verb.FLAPPING:
            return handling if handling.live else _unattended(handling, State.OPEN)
        case Verb.RESOLVE | Verb.RESOLVED:
            return _unattended(handling, State.RESOLVED)
        case Verb.ASSIGN:
            return replace(handling, assignee=event.assignee)
        case Verb.EXPECT | Verb.UNEXPECT:
            return replace(handling, expected_until_at=event.until_at)
    return handling


def handling_of(events: Iterable[Event]) -> Handling:
    """The state that events lead to, from the first to the last."""
    handling = Handling()
    for each in events:
        handling = after(handling, each)
    return handling


def _unattended(handling: Handling, state: State) -> Handling:
    """Nobody attends to it any more."""
    return replace(handling, state=state.value, acknowledged_at=None, acknowledged_by=None, snoozed_until_at=None)


def check(number: int, handling: Handling, event: Event) -> None:
    """Refuse what a person may not do in the present state, or what says too little or too much.

    Args:
        number: of the incident, for messages.

    Raises:
        RefusedError: with the reason.
    """
    verb = event.verb
    required = {"comment": verb is Verb.COMMENT, "reason": verb is Verb.EXPECT}
    check_words(event.who, event.text, required="".join(word for word, needed in required.items() if needed))
    if verb is not Verb.COMMENT and verb is not Verb.UNEXPECT and not handling.live:
        raise RefusedError(f"incident {number} is resolved; only comments are accepted")
    if verb is Verb.ACKNOWLEDGE and handling.state == State.ACKNOWLEDGED:
        at = f"{handling.acknowledged_at:%Y-%m-%d %H:%M:%S} UTC" if handling.acknowledged_at else "an earlier time"
        raise RefusedError(f"incident {number} was already acknowledged by {handling.acknowledged_by} at {at}")
    if verb is Verb.UNACKNOWLEDGE and handling.state not in {State.ACKNOWLEDGED, State.SNOOZED}:
        raise RefusedError(f"incident {number} is neither acknowledged nor snoozed")
    if verb in {Verb.SNOOZE, Verb.EXPECT}:
        check_end(event.until_at, event.acted_at)
    if verb is Verb.ASSIGN:
        check_name(event.assignee or "", "the person or team to assign it to")
    if verb is Verb.UNEXPECT and (handling.expected_until_at is None or handling.expected_until_at <= event.acted_at):
        raise RefusedError(f"no records of incident {number} are expected to differ")


def check_words(who: str, text: str, *, required: str = "") -> None:
    """Refuse a name or a text that is missing or too long.

    Args:
        required: what the text is called if it may not be missing; "" if it may.

    Raises:
        RefusedError: with the reason.
    """
    check_name(who, "the name of who does this")
    if required and not text.strip():
        raise RefusedError(f"the {required} is empty")
    if len(text) > TEXT_LIMIT:
        what = required or "text"
        raise RefusedError(f"the {what} has {len(text):,} characters; at most {TEXT_LIMIT:,} are accepted")


def check_name(name: str, what: str) -> None:
    """Refuse a name that is missing or too long. Raises RefusedError."""
    if not name.strip():
        raise RefusedError(f"{what} is missing")
    if len(name) > NAME_LIMIT:
        raise RefusedError(f"{what} has {len(name):,} characters; at most {NAME_LIMIT} are accepted")


def check_end(until_at: datetime | None, now: datetime) -> None:
    """Refuse an end that is missing, past, or too far in the future. Raises RefusedError."""
    if until_at is None or until_at <= now:
        raise RefusedError("the end must be in the future")
    if until_at - now > LONGEST:
        raise RefusedError(f"the end must be within {LONGEST.days} days")


def returns(handling: Handling, transition: Transition | None, growth: int, severity: Severity) -> str:
    """Why an incident that people attend to needs them again; "" if it does not.

    Args:
        growth: the factor by which it has grown since its last message.
        severity: the present one.
    """
    if handling.state not in {State.ACKNOWLEDGED, State.SNOOZED}:
        return ""
    if transition is Transition.WORSE:
        return f"its severity is now {severity}"
    if transition is Transition.GROWN and growth >= GROWN_TOO_FAR:
        return f"it has grown {growth}x"
    return ""


def is_told(handling: Handling, transition: Transition) -> bool:
    """Whether a transition is worth a message in this state.

    Whoever has acknowledged an incident still hears its cause and its end; of a snoozed one only the end is reported.
    """
    if handling.state == State.ACKNOWLEDGED:
        return transition not in {Transition.GROWN, Transition.FLAPPING}
    if handling.state == State.SNOOZED:
        return transition is Transition.RESOLVED
    return True

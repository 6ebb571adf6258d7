"""What an incident can be about: every breach, and how each is described."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from checks.cause import Cause
from checks.tables import complete


class Breach(StrEnum):
    """What an incident is about."""

    NOT_ARRIVING = "not_arriving"
    FOREIGN_WRITE = "foreign_write"
    WRITE_CONFLICT = "write_conflict"
    ORPHAN = "orphan"
    DUPLICATE = "duplicate"
    LOST_UPDATE = "lost_update"
    TRANSFORMATION = "transformation"
    REGRESSION = "regression"
    INVALID = "invalid"
    UNEXPLAINED = "unexplained"
    CONFLICTS_WAITING = "conflicts_waiting"
    UNVERIFIED = "unverified"
    OBJECTIVE = "objective"
    DEAD_LETTERS = "dead_letters"
    EXPIRING = "expiring"
    BACKLOG = "backlog"
    STALLED = "stalled"
    UNREAD_QUEUE = "unread_queue"
    UNMEASURED_QUEUE = "unmeasured_queue"
    UNREACHABLE = "unreachable"
    UNREADABLE = "unreadable"
    CLOCK_STEP = "clock_step"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """How a breach is described.

    Attributes:
        words: what is wrong.
        counts: the unit of its number: records, messages, missed changes, conflicts, or audits in a row.
        unknown: it reports that something could not be verified, not that it is wrong.
    """

    words: str
    counts: Literal["record", "message", "change", "conflict", "audit"] = "record"
    unknown: bool = False

    @property
    def grows(self) -> bool:
        """Whether a rising number is news in itself; it is not for numbers counted over a period."""
        return self.counts in {"record", "message"}

    @property
    def present(self) -> bool:
        """Whether its number is one of now; missed changes are counted when it is decided that they are too many."""
        return self.counts != "change"


MEANINGS = complete(
    {
        Breach.NOT_ARRIVING: Meaning(words="changes do not arrive within the window"),
        Breach.FOREIGN_WRITE: Meaning(words="records were changed in a system that does not own them"),
        Breach.WRITE_CONFLICT: Meaning(words="records were changed on both sides"),
        Breach.ORPHAN: Meaning(words="records exist that the owner does not have"),
        Breach.DUPLICATE: Meaning(words="records exist more than once"),
        Breach.LOST_UPDATE: Meaning(words="an update of a system that may write was overwritten"),
        Breach.TRANSFORMATION: Meaning(words="values are altered in transit"),
        Breach.REGRESSION: Meaning(words="an older version overwrote a newer one"),
        Breach.INVALID: Meaning(words="records break their own validity rules"),
        Breach.UNEXPLAINED: Meaning(words="records have never matched"),
        Breach.CONFLICTS_WAITING: Meaning(words="conflicts are waiting for a decision", counts="conflict"),
        Breach.UNVERIFIED: Meaning(words="records cannot be verified", unknown=True),
        Breach.OBJECTIVE: Meaning(words="fewer changes arrive within the window than promised", counts="change"),
        Breach.DEAD_LETTERS: Meaning(words="messages were dead-lettered", counts="message"),
        Breach.EXPIRING: Meaning(words="its oldest dead letters are about to expire unread", counts="message"),
        Breach.BACKLOG: Meaning(words="messages wait too long", counts="message"),
        Breach.STALLED: Meaning(words="no consumer is reading from it", counts="message"),
        Breach.UNREAD_QUEUE: Meaning(words="cannot be read", counts="audit", unknown=True),
        Breach.UNMEASURED_QUEUE: Meaning(words="its depth or age is not known", counts="audit", unknown=True),
        Breach.UNREACHABLE: Meaning(words="the system cannot be read", counts="audit", unknown=True),
        Breach.UNREADABLE: Meaning(words="its records cannot be read", counts="audit", unknown=True),
        Breach.CLOCK_STEP: Meaning(words="its clock was set", counts="audit", unknown=True),
    }
)

UNKNOWN = frozenset(breach for breach, meaning in MEANINGS.items() if meaning.unknown)
"""Breaches that report that something could not be verified."""

BREACH_OF = complete(
    {
        Cause.LATE: Breach.NOT_ARRIVING,
        Cause.LOST: Breach.NOT_ARRIVING,
        Cause.FOREIGN_WRITE: Breach.FOREIGN_WRITE,
        Cause.WRITE_CONFLICT: Breach.WRITE_CONFLICT,
        Cause.ORPHAN: Breach.ORPHAN,
        Cause.DUPLICATE: Breach.DUPLICATE,
        Cause.LOST_UPDATE: Breach.LOST_UPDATE,
        Cause.TRANSFORMATION: Breach.TRANSFORMATION,
        Cause.REGRESSION: Breach.REGRESSION,
        Cause.INVALID: Breach.INVALID,
        Cause.UNEXPLAINED: Breach.UNEXPLAINED,
    },
    but={Cause.IN_FLIGHT},
)
"""The breach of a record's incident, by the cause of the difference; late and lost records of one flow share one,
because both call for the same investigation."""

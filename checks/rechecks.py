"""Records that people have asked the auditor to read next, and what the readings found. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Literal

from checks.escalation import RefusedError
from checks.judgement import Outcome
from checks.tables import complete
from probes.wording import counted

LIMIT = 500
"""Most records that wait to be read at a time, of all flows and people together."""

STALE = timedelta(minutes=10)
"""A record that has not been read after this long is not waited for any more."""

KEPT = timedelta(hours=1)
"""How long the result is kept after the reading."""


class RecheckState(StrEnum):
    """What has become of a request, or what the reading found."""

    ASKED = "asked"
    NOT_READ = "not read"
    AGREES = "agrees"
    ON_ITS_WAY = "on its way"
    MAY_DIFFER = "may differ"
    DIFFERS = "differs"
    CANNOT_VERIFY = "cannot verify"
    NOT_FOUND = "not found"


NOT_FOUND: Final = "not_found"
"""What is kept, in place of an outcome, of a key that neither system holds and that no audit has known."""

Result = Outcome | Literal["not_found"]

STATE = complete(
    {
        Outcome.AGREED: RecheckState.AGREES,
        Outcome.IN_FLIGHT: RecheckState.ON_ITS_WAY,
        Outcome.SUSPECTED: RecheckState.MAY_DIFFER,
        Outcome.DIVERGENT: RecheckState.DIFFERS,
        Outcome.INCONCLUSIVE: RecheckState.CANNOT_VERIFY,
        Outcome.CANNOT_VERIFY: RecheckState.CANNOT_VERIFY,
    }
)
"""What the outcome of a reading is called."""

_OF_MANY: Mapping[str, str] = {"agrees": "agree", "differs": "differ"}
"""The states that have another form after a number of records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recheck:
    """A record that a person has asked the auditor to read.

    Attributes:
        key: in its canonical form.
        who, known_by: the person, and how the auditor identified the person.
        read_at: when it was read; None while it has not been.
        outcome: of that reading.
        detail: the cause of the difference, or why the record cannot be verified.
    """

    flow: str
    key: str
    who: str
    known_by: str
    asked_at: datetime
    read_at: datetime | None = None
    outcome: Result | None = None
    detail: str = ""

    def state(self, now: datetime) -> RecheckState:
        """What is to be said of it."""
        if isinstance(self.outcome, Outcome):
            return STATE[self.outcome]
        if self.outcome is not None:
            return RecheckState.NOT_FOUND
        return RecheckState.ASKED if now - self.asked_at < STALE else RecheckState.NOT_READ

    def as_row(self, now: datetime) -> dict[str, Any]:
        """For programs and tables."""
        return {
            "flow": self.flow,
            "key": self.key,
            "state": self.state(now).value,
            "detail": self.detail,
            "asked_at": self.asked_at,
            "asked_by": self.who,
            "read_at": self.read_at,
        }


def check_room(wanted: int, waiting: int) -> None:
    """Refuse more records than may wait together.

    Args:
        wanted: records that somebody asks for.
        waiting: others that have not been read yet.

    Raises:
        RefusedError: they are too many; says how many there is room for.
    """
    if wanted > LIMIT:
        raise RefusedError(f"{wanted:,} readings are asked for, and at most {LIMIT} can wait at a time")
    if wanted + waiting > LIMIT:
        raise RefusedError(
            f"{counted(waiting, 'record')} already wait to be read, and at most {LIMIT} can at a time: ask for "
            f"at most {LIMIT - waiting} more, or wait for those"
        )


def result_of(kept: str) -> Result:
    """The result that is kept as this text."""
    return NOT_FOUND if kept == NOT_FOUND else Outcome(kept)


def found_of(
    outcome: Outcome, *, cause: str = "", reason: str = "", held: bool = True, known: bool = True
) -> tuple[Result, str]:
    """What to keep of a reading: its result, and a detail in words.

    Args:
        cause: of the difference.
        reason: why the record cannot be verified.
        held: a system holds the record.
        known: an audit has known it before; a record that is gone from both systems agrees.
    """
    if outcome is Outcome.AGREED and not held and not known:
        return NOT_FOUND, "neither system holds it, and no audit has seen it"
    if outcome is Outcome.AGREED:
        return outcome, "" if held else "neither system holds it"
    if outcome is Outcome.INCONCLUSIVE:
        return outcome, reason or "it was being written during the reading"
    return outcome, reason or cause.replace("_", " ")


def summary(rechecks: Collection[Recheck], now: datetime) -> str:
    """How many records are in which state, in words."""
    counts: Mapping[RecheckState, int] = {
        state: sum(each.state(now) is state for each in rechecks) for state in RecheckState
    }
    return ", ".join(
        f"{count} {state if count == 1 else _OF_MANY.get(state, state)}" for state, count in counts.items() if count
    )

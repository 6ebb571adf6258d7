"""Silences: which incidents no messages are sent about, from when to when. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from checks.escalation import RefusedError
from checks.handling import NAME_LIMIT
from checks.routes import SUBJECTS, Hours, matches

BY_MAP = "map"
"""Who enters the silences of maintenance windows."""

PATTERNS_LIMIT = 50
"""The most patterns of one silence."""


class SilenceState(StrEnum):
    """How a silence stands at an instant."""

    HOLDS = "holds"
    TO_COME = "to come"
    ENDED = "ended"
    OVER = "over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """A time in which no messages are sent about some incidents.

    Attributes:
        matchers: for each subject (`checks.routes.SUBJECTS`), the accepted values, in which `*` stands for any text.
        known_by: how the auditor identified the person; None for a maintenance window of the map.
        maintenance: the maintenance window that it stands for, None for a person's silence.
        ended_at: when it was ended before its time.
    """

    silence_id: int = 0
    matchers: Mapping[str, tuple[str, ...]]
    from_at: datetime
    until_at: datetime
    reason: str
    who: str
    made_at: datetime
    known_by: str | None = None
    maintenance: str | None = None
    ended_at: datetime | None = None
    ended_by: str | None = None

    def holds(self, at: datetime) -> bool:
        """Whether it applies at an instant."""
        return self.from_at <= at < self.until_at and (self.ended_at is None or at < self.ended_at)

    def state(self, at: datetime) -> SilenceState:
        """How it stands at an instant."""
        if self.holds(at):
            return SilenceState.HOLDS
        if self.ended_at is None and self.from_at > at:
            return SilenceState.TO_COME
        return SilenceState.ENDED if self.ended_by else SilenceState.OVER

    def hides(self, notice: Mapping[str, Any], at: datetime) -> bool:
        """Whether a notice is not sent because of it."""
        return self.holds(at) and matches(self.matchers, notice)

    @property
    def matcher_text(self) -> str:
        """What it silences, in words."""
        return matcher_text(self.matchers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A maintenance window of the map: hours of the week in which no messages are sent about some incidents."""

    name: str
    hours: Hours
    matchers: Mapping[str, tuple[str, ...]]
    reason: str

    def silence(self, at: datetime, now: datetime) -> Silence | None:
        """The silence for the hours in which an instant lies; None if it lies in none."""
        span = self.hours.span(at)
        if span is None:
            return None
        return Silence(
            matchers=self.matchers,
            from_at=span[0],
            until_at=span[1],
            reason=self.reason,
            who=BY_MAP,
            made_at=now,
            maintenance=self.name,
        )

    def coming(self, at: datetime, entered: Iterable[Silence] = ()) -> tuple[datetime, datetime] | None:
        """When the hours in which an instant lies begin and end, or else the next ones, in UTC.

        Args:
            entered: silences that were entered for it; the hours of one that was ended early are skipped.

        Returns:
            None if no hours begin within two weeks.
        """
        span = self.hours.next_span(at)
        ended = [each for each in entered if self.stands_for(each) and each.ended_at is not None]
        if span is not None and span in [(each.from_at, each.until_at) for each in ended]:
            return self.hours.next_span(span[1])
        return span

    def stands_for(self, silence: Silence) -> bool:
        """Whether a silence is one of this window, as the map has it now."""
        span = self.hours.span(silence.from_at)
        same = (silence.maintenance, silence.matchers) == (self.name, self.matchers)
        return same and span == (silence.from_at, silence.until_at)


def matcher_text(matchers: Mapping[str, Sequence[str]]) -> str:
    """Matchers in words."""
    parts = [f"{subject.replace('_', ' ')} {' or '.join(values)}" for subject, values in matchers.items() if values]
    return ", ".join(parts) or "everything"


def first_hiding(silences: Iterable[Silence], notice: Mapping[str, Any], at: datetime) -> Silence | None:
    """The silence because of which a notice is not sent; None if it is sent."""
    return next((each for each in silences if each.hides(notice, at)), None)


def check_matchers(matchers: Mapping[str, Sequence[str]]) -> None:
    """Refuse subjects that do not exist, and patterns that are empty, too long or too many.

    Raises:
        RefusedError: with the reason.
    """
    for subject, patterns in matchers.items():
        if subject not in SUBJECTS:
            raise RefusedError(f"a silence is for {', '.join(SUBJECTS)}, not for {subject}")
        for each in patterns:
            if not each.strip():
                raise RefusedError(f"a pattern for {subject} is empty")
            if len(each) > NAME_LIMIT:
                raise RefusedError(
                    f"a pattern for {subject} has {len(each):,} characters; at most {NAME_LIMIT} are accepted"
                )
    if sum(map(len, matchers.values())) > PATTERNS_LIMIT:
        raise RefusedError(f"a silence takes at most {PATTERNS_LIMIT} patterns")


def too_wide(matchers: Mapping[str, Sequence[str]], notices: Sequence[Mapping[str, Any]]) -> str:
    """What a person has to confirm before so wide a silence begins; "" for nothing.

    Args:
        notices: of the incidents that are open.
    """
    narrow = {subject: values for subject, values in matchers.items() if values and "*" not in values}
    if not narrow:
        return "this silences every incident, also those that are still to come"
    if len(notices) > 1 and all(matches(matchers, each) for each in notices):
        return f"this silences all {len(notices):,} open incidents"
    return ""

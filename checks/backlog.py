"""Backlogs: what a queue's depth and age say against what the map allows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What the map allows a flow's queues.

    Attributes:
        dead_letters: most dead letters that may wait.
        oldest_letter_s, backlog_age_s: oldest age of a dead letter and of a waiting message, None for any.
    """

    dead_letters: int
    oldest_letter_s: float | None
    backlog_age_s: float | None


def age_s(oldest_at: datetime | None, now: datetime) -> float | None:
    """How old the oldest message is, in seconds; None where the queue does not tell, never below 0."""
    return None if oldest_at is None else max(0.0, (now - oldest_at).total_seconds())


def over_allowance(
    role: Literal["main", "retry", "dead"], depth: int | None, age: float | None, allowed: Allowance
) -> int | None:
    """How many messages are too many or too old.

    Returns:
        The depth where it breaks the allowance, 0 where it keeps it, None where that cannot be told.
    """
    if depth is None:
        return None
    if role == "dead":
        if depth > allowed.dead_letters:
            return depth
        limit_s = allowed.oldest_letter_s
    else:
        limit_s = allowed.backlog_age_s
    if not depth or limit_s is None:
        return 0
    if age is None:
        return None
    return depth if age > limit_s else 0

"""Backlogs: whether a queue's depth and age stay within what the map allows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from checks.queue_states import Trend
from probes.settings import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What the map allows a flow's queues.

    Attributes:
        dead_letters: the most dead letters that may wait.
        oldest_letter_s, backlog_age_s: the greatest age of a dead letter and of a waiting message, None for no limit.
        floor: up to this many waiting messages are never a breach.
        ceiling: more than this are a breach whatever their age, None for no limit.
    """

    dead_letters: int
    oldest_letter_s: float | None
    backlog_age_s: float | None
    floor: int = 0
    ceiling: int | None = None


def age_s(oldest_at: datetime | None, now: datetime) -> float | None:
    """Age of the oldest message in seconds, never below 0; None if the queue does not report it."""
    return None if oldest_at is None else max(0.0, (now - oldest_at).total_seconds())


def over_allowance(
    role: Role, depth: int | None, age: float | None, allowed: Allowance, direction: Trend = Trend.UNKNOWN
) -> int | None:
    """How many messages are too many or too old.

    Between floor and ceiling a backlog is judged by its age and, if the map sets a floor, by its trend: without a
    floor, every passing burst would count as a growing backlog.

    Returns:
        The depth if it breaks the allowance, 0 if it keeps it, None if the reading does not show which.
    """
    if depth is None:
        return None
    if role == "dead":
        if depth > allowed.dead_letters:
            return depth
        limit_s = allowed.oldest_letter_s
    else:
        if depth <= allowed.floor:
            return 0
        if allowed.ceiling is not None and depth > allowed.ceiling:
            return depth
        if allowed.floor and direction is Trend.RISING:
            return depth
        limit_s = allowed.backlog_age_s
    if not depth or limit_s is None:
        return 0
    if age is None:
        return None
    return depth if age > limit_s else 0


def untold(role: Role, depth: int | None, age: float | None, allowed: Allowance) -> str:
    """Which figure is missing to judge the queue, in words; "" if none is."""
    if depth is None:
        return "how many messages wait is not known"
    if depth and age is None and over_allowance(role, depth, age, allowed) is None:
        word = "oldest_letter" if role == "dead" else "backlog_age"
        return f"the age of its oldest message is not known, so sla.{word} cannot be judged"
    return ""


def about_to_drop(
    depth: int | None, drops_at: datetime | None, retention_s: float | None, notice_s: float, now: datetime
) -> int | None:
    """How many letters wait in a queue that is about to drop the oldest of them unread.

    A queue that keeps letters for less than four times the notice gets a quarter of its retention as notice instead;
    otherwise every letter in it would be about to be dropped as soon as it arrived.

    Returns:
        The depth, 0 if nothing is dropped soon, None if unknown.
    """
    if depth is None:
        return None
    if not depth or retention_s is None:
        return 0
    if drops_at is None:
        return None
    return depth if (drops_at - now).total_seconds() <= min(notice_s, retention_s / 4) else 0

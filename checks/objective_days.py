"""The days of an objective's period: which of them kept the goal, and what was left of the error budget. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import accumulate

from checks.objectives import ShareObjective, Standing, WindowCounts
from checks.tables import complete


class DayState(StrEnum):
    """How an objective fared on one day."""

    KEPT = "kept"
    BROKEN = "broken"
    UNDECIDED = "undecided"
    NO_TRAFFIC = "no traffic"
    NO_DATA = "no data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One day (UTC) of a period.

    Attributes:
        begin, end: the part of the day that belongs to the period; the first and the last day may not be whole.
        hours: in how many of its hours an audit could read both systems.
        counts: what was counted on it; None for an objective that is not a share of changes.
        left: the share of the whole period's error budget that was left at its end: at least and at most; None if the
            objective has no error budget.
    """

    begin: datetime
    end: datetime
    state: DayState
    hours: int
    counts: WindowCounts | None = None
    left: tuple[float, float] | None = None

    @property
    def day(self) -> date:
        """Its date."""
        return self.begin.date()


_STATES = complete(
    {
        Standing.KEPT: DayState.KEPT,
        Standing.BROKEN: DayState.BROKEN,
        Standing.UNDECIDED: DayState.UNDECIDED,
        Standing.NO_TRAFFIC: DayState.NO_TRAFFIC,
    }
)


def spans(begin: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    """The days (UTC) that a period touches, oldest first; the first begins and the last ends with the period."""
    begin, end = begin.astimezone(UTC), end.astimezone(UTC)
    midnight = datetime.combine(begin.date(), time(), UTC)
    found = []
    while midnight < end:
        after = midnight + timedelta(days=1)
        found.append((max(midnight, begin), min(after, end)))
        midnight = after
    return found


def judged_days(
    begin: datetime, end: datetime, judged: Mapping[date, Standing], hours: Mapping[date, int]
) -> list[Day]:
    """The days of a period, oldest first.

    Args:
        judged: the state of the objective on each day on which there was something to judge.
        hours: by day, in how many of its hours an audit could read both systems. A day without any, and with nothing
            to judge, has no data.
    """
    days = []
    for since, until in spans(begin, end):
        audited = hours.get(since.date(), 0)
        standing = judged.get(since.date(), Standing.NO_TRAFFIC)
        nothing = standing is Standing.NO_TRAFFIC and not audited
        state = DayState.NO_DATA if nothing else _STATES[standing]
        days.append(Day(begin=since, end=until, state=state, hours=audited))
    return days


def share_days(
    begin: datetime,
    end: datetime,
    counted: Iterable[tuple[datetime, WindowCounts]],
    hours: Mapping[date, int],
    goal: float,
) -> list[Day]:
    """The days of an objective that promises a share of changes, oldest first.

    Each day is judged by the rule of the whole period, from the changes of this day alone. So a few late changes on a
    quiet day are undecided and not broken.

    Args:
        counted: changes, each with the instant at which it was counted; those outside the period count on its first
            or its last day.
        hours: as in `judged_days`.
        goal: the least share that is promised.
    """
    days = spans(begin, end)
    counts = dict.fromkeys((since.date() for since, _ in days), WindowCounts())
    first, last = min(counts), max(counts)
    for at, more in counted:
        counts[min(max(at.astimezone(UTC).date(), first), last)] += more
    standings = {day: ShareObjective(counts=each, goal=goal).standing for day, each in counts.items()}
    return [
        Day(begin=each.begin, end=each.end, state=each.state, hours=each.hours, counts=counts[each.day], left=left)
        for each, left in zip(judged_days(begin, end, standings, hours), _left([*counts.values()], goal), strict=True)
    ]


def _left(counts: Sequence[WindowCounts], goal: float) -> list[tuple[float, float] | None]:
    """What was left of the whole period's error budget after each of its days."""
    allowed = (1 - goal) * sum(each.total for each in counts)
    if allowed <= 0:
        return [None] * len(counts)
    return [(1 - (used.missed + used.undecided) / allowed, 1 - used.missed / allowed) for used in accumulate(counts)]

"""The time range that pages show: the last so many hours, or from one instant to another."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

RANGES = {"15 min": 0.25, "1 h": 1.0, "6 h": 6.0, "24 h": 24.0, "7 d": 168.0, "30 d": 720.0}
"""Time ranges up to now, in hours."""

FROM_TO = "from … to"
"""The choice of two instants."""

SHORTEST = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRange:
    """The time range that a page shows.

    Attributes:
        begin, end: its two ends.
        brief: what it is called in a heading: "last 24 h".
    """

    begin: datetime
    end: datetime
    brief: str

    @property
    def words(self) -> str:
        """What it is called in a sentence, after "in"."""
        return f"the {self.brief}"

    @property
    def bucket(self) -> timedelta:
        """The width of a bar in a chart over the range, about sixty of them."""
        return timedelta(minutes=max(1, round((self.end - self.begin) / timedelta(hours=1))))

    def slot_ms(self, slots: int) -> int:
        """The length of one of so many equal parts of the range, in milliseconds."""
        return (self.end - self.begin) // timedelta(milliseconds=slots)


def last(label: str, now: datetime) -> TimeRange:
    """One of `RANGES`."""
    return TimeRange(
        begin=now - timedelta(hours=RANGES[label]), end=now, brief="last hour" if label == "1 h" else f"last {label}"
    )


def between(begin: datetime, end: datetime) -> TimeRange:
    """From one instant to another; a range that ends before it begins is a minute long."""
    return TimeRange(begin=begin, end=max(end, begin + SHORTEST), brief="chosen time")

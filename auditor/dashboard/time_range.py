"""The time range that pages show: the last so many hours, or from one instant to another."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

RANGES = {"15 min": 0.25, "1 h": 1.0, "6 h": 6.0, "24 h": 24.0, "7 d": 168.0, "30 d": 720.0}
"""Time ranges up to now, in hours."""

FROM_TO = "from … to"
"""The choice of two instants."""

SHORTEST = timedelta(minutes=1)

BARS = 60

DAY = timedelta(days=1)

MILLISECOND = timedelta(milliseconds=1)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def bar_width(length: timedelta, bars: int) -> timedelta:
    """The width of a bar in a chart over this length, about so many of them: whole seconds, above a day whole days.

    DuckDB's `time_bucket` takes no width of days and hours.
    """
    width = timedelta(seconds=max(1, round(length / bars / timedelta(seconds=1))))
    return width if width <= DAY else DAY * round(width / DAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRange:
    """The time range that a page shows.

    Attributes:
        begin, end: its two ends.
        brief: what it is called in a heading: "last 24 h".
        to_now: it ends now, and not where a person has set its end.
    """

    begin: datetime
    end: datetime
    brief: str
    to_now: bool = True

    @property
    def words(self) -> str:
        """What it is called in a sentence, after "in"."""
        return f"the {self.brief}"

    @property
    def bucket(self) -> timedelta:
        """The width of a bar in a chart over the range: whole minutes, about sixty of them."""
        return max(SHORTEST, bar_width(self.end - self.begin, BARS) // SHORTEST * SHORTEST)

    def slots(self, number: int) -> tuple[datetime, int]:
        """So many equal parts of the range: the begin of the first, and the milliseconds of each.

        Those of a range up to now begin at multiples of their length, so that what was in one stays together as time
        goes on. The last one is not over yet, and the first begins up to one length after the range.
        """
        length = (self.end - self.begin) // number
        if self.to_now:
            whole = -((EPOCH - self.end) // length)
            return EPOCH + length * (whole - number), length // MILLISECOND
        return self.begin, length // MILLISECOND


def last(label: str, now: datetime) -> TimeRange:
    """One of `RANGES`."""
    return TimeRange(
        begin=now - timedelta(hours=RANGES[label]), end=now, brief="last hour" if label == "1 h" else f"last {label}"
    )


def between(begin: datetime, end: datetime) -> TimeRange:
    """From one instant to another; a range that ends before it begins is a minute long."""
    return TimeRange(begin=begin, end=max(end, begin + SHORTEST), brief="chosen time", to_now=False)

"""The time range that pages show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

RANGES = {"15 min": 0.25, "1 h": 1.0, "6 h": 6.0, "24 h": 24.0, "7 d": 168.0, "30 d": 720.0}
"""Time ranges in hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """The time range that a page shows."""

    label: str

    @property
    def at(self) -> datetime:
        """Its beginning."""
        return datetime.now(UTC) - timedelta(hours=RANGES[self.label])

    @property
    def bucket(self) -> timedelta:
        """The width of a bar in a chart over the range, about sixty of them."""
        return timedelta(minutes=max(1, round(RANGES[self.label])))

    def slot_ms(self, slots: int) -> int:
        """The length of one of so many equal parts of the range, in milliseconds."""
        return int(RANGES[self.label] * 3_600_000 / slots)


DAY = Since(label="24 h")
"""How far back undelivered messages count, whatever range a page shows."""

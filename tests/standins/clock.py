"""The clock of a stand-in: the machine's with an offset, or one that stands still until it is moved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class Clock:
    """What a server takes for now.

    Args:
        start: where the clock stands and stays until it is moved; None follows the machine's clock.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self._start = start
        self._offset = timedelta(0)

    def now(self) -> datetime:
        """The instant, in UTC."""
        return (self._start or datetime.now(UTC)) + self._offset

    def stand_at(self, instant: datetime | None) -> None:
        """Stand still at an instant, or follow the machine's clock again."""
        self._start, self._offset = instant, timedelta(0)

    def advance(self, seconds: float) -> None:
        """Move the clock; a negative number sets it back."""
        self._offset += timedelta(seconds=seconds)


def milliseconds(instant: datetime) -> str:
    """ISO 8601 in UTC with three digits behind the second and Z."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{instant.microsecond // 1000:03}Z"


def seconds(instant: datetime) -> str:
    """ISO 8601 in UTC with whole seconds and Z."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

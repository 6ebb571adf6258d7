"""The clock of the stand-in: the machine's with an offset, or one that stands still until it is moved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class Clock:
    """What the server takes for now.

    Args:
        start: where the clock stands and stays until it is advanced; None follows the machine's clock.
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


def whole_second(instant: datetime) -> datetime:
    """Date and time fields keep whole seconds."""
    return instant.replace(microsecond=0)


def rest_text(instant: datetime) -> str:
    """An instant as the REST API writes it."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def csv_text(instant: datetime) -> str:
    """An instant as Bulk API results write it."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")

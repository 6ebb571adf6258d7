"""An API's stamps: the instants they mean, and how an instant is written for a request."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from probes.contract import ProbeError, ReadSpec, Reason

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"s": timedelta(seconds=1), "ms": timedelta(milliseconds=1), "us": timedelta(microseconds=1)}
_FOLD = tuple(timedelta(minutes=15 * quarter) for quarter in range(13))
"""How far ahead to look for a clock that is set back: no zone goes back by more than three hours."""

LONGEST_STAMP_DIGITS = 30
"""A longer number is not an instant in any unit."""


def order(spec: ReadSpec, mark: Any) -> Any:
    """The sort key of a mark; None if it is unreadable."""
    if spec.changed_at is None:
        try:
            return int(mark)
        except (ValueError, ArithmeticError):
            return None
    return instant_of(mark, spec.changed_at_unit, spec.zone)


def instant_of(mark: Any, unit: str | None, zone: str | None) -> datetime | None:
    """The instant of a stamp; None if it is unreadable.

    Args:
        unit: s, ms or us since 1970; None for ISO 8601.
        zone: of a stamp without one.
    """
    try:
        if unit is not None:
            number = Decimal(str(mark))
            if not number.is_finite() or number.adjusted() > LONGEST_STAMP_DIGITS:  # before it is expanded
                return None
            return _EPOCH + timedelta(microseconds=int(number * (_UNITS[unit] // _UNITS["us"])))
        found = datetime.fromisoformat(str(mark))
        if found.tzinfo is None:
            return None if zone is None else found.replace(tzinfo=_zone(zone)).astimezone(UTC)
        return found.astimezone(UTC)
    except (ValueError, ArithmeticError):
        return None


def written(at: datetime, how: str, zone: str | None) -> str | int:
    """An instant as the API takes it.

    Args:
        how: `since` of the map: iso, local, s, ms or us.

    Raises:
        ProbeError: `query` for local time of a system without a zone.
    """
    if how == "local":
        if zone is None:
            raise ProbeError(Reason.QUERY, "since: local needs the zone: of the system")
        # If the clock is set back meanwhile, changes made then carry an earlier time.
        return min(_wall(at + ahead, zone) for ahead in _FOLD).isoformat()
    if how in _UNITS:
        return (at - _EPOCH) // _UNITS[how]
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _wall(at: datetime, zone: str) -> datetime:
    """The wall-clock time there."""
    return at.astimezone(_zone(zone)).replace(tzinfo=None)

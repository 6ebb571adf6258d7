"""Times in the headers of a response: its date, and the pause it asks for."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from probes.durations import format_duration

LONGEST_WAIT_S = 365 * 86_400.0
"""Longer requested pauses are capped to this: ten thousand years are never meant."""


def retry_after_s(value: str | None, date: str | None) -> float | None:
    """How long a `Retry-After` asks to wait, in seconds or as a date; None if it is unreadable.

    Args:
        date: the response's own `Date`, the clock to which a date refers.

    Source: RFC 9110, HTTP Semantics, section 10.2.3.
    """
    if value is None:
        return None
    try:
        wait_s = float(value)
    except ValueError:
        until, now = instant(value), instant(date) or datetime.now(UTC)
        if until is None:
            return None
        wait_s = (until - now).total_seconds()
    return None if math.isnan(wait_s) else min(max(0.0, wait_s), LONGEST_WAIT_S)


def instant(value: str | None) -> datetime | None:
    """The instant of an HTTP date, None if it is not one."""
    try:
        at = parsedate_to_datetime(value or "")
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def span(wait_s: float, value: str) -> str:
    """How long to wait, in the server's own words if it asks for an unreasonable time."""
    quoted = " ".join(value.split())[:40]
    return f"more than a year ({quoted})" if wait_s >= LONGEST_WAIT_S else format_duration(wait_s)

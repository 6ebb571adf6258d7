"""When something that a person starts is to end, as people write it. Pure."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

from probes.durations import parse_duration


def instant_of(text: str) -> datetime:
    """An instant, in UTC unless it names a zone.

    Raises:
        ValueError: it is none; the text says how to write one.
    """
    try:
        at = datetime.fromisoformat(text.strip())
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"not a time: {text[:40]!r}; write for example 2026-03-31 or 2026-03-31T18:00") from None


def end_of(text: str, begin: datetime) -> datetime:
    """The end that a duration from its beginning on names, such as 2h, or an instant, such as 2026-03-31T18:00.

    Raises:
        ValueError: it is neither.
    """
    with suppress(ValueError):
        return instant_of(text)
    try:
        return begin + timedelta(seconds=parse_duration(text))
    except (ValueError, OverflowError):
        raise ValueError(
            f"not a duration: {text[:40]!r}; write for example 30m, 2h or 2d, or a time such as 2026-03-31T18:00"
        ) from None

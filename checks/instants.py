"""Instants and days as whole numbers, also outside the years 1 to 9999 of Python's calendar.

An instant is microseconds since 1970 UTC, or `"infinity"` or `"-infinity"`. A local time in the hour that its zone
repeats (or skips) stands for two instants: a pair in ascending order. A day is its ISO text; years before 1 are
written as PostgreSQL writes them, `0044-03-15 BC`.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo

from checks.unreadable import UnreadableError, describe

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

Instant = int | str | tuple[int, int]
"""An instant in its canonical form: a single one, an infinity, or a pair."""

INFINITIES = frozenset({"infinity", "-infinity"})

DAY_US = 86_400_000_000
LAST_YEAR = 999_999
"""Databases end at 294276 (PostgreSQL); a later year is not an instant."""

LIMIT_US = (LAST_YEAR + 1) * 366 * DAY_US

_NAIVE_EPOCH = datetime(1970, 1, 1)
_FIRST_US = (datetime.min - _NAIVE_EPOCH) // MICROSECOND
_LAST_US = (datetime.max - _NAIVE_EPOCH) // MICROSECOND
_CYCLE = 400
"""Years after which the calendar repeats, weekdays included."""

_WRITTEN = re.compile(
    r"(?P<sign>[+-]?)(?P<year>\d{4,6})-(?P<month>\d\d)-(?P<day>\d\d)"
    r"(?:[ T](?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"\s*(?P<zone>Z|[+-]\d\d(?::?\d\d(?::?\d\d)?)?)?)?"
    r"(?P<bc>\s+BC)?",
    re.IGNORECASE,
)


def instant_of(at: datetime, local: tzinfo | None) -> int | tuple[int, int]:
    """The instant that a date and time stand for.

    Args:
        local: the zone if `at` carries none.

    Raises:
        UnreadableError: it carries no zone and `local` is None.
    """
    if at.tzinfo is not None:
        return (at - EPOCH) // MICROSECOND
    if local is None:
        raise UnreadableError("an instant without a time zone; say the system's zone")
    here = (at - _NAIVE_EPOCH) // MICROSECOND
    return here if local is UTC else _readings(here, at, local)


def _readings(here: int, at: datetime, local: tzinfo) -> int | tuple[int, int]:
    """Both instants of a local time that its zone repeats or skips, earlier one first; otherwise the only one."""
    one, other = (here - (local.utcoffset(at.replace(fold=fold)) or timedelta(0)) // MICROSECOND for fold in (0, 1))
    return one if one == other else (min(one, other), max(one, other))


def instant_written(text: str, local: tzinfo | None) -> Instant:
    """Read an instant as databases and programs write it: ISO, with years of more than four digits, or BC.

    Raises:
        UnreadableError: the text is not an instant.
    """
    folded = text.casefold()
    if folded in INFINITIES:
        return folded
    if folded.startswith("0000-00-00"):
        raise UnreadableError("a zero date, which is not an instant")
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return _beyond(text, local)
    return instant_of(at, local)


def _beyond(text: str, local: tzinfo | None) -> int | tuple[int, int]:
    """An instant in a year outside Python's calendar."""
    parts = _WRITTEN.fullmatch(text)
    if parts is None:
        raise UnreadableError(f"not a timestamp: {describe(text)}")
    year = _year(parts)
    days = day_number(year, int(parts["month"]), int(parts["day"]))
    hour, minute, second = (int(parts[each] or 0) for each in ("hour", "minute", "second"))
    if hour > 23 or minute > 59 or second > 59:
        raise UnreadableError(f"not a timestamp: {describe(text)}")
    fraction = int((parts["fraction"] or "0").ljust(9, "0")[:6])
    here = days * DAY_US + ((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction
    if zone := parts["zone"]:
        return here - _offset_us(zone)
    if local is None:
        raise UnreadableError("an instant without a time zone; say the system's zone")
    # Beyond its tables, a zone's rules repeat in every cycle of the calendar.
    alike = year % _CYCLE + (_CYCLE if year < 1 else 9600 - _CYCLE)
    at = datetime(alike, int(parts["month"]), int(parts["day"]), hour, minute, second, fraction)
    return _readings(here, at, local)


def _year(parts: re.Match[str]) -> int:
    year = int(parts["year"])
    if parts["bc"]:
        if parts["sign"] or year == 0:
            raise UnreadableError("not a year before Christ")
        return 1 - year
    return -year if parts["sign"] == "-" else year


def _offset_us(zone: str) -> int:
    if zone in "Zz":
        return 0
    digits = zone[1:].replace(":", "").ljust(6, "0")
    seconds = (int(digits[:2]) * 60 + int(digits[2:4])) * 60 + int(digits[4:])
    return (-seconds if zone[0] == "-" else seconds) * 1_000_000


def day_written(text: str) -> str:
    """Read a calendar day; an instant counts only at midnight, so a zone is never guessed.

    Raises:
        UnreadableError: the text is not a day.
    """
    folded = text.casefold()
    if folded in INFINITIES:
        return folded
    try:
        return day_of(datetime.fromisoformat(text)) if len(text) > 10 else date.fromisoformat(text).isoformat()
    except UnreadableError:
        raise
    except ValueError:
        parts = _WRITTEN.fullmatch(text)
    if parts is None:
        raise UnreadableError(f"not a date: {describe(text)}")
    if any(int(parts[each] or 0) for each in ("hour", "minute", "second", "fraction")):
        raise UnreadableError("an instant with a time of day where a date is declared")
    year, month, day = _year(parts), int(parts["month"]), int(parts["day"])
    day_number(year, month, day)
    return day_text(year, month, day)


def day_of(at: datetime) -> str:
    """The day of an instant at midnight. Raises UnreadableError at any other time of day."""
    if (at.hour, at.minute, at.second, at.microsecond) != (0, 0, 0, 0):
        raise UnreadableError("an instant with a time of day where a date is declared")
    return at.date().isoformat()


def day_text(year: int, month: int, day: int) -> str:
    """A day in ISO form; a year before 1 counts back from 1 BC."""
    return f"{year:04d}-{month:02d}-{day:02d}" if year > 0 else f"{1 - year:04d}-{month:02d}-{day:02d} BC"


def day_number(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the calendar of PostgreSQL and Python (proleptic Gregorian).

    Source: Howard Hinnant, chrono-compatible low-level date algorithms, days_from_civil.

    Raises:
        UnreadableError: there is no such day.
    """
    if not 1 <= month <= 12 or not 1 <= day <= 31:
        raise UnreadableError("not a day of the calendar")
    shifted = year - (month <= 2)
    cycle, of_cycle = divmod(shifted, _CYCLE)
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    days = cycle * 146_097 + of_cycle * 365 + of_cycle // 4 - of_cycle // 100 + of_year - 719_468
    if civil(days) != (year, month, day):
        raise UnreadableError("not a day of the calendar")
    return days


def civil(days: int) -> tuple[int, int, int]:
    """Year, month and day of a number of days since 1970-01-01 (the inverse of `day_number`)."""
    cycle, of_cycle = divmod(days + 719_468, 146_097)
    year = (of_cycle - of_cycle // 1460 + of_cycle // 36_524 - of_cycle // 146_096) // 365
    of_year = of_cycle - (365 * year + year // 4 - year // 100)
    at = (5 * of_year + 2) // 153
    month = at + 3 if at < 10 else at - 9
    return year + cycle * _CYCLE + (month <= 2), month, of_year - (153 * at + 2) // 5 + 1


def span(instant: Instant) -> tuple[float, float]:
    """An instant's place in the order of all instants: from and to, which differ only for a pair."""
    if isinstance(instant, str):
        return float(instant), float(instant)
    return instant if isinstance(instant, tuple) else (instant, instant)


def day_order(day: str) -> float:
    """A canonical day's place in the order of all days. Raises UnreadableError."""
    if day in INFINITIES:
        return float(day)
    parts = _WRITTEN.fullmatch(day)
    if parts is None:
        raise UnreadableError(f"not a date: {describe(day)}")
    return day_number(_year(parts), int(parts["month"]), int(parts["day"]))


def earliest(instant: Instant) -> int | None:
    """The instant, or the earlier of two; None for an infinity."""
    return None if isinstance(instant, str) else instant if isinstance(instant, int) else instant[0]


def aware(instant: Instant) -> datetime | None:
    """An instant as a Python datetime; None for an infinity, a pair, or one outside Python's calendar."""
    if isinstance(instant, int) and _FIRST_US <= instant <= _LAST_US:
        return EPOCH + instant * MICROSECOND
    return None


def instant_text(instant: Instant) -> str:
    """An instant as people and databases read it, UTC."""
    if isinstance(instant, str):
        return instant
    if isinstance(instant, tuple):
        return " or ".join(map(instant_text, instant))
    at = aware(instant)
    if at is not None:
        return at.isoformat(sep=" ")
    days, of_day = divmod(instant, DAY_US)
    minutes, rest = divmod(of_day, 60_000_000)
    seconds, fraction = divmod(rest, 1_000_000)
    day, _, bc = day_text(*civil(days)).partition(" ")
    fine = f".{fraction:06d}" if fraction else ""
    time = f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}{fine}+00:00"
    return f"{day} {time} {bc}".rstrip()

"""A cron line as the longest time between two of its runs. Pure.

Source: "crontab", IEEE Std 1003.1, https://pubs.opengroup.org/onlinepubs/9799919799/utilities/crontab.html;
steps, names and `7` for Sunday as in Vixie's cron(5).
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from itertools import pairwise

MINUTE_S, DAY_S = 60, 86_400
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FIRST_DAY, _DAYS_SEEN = date(2023, 1, 1), 8 * 366
"""Eight years, so that they include two 29ths of February."""


def longest_gap_s(line: str) -> float | None:
    """The most seconds between two runs; None if the line is not understood or never runs twice."""
    fields = line.split()
    if len(fields) != 5:
        return None
    minutes, hours = _numbers(fields[0], 0, 59), _numbers(fields[1], 0, 23)
    days, months = _numbers(fields[2], 1, 31), _numbers(fields[3], 1, 12, _MONTHS, 1)
    weekdays = _numbers(fields[4], 0, 7, _DAYS)
    if minutes is None or hours is None or days is None or months is None or weekdays is None:
        return None
    weekdays = {each % 7 for each in weekdays}
    either = not fields[2].startswith("*") and not fields[4].startswith("*")
    times = sorted(hour * 3600 + minute * MINUTE_S for hour in hours for minute in minutes)
    runs = []
    for since in range(_DAYS_SEEN):
        day = _FIRST_DAY + timedelta(days=since)
        by_date, by_weekday = day.day in days, day.isoweekday() % 7 in weekdays
        if day.month in months and (by_date or by_weekday if either else by_date and by_weekday):
            runs.append(since * DAY_S)
    if len(runs) < 2:
        return None
    within = max((later - earlier for earlier, later in pairwise(times)), default=0)
    between = max(later - earlier for earlier, later in pairwise(runs)) - times[-1] + times[0]
    return float(max(within, between))


def _numbers(field: str, least: int, most: int, names: tuple[str, ...] = (), first: int = 0) -> set[int] | None:
    """The numbers that a field stands for; None if it is not valid."""
    allowed: set[int] = set()
    for part in field.lower().split(","):
        matched = re.fullmatch(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/(\d+))?", part)
        if matched is None:
            return None
        every, begin, end, step = matched.groups()
        if every:
            low, high = least, min(most, 6) if names == _DAYS else most
        else:
            numbers = [_number(each, names, first) for each in (begin, end or begin)]
            if None in numbers:
                return None
            low, high = (int(each or 0) for each in numbers)
            high = most if step and not end else high
        if not least <= low <= high <= most or step == "0":
            return None
        allowed |= set(range(low, high + 1, int(step or 1)))
    return allowed


def _number(text: str, names: tuple[str, ...], first: int) -> int | None:
    if text.isascii() and text.isdigit():
        return int(text)
    return names.index(text) + first if text in names else None

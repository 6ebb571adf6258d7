"""Limits of calls within a sliding window. Time is an argument: monotonic seconds."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass


class SlidingLimit:
    """A maximum number of calls within any window of some seconds.

    Args:
        limit: the maximum number of calls.
        seconds: the length of the window.
        grain_s: calls within this time of each other may be counted together, as if all were sent with the last of
            them, so that a day's calls are not stored one by one. Some then count for longer, none for less.
    """

    def __init__(self, limit: int, seconds: float, *, grain_s: float = 0.0) -> None:
        self.limit = limit
        self.seconds = seconds
        self._grain_s = grain_s
        self._spent: deque[tuple[float, float, int]] = deque()  # since, until when it counts, and how many
        self._used = 0

    def used(self, now: float) -> int:
        """Calls that count now."""
        while self._spent and self._spent[0][1] <= now:
            self._used -= self._spent.popleft()[2]
        return self._used

    def wait_s(self, now: float, calls: int, *, kept: int = 0) -> float:
        """How long until this many calls may be spent; 0 for now, infinity if they never may.

        Args:
            kept: calls that must remain afterwards.
        """
        over = self.used(now) + calls + kept - self.limit
        if over <= 0:
            return 0.0
        if calls + kept > self.limit:
            return math.inf
        for _, until, spent in self._spent:
            over -= spent
            if over <= 0:
                return until - now
        return math.inf  # what is kept is more than the limit

    def spend(self, now: float, calls: int) -> None:
        """Count calls."""
        self.used(now)
        since, until = now, now + self.seconds
        if self._spent and now - self._spent[-1][0] <= self._grain_s:
            since, _, before = self._spent.pop()
            calls, self._used = calls + before, self._used - before
        self._spent.append((since, until, calls))
        self._used += calls


@dataclass(slots=True, kw_only=True)
class ToldLimit:
    """A limit that a vendor reports; it can only reduce what may be spent.

    Attributes:
        limit: calls allowed in total, None if not reported.
        left: calls still allowed, less those spent since the report.
        until: when the count restarts, or the report is too old to be used.
    """

    limit: int | None
    left: int
    until: float

    def wait_s(self, now: float, calls: int, *, kept: int = 0) -> float:
        """How long until this many calls may be spent under this limit."""
        return 0.0 if now >= self.until or calls + kept <= self.left else self.until - now

"""Limits of calls within a time that slides. Time is an argument: seconds of a clock that is never set."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass


class SlidingLimit:
    """At most so many calls within any so many seconds.

    Args:
        limit: most calls.
        seconds: how long each counts.
        grain_s: calls that follow each other so closely may be counted together, as if all came with the last of
            them: a day's calls need not be kept one by one. That counts some of them for longer, and none shorter.
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
        """How long until so many calls may be spent; 0 for now, infinity where they never may.

        Args:
            kept: calls that must be left behind them.
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
    """What a vendor says about its own limit; it only ever takes away from what may be spent.

    Attributes:
        limit: calls it allows altogether, None where it does not say.
        left: calls it still allows, less what was spent since it said so.
        until: when it counts anew, or what it said is too old to go by.
    """

    limit: int | None
    left: int
    until: float

    def wait_s(self, now: float, calls: int, *, kept: int = 0) -> float:
        """How long until so many calls may be spent, as far as this limit goes."""
        return 0.0 if now >= self.until or calls + kept <= self.left else self.until - now

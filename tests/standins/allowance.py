"""How many calls a vendor allows in a span of time."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta

from tests.standins.clock import Clock


class Allowance:
    """A rolling span of time with at most so many calls in it.

    Attributes:
        most: calls that fit; a test may change it.
        span: the length of the span.
        name: the vendor's word for the rule.
    """

    def __init__(self, name: str, most: int, span: timedelta, clock: Clock) -> None:
        self.name = name
        self.most = most
        self.span = span
        self._clock = clock
        self._taken: deque[datetime] = deque()

    def take(self) -> bool:
        """Count a call; False where it is one too many, which is then not counted."""
        if not self.left:
            return False
        self._taken.append(self._clock.now())
        return True

    @property
    def left(self) -> int:
        """Calls that fit now."""
        now = self._clock.now()
        while self._taken and not now - self.span < self._taken[0] <= now:
            self._taken.popleft()
        return max(0, self.most - len(self._taken))

    @property
    def wait_s(self) -> int:
        """Whole seconds until one call fits."""
        if self.left or not self._taken:
            return 0
        over = (self._taken[0] + self.span - self._clock.now()).total_seconds()
        return max(1, int(-(-over // 1)))

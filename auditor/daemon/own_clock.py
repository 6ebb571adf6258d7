"""The clock of the auditor's machine: people hear when it is set.

No verdict would tell them, because the systems may share that clock.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from auditor.daemon.trouble import News
from probes.durations import measured

TOLD_STEP_S = 10.0
"""People hear of a clock that is set by at least this."""

STEADY_S = 300.0
"""The message about it is over when the clock has not been set for so long."""

log = logging.getLogger(__name__)


class OwnClock:
    """Reports steps of this machine's clock.

    Args:
        tell: called with each notification.
        now: for notifications.
        elapsed_s: seconds on a clock that nobody sets.
    """

    def __init__(
        self,
        tell: Callable[[News], None],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        elapsed_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tell = tell
        self._now = now
        self._elapsed_s = elapsed_s
        self._last: tuple[float, News] | None = None

    def was_set(self, by_s: float) -> None:
        """Tell people that the clock was set, if it was set far.

        Args:
            by_s: forward if positive, otherwise back.
        """
        if abs(by_s) < TOLD_STEP_S:
            return
        way = "forward" if by_s > 0 else "back"
        words = f"the clock of this machine was set {way} by {measured(abs(by_s))}"
        log.warning("%s", words)
        now = self._now()
        news = News(
            transition="opened",
            since_at=now,
            at=now,
            summary=f"{words[:1].upper()}{words[1:]}",
            detail="Instants recorded before and after that cannot be compared. Verdicts of changes whose window was "
            "open then are doubtful.",
            breach="clock_step",
        )
        self._tell(news)
        self._last = self._elapsed_s(), news

    def look(self) -> None:
        """Tell people once that it has not been set again for a while."""
        if self._last is not None and self._elapsed_s() - self._last[0] > STEADY_S:
            news, self._last = self._last[1], None
            steady = "The clock of this machine has not been set again"
            self._tell(replace(news, transition="resolved", at=self._now(), summary=steady, detail=""))

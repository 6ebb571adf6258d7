"""A separate limit for one kind of request, because responses do not report what is left of it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from probes.call_deadline import left
from probes.contract import ProbeError, Reason


class Pace:
    """Admits at most a number of callers in any time span; the others wait for their turn within their deadline.

    Args:
        most: callers admitted within the span.
        span_s: its length.
        closing: set on shutdown; it ends every wait at once.
        now: returns monotonic seconds.
    """

    def __init__(
        self, most: int, span_s: float, closing: threading.Event, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._passed: deque[float] = deque([float("-inf")] * most, maxlen=most)
        self._span_s = span_s
        self._closing = closing
        self._now = now
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Wait for a turn.

        Raises:
            ProbeError: `timeout` if it does not come within the call's deadline.
        """
        with self._lock:
            now = self._now()
            at = max(now, self._passed[0] + self._span_s)
            if at - now >= left():
                raise ProbeError(
                    Reason.TIMEOUT, "no search can be sent within the deadline: others are waiting ahead of it"
                )
            self._passed.append(at)
        if at > now:
            self._closing.wait(at - now)

"""Waiting for what is to happen, however slow the machine is."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 60.0
"""Far longer than anything here takes: a test fails because something does not happen, never because it is late."""

PAUSE_S = 0.02
SHARE = 0.2
"""The most of a core's time that checking takes from what is awaited."""


def wait_until(done: Callable[[], object], seconds: float = PATIENCE_S, what: str = "") -> None:
    """Wait until a condition holds, and check it again and again.

    Raises:
        AssertionError: it does not hold in all that time.
    """
    deadline = time.monotonic() + seconds
    begun_s = time.thread_time()
    while not done():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain {what}"
        checked_s = time.thread_time()
        time.sleep(max(PAUSE_S, (checked_s - begun_s) / SHARE))
        begun_s = time.thread_time()

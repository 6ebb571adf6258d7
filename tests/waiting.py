"""Waiting for what is to happen, however slow the machine is."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 60.0
"""Far longer than anything here takes: a test fails because something does not happen, never because it is late."""


def wait_until(done: Callable[[], object], seconds: float = PATIENCE_S, what: str = "") -> None:
    """Wait until something is true, asking again and again.

    Raises:
        AssertionError: it is not in all that time.
    """
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain {what}"
        time.sleep(0.02)

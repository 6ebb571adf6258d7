"""Memory that is given back to the system when it is free.

glibc keeps what was freed: it makes up to eight heaps for each core, one for every few threads, and once a large
block was freed it takes others of its size from a heap as well, whose end is seldom free. After large answers on many
threads a daemon then keeps hundreds of megabytes that it does not need.
Source: mallopt(3).
"""

from __future__ import annotations

import ctypes
import gc
import os
import threading
import time
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8

HEAPS = 2
"""Heaps that threads share. The interpreter's lock lets one of them work at a time anyway."""

LARGE_BYTES = 256 * 1024
"""From this size on a block comes from the system and goes back to it at once."""

SPARE_BYTES = 4 * 1024 * 1024
"""Free memory that a heap keeps at its end."""


def give_memory_back() -> bool:
    """Have free memory given back from now on; answers whether this C library can be told so.

    How many heaps there may be is settled when the process's second thread begins, which some libraries start while
    they are imported: it is to be called before that.

    Whoever sets one of glibc's own variables (`MALLOC_ARENA_MAX` and others) has decided it.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return False
    mallopt = _function("mallopt")
    if mallopt is None:
        return False
    settings = {_M_ARENA_MAX: HEAPS, _M_MMAP_THRESHOLD: LARGE_BYTES, _M_TRIM_THRESHOLD: SPARE_BYTES}
    return all([mallopt(which, size) for which, size in settings.items()])


class Tidier:
    """Looks for what large answers have left behind, and gives it back to the system.

    Drivers leave objects that refer to each other, with whole answers among them; the garbage collector finds them
    late, because an auditor has it look seldom, and glibc gives no page back from the midst of its heaps by itself.

    Args:
        every_s: no sooner after the last time: all other threads wait meanwhile.
    """

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._guard = threading.Lock()
        self._wanted = False
        self._next_at = 0.0

    def want(self) -> None:
        """Something large has been read."""
        self._wanted = True

    def tidy(self) -> bool:
        """Tidy up if that is wanted, and answers whether; called when a call ends, whatever it read."""
        if not self._wanted:
            return False
        with self._guard:
            if not self._wanted or time.monotonic() < self._next_at:
                return False
            self._wanted = False
            self._next_at = time.monotonic() + self._every_s
        gc.collect()
        trim = _function("malloc_trim")
        if trim is not None:
            trim(0)
        return True


def _function(name: str) -> Any:
    """A function of glibc; None where the C library is another."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return None

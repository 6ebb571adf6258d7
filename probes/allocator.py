"""Returning free memory to the system.

glibc keeps freed memory: it makes up to eight heaps per core, one for every few threads, and once a large block was
freed, it also takes others of its size from a heap, which is seldom free at its end. After large responses on many
threads a daemon then keeps hundreds of megabytes that it does not need.
Source: mallopt(3).
"""

from __future__ import annotations

import ctypes
import gc
import os
import threading
import time
from collections.abc import Mapping
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8

HEAPS = 2
"""Heaps that threads share. The interpreter's lock lets only one thread run at a time anyway."""

LARGE_BYTES = 256 * 1024
"""Blocks of at least this size come from the system and go back to it at once."""

SPARE_BYTES = 4 * 1024 * 1024
"""Free memory that a heap keeps at its end."""


def give_memory_back() -> bool:
    """Return free memory from now on; returns whether this C library supports that.

    The number of heaps is fixed when the process's second thread starts, which some libraries do on import: call this
    before that.

    glibc's own variables (`MALLOC_ARENA_MAX` and others) take precedence.
    """
    if _decided(os.environ):
        return False
    mallopt = _function("mallopt")
    if mallopt is None:
        return False
    settings = {_M_ARENA_MAX: HEAPS, _M_MMAP_THRESHOLD: LARGE_BYTES, _M_TRIM_THRESHOLD: SPARE_BYTES}
    return all([mallopt(which, size) for which, size in settings.items()])


def variables(own: Mapping[str, str]) -> dict[str, str]:
    """The same settings for a process of another program, which glibc reads before anything else runs.

    Args:
        own: the environment that the process gets besides; if glibc's own variables are in it, they stay alone.
    """
    if _decided(own):
        return {}
    return {
        "MALLOC_ARENA_MAX": str(HEAPS),
        "MALLOC_MMAP_THRESHOLD_": str(LARGE_BYTES),
        "MALLOC_TRIM_THRESHOLD_": str(SPARE_BYTES),
    }


class Tidier:
    """Returns memory left over from large responses to the system.

    Drivers leave cyclic objects, some with whole responses in them; the garbage collector finds them late, because an
    auditor runs it seldom, and glibc does not return pages from the middle of its heaps by itself.

    Args:
        every_s: the least time between two runs, because all other threads wait meanwhile.
        collect: whether the garbage collector has to run as well.
    """

    def __init__(self, every_s: float, *, collect: bool = True) -> None:
        self._every_s = every_s
        self._collect = collect
        self._guard = threading.Lock()
        self._wanted = False
        self._next_at = 0.0

    def want(self) -> None:
        """Note that something large has been read."""
        self._wanted = True

    def tidy(self) -> bool:
        """Tidy up if requested, and return whether; called at the end of every call."""
        if not self._wanted:
            return False
        with self._guard:
            if not self._wanted or time.monotonic() < self._next_at:
                return False
            self._wanted = False
            self._next_at = time.monotonic() + self._every_s
        if self._collect:
            gc.collect()
        trim = _function("malloc_trim")
        if trim is not None:
            trim(0)
        return True


def _decided(environment: Mapping[str, str]) -> bool:
    """Whether somebody has set one of glibc's variables."""
    return any(name.startswith("MALLOC_") for name in environment)


def _function(name: str) -> Any:
    """A function of glibc; None for another C library."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return None

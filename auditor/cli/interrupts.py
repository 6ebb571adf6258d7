"""Ctrl-C while modules are loaded, which takes most of a short command."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130
"""The exit code of a command that Ctrl-C has stopped."""

ASK_AGAIN_S = 0.005

LONGEST_IMPORT_S = 5.0
"""How long Ctrl-C waits for a module that is being loaded."""


@contextmanager
def quiet() -> Iterator[None]:
    """End the process without a word if Ctrl-C comes meanwhile; for code that has nothing to finish.

    A KeyboardInterrupt would be raised outside of any command, and the interpreter would print where.
    """
    ours = _is_ours()
    if ours:
        signal.signal(signal.SIGINT, _leave)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def outside_imports() -> Iterator[None]:
    """Raise a KeyboardInterrupt for Ctrl-C as soon as no module is being loaded, and at the end if all that is left
    is loading; the process is to exit afterwards.

    Inside an import it may be lost, or become another error: pydantic wraps what is raised while it builds a model.
    """
    if not _is_ours():
        yield
        return
    told_at: float | None = None

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal told_at
        now = time.monotonic()
        if told_at is None:
            told_at = now
        if _imports(frame) and now < told_at + LONGEST_IMPORT_S:
            signal.setitimer(signal.ITIMER_REAL, ASK_AGAIN_S)
            return
        told_at = None
        raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, ask)
    signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is ask:
            signal.signal(signal.SIGINT, _leave)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if told_at is not None:
            raise KeyboardInterrupt


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)


def _is_ours() -> bool:
    """Whether Ctrl-C would raise a KeyboardInterrupt: not where it is ignored, or handled by who has called us."""
    return (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False

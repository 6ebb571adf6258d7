"""Signals that stop the daemon or let it read its map again, and ending in time even if something hangs.

A process that runs until it is stopped may get the signal at any instant: while it waits for a ledger that does not
respond, for the reader of a log line, or for a driver in a call that nothing ends. Everything that counts has been
committed by then or leaves no trace, so ending in the middle loses nothing.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

AT_MOST_S = 6.5
"""From the signal to the end of the process: container runtimes kill ten seconds after it, and threads wake late on a
machine that is short of processor time."""

STARTING_S = 2.0
"""The same before the process is ready: it is waiting for its ledger then and has nothing to finish."""

LAST_WORDS_S = 0.5
"""How long the end waits for log lines to be consumed: there may be no reader."""


def has_terminal() -> bool:
    """Whether the process has a controlling terminal, which sends SIGHUP when it is closed."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


class StopSignals:
    """Catches Ctrl-C and SIGTERM; the first of them ends the process within `AT_MOST_S`.

    SIGHUP ends a process that was started from a terminal, since the terminal has gone. A process without one, such
    as a service, reads its map again. SIGHUP stays ignored if it is ignored, as under `nohup`. Further signals change
    nothing: Ctrl-C may arrive twice, from the terminal and from the parent process.

    Signals go through a pipe to a thread of their own, because a signal delivered to another thread does not wake the
    main thread from waiting for a lock, and the main thread itself may hang.

    Attributes:
        told: set once a signal has arrived.
        ready: set by code that has something to finish.
        reload: set when the map is to be read again; whoever does so clears it.
    """

    def __init__(self) -> None:
        self.told = threading.Event()
        self.ready = threading.Event()
        self.reload = threading.Event()
        self._ends = SIGNALS if has_terminal() else tuple(each for each in SIGNALS if each != signal.SIGHUP)
        caught, tell = os.pipe()
        os.set_blocking(tell, False)
        signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
        for each in SIGNALS:
            if signal.getsignal(each) is not signal.SIG_IGN:
                signal.signal(each, lambda *_: None)
        threading.Thread(target=self._watch, args=(caught,), name="stop-signals", daemon=True).start()

    def _watch(self, caught: int) -> None:
        while (number := os.read(caught, 1)[0]) not in self._ends:
            if number == signal.SIGHUP:
                self.reload.set()
        self.told.set()
        begun = time.monotonic()
        if self.ready.wait(STARTING_S):
            time.sleep(max(0.0, begun + AT_MOST_S - time.monotonic()))
        end(0)


def end(code: int) -> NoReturn:
    """End the process at once, whatever its threads are doing.

    Python's own shutdown waits for threads, and tears down objects that running threads still use.
    """

    def last_words() -> None:
        with contextlib.suppress(OSError, ValueError):
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()

    speaker = threading.Thread(target=last_words, daemon=True)
    with contextlib.suppress(RuntimeError):  # no more threads can be started
        speaker.start()
        speaker.join(LAST_WORDS_S)
    os._exit(code)


def run_all(calls: Iterable[Callable[[], object]], within_s: float) -> list[Exception]:
    """Run calls in parallel, each on its own thread, and wait for them for at most `within_s`.

    Returns:
        The exceptions raised; a TimeoutError for each call that is still running.
    """

    def run(call: Callable[[], object], done: Future[None]) -> None:
        try:
            call()
            done.set_result(None)
        except Exception as error:
            done.set_exception(error)

    futures: list[Future[None]] = []
    for call in calls:
        futures.append(Future())
        threading.Thread(target=run, args=(call, futures[-1]), daemon=True).start()
    ended, hang = wait(futures, within_s)
    failed = [error for each in ended if isinstance(error := each.exception(), Exception)]
    return [*failed, *(TimeoutError() for _ in hang)]

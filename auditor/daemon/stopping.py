"""Being told to stop, and ending in time whatever hangs.

A process that runs until it is told to stop may be told at any instant: while it waits for a ledger that does not
answer, while a log line waits for whoever reads it, while a driver waits in a call that nothing ends. What counts has
been committed by then or leaves no trace, so that nothing is lost by ending in the middle.
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
"""From the signal to the end of the process: container runtimes kill ten seconds after it, and a machine that is
short of processor time wakes nobody in time."""

STARTING_S = 2.0
"""The same while the process is not ready: it waits for its ledger then, and has nothing to finish."""

LAST_WORDS_S = 0.5
"""How long the end waits for what was logged to be taken: nobody may be reading."""


class StopSignals:
    """Catches Ctrl-C, SIGTERM and SIGHUP from now on; the first of them ends the process within `AT_MOST_S`.

    SIGHUP is left alone where it is ignored, as `nohup` has it. Further signals change nothing: Ctrl-C may come
    twice, from the terminal and from whoever started us.

    They come through a pipe to a thread of their own. A signal may be delivered to any thread, and one that goes to
    another than the main thread does not wake it from waiting for a lock; and the main thread may hang itself.

    Attributes:
        told: whether one has come.
        ready: set by whoever has something to finish.
    """

    def __init__(self) -> None:
        self.told = threading.Event()
        self.ready = threading.Event()
        caught, tell = os.pipe()
        os.set_blocking(tell, False)
        signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
        for each in SIGNALS:
            if signal.getsignal(each) is not signal.SIG_IGN:
                signal.signal(each, lambda *_: None)
        threading.Thread(target=self._watch, args=(caught,), name="stop-signals", daemon=True).start()

    def _watch(self, caught: int) -> None:
        while os.read(caught, 1)[0] not in SIGNALS:
            pass  # another signal that has a handler
        self.told.set()
        begun = time.monotonic()
        if self.ready.wait(STARTING_S):
            time.sleep(max(0.0, begun + AT_MOST_S - time.monotonic()))
        end(0)


def end(code: int) -> NoReturn:
    """End the process at once, with whatever its threads are doing.

    Python's own end waits for threads, and takes down what those that go on still use.
    """

    def last_words() -> None:
        with contextlib.suppress(OSError, ValueError):
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()

    said = threading.Thread(target=last_words, daemon=True)
    with contextlib.suppress(RuntimeError):  # no more threads can be started
        said.start()
        said.join(LAST_WORDS_S)
    os._exit(code)


def run_all(calls: Iterable[Callable[[], object]], within_s: float) -> list[Exception]:
    """Run calls side by side, each on a thread of its own, and wait for them no longer than so many seconds.

    Returns:
        What those raised that did; TimeoutError for each that still runs.
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

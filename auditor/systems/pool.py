"""A bounded pool of threads that never keep the process from ending.

With `concurrent.futures.ThreadPoolExecutor` the process would wait at its end for any hung call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")


class Pool:
    """Runs calls, a few at once and the others in order.

    Args:
        threads: the most calls that run at once. A thread is only started when all others are busy.
        name: the name of its threads.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._threads = threads
        self._name = name
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._guard = threading.Lock()
        self._workers = 0
        self._under_way = 0
        self._closed = False

    def submit(self, call: Callable[[], ResultT]) -> Future[ResultT]:
        """Run a call as soon as a thread is free.

        Raises:
            RuntimeError: the pool is closed.
        """
        future: Future[ResultT] = Future()
        with self._guard:
            if self._closed:
                raise RuntimeError(f"{self._name} is closed")
            self._under_way += 1
            self._calls.put((future, call))
            if self._workers < min(self._threads, self._under_way):
                self._workers += 1
                name = f"{self._name}-{self._workers}"
                threading.Thread(target=self._work, name=name, daemon=True).start()
        return future

    def _work(self) -> None:
        while (given := self._calls.get()) is not None:
            future, call = given
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:
                    future.set_exception(error)
            del given, future, call  # the result is not kept until the next call
            with self._guard:
                self._under_way -= 1

    def close(self) -> None:
        """Start no more calls; waiting ones are cancelled, running ones are abandoned."""
        with self._guard:
            if self._closed:
                return
            self._closed = True
            while not self._calls.empty():
                given = self._calls.get()
                if given is not None:
                    given[0].cancel()
                    self._under_way -= 1
            for _ in range(self._workers):
                self._calls.put(None)

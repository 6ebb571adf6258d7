"""Figures that several sessions ask for at once are computed once; no Streamlit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, TypeVar

Figure = TypeVar("Figure")


class Memo:
    """Keeps figures until it is cleared. Who asks for one that is being computed waits for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Hashable, Future[Any]] = {}

    def get(self, key: Hashable, compute: Callable[[], Figure]) -> Figure:
        """The figure of this key. What `compute` raises is raised for all who wait, and is not kept."""
        with self._lock:
            known = self._kept.get(key)
            mine: Future[Any] = Future()
            if known is None:
                self._kept[key] = mine
        if known is not None:
            found: Figure = known.result()
            return found
        try:
            figure = compute()
        except BaseException as error:
            with self._lock:
                if self._kept.get(key) is mine:
                    del self._kept[key]
            mine.set_exception(error)
            raise
        mine.set_result(figure)
        return figure

    def has(self, key: Hashable) -> bool:
        """Whether nobody would wait for this figure."""
        with self._lock:
            known = self._kept.get(key)
        return known is not None and known.done()

    def clear(self) -> list[Any]:
        """Forget all figures and return those that are computed; who waits still gets the figure."""
        with self._lock:
            kept = list(self._kept.values())
            self._kept.clear()
        return [each.result() for each in kept if each.done() and each.exception() is None]

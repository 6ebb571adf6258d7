"""Merge functions that the map names: loaded once, called with a deadline, never called again after a hang."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from checks.conflicts import Merge, MergeError

DEADLINE_S = 1.0
"""A merge function must return within this, because it is called during an audit."""


def load_merge(name: str) -> Merge:
    """Find a function by `module:function` and guard it.

    Raises:
        MergeError: the module or function does not exist.
    """
    module_name, separator, function_name = name.partition(":")
    if not separator or not module_name or not function_name:
        raise MergeError(f"{name!r} is not of the form module:function")
    try:
        function: Any = importlib.import_module(module_name)
        for part in function_name.split("."):
            function = getattr(function, part)
    except Exception as error:
        # Importing the module may fail in any way; the map only needs to know that it is unusable.
        raise MergeError(f"cannot load {name}: {type(error).__name__}: {error}") from error
    if not callable(function):
        raise MergeError(f"{name} is not a function")
    return _Guarded(name, function)


class _Guarded:
    """Calls user code in its own thread, and gives up on it after the deadline."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self._function = function
        self._hung = False

    def __call__(
        self, owner: Mapping[str, Any], target: Mapping[str, Any], changed: Mapping[str, Sequence[str]]
    ) -> Mapping[str, Any]:
        if self._hung:
            raise MergeError(f"{self.name} took longer than {DEADLINE_S:g} s before; restart to try it again")
        answer: list[Any] = []
        failed: list[BaseException] = []

        def call() -> None:
            try:
                answer.append(self._function(dict(owner), dict(target), dict(changed)))
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=call, name=f"merge {self.name}", daemon=True)
        thread.start()
        thread.join(DEADLINE_S)
        if thread.is_alive():
            self._hung = True
            raise MergeError(f"{self.name} took longer than {DEADLINE_S:g} s")
        if failed:
            # Only the type: the text may quote values.
            raise MergeError(f"{self.name} raised {type(failed[0]).__name__}")
        if not isinstance(answer[0], Mapping):
            raise MergeError(f"{self.name} answered {type(answer[0]).__name__} and no mapping of fields to values")
        return answer[0]

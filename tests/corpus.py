"""One test over a whole corpus: every text is tried, and a failure names each that failed."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any


def each_of(corpus: Mapping[str, Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Call a test with every entry of a corpus as its first argument.

    Thousands of tests that take less than collecting them are one test; none of them is left out after a failure.
    """

    def decorate(check: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(check)
        rest = list(signature.parameters.values())[1:]

        def over_all(**given: Any) -> None:
            failures: list[Exception] = []
            for name, entry in corpus.items():
                try:
                    check(entry, **given)
                except Exception as failure:
                    failure.add_note(f"with {name!r}")
                    failures.append(failure)
            if failures:
                named = ", ".join(failure.__notes__[-1] for failure in failures[:20])
                raise ExceptionGroup(f"{len(failures)} of {len(corpus)} failed: {named}", failures)

        made: Any = functools.update_wrapper(over_all, check)
        del made.__wrapped__  # in which pytest would see the first argument
        made.__signature__ = signature.replace(parameters=rest)
        return made  # type: ignore[no-any-return]

    return decorate

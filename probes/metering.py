"""Counting what is sent to a system: a call is spent before each request or statement leaves.

Whoever owns a system's budget says for a while, and for everything that is called meanwhile, from which meter calls
are spent (`metered`). Whatever sends something spends at its one point: `probes.bounded_http.BoundedClient` each
request, a login's included, `probes.records.sql.sessions.Sessions` each statement, a connection of MongoDB each
command but those that end something. Code that sends by a way of its own calls `spend()` before it does, and
`learned()` with what a vendor's headers tell. Threads inherit the meter with their context
(`contextvars.copy_context`); without one nothing is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from probes.contract import ProbeError


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """What a vendor says about one of its limits, in the headers of an answer.

    Attributes:
        limit: calls that it allows altogether, None where it does not say.
        left: calls that it still allows, None where it does not say.
        resets_in_s: when it counts anew, None where it does not say, or where its window slides.
        per: how long its window is in seconds, None where that is not known.
    """

    limit: int | None = None
    left: int | None = None
    resets_in_s: float | None = None
    per: float | None = None


class SpentError(ProbeError):
    """A budget of the map is spent: nothing was sent, and nothing follows about the system.

    Attributes:
        sent: calls that the same call of the probe had sent before.
    """

    sent = 0


class Meter(Protocol):
    """Counts the calls of one system; called from any thread."""

    def spend(self, calls: int = 1) -> None:
        """Spend calls that are about to be sent; may wait for a moment within the deadline of the call under way.

        Raises:
            SpentError: they may not be sent now; its reason is `over_budget`, its `retry_after_s` says when they may,
                as far as that can be told.
        """

    def learned(self, limit: RateLimit) -> None:
        """Take into account what the vendor says about its own limit."""


class _Unmetered:
    def spend(self, calls: int = 1) -> None:
        pass

    def learned(self, limit: RateLimit) -> None:
        pass


UNMETERED: Meter = _Unmetered()
"""Counts nothing."""

_meter: ContextVar[Meter] = ContextVar("meter", default=UNMETERED)


@contextmanager
def metered(meter: Meter) -> Iterator[None]:
    """Spend what is sent meanwhile from this meter."""
    token = _meter.set(meter)
    try:
        yield
    finally:
        _meter.reset(token)


def meter() -> Meter:
    """The meter of what is called now; for a thread or a connection that outlives the call."""
    return _meter.get()


def spend(calls: int = 1) -> None:
    """Spend calls that are about to be sent; see `Meter.spend`."""
    _meter.get().spend(calls)


def learned(limit: RateLimit) -> None:
    """Tell what the vendor says about its own limit; see `Meter.learned`."""
    _meter.get().learned(limit)

"""Counting what is sent to a system: a call is spent before each request or statement leaves.

The owner of a system's budget sets, for a while and for everything called meanwhile, the meter that calls are spent
from (`metered`). Every sender spends at a single point: `probes.bounded_http.BoundedClient` for each request,
including a login's, `probes.records.sql.sessions.Sessions` for each statement, a MongoDB connection for each command
except those that end something. Code that sends in another way calls `spend()` first, and `learned()` with what a
vendor's headers report. Threads inherit the meter with their context (`contextvars.copy_context`); without one
nothing is counted. Some systems limit one kind of request apart from others (a search, an export): a probe names it
(`operation`), and its settings or the map say how often it may be sent.
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
    """One of a vendor's limits, from the headers of a response.

    Attributes:
        limit: calls allowed in total, None if not reported.
        left: calls still allowed, None if not reported.
        resets_in_s: when the count restarts, None if not reported, or if its window slides.
        per: the length of its window in seconds, None if unknown.
    """

    limit: int | None = None
    left: int | None = None
    resets_in_s: float | None = None
    per: float | None = None


class SpentError(ProbeError):
    """A budget of the map is spent: nothing was sent, which says nothing about the system.

    Attributes:
        sent: calls that the same call of the probe had sent before.
    """

    sent = 0


class Meter(Protocol):
    """Counts the calls of one system; called from any thread."""

    def spend(self, calls: int = 1) -> None:
        """Spend calls that are about to be sent; may wait for a moment within the deadline of the current call.

        Raises:
            SpentError: they may not be sent now; its reason is `over_budget`, its `retry_after_s` says when they may,
            if known.
        """

    def learned(self, limit: RateLimit) -> None:
        """Take the vendor's own limit into account."""


class _Unmetered:
    def spend(self, calls: int = 1) -> None:
        pass

    def learned(self, limit: RateLimit) -> None:
        pass


UNMETERED: Meter = _Unmetered()
"""Counts nothing."""

_meter: ContextVar[Meter] = ContextVar("meter", default=UNMETERED)
_operation: ContextVar[str] = ContextVar("operation", default="")


@contextmanager
def metered(meter: Meter) -> Iterator[None]:
    """Spend calls made meanwhile from this meter."""
    token = _meter.set(meter)
    try:
        yield
    finally:
        _meter.reset(token)


def meter() -> Meter:
    """The meter of the current call; for a thread or a connection that outlives the call."""
    return _meter.get()


def spend(calls: int = 1) -> None:
    """Spend calls that are about to be sent; see `Meter.spend`."""
    _meter.get().spend(calls)


def learned(limit: RateLimit) -> None:
    """Report a vendor's own limit; see `Meter.learned`."""
    _meter.get().learned(limit)


@contextmanager
def operation(name: str) -> Iterator[None]:
    """Send calls meanwhile for this operation, which may have limits of its own; "" for none."""
    token = _operation.set(name)
    try:
        yield
    finally:
        _operation.reset(token)


def current_operation() -> str:
    """The operation that calls are sent for, "" for none."""
    return _operation.get()

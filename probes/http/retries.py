"""Retries of transient failures: a few times, with growing random pauses, never beyond the call's deadline.

Only reads are sent, so every request may be repeated. That is worth it if the server did not respond (a
connection that is refused or reset, 502, 504) or requests a short pause (429 and 503 with `Retry-After`: once,
because otherwise the whole call would have to start again; longer pauses are left to the caller). A request that used
up its time is not repeated.
"""

from __future__ import annotations

import random
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

import tenacity
from tenacity.stop import stop_base

from probes.call_deadline import left
from probes.contract import ProbeError, Reason

LONGEST_WAIT_S = 2.0
"""The longest pause within a call; for longer ones the system is paused for all callers."""

FIRST_WAIT_S, MOST_WAIT_S = 0.1, 1.0
"""The first pause, which doubles, and the longest; each is drawn between half and all of it."""

LEAST_LEFT_S = 0.05
"""This much of the deadline must be left after a pause."""

ResultT = TypeVar("ResultT")


class PassingError(Exception):
    """A request failed in a way that may be transient.

    Attributes:
        error: the error to report if it is not.
        wait_s: the pause that the server requests, None if it requests none.
    """

    def __init__(self, error: ProbeError, wait_s: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait_s = wait_s


def repeated(send: Callable[[], ResultT], *, retries: int, closing: threading.Event) -> ResultT:
    """Send a request, and send it again while its failure may be transient; returns its result.

    Args:
        retries: the most repetitions.
        closing: set on shutdown; it ends a pause at once.

    Raises:
        ProbeError: of the last attempt, or of the one before if the last had no time left.
    """
    try:
        return send()
    except PassingError as failure:
        passing, first = [failure], [failure]

    def tried() -> ResultT:
        if first:
            raise first.pop()
        try:
            return send()
        except PassingError as failure:
            passing.append(failure)
            raise

    again = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(PassingError),
        wait=_pause_s,
        stop=tenacity.stop_any(
            tenacity.stop_after_attempt(retries + 1),
            tenacity.stop_when_event_set(closing),
            _NoTimeLeft(),
            _PausedTwice(passing),
        ),
        sleep=tenacity.sleep_using_event(closing),
        reraise=True,
    )
    try:
        return again(tried)
    except PassingError as failure:
        raise _last(failure, passing) from None
    except ProbeError as failure:
        if failure.reason is Reason.TIMEOUT:
            raise passing[-1].error from None
        raise


def _pause_s(state: tenacity.RetryCallState) -> float:
    """How long to wait before the next attempt: as long as the server requests, and a little longer."""
    share = random.uniform(0.5, 1.0)  # noqa: S311 -- many clients must not come back at the same moment
    requested_s = _failure(state).wait_s
    if requested_s is not None:
        return requested_s + FIRST_WAIT_S * share
    most_s: float = min(MOST_WAIT_S, FIRST_WAIT_S * 2 ** (state.attempt_number - 1))
    return most_s * share


class _NoTimeLeft(stop_base):
    """Stops if the next attempt would start too late, or after too long a pause."""

    def __call__(self, state: tenacity.RetryCallState) -> bool:
        requested_s = _failure(state).wait_s
        if requested_s is not None and requested_s > LONGEST_WAIT_S:
            return True
        try:
            return state.upcoming_sleep + LEAST_LEFT_S >= left()
        except ProbeError:
            return True  # the deadline has passed


class _PausedTwice(stop_base):
    """Stops if the server has requested a pause, got it, and requests another one.

    The longer pause is up to the caller: two layers of retries would multiply the calls.
    """

    def __init__(self, passing: Sequence[PassingError]) -> None:
        self._passing = passing

    def __call__(self, state: tenacity.RetryCallState) -> bool:
        return sum(each.wait_s is not None for each in self._passing) > 1


def _last(failure: PassingError, passing: Sequence[PassingError]) -> ProbeError:
    """The error to report: a server that keeps requesting short pauses is left alone for longer."""
    error = failure.error
    if failure.wait_s is None or sum(each.wait_s is not None for each in passing) < 2:
        return error
    wait_s = max(error.retry_after_s or 0.0, LONGEST_WAIT_S)
    return ProbeError(error.reason, error.message, hint=error.hint, retry_after_s=wait_s)


def _failure(state: tenacity.RetryCallState) -> PassingError:
    failure = state.outcome.exception() if state.outcome else None
    assert isinstance(failure, PassingError)
    return failure


def passes(error: BaseException) -> bool:
    """Whether a failed connection may succeed in a moment: not so for names and certificates."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return False
        if isinstance(seen, socket.gaierror):
            return seen.errno == socket.EAI_AGAIN
        seen = seen.__cause__ or seen.__context__
    return True

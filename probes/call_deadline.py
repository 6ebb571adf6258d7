"""One deadline for a whole call of a probe, however many requests it sends and however slow the responses.

Drivers limit single waits: a broker that sends a byte now and then, or a list of many slow pages, never exceeds one.
Code that waits here asks how much time the call has left; waits that cannot be limited in advance are cut off by a
watchdog from another thread.
"""

from __future__ import annotations

import functools
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from probes.contract import ProbeError, Reason
from probes.room import Share
from probes.wording import figure

AGAIN_S = 0.25
"""A watchdog that has cut off a call repeats that at this interval, until the call has ended."""

P = ParamSpec("P")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class _Call:
    """A running call.

    Attributes:
        until: when it must have ended, in monotonic seconds.
        seconds: how long it may take, for messages.
        share: its share of the memory that responses may take in this process.
    """

    until: float
    seconds: float
    share: Share


_call: ContextVar[_Call | None] = ContextVar("call", default=None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """A call with this time limit; inside another call it ends no later than that one."""
    now, outer = time.monotonic(), _call.get()
    share = Share() if outer is None else outer.share
    inner = _Call(now + seconds, seconds, share)
    token = _call.set(inner if outer is None or inner.until < outer.until else outer)
    try:
        yield
    finally:
        _call.reset(token)
        if outer is None:
            share.end()


def one_call(method: Callable[P, ResultT]) -> Callable[P, ResultT]:
    """Make a probe's method one call: it ends within the probe's `timeout_s`, whatever it sends."""
    return _limited(method, 1)


def some_calls(times: int) -> Callable[[Callable[P, ResultT]], Callable[P, ResultT]]:
    """The same for a method that may take as long as several calls."""
    return lambda method: _limited(method, times)


def _limited(method: Callable[P, ResultT], times: int) -> Callable[P, ResultT]:
    @functools.wraps(method)
    def limited(*words: P.args, **named: P.kwargs) -> ResultT:
        probe: Any = words[0]
        try:
            with within(times * probe.timeout_s):
                return method(*words, **named)
        except ProbeError as error:
            _forget(error)
            raise

    return limited


def _forget(error: ProbeError) -> None:
    """Drop the ended call's locals; otherwise keeping its error would keep the whole response in memory."""
    if error.__suppress_context__:
        error.__context__ = None
    traceback.clear_frames(error.__traceback__)


def left(limit: float | None = None) -> float:
    """How long the current call may still wait, in seconds, at most `limit`.

    Raises:
        ProbeError: `timeout` if its deadline has passed.
    """
    call = _call.get()
    if call is None:
        return float("inf") if limit is None else limit
    remaining = call.until - time.monotonic()
    if remaining <= 0:
        raise timed_out(call.seconds)
    return remaining if limit is None else min(remaining, limit)


def spare() -> float:
    """How long the call under way may wait for its turn, in seconds: half of its time is for the answers.

    Infinite where no call is under way.
    """
    call = _call.get()
    return float("inf") if call is None else max(0.0, call.until - time.monotonic() - call.seconds / 2)


def passed() -> bool:
    """Whether the deadline of the current call has passed."""
    call = _call.get()
    return call is not None and time.monotonic() >= call.until


def begins() -> None:
    """Start a response: this thread is done with the one before."""
    call = _call.get()
    if call is not None:
        call.share.begin()


def came(size: int) -> None:
    """Count received bytes of the response; many bytes wait until there is room for them.

    Raises:
        ProbeError: `over_budget` if there was none until the call's deadline.
    """
    call = _call.get()
    if call is not None:
        call.share.came(size, call.until)


def becomes(size: int, *, beside: bool = False) -> None:
    """Reserve memory for decoding the response; waits until there is room for it.

    The room is held until the next response starts or the call ends.

    Args:
        beside: `size` does not include its bytes, which stay in memory as well.

    Raises:
        ProbeError: `over_budget` if there was none until the call's deadline.
    """
    call = _call.get()
    if call is not None:
        call.share.becomes(size, call.until, beside=beside)


def timed_out(seconds: float) -> ProbeError:
    """The error of a call past its deadline."""
    return ProbeError(
        Reason.TIMEOUT,
        f"no answer within {figure(seconds)} s",
        hint="is the server hanging? raise the timeout if it is only slow",
    )


class Watchdog:
    """Cuts something off, from another thread, when the current call has passed its deadline.

    Args:
        cut: wakes the waiting code; may be called from any thread, and never raises.
        slack_s: how much longer than the deadline it waits, if the driver has its own limit.

    Attributes:
        expired: whether it has cut off the call.
    """

    def __init__(self, cut: Callable[[], None], *, slack_s: float = 0.0) -> None:
        self._cut = cut
        self._slack_s = slack_s
        self.expired = False

    def _watch(self, seconds: float) -> None:
        while not self._over.wait(seconds):
            self.expired = True
            self._cut()
            seconds = AGAIN_S  # code between two waits did not notice

    def __enter__(self) -> Watchdog:
        self._over = threading.Event()
        seconds = min(left() + self._slack_s, threading.TIMEOUT_MAX)
        threading.Thread(target=self._watch, args=(seconds,), name="watchdog", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

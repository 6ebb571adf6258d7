"""Calling a system: within a deadline, and not while it is silent or asks for a pause.

Each system has its own bounded pool of threads, so that a hung system delays only the flows that need it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from auditor.systems.allowance import Allowance, CallMeter
from auditor.systems.health import Health
from auditor.systems.pool import Pool
from probes.contract import ClockSample, ProbeError, Reason, RecordProbe
from probes.metering import SpentError, metered
from probes.secrets import Scrubber
from probes.settings import SystemSettings

GRACE_S = 1.0
"""Grace period after a probe's deadline before it is given up."""


SILENT_S = 5.0
"""A system that did not respond even about its clock is tried again after this time, by one caller. The others fail
at once, so that one hung system does not block all threads."""


SLOW_S = 1.0
"""Failures that took less time do not block anyone."""


NO_ANSWER = frozenset({Reason.TIMEOUT, Reason.UNREACHABLE})


PATIENCE_S = 10.0
"""How long one reading waits in total if a system asks for a pause."""


MOMENT_S = 0.05
"""Extra wait beyond the requested pause, doubled with each further attempt."""


LONGEST_REST_S = 300.0
"""The longest pause: a system that asks for more is called again after this time anyway."""


ResultT = TypeVar("ResultT")


class ReaderClosedError(Exception):
    """The auditor is stopping: a read was cut off, and nothing follows from it, about the system least of all."""


@dataclass(slots=True, kw_only=True)
class _Silence:
    """A system's silence.

    Attributes:
        failure: of the last caller.
        asked_at, again_at: when that was, and when one caller tries again, in monotonic seconds.
        certain: reading the clock failed, too, and not only a call that may be slow by itself.
        asking: the clock is being read just now.
    """

    failure: ProbeError
    asked_at: float
    again_at: float
    certain: bool
    asking: Future[ClockSample] | None = None


@dataclass(slots=True)
class Patience:
    """How long a reading may still wait, and its minimum wait before the next attempt.

    Attributes:
        sent: calls that its last call of the probe has sent.
    """

    left_s: float = PATIENCE_S
    least_s: float = MOMENT_S
    sent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rest:
    """A pause that a system has asked for.

    Attributes:
        failure: the failure that asked for it.
        asked_at, until: when it was requested, and when it ends, in monotonic seconds.
    """

    failure: ProbeError
    asked_at: float
    until: float


def utc_now() -> datetime:
    """The present."""
    return datetime.now(UTC)


class Caller:
    """Calls one system's probe.

    Args:
        name: the system's name in the map.
        probe: opened; closed by `close()`.
        allowance: from which its calls are spent; its own where it shares none.

    Attributes:
        health: the system's recent availability.
    """

    def __init__(
        self, name: str, settings: SystemSettings, probe: RecordProbe, allowance: Allowance | None = None
    ) -> None:
        self.name = name
        self.allowance = allowance or Allowance(name, settings.budget, operations=settings.operation_limits)
        self.probe = probe
        self.health = Health()
        self._timeout_s = settings.budget.timeout_s
        self._scrub = Scrubber.of(settings)
        self._pool = Pool(settings.budget.connections, f"read-{name}")
        self._closing: Future[None] = Future()
        self._silence: _Silence | None = None
        self._rest: _Rest | None = None
        self._lock = threading.Lock()

    @property
    def answers(self) -> bool:
        """Whether it has responded and has not fallen silent since."""
        return self.health.last_ok_at is not None and self._silence is None

    def call(self, read: Callable[[], ResultT], *, requests: int = 1, meter: CallMeter | None = None) -> ResultT:
        """Run one probe call within the deadline; anything it raises comes out as a ProbeError.

        While the system does not respond at all, only one call per `SILENT_S` waits for it.

        Args:
            requests: how many the call may send, each with its own deadline.
            meter: counts what it sends.

        Raises:
            ProbeError: the probe failed.
            ReaderClosedError: the reader was closed before the call ended.
        """
        self.break_silence()
        self.keep_rest()
        return self.measured(read, clock=False, requests=requests, meter=meter)

    def patiently(self, patience: Patience, read: Callable[[], ResultT], *, parts: bool = False) -> ResultT:
        """As `call`, but if the system asks for a pause, wait and try again.

        The same where its budget is spent for a moment.

        Args:
            parts: less can be asked for at once. A call that its budget has cut off in the middle is not sent again:
                all that it got would be asked for a second time.
        """
        while True:
            meter = CallMeter(self.allowance)
            try:
                answer = self.call(read, meter=meter)
                patience.sent = meter.calls
                return answer
            except ProbeError as failure:
                rest = self._rest
                if isinstance(failure, SpentError):
                    failure.sent = meter.calls
                    if failure.retry_after_s is None or (parts and meter.calls):
                        raise
                    wait_s = failure.retry_after_s
                elif failure.retry_after_s is None or rest is None:
                    raise
                else:
                    wait_s = max(0.0, rest.until - time.monotonic())
                wait_s += patience.least_s
                if wait_s > patience.left_s:
                    raise
                patience.left_s -= wait_s
                patience.least_s *= 2
                wait((self._closing,), wait_s)

    def keep_rest(self) -> None:
        """Respect a pause that the system asked for.

        Raises:
            ProbeError: a pause is in force.
        """
        with self._lock:
            rest, now = self._rest, time.monotonic()
            if rest is None or now >= rest.until:
                return
            failure = rest.failure
            raise ProbeError(
                failure.reason,
                f"{failure.message}, {now - rest.asked_at:.0f} s ago",
                hint=f"{failure.hint}; it is asked again in {rest.until - now:.0f} s",
                retry_after_s=failure.retry_after_s,
            )

    def _take_rest(self, failure: ProbeError) -> None:
        if failure.retry_after_s is None:
            return
        now = time.monotonic()
        rest = _Rest(failure=failure, asked_at=now, until=now + min(failure.retry_after_s, LONGEST_REST_S))
        with self._lock:
            self._rest = rest

    def measured(
        self, read: Callable[[], ResultT], *, clock: bool, requests: int = 1, meter: CallMeter | None = None
    ) -> ResultT:
        begun = time.monotonic()
        try:
            answer = self._wait(self._submit(read, meter), requests)
        except SpentError:
            raise  # it says nothing about the system
        except ProbeError as failure:
            self._note(failure, begun)
            self._take_rest(failure)
            if failure.reason in NO_ANSWER and time.monotonic() - begun >= min(SLOW_S, self._timeout_s):
                self._fall_silent(failure, certain=clock)
            raise
        self._note(None, begun)
        return answer

    def _submit(self, read: Callable[[], ResultT], meter: CallMeter | None = None) -> Future[ResultT]:
        """Run a call in the pool, in this thread's context: who reads, and from which meter, goes with it."""

        def metered_read() -> ResultT:
            with metered(meter or CallMeter(self.allowance)):
                return read()

        context = copy_context()
        try:
            return self._pool.submit(lambda: context.run(metered_read))
        except RuntimeError:
            raise ReaderClosedError(self.name) from None

    def _wait(self, future: Future[ResultT], requests: int = 1) -> ResultT:
        either: tuple[Future[Any], ...] = (future, self._closing)
        wait(either, requests * self._timeout_s + GRACE_S, FIRST_COMPLETED)
        if self._closing.done():
            future.cancel()
            raise ReaderClosedError(self.name)
        if not future.done():
            future.cancel()
            raise ProbeError(
                Reason.TIMEOUT,
                f"no answer within {requests * self._timeout_s:g} s",
                hint="is the server hanging? raise budget.timeout if it is only slow",
            )
        try:
            return future.result()
        except Exception as error:
            raise self._scrub.error(error) from None

    def _fall_silent(self, failure: ProbeError, *, certain: bool) -> None:
        now = time.monotonic()
        again_at = now + min(SILENT_S, self._timeout_s) if certain else now
        with self._lock:
            if self._silence is None or certain:
                self._silence = _Silence(failure=failure, asked_at=now, again_at=again_at, certain=certain)

    def break_silence(self) -> None:
        """Check whether a silent system responds again, by reading its clock, which is never slow by itself.

        Raises:
            ProbeError: it does not respond.
        """
        with self._lock:
            silence, now = self._silence, time.monotonic()
            if silence is None:
                return
            if silence.certain and (silence.asking is not None or now < silence.again_at):
                failure = silence.failure
                tried = f"{failure.message}, last tried {now - silence.asked_at:.0f} s ago"
                raise ProbeError(failure.reason, tried, hint=failure.hint)
            if silence.asking is None:
                silence.asking = self._submit(self.probe.clock)
        begun = time.monotonic()
        try:
            self._wait(silence.asking)
        except SpentError:
            with self._lock:
                silence.asking = None
            raise
        except ProbeError as failure:
            if failure.reason in NO_ANSWER:
                self._note(failure, begun)
                self._fall_silent(failure, certain=True)
                raise
        with self._lock:
            if self._silence is silence:
                self._silence = None

    def _note(self, failure: ProbeError | None, begun: float) -> None:
        now = datetime.now(UTC)
        with self._lock:
            known = self.health
            if failure is None:
                self.health = Health(last_ok_at=now, latency_s=time.monotonic() - begun)
            else:
                self.health = Health(
                    failures=known.failures + 1,
                    failing_since=known.failing_since or now,
                    last_ok_at=known.last_ok_at,
                    reason=failure.reason.value,
                    message=failure.message + (f" ({failure.hint})" if failure.hint else ""),
                )

    def close(self) -> None:
        """Close the probe, cutting off calls under way."""
        with self._lock:
            if not self._closing.done():
                self._closing.set_result(None)
        self._pool.close()
        self.probe.close()
        self.allowance.close()

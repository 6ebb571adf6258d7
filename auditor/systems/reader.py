"""Reading systems: deadlines, pools, batches, budgets and clocks, once for every probe.

Each system has its own bounded pool of threads, so that a system that hangs delays only who needs it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from auditor.map.integration_map import IntegrationMap
from auditor.systems.batches import Batches
from auditor.systems.health import ClockStep, Health
from auditor.systems.pool import Pool
from checks.clocks import ClockBounds, aim_s, narrow, worth_aiming
from probes import registry
from probes.contract import (
    ClockSample,
    Key,
    Page,
    ProbeError,
    Reading,
    ReadSpec,
    Reason,
    RecordProbe,
    Row,
    SystemSettings,
)
from probes.secrets import Scrubber

READ_BATCH = 500
CLOCK_KEEPS_S = 30.0
AIMED_EXCHANGES = 8
REQUESTS_PER_LISTING = 200
"""Requests that one listing may take to fill up with records, where the system answers few at a time, or none."""

LISTING_S = 30.0
"""How long one listing may take altogether, however slowly its pages come; it goes on from there the next time."""

GRACE_S = 1.0
"""How much later than its deadline a probe may answer before it is given up on."""

SILENT_S = 5.0
"""A system that gave no answer even about its clock is asked again after this time, by one of those who need it.
The others are told at once, so that one hung system does not hold up all threads."""

ASIDE_RESTS_S = 30.0
"""A system that gave no answer is asked nothing aside for this time: there is no verdict that waits for it."""

SLOW_S = 1.0
"""Failures that took less keep nobody waiting."""

NO_ANSWER = frozenset({Reason.TIMEOUT, Reason.UNREACHABLE})

PATIENCE_S = 10.0
"""How long one reading waits altogether where a system asks to be left alone for a while."""

MOMENT_S = 0.05
"""What is waited beyond the time asked for, twice as long with each further try."""

LONGEST_REST_S = 300.0
"""A system that asks to be left alone for longer is asked again after this time all the same."""

ResultT = TypeVar("ResultT")


class ReaderClosedError(Exception):
    """The auditor is stopping: a read was cut off, and nothing follows from it, about the system least of all."""


@dataclass(slots=True, kw_only=True)
class _Silence:
    """That a system gives no answer.

    Attributes:
        failure: of the last one who asked.
        asked_at, again_at: when that was, and from when on somebody asks again, in monotonic seconds.
        certain: the clock was asked in vain, too, and not only something that may be slow by itself.
        asking: the clock is being asked just now.
    """

    failure: ProbeError
    asked_at: float
    again_at: float
    certain: bool
    asking: Future[ClockSample] | None = None


@dataclass(slots=True)
class _Patience:
    """How long a reading may still wait, and the least it waits before the next try."""

    left_s: float = PATIENCE_S
    least_s: float = MOMENT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rest:
    """That a system has asked to be left alone.

    Attributes:
        failure: with which it asked.
        asked_at, until: when, and until when it is, in monotonic seconds.
    """

    failure: ProbeError
    asked_at: float
    until: float


class SystemReader:
    """Reads one system for everybody who needs it.

    Args:
        name: the system's name in the map.
        probe: opened; closed by `close()`.
    """

    def __init__(self, name: str, settings: SystemSettings, probe: RecordProbe) -> None:
        self.name = name
        self.probe = probe
        self.health = Health()
        self.clock: ClockBounds | None = None
        self.clock_failure: ProbeError | None = None
        self._clock_steps: list[ClockStep] = []
        self._timeout_s = settings.budget.timeout_s
        self._scrub = Scrubber.of(settings)
        self._pool = Pool(settings.budget.connections, f"read-{name}")
        self._closing: Future[None] = Future()
        self._silence: _Silence | None = None
        self._aside: Future[Reading] | None = None
        self._rest: _Rest | None = None
        self._lock = threading.Lock()

    def fetch(self, spec: ReadSpec, keys: Sequence[Key]) -> Reading:
        """Read the records with these keys, however many; see `Reading` for what failed.

        One record does not spoil the others (`auditor.systems.batches`). Where the system asks to be left alone for
        longer than a reading waits, what was read stands, and the keys that are left cannot be verified. Every key
        carries the instants of its own batch: a reading of many batches is many readings.
        """
        sent_at = datetime.now(UTC)
        error: ProbeError | None = None
        patience = _Patience()
        batches = Batches(lambda batch: self._patiently(patience, lambda: self.probe.fetch(spec, batch)))
        try:
            batches.read(keys, max(1, min(READ_BATCH, self.probe.batch_limit(spec))))
        except ProbeError as failure:
            if failure.reason is Reason.OVER_BUDGET and batches.instants:
                batches.give_up(keys, failure)
            else:
                error = failure
        return Reading(
            system=self.name,
            sent_at=sent_at,
            received_at=datetime.now(UTC),
            rows=batches.rows,
            error=error,
            unreadable=batches.unreadable,
            instants=batches.instants,
        )

    def fetch_aside(self, spec: ReadSpec, keys: Sequence[Key], within_s: float) -> Reading | None:
        """Read records that nobody may wait for; None where they cannot be had in time.

        What was asked ends by itself, at its own deadline. Until then, and while the system gives no answer, nothing
        more is asked aside.

        Raises:
            ReaderClosedError: the reader was closed meanwhile.
        """
        with self._lock:
            silence, under_way = self._silence, self._aside
            if under_way is not None and not under_way.done():
                return None
            if silence is not None and time.monotonic() < silence.asked_at + ASIDE_RESTS_S:
                return None
            asked = self._aside = Future()

        def read() -> None:
            try:
                asked.set_result(self.fetch(spec, keys))
            except Exception as error:  # the thread has nobody to tell but the one who may be waiting
                asked.set_exception(error)

        threading.Thread(target=read, name=f"aside-{self.name}", daemon=True).start()
        either: tuple[Future[Any], ...] = (asked, self._closing)
        wait(either, max(0.0, within_s), FIRST_COMPLETED)
        if self._closing.done():
            raise ReaderClosedError(self.name)
        return asked.result() if asked.done() else None

    def changed(self, spec: ReadSpec, since: datetime | int | None, limit: int) -> Reading:
        """Read what changed at or after `since`, oldest first; `truncated` when there is more."""
        return self._listing(lambda after, left: self.probe.changed(spec, since, left, after), None, limit)

    def page(self, spec: ReadSpec, after: str | None, limit: int) -> Reading:
        """Read on in a listing of the whole collection; `next` says where another page follows."""
        return self._listing(lambda after, left: self.probe.page(spec, after, left), after, limit)

    def _listing(self, read: Callable[[str | None, int], Page], after: str | None, limit: int) -> Reading:
        """Read page after page, each within its own deadline, until there are `limit` records or no time is left."""
        sent_at, until = datetime.now(UTC), time.monotonic() + LISTING_S
        rows: list[Row] = []
        page = Page(next=after, more=True)
        behind_s = 0.0
        error: ProbeError | None = None
        patience = _Patience()
        try:
            for _ in range(REQUESTS_PER_LISTING):
                left = limit - len(rows)
                page = self._patiently(patience, lambda page=page, left=left: read(page.next, left))  # type: ignore[misc]
                rows += page.rows
                behind_s = max(behind_s, page.behind_s)
                if page.next is None or len(rows) >= limit or time.monotonic() >= until:
                    break
        except ProbeError as failure:
            # What was read stands, and the rest is read from here on, the next time.
            error = None if failure.reason is Reason.OVER_BUDGET and rows else failure
        return Reading(
            system=self.name,
            sent_at=sent_at,
            received_at=datetime.now(UTC),
            rows=rows,
            truncated=page.more or page.next is not None,
            next=page.next,
            behind_s=behind_s,
            error=error,
        )

    def ranked(self, spec: ReadSpec, seed: str, lower: int, upper: int, limit: int) -> list[tuple[object, int]]:
        """Read keys by rank; see `RecordProbe.ranked`. Raises ProbeError."""
        return self.call(lambda: self.probe.ranked(spec, seed, lower, upper, limit))

    def highest_version(self, spec: ReadSpec) -> int | None:
        """The highest version in a collection; see `RecordProbe.highest_version`. Raises ProbeError."""
        return self.call(lambda: self.probe.highest_version(spec))

    def can_rank(self, spec: ReadSpec, seed: str) -> bool:
        """Whether keys can be read by rank cheaply. Raises ProbeError."""
        return self.call(lambda: self.probe.can_rank(spec, seed))

    def read_clock(self, now: datetime, *, afresh: bool = False) -> ClockBounds | None:
        """Bound the system's clock, asking it again when the last look has aged, or `afresh`."""
        known = self.clock
        if not afresh and known is not None and (now - known.measured_at).total_seconds() < CLOCK_KEEPS_S:
            return known.at(now)
        try:
            self._break_silence()
            self._keep_rest()
            sample = self._measured(self.probe.clock, clock=True)
        except ProbeError as failure:
            self.clock_failure = failure
            return known.at(now) if known is not None else None
        with self._lock:
            before = self.clock
            self.clock = after = narrow(before, sample)
            self.clock_failure = None
            if before is not None and after.stepped_at is not None and after.stepped_at != before.stepped_at:
                self._clock_steps.append(
                    ClockStep(
                        system=self.name,
                        stepped_at=after.stepped_at,
                        before_lower_s=before.lower_s,
                        before_upper_s=before.upper_s,
                        after_lower_s=after.lower_s,
                        after_upper_s=after.upper_s,
                    )
                )
        return self.clock

    def aim_clock(self, sleep: Callable[[float], object] = time.sleep) -> ClockBounds | None:
        """Bound the clock as well as its stamps allow, waiting up to a second before each exchange.

        Args:
            sleep: waits; a true answer ends the aiming.
        """
        bounds = self.read_clock(datetime.now(UTC), afresh=True)
        for _ in range(AIMED_EXCHANGES - 1):
            if bounds is None or self.clock_failure is not None or not worth_aiming(bounds):
                break
            if sleep(aim_s(bounds, datetime.now(UTC))):
                break
            bounds = self.read_clock(datetime.now(UTC), afresh=True)
        return bounds

    def take_clock_steps(self) -> list[ClockStep]:
        """Steps of its clock that nobody has taken yet."""
        with self._lock:
            taken, self._clock_steps = self._clock_steps, []
        return taken

    @property
    def answers(self) -> bool:
        """Whether it has answered, and has not fallen silent since."""
        return self.health.last_ok_at is not None and self._silence is None

    def call(self, read: Callable[[], ResultT], *, requests: int = 1) -> ResultT:
        """Run one probe call within the deadline; anything it raises comes out as a ProbeError.

        While the system gives no answer at all, only one call in `SILENT_S` waits for it.

        Args:
            requests: how many the call may send, each with its own deadline.

        Raises:
            ProbeError: the probe could not answer.
            ReaderClosedError: the reader was closed before it could.
        """
        self._break_silence()
        self._keep_rest()
        return self._measured(read, clock=False, requests=requests)

    def _patiently(self, patience: _Patience, read: Callable[[], ResultT]) -> ResultT:
        """The same as `call`, but where the system asks to be left alone for a while, wait and try again."""
        while True:
            try:
                return self.call(read)
            except ProbeError as failure:
                rest = self._rest
                if failure.retry_after_s is None or rest is None:
                    raise
                wait_s = max(0.0, rest.until - time.monotonic()) + patience.least_s
                if wait_s > patience.left_s:
                    raise
                patience.left_s -= wait_s
                patience.least_s *= 2
                wait((self._closing,), wait_s)

    def _keep_rest(self) -> None:
        """Leave a system alone that asked for it.

        Raises:
            ProbeError: it did, and the time is not over.
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

    def _measured(self, read: Callable[[], ResultT], *, clock: bool, requests: int = 1) -> ResultT:
        begun = time.monotonic()
        try:
            answer = self._wait(self._submit(read), requests)
        except ProbeError as failure:
            self._note(failure, begun)
            self._take_rest(failure)
            if failure.reason in NO_ANSWER and time.monotonic() - begun >= min(SLOW_S, self._timeout_s):
                self._fall_silent(failure, certain=clock)
            raise
        self._note(None, begun)
        return answer

    def _submit(self, read: Callable[[], ResultT]) -> Future[ResultT]:
        try:
            return self._pool.submit(read)
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

    def _break_silence(self) -> None:
        """Find out whether a system answers again that gave no answer; by its clock, which is never slow by itself.

        Raises:
            ProbeError: it does not.
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


def open_readers(integration_map: IntegrationMap) -> dict[str, SystemReader]:
    """A reader for every system of the map; nothing is connected before the first read."""
    return {
        name: SystemReader(name, settings, registry.open_record_probe(settings))
        for name, settings in integration_map.systems.items()
    }

"""Reading systems: batches, listings and clocks, once for every probe."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextvars import copy_context
from dataclasses import replace
from datetime import datetime
from typing import Any

from auditor.map.integration_map import IntegrationMap
from auditor.systems.allowance import Allowance, CallMeter, open_allowances, spender, spending
from auditor.systems.batches import Batches
from auditor.systems.caller import Caller, Patience, ReaderClosedError, utc_now
from auditor.systems.crosswalk import Crosswalk
from auditor.systems.health import ClockStep
from checks.clocks import ClockBounds, aim_s, narrow, worth_aiming
from checks.keys import doubtful, requested, without_record
from probes import registry
from probes.contract import (
    KEY,
    Announcements,
    AnnouncesChanges,
    Key,
    Page,
    Pairs,
    ProbeError,
    Reading,
    ReadSpec,
    Reason,
    RecordProbe,
    Row,
)
from probes.metering import SpentError, metered
from probes.settings import SystemSettings

READ_BATCH = 500
LEARNS_FROM = 4
"""Of about so many batches it is known what a record costs."""

ONE_BY_ONE = 0.05
"""A batch that takes fewer calls for each of its records is read at once."""

CLOCK_KEEPS_S = 30.0
AIMED_EXCHANGES = 8
REQUESTS_PER_LISTING = 200
"""Most requests that one listing may use to fill up, if the system returns few records at a time, or none."""

LISTING_S = 30.0
"""How long one listing may take in total, however slow its pages; the next one continues from there."""

ASIDE_RESTS_S = 30.0
"""For this long a silent system gets no optional reads, because no verdict waits for them."""


class SystemReader(Caller):
    """Reads one system for all flows that need it.

    Args:
        name: the system's name in the map.
        probe: opened; closed by `close()`.
        allowance: from which its calls are spent; its own where it shares none.
        now: tells the present, UTC.

    Attributes:
        others: by name, readers of the systems that may pair its keys.
    """

    def __init__(
        self,
        name: str,
        settings: SystemSettings,
        probe: RecordProbe,
        allowance: Allowance | None = None,
        *,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        super().__init__(name, settings, probe, allowance)
        self._settings = settings
        self._now = now
        self.clock: ClockBounds | None = None
        self.clock_failure: ProbeError | None = None
        self._clock_steps: list[ClockStep] = []
        self._aside: Future[Reading] | None = None
        self._at_once = READ_BATCH
        self._more_calls = 0.0
        self.others: Mapping[str, SystemReader] = {}
        self._crosswalks: dict[tuple[str, ...], Crosswalk] = {}

    @property
    def kind(self) -> registry.RecordKind:
        """What systems of its kind can do."""
        return registry.record_kind(self._settings)

    @property
    def stale_reads_s(self) -> float:
        """How long a read by key may return stale data."""
        return self._settings.stale_reads_s

    def stand_among(self, readers: Mapping[str, SystemReader]) -> None:
        """Take these for the readers of the systems that may pair its keys; no read may be under way."""
        self.others = readers
        self._crosswalks = {}

    def costs(self, spec: ReadSpec) -> tuple[int, float]:
        """How many records a batch has, and how many calls each of them costs besides, as far as is known."""
        more = self._more_calls if self._more_calls >= ONE_BY_ONE else 0.0
        return max(1, min(READ_BATCH, self.probe.batch_limit(spec))), more

    def fetch(self, spec: ReadSpec, keys: Sequence[Key]) -> Reading:
        """Read the records with these keys, however many; see `Reading` for what failed.

        One record does not spoil the others (`auditor.systems.batches`). Where the system asks to be left alone for
        longer than a reading waits, or its budget is spent, what was read stands, and the keys that are left cannot
        be verified. Every key carries the instants of its own batch: a reading of many batches is many readings. What
        is read for the more urgent purpose is read first.
        """
        if spec.pairs is not None:
            return self._crosswalk(spec, spec.pairs).fetch(spec, keys, self.fetch)
        sent_at = self._now()
        error: ProbeError | None = None
        batches = self._batches(spec)
        asking = spender()
        keys = sorted(keys, key=asking.worth_of) if asking.keys and self.allowance.limited else keys
        try:
            self._read_batches(batches, keys, max(1, min(READ_BATCH, self.probe.batch_limit(spec))))
        except ProbeError as failure:
            if failure.reason is Reason.OVER_BUDGET and batches.instants:
                batches.give_up(keys, failure)
            else:
                error = failure
        doubts = self._doubtful(spec, batches, error)
        return Reading(
            system=self.name,
            sent_at=sent_at,
            received_at=self._now(),
            rows=batches.rows,
            error=error,
            unreadable={**doubts, **batches.unreadable},
            instants={key: each for key, each in batches.instants.items() if key not in doubts},
        )

    def _doubtful(self, spec: ReadSpec, batches: Batches, error: ProbeError | None) -> dict[Key, str]:
        """Keys that may be there although no record was returned, by how the system writes or compares them.

        Keys without a record are read once more, with those that may be mistaken for them.
        """
        if not spec.written_freely or error is not None:
            return {}
        returned = [row[KEY] for row in batches.rows]
        absent = without_record(spec.key_types, batches.instants, returned, spec.key_region)
        if not absent or not self.kind.finds_mistaken:
            return {}
        again = replace(spec.keys_only(), mistaken=True)
        alone = self._batches(again)
        try:
            self._read_batches(alone, absent, max(1, min(READ_BATCH, self.probe.batch_limit(spec))))
        except ProbeError as failure:
            return dict.fromkeys(absent, str(failure))
        doubts = doubtful(spec.key_types, absent, [row[KEY] for row in alone.rows], spec.key_region, self.name)
        return {**doubts, **alone.unreadable}

    def _batches(self, spec: ReadSpec) -> Batches:
        patience, asking = Patience(), spender()

        def fetch(batch: list[Key]) -> list[Row]:
            worth = min(map(asking.worth_of, batch)) if self.allowance.limited else asking.worth
            with spending(worth):
                rows = self.patiently(patience, lambda: self.probe.fetch(spec, batch), parts=len(batch) > 1)
            self.allowance.read(len(batch))
            if spec.written_freely and not spec.mistaken:
                # A system also returns records that only look like the requested ones, in several batches perhaps.
                rows = requested(spec.key_types, batch, rows, spec.key_region)
            if len(batch) > 1:
                more = max(0, patience.sent - 1) / (len(batch) - 1)
                self._more_calls += (more - self._more_calls) / LEARNS_FROM
            return rows

        return Batches(fetch, self._now)

    def _read_batches(self, batches: Batches, keys: Sequence[Key], limit: int) -> None:
        """Read in batches; smaller ones where one takes more calls than the budget has at once."""
        left = list(keys)
        while True:
            try:
                batches.read(left, min(limit, self._at_once))
                self._at_once = min(READ_BATCH, 2 * self._at_once)
                return
            except SpentError as failure:
                if failure.sent == 0 or self._at_once == 1:
                    raise
                self._at_once = max(1, min(self._at_once // 2, failure.sent))
                left = [key for key in left if key not in batches.instants and key not in batches.unreadable]

    def fetch_aside(self, spec: ReadSpec, keys: Sequence[Key], within_s: float) -> Reading | None:
        """Read records optionally, without blocking; None if they do not arrive in time.

        The read ends by itself at its own deadline. Until then, and while the system is silent, no further optional
        reads start.

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
            except Exception as error:  # only the caller, if it still waits, can be notified
                asked.set_exception(error)

        context = copy_context()
        threading.Thread(target=context.run, args=(read,), name=f"aside-{self.name}", daemon=True).start()
        either: tuple[Future[Any], ...] = (asked, self._closing)
        wait(either, max(0.0, within_s), FIRST_COMPLETED)
        if self._closing.done():
            raise ReaderClosedError(self.name)
        return asked.result() if asked.done() else None

    def changed(self, spec: ReadSpec, since: datetime | int | None, limit: int) -> Reading:
        """Read what changed at or after `since`, oldest first; `truncated` when there is more."""
        reading = self._listing(lambda after, left: self.probe.changed(spec, since, left, after), None, limit)
        return self._by_shared_keys(spec, reading)

    def announces(self, spec: ReadSpec) -> bool:
        """Whether the system announces changes of this collection by itself."""
        if spec.pairs is not None:
            return False  # it would name records by its own keys
        return isinstance(self.probe, AnnouncesChanges) and self.probe.announces(spec)

    def announced(self, spec: ReadSpec, after: str | None, limit: int, wait_s: float) -> Announcements:
        """Wait for announcements on this thread: those of the pool are for reads.

        Raises:
            ProbeError: see `AnnouncesChanges.announced`.
            ReaderClosedError: the reader was closed meanwhile.
        """
        if not isinstance(self.probe, AnnouncesChanges):
            raise ProbeError(Reason.QUERY, f"{self.name} announces no changes")
        try:
            with metered(CallMeter(self.allowance)):
                return self.probe.announced(spec, after, limit, wait_s)
        except Exception as error:
            if self._closing.done():
                raise ReaderClosedError(self.name) from None
            raise self._scrub.error(error) from None

    def page(self, spec: ReadSpec, after: str | None, limit: int) -> Reading:
        """Continue a listing of the whole collection; `next` is the cursor of the next page."""
        reading = self._listing(lambda after, left: self.probe.page(spec, after, left), after, limit)
        return self._by_shared_keys(spec, reading)

    def _by_shared_keys(self, spec: ReadSpec, reading: Reading) -> Reading:
        """What was listed, by keys of the data type."""
        return reading if spec.pairs is None else self._crosswalk(spec, spec.pairs).listed(reading)

    def _crosswalk(self, spec: ReadSpec, pairs: Pairs) -> Crosswalk:
        where = (spec.data_type, pairs.system, pairs.called, *pairs.by_key.key_fields, pairs.by_own_key.key)
        with self._lock:
            if where not in self._crosswalks:
                self._crosswalks[where] = Crosswalk(self.name, pairs, self.others[pairs.system])
            return self._crosswalks[where]

    def _listing(self, read: Callable[[str | None, int], Page], after: str | None, limit: int) -> Reading:
        """Read page after page, each within its own deadline, until there are `limit` records or no time is left."""
        sent_at, until = self._now(), time.monotonic() + LISTING_S
        rows: list[Row] = []
        page = Page(next=after, more=True)
        behind_s = 0.0
        told_from: datetime | None = None
        reached_at: datetime | None = None
        absent: list[object] = []
        error: ProbeError | None = None
        patience = Patience()
        try:
            for _ in range(REQUESTS_PER_LISTING):
                left = limit - len(rows)
                page = self.patiently(patience, lambda page=page, left=left: read(page.next, left))  # type: ignore[misc]
                rows += page.rows
                behind_s = max(behind_s, page.behind_s)
                told_from = told_from or page.told_from
                reached_at = page.reached_at or reached_at
                absent += page.absent
                if page.next is None or page.later or len(rows) >= limit or time.monotonic() >= until:
                    break
        except ProbeError as failure:
            # What was read is kept, and the next listing continues from here.
            error = None if failure.reason is Reason.OVER_BUDGET and rows else failure
        self.allowance.read(len(rows))
        return Reading(
            system=self.name,
            sent_at=sent_at,
            received_at=self._now(),
            rows=rows,
            truncated=page.more or page.next is not None,
            next=page.next,
            behind_s=behind_s,
            told_from=told_from,
            reached_at=reached_at,
            absent=absent,
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
        if spec.pairs is not None:
            return False  # the ranks are those of its own keys
        return self.call(lambda: self.probe.can_rank(spec, seed))

    def read_clock(self, now: datetime, *, afresh: bool = False) -> ClockBounds | None:
        """Bound the system's clock, reading it again if the last reading is old, or `afresh`.

        Where its part of a day's calls is spent, only `afresh` reads it.
        """
        known = self.clock
        keeps_s = max(CLOCK_KEEPS_S, self.allowance.clock_keeps_s)
        if not afresh and known is not None and (now - known.measured_at).total_seconds() < keeps_s:
            return known.at(now)
        try:
            self.break_silence()
            self.keep_rest()
            if not self.allowance.look(needed=afresh):
                return known.at(now) if known is not None else None
            with spending(spender().worth, flow=""):  # all go by it, and whoever came first does not pay alone
                sample = self.measured(self.probe.clock, clock=True)
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
        """Bound the clock as tightly as its stamps allow, waiting up to a second before each exchange.

        It takes at most half of the looks that a day's calls leave: the others are for later in the day.

        Args:
            sleep: waits; a true result ends the aiming.
        """
        exchanges = math.ceil(min(AIMED_EXCHANGES, self.allowance.looks_left / 2))
        bounds = self.read_clock(self._now(), afresh=exchanges > 0)
        for _ in range(exchanges - 1):
            if bounds is None or self.clock_failure is not None or not worth_aiming(bounds):
                break
            if sleep(aim_s(bounds, self._now())):
                break
            bounds = self.read_clock(self._now(), afresh=True)
        return bounds

    def take_clock_steps(self) -> list[ClockStep]:
        """Steps of its clock that have not been taken yet."""
        with self._lock:
            taken, self._clock_steps = self._clock_steps, []
        return taken


def open_readers(
    integration_map: IntegrationMap,
    allowances: Mapping[str, Allowance] | None = None,
    *,
    now: Callable[[], datetime] = utc_now,
    kept: Mapping[str, SystemReader] | None = None,
) -> dict[str, SystemReader]:
    """A reader for every system of the map; nothing is connected before the first read.

    Args:
        kept: readers that are open already. They take the others for theirs by `stand_among`.
        allowances: by system, where others in this process read it, too, or a ledger keeps what was spent.
        now: tells the present, UTC.
    """
    allowances = allowances or open_allowances(integration_map.systems)
    kept = kept or {}
    readers = {
        name: kept.get(name)
        or SystemReader(name, settings, registry.open_record_probe(settings), allowances[name], now=now)
        for name, settings in integration_map.systems.items()
    }
    for name, reader in readers.items():
        if name not in kept:
            reader.stand_among(readers)
    return readers

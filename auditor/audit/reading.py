"""Gathering: everything one audit reads of the owner and the target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from auditor.audit.budget import Plan
from auditor.ledger import FlowState
from auditor.map.flow import Flow
from auditor.systems.batches import SPOILING
from auditor.systems.reader import SystemReader
from checks.instants import earliest
from checks.judgement import Look
from checks.records import UNREADABLE, RecordComparer
from checks.values import EPOCH, MICROSECOND, parse_version
from probes.contract import Key, ProbeError, Reading, ReadSpec, Row, StampsError

CHANGES_CEILING = 50_000
"""Changes within one overlap that are still read at once."""

MarkT = TypeVar("MarkT", datetime, int)


@dataclass(slots=True, kw_only=True)
class Gathered:
    """Everything read in one audit, by canonical key.

    Attributes:
        listed: keys that the owner says have changed lately.
        polled_before_at: when the owner last told all changes before this audit; what it lists now and did
            not list then was committed in between.
        skipped: changes had to be stepped over.
        unordered: why the owner's stamps do not tell what changed, "" where they do, None where it was not asked.
        owner_sent_at, owner_received_at: around all reads of the owner before the target's.
        owner_seen: around the read that gave each record of the owner.
        look: around all reads of the target.
        target_seen: around the read that gave each record of the target.
    """

    wanted: dict[Key, None] = field(default_factory=dict)
    listed: set[Key] = field(default_factory=set)
    polled_before_at: datetime | None = None
    owner_rows: dict[Key, list[Row]] = field(default_factory=dict)
    target_rows: dict[Key, list[Row]] = field(default_factory=dict)
    unreadable: dict[Key, str] = field(default_factory=dict)
    nameless: int = 0
    skipped: bool = False
    unordered: str | None = None
    error: tuple[str, ProbeError] | None = None
    owner_sent_at: datetime | None = None
    owner_received_at: datetime | None = None
    owner_seen: dict[Key, tuple[datetime, datetime]] = field(default_factory=dict)
    look: Look | None = None
    target_seen: Mapping[Key, tuple[datetime, datetime]] = field(default_factory=dict)

    def fail(self, reading: Reading) -> bool:
        """Note a failed reading; answers whether it failed."""
        if reading.error is not None:
            self.fail_with(reading.system, reading.error)
        return reading.error is not None

    def fail_with(self, system: str, error: ProbeError) -> None:
        """Note the first failure."""
        self.error = self.error or (system, error)

    def owner_read(self, reading: Reading, keys: Iterable[Key]) -> None:
        """Note when the owner was read for these records."""
        self.owner_sent_at = min(self.owner_sent_at or reading.sent_at, reading.sent_at)
        self.owner_received_at = reading.received_at
        self.owner_seen.update({key: reading.when(key) for key in keys})

    def look_at(self, key: Key, whole: Look) -> Look:
        """When the target was read for this record.

        Args:
            whole: around all reads of the target, for what was not read by its key.
        """
        seen = self.target_seen.get(key)
        return whole if seen is None else Look(sent_at=seen[0], received_at=seen[1])


class Gatherer:
    """Reads a flow's two systems."""

    def __init__(self, flow: Flow, source: SystemReader, target: SystemReader, comparer: RecordComparer) -> None:
        self.flow = flow
        self.source = source
        self.target = target
        self.comparer = comparer

    # -- changes

    def discover(
        self, gathered: Gathered, state: FlowState, planned: Plan, owner_now: datetime, cap: datetime
    ) -> FlowState:
        """Want what the owner says has changed, and move its watermark on.

        Args:
            owner_now: the present instant of the owner's clock, at the earliest.
            cap: the same at the latest; the watermark never goes beyond it.
        """
        gathered.polled_before_at = state.polled_at
        if not self.flow.source_spec.finds_changes:
            return state
        if self.flow.source_spec.changed_at is not None:
            return self._discover_by_stamp(gathered, state, planned, owner_now, cap)
        if self.flow.source_spec.version is not None:
            return self._discover_by_version(gathered, state, planned.changes)
        return state

    def _discover_by_stamp(
        self, gathered: Gathered, state: FlowState, planned: Plan, owner_now: datetime, cap: datetime
    ) -> FlowState:
        known = state.watermark_at or planned.changes_since
        reading, whole, latest = self._poll(planned.changes_since, planned.changes, self._stamp, known)
        if isinstance(reading.error, StampsError):
            gathered.unordered = reading.error.message
            return state
        gathered.unordered = ""
        if gathered.fail(reading):
            return state
        found = self.take(gathered, reading, whole=whole)
        if state.watermark_at is not None:
            gathered.listed.update(found)
        if reading.truncated and (latest is None or latest <= known):
            # More changes of one stamp than are ever read at once: step over them, the sample finds the rest.
            latest = known + timedelta(seconds=self.flow.settings.overlap_s) + MICROSECOND
            gathered.skipped = True
        first = owner_now if state.watermark_at is None and not reading.truncated else None
        watermark_at = max((at for at in (state.watermark_at, latest, first) if at is not None), default=None)
        # A record stamped in the future must not hide what really changes until then.
        watermark_at = min(watermark_at, cap) if watermark_at is not None else None
        return replace(state, watermark_at=watermark_at, polled_at=_polled_at(state, reading))

    def _discover_by_version(self, gathered: Gathered, state: FlowState, limit: int) -> FlowState:
        """The watermark is the highest version as it was an overlap ago: numbers are drawn before the commit."""
        if state.version_high is None:
            try:
                highest = self.source.call(lambda: self.source.probe.highest_version(self.flow.source_spec))
            except ProbeError as error:
                gathered.fail_with(self.source.name, error)
                return state
            if highest is not None:
                return replace(state, version_low=highest, version_middle=highest, version_high=highest)
        known = state.version_low if state.version_low is not None else -1
        reading, whole, latest = self._poll(state.version_low, limit, self._version, known)
        if gathered.fail(reading):
            return state
        found = self.take(gathered, reading, whole=whole)
        if state.polled_at is not None:
            gathered.listed.update(found)
        highest = max(known, state.version_high or known, known if latest is None else latest)
        if reading.truncated:
            low = latest if latest is not None and latest > known else known + 1
            gathered.skipped = low == known + 1 and latest != low
            return replace(
                state, version_low=low, version_middle=low, version_high=highest, version_turned_at=reading.sent_at
            )
        moved = replace(state, version_low=known, version_high=highest, polled_at=_polled_at(state, reading))
        turned_s = (reading.sent_at - (state.version_turned_at or EPOCH)).total_seconds()
        if turned_s < self.flow.settings.overlap_s:
            return moved
        middle = state.version_middle
        return replace(
            moved,
            version_low=known if middle is None else middle,
            version_middle=highest,
            version_turned_at=reading.sent_at,
        )

    def _poll(
        self,
        since: datetime | int | None,
        limit: int,
        mark: Callable[[Row], MarkT | None],
        known: MarkT,
    ) -> tuple[Reading, bool, MarkT | None]:
        """List changes, more of them while they all carry the mark that is known.

        Returns:
            The reading, whether its rows are whole, and the highest mark among them.
        """
        while True:
            reading, whole = self.list_owner(
                lambda spec, limit=limit: self.source.changed(spec, since, limit)  # type: ignore[misc]
            )
            latest = max((at for at in map(mark, reading.rows) if at is not None), default=None)
            stuck = reading.truncated and (latest is None or latest <= known)
            if not stuck or limit >= CHANGES_CEILING:
                return reading, whole, latest
            limit *= 4

    def _stamp(self, row: Row) -> datetime | None:
        try:
            parsed = self.comparer.owner.parse_changed_at(row[1]) if row[1] is not None else None
            first_us = None if parsed is None else earliest(parsed)
            return None if first_us is None else EPOCH + first_us * MICROSECOND
        except UNREADABLE:
            return None

    def _version(self, row: Row) -> int | None:
        try:
            return parse_version(row[1]) if row[1] is not None else None
        except UNREADABLE:
            return None

    # -- records

    def list_owner(self, read: Callable[[ReadSpec], Reading]) -> tuple[Reading, bool]:
        """List records of the owner, or where one of them spoils the answer, their keys alone.

        Returns:
            The reading, and whether its rows are whole. The others are then fetched by key, which leaves
            out only the record that cannot be read.
        """
        spec = self.flow.source_spec
        reading = read(spec)
        spoiled = reading.error is not None and reading.error.reason in SPOILING
        if not spoiled or not spec.fields:
            return reading, True
        return read(replace(spec, fields=())), False

    def take(self, gathered: Gathered, reading: Reading, *, whole: bool) -> list[Key]:
        """Want the records that the owner listed, and keep their rows where they are whole.

        Returns:
            Their keys in the order read.
        """
        grouped, nameless = self.comparer.group(self.comparer.owner, reading.rows)
        gathered.nameless += nameless
        gathered.wanted.update(dict.fromkeys(grouped))
        if whole:
            gathered.owner_rows.update(grouped)
            gathered.owner_read(reading, grouped)
        return list(grouped)

    def read(self, gathered: Gathered) -> None:
        """Read the owner where it was not read yet, and then the target."""
        if gathered.error or not gathered.wanted:
            return
        unread = [key for key in gathered.wanted if key not in gathered.owner_rows]
        if unread:
            owner = self.source.fetch(self.flow.source_spec, unread)
            gathered.unreadable.update(owner.unreadable)
            if gathered.fail(owner):
                return
            rows, _ = self.comparer.group(self.comparer.owner, owner.rows)
            gathered.owner_rows.update(rows)
            gathered.owner_read(owner, unread)
        target = self.target.fetch(self.flow.target_spec, list(gathered.wanted))
        gathered.look = Look(sent_at=target.sent_at, received_at=target.received_at)
        gathered.target_seen = target.instants
        gathered.unreadable.update(target.unreadable)
        if gathered.fail(target):
            return
        gathered.target_rows, _ = self.comparer.group(self.comparer.target, target.rows)


def _polled_at(state: FlowState, reading: Reading) -> datetime | None:
    """Only a complete answer proves that nothing else had changed when it was asked for."""
    if reading.truncated:
        return state.polled_at
    proved_at = reading.sent_at - timedelta(seconds=reading.behind_s)
    return proved_at if state.polled_at is None else max(state.polled_at, proved_at)

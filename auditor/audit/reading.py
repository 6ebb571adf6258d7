"""Reading: which records changed at the owner, and what both systems hold of the wanted ones.

One reading of an owner (`OwnerReading`) is a value: `read_owner` completes what is known of it, and `read_target`
goes on from there, whoever read it. The owner is asked through `auditor.audit.owner_reads.Owner`, so that flows that
start there can be served by one reading.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from auditor.audit.budget import Plan
from auditor.audit.gathered import Failure, Gathered, OwnerReading, Seen, TargetReading, Wanted
from auditor.audit.owner_reads import Owner
from auditor.ledger import Watermark
from auditor.map.flow import Flow
from auditor.systems.batches import SPOILING
from auditor.systems.reader import SystemReader
from checks.instants import earliest
from checks.records import RecordComparer
from checks.sides import UNREADABLE, read_key
from checks.terms import Look
from checks.values import EPOCH, MICROSECOND, parse_version
from probes.contract import MARK, Key, ProbeError, Reading, ReadSpec, Row, StampsError
from probes.metering import SpentError

CHANGES_CEILING = 50_000
"""Most changes within one overlap that are read at once."""

MarkT = TypeVar("MarkT", datetime, int)


@dataclass(slots=True, kw_only=True)
class Search:
    """Collects the records that one audit will read, and keeps what the lists that led to them contained.

    The steps that look for records (`Gatherer.discover`, `auditor.audit.sample.Sampler.choose`) fill it, and it ends
    with them: `wanted` and `owner` are the result.

    Attributes:
        source: where the owner is read, alone or together with other flows that start there.
        nameless: rows without a readable key, by their raw key and whether they are the owner's.
    """

    source: Owner
    keys: dict[Key, None] = field(default_factory=dict)
    listed: set[Key] = field(default_factory=set)
    announced: Set[Key] = frozenset()
    polled_before_at: datetime | None = None
    behind_s: float | None = None
    nameless: Counter[tuple[str, bool]] = field(default_factory=Counter)
    skipped: bool = False
    shed: int = 0
    unordered: str | None = None
    error: Failure | None = None
    owner_rows: dict[Key, list[Row]] = field(default_factory=dict)
    owner_seen: dict[Key, Seen] = field(default_factory=dict)
    owner_sent_at: datetime | None = None
    owner_received_at: datetime | None = None

    def want(self, keys: Iterable[Key]) -> None:
        """Add records to be read."""
        self.keys.update(dict.fromkeys(keys))

    def count_nameless(self, raw_keys: Iterable[Any], *, at_owner: bool) -> None:
        """Count the rows of one list whose key cannot be read; those that an earlier list contains are the same."""
        self.nameless |= Counter((repr(key), at_owner) for key in raw_keys)

    def fail(self, reading: Reading) -> bool:
        """Note a failed reading; returns whether it failed."""
        if reading.error is not None:
            self.fail_with(reading.system, reading.error)
        return reading.error is not None

    def fail_with(self, system: str, error: ProbeError) -> None:
        """Note the first failure."""
        self.error = self.error or (system, error)

    def shed_if_spent(self, count: int) -> None:
        """Forget a failure that says only that a budget is spent: what was looked for is shed, and the rest is read.

        Args:
            count: that it counts as.
        """
        if self.error is not None and isinstance(self.error[1], SpentError):
            self.error = None
            self.shed += count

    def owner_read(self, reading: Reading, grouped: Mapping[Key, list[Row]]) -> None:
        """Keep complete records of the owner."""
        self.owner_rows.update(grouped)
        self.owner_sent_at = min(self.owner_sent_at or reading.sent_at, reading.sent_at)
        self.owner_received_at = reading.received_at
        self.owner_seen.update({key: reading.when(key) for key in grouped})

    @property
    def wanted(self) -> Wanted:
        """The records to read."""
        return Wanted(
            keys=self.keys,
            listed=self.listed,
            announced=self.announced,
            polled_before_at=self.polled_before_at,
            behind_s=self.behind_s,
            nameless=self.nameless.total(),
            skipped=self.skipped,
            shed=self.shed,
            unordered=self.unordered,
            error=self.error,
        )

    @property
    def owner(self) -> OwnerReading:
        """What has been read of the owner so far."""
        return OwnerReading(
            rows=self.owner_rows,
            seen=self.owner_seen,
            sent_at=self.owner_sent_at,
            received_at=self.owner_received_at,
        )


class Gatherer:
    """Reads a flow's two systems."""

    def __init__(self, flow: Flow, source: SystemReader, target: SystemReader, comparer: RecordComparer) -> None:
        self.flow = flow
        self.source = source
        self.target = target
        self.comparer = comparer

    # -- changes

    def discover(
        self,
        search: Search,
        before: Watermark,
        planned: Plan,
        owner_now: datetime,
        cap: datetime,
        *,
        clocked: bool = True,
    ) -> Watermark:
        """Add the records that the owner lists as changed, and return the advanced watermark.

        Args:
            owner_now: the present instant of the owner's clock, at the earliest.
            cap: the same at the latest; the watermark never goes beyond it.
            clocked: the owner's clock is known, so that these instants are right.
        """
        search.polled_before_at = before.polled_at
        if not self.flow.source_spec.finds_changes:
            return before
        if self.flow.source_spec.changed_at is not None:
            return self._discover_by_stamp(search, before, planned, owner_now, cap, clocked=clocked)
        if self.flow.source_spec.version is not None:
            return self._discover_by_version(search, before, planned.changes)
        return before

    def _discover_by_stamp(
        self,
        search: Search,
        before: Watermark,
        planned: Plan,
        owner_now: datetime,
        cap: datetime,
        *,
        clocked: bool,
    ) -> Watermark:
        known = before.at or planned.changes_since
        reading, whole, latest = self._poll(
            search.source, planned.changes_since, planned.changes, self._latest_stamp, known
        )
        if isinstance(reading.error, StampsError):
            search.unordered = reading.error.message
            return before
        search.unordered = ""
        if search.fail(reading):
            return before
        search.behind_s = reading.behind_s
        found = self.take(search, reading, whole=whole)
        search.skipped = _forgotten(before, reading)
        if before.at is not None:
            search.listed.update(found)
        if reading.truncated and (latest is None or latest <= known):
            # More changes with one stamp than are ever read at once: skip them; the sample finds the rest.
            latest = known + timedelta(seconds=self.flow.overlap_s) + MICROSECOND
            search.skipped = True
        first = owner_now if before.at is None and not reading.truncated else None
        # Otherwise the last events would be listed again in every audit, and their records read one by one, until
        # something else happens.
        whole_to = None
        if clocked and not reading.truncated and not self.flow.source_spec.marks_records:
            whole_to = owner_now - timedelta(seconds=reading.behind_s)
        reached = max((at for at in (before.at, latest, first, whole_to) if at is not None), default=None)
        # A record stamped in the future must not hide changes made until then.
        reached = min(reached, cap) if reached is not None else None
        return replace(before, at=reached, polled_at=_polled_at(before, reading))

    def _discover_by_version(self, search: Search, before: Watermark, limit: int) -> Watermark:
        """The watermark is the highest version as it was an overlap ago: numbers are drawn before the commit."""
        if before.version_high is None:
            try:
                highest = search.source.highest_version(self.flow.source_spec)
            except ProbeError as error:
                search.fail_with(search.source.name, error)
                return before
            if highest is not None:
                return replace(before, version_low=highest, version_middle=highest, version_high=highest)
        known = before.version_low if before.version_low is not None else -1
        reading, whole, latest = self._poll(search.source, before.version_low, limit, self._latest_version, known)
        if search.fail(reading):
            return before
        search.behind_s = reading.behind_s
        found = self.take(search, reading, whole=whole)
        if before.polled_at is not None:
            search.listed.update(found)
        highest = max(known, before.version_high or known, known if latest is None else latest)
        if reading.truncated:
            low = latest if latest is not None and latest > known else known + 1
            search.skipped = low == known + 1 and latest != low
            return replace(
                before, version_low=low, version_middle=low, version_high=highest, version_turned_at=reading.sent_at
            )
        moved = replace(before, version_low=known, version_high=highest, polled_at=_polled_at(before, reading))
        turned_s = (reading.sent_at - (before.version_turned_at or EPOCH)).total_seconds()
        if turned_s < self.flow.overlap_s:
            return moved
        middle = before.version_middle
        return replace(
            moved,
            version_low=known if middle is None else middle,
            version_middle=highest,
            version_turned_at=reading.sent_at,
        )

    def _poll(
        self,
        source: Owner,
        since: datetime | int | None,
        limit: int,
        latest_of: Callable[[Reading], MarkT | None],
        known: MarkT,
    ) -> tuple[Reading, bool, MarkT | None]:
        """List changes, more of them while they do not reach beyond the known mark.

        Returns:
            The reading, whether its rows are complete, and the mark that it reaches.
        """
        while True:
            reading, whole = self.list_owner(
                lambda spec, limit=limit: source.changed(spec, since, limit)  # type: ignore[misc]
            )
            latest = latest_of(reading)
            stuck = reading.error is None and reading.truncated and (latest is None or latest <= known)
            if not stuck or limit >= CHANGES_CEILING:
                return reading, whole, latest
            limit *= 4

    def _latest_stamp(self, reading: Reading) -> datetime | None:
        """The instant that a list of changes reaches: the owner reports it, or the highest stamp shows it."""
        if reading.reached_at is not None:
            return reading.reached_at
        return max((at for at in map(self._stamp, reading.rows) if at is not None), default=None)

    def _latest_version(self, reading: Reading) -> int | None:
        return max((at for at in map(self._version, reading.rows) if at is not None), default=None)

    def _stamp(self, row: Row) -> datetime | None:
        try:
            parsed = self.comparer.owner.parse_changed_at(row[MARK]) if row[MARK] is not None else None
            first_us = None if parsed is None else earliest(parsed)
            return None if first_us is None else EPOCH + first_us * MICROSECOND
        except UNREADABLE:
            return None

    def _version(self, row: Row) -> int | None:
        try:
            return parse_version(row[MARK]) if row[MARK] is not None else None
        except UNREADABLE:
            return None

    # -- records

    def list_owner(self, read: Callable[[ReadSpec], Reading]) -> tuple[Reading, bool]:
        """List records of the owner, or only their keys if one of them spoils the response.

        Returns:
            The reading, and whether its rows are complete. Otherwise they are then fetched by key, which leaves out
            only the record that cannot be read.
        """
        spec = self.flow.source_spec
        reading = read(spec)
        spoiled = reading.error is not None and reading.error.reason in SPOILING
        if not spoiled or spec.keys_alone:
            return reading, True
        return read(spec.without_values()), False

    def take(self, search: Search, reading: Reading, *, whole: bool) -> list[Key]:
        """Add the records that the owner listed, and keep their rows if they are complete.

        What is deleted or marked as deleted is read by key: the list may lack another row of the same record.

        Returns:
            Their keys.
        """
        grouped = self.comparer.group(self.comparer.owner, reading.rows)
        gone = (read_key(self.comparer.owner.parse_key, each) for each in reading.absent)
        keys = list(dict.fromkeys([*grouped.keys, *(key for key in gone if key is not None)]))
        search.count_nameless(grouped.nameless, at_owner=True)
        search.want(keys)
        if whole and self.flow.source_spec.lists_whole_keys:
            rows = grouped.rows
            if not self.flow.source_spec.marks_records:
                # Only the list of changes has stamps, and it comes first.
                rows = {key: of for key, of in rows.items() if key not in search.owner_rows}
            search.owner_read(reading, rows)
        return keys

    def read_owner(self, wanted: Wanted, known: OwnerReading, source: Owner) -> OwnerReading:
        """Read what has not been read of the owner yet.

        Args:
            known: what has been read of it already.
            source: where it is read.
        """
        unread = [key for key in wanted.keys if key not in known.seen]
        if wanted.error or not unread:
            return known
        reading = source.fetch(self.flow.source_spec, unread)
        unreadable = {**known.unreadable, **reading.unreadable}
        if reading.error is not None:
            return replace(known, unreadable=unreadable, error=(reading.system, reading.error))
        grouped = self.comparer.group(self.comparer.owner, reading.rows)
        return OwnerReading(
            rows={**known.rows, **grouped.rows},
            deleted={**known.deleted, **grouped.deleted},
            unreadable={**unreadable, **grouped.unreadable},
            doubled={**known.doubled, **reading.doubled},
            unpaired={**known.unpaired, **reading.unpaired},
            traced=known.traced | reading.traced,
            seen={**known.seen, **{key: reading.when(key) for key in unread}},
            sent_at=min(known.sent_at or reading.sent_at, reading.sent_at),
            received_at=reading.received_at,
        )

    def read_target(self, wanted: Wanted, owner: OwnerReading) -> Gathered:
        """Read the wanted records at the target, after the owner, and return both."""
        if wanted.error or owner.error or not wanted.keys:
            return Gathered(wanted=wanted, owner=owner)
        reading = self.target.fetch(self.flow.target_spec, list(wanted.keys))
        look = Look(sent_at=reading.sent_at, received_at=reading.received_at)
        if reading.error is not None:
            failure = (reading.system, reading.error)
            target = TargetReading(unreadable=reading.unreadable, seen=reading.instants, look=look, error=failure)
        else:
            grouped = self.comparer.group(self.comparer.target, reading.rows)
            unknown = {
                **_unknown(owner.unpaired, owner.traced, grouped.rows),
                **_unknown(reading.unpaired, reading.traced, owner.rows),
            }
            rows = paired(grouped.rows, reading.unpaired, owner.rows)
            owner = replace(owner, rows=paired(owner.rows, owner.unpaired, grouped.rows))
            target = TargetReading(
                rows=rows,
                deleted=grouped.deleted,
                unreadable={**unknown, **reading.unreadable, **grouped.unreadable},
                doubled=reading.doubled,
                unpaired=reading.unpaired,
                seen=reading.instants,
                look=look,
            )
        return Gathered(wanted=wanted, owner=owner, target=target)


def paired(
    rows: Mapping[Key, list[Row]], unpaired: Mapping[Key, str], other: Mapping[Key, object]
) -> Mapping[Key, list[Row]]:
    """The rows of one side, without those of records that the other side has and that no pair leads to."""
    gone = {key for key in unpaired if key in rows and other.get(key)}
    return {key: of for key, of in rows.items() if key not in gone} if gone else rows


def _unknown(unpaired: Mapping[Key, str], traced: Set[Key], other: Mapping[Key, object]) -> dict[Key, str]:
    """Records that neither side shows, while one side may still have them without a pair."""
    return {
        key: f"{why}, so it is unknown whether one is left"
        for key, why in unpaired.items()
        if key not in traced and not other.get(key)
    }


def _forgotten(before: Watermark, reading: Reading) -> bool:
    """Whether the owner has forgotten changes since it was last asked for them: only the sweep finds those."""
    asked_at, told_from = before.polled_at, reading.told_from
    return asked_at is not None and told_from is not None and asked_at < told_from


def _polled_at(before: Watermark, reading: Reading) -> datetime | None:
    """Only a complete response proves that nothing else had changed at the time of the request."""
    if reading.truncated:
        return before.polled_at
    proved_at = reading.sent_at - timedelta(seconds=reading.behind_s)
    return proved_at if before.polled_at is None else max(before.polled_at, proved_at)

"""Reading a data type at its owner for several flows at once: nothing is read twice while it is fresh.

Flows that start at one owner need much the same of it: its list of changes, the same panel, the same slice of the
sweep. Their audits run side by side, each in its own thread, and a read by one of them serves the others:

* A reading keeps the instants at which it was made, and a flow concludes from it what it would conclude from a
  reading of its own at that time.
* An audit uses only readings that began after the instant it is planned for. Flows that come together are planned for
  the instant of the first of them, at most `FRESH` of an interval or window earlier than they would be alone.
* What is due (the end of a window, a suspicion, a record that was being written) is taken only from readings that
  began after the flow's own audit.
* A record that a list shows as changed is not taken from a reading that began before that list.
* No flow uses a reading in two of its audits.

Second readings, clocks and duplicates are never shared, because they have to be fresh.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from sys import getsizeof
from typing import Any, Generic, Protocol, TypeVar

from auditor.audit.read_store import Entry, ReadStore
from auditor.map.flow import Flow
from auditor.systems.caller import GRACE_S
from checks.sides import read_key
from probes.contract import KEY, VALUES, VALUES_FROM, Key, ProbeError, Reading, ReadSpec, Row
from probes.metering import SpentError

FRESH = 0.1
"""The part of a flow's interval, or of its window if that is shorter, by which its audit may be planned for an
earlier instant, to share the reads of an audit that has just begun."""


RECORDS_LIMIT = 50_000
BYTES_LIMIT = 64 * 1024 * 1024
"""The most that is kept for other audits; what does not fit is read again."""

ENTRY_BYTES = 500
"""What a kept record takes besides its values."""

ResultT = TypeVar("ResultT")


class Owner(Protocol):
    """The reads of an audit at its flow's owner while gathering records: `SystemReader`, or an `OwnerShare`."""

    @property
    def name(self) -> str:
        """The system's name."""

    def changed(self, spec: ReadSpec, since: datetime | int | None, limit: int) -> Reading:
        """See `SystemReader.changed`."""

    def page(self, spec: ReadSpec, after: str | None, limit: int) -> Reading:
        """See `SystemReader.page`."""

    def fetch(self, spec: ReadSpec, keys: Sequence[Key]) -> Reading:
        """See `SystemReader.fetch`."""

    def ranked(self, spec: ReadSpec, seed: str, lower: int, upper: int, limit: int) -> Sequence[tuple[Any, int]]:
        """See `SystemReader.ranked`."""

    def can_rank(self, spec: ReadSpec, seed: str) -> bool:
        """See `SystemReader.can_rank`."""

    def highest_version(self, spec: ReadSpec) -> int | None:
        """See `SystemReader.highest_version`."""


@dataclass(frozen=True, slots=True)
class _Record:
    """A record as it was read.

    Attributes:
        rows: empty for an absent record.
        seen: around the request that returned it.
        doubled, unpaired, traced: what `Reading` holds of it.
    """

    rows: Sequence[Row]
    seen: tuple[datetime, datetime]
    doubled: str | None = None
    unpaired: str | None = None
    traced: bool = False


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a list, as it was read with a limit."""

    reading: Reading
    limit: int


@dataclass(slots=True, eq=False)
class _Flight(Generic[ResultT]):
    """A read under way, which other audits may wait for.

    Attributes:
        began: its ticket.
        over: set when it has ended.
        result: what it returned; None if it raised `error`.
        entries: what may be shared of it, by request.
    """

    began: int
    requests: Sequence[Hashable]
    over: threading.Event = field(default_factory=threading.Event)
    result: ResultT | None = None
    error: BaseException | None = None
    entries: Mapping[Hashable, Entry] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Obtained(Generic[ResultT]):
    """What came of some requests.

    Attributes:
        entries: by request, what can be used.
        own: what the audit read itself; None if it read nothing.
        missed: reads of other audits that did not return all that was awaited of them, each with these requests.
        shared: how many requests another read has served.
    """

    entries: Mapping[Hashable, Entry]
    own: ResultT | None
    missed: Sequence[tuple[_Flight[ResultT], Sequence[Hashable]]]
    shared: int


@dataclass(frozen=True, slots=True)
class _Round:
    """Audits that are planned for one instant.

    Attributes:
        ticket: drawn before anything was read for them.
        at: the instant.
        begun_s: the same by a clock that is never set.
    """

    ticket: int
    at: datetime
    begun_s: float


class OwnerReads:
    """What is read of a data type at its owner for several flows, with the fields of all of them.

    A flow must not suffer from the fields of another one: what cannot be read with the fields of all flows is read
    again with those of the flow alone. Whoever waits for a read that fails gets its error, unless only the budget of
    its flow was spent.

    Safe to share between threads. Records are kept only while an audit may still use them.

    Args:
        flows: of one data type, from the same owner.
        fresh_s: by how much an audit may be planned for an earlier instant; by default `FRESH` of each flow.
        records_limit, bytes_limit: the most that is kept.
        wait_s: how long a read under way is waited for; by default the deadline of one call.
        steady: seconds of a clock that is never set.

    Attributes:
        records: how many the owner has returned, each as often as it was read.
        shared: how many audits have used besides, which others had read.
    """

    def __init__(
        self,
        reader: Owner,
        flows: Sequence[Flow],
        *,
        fresh_s: float | None = None,
        records_limit: int = RECORDS_LIMIT,
        bytes_limit: int = BYTES_LIMIT,
        wait_s: float | None = None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reader = reader
        self.records = self.shared = 0
        self._wait_s = flows[0].source.budget.timeout_s + 2 * GRACE_S if wait_s is None else wait_s
        self._fields = tuple(dict.fromkeys(name for flow in flows for name in flow.source_spec.fields))
        self._parse_key = flows[0].data_type.key_parser(reader.name)
        self._fresh_s = {
            flow.name: FRESH * min(flow.every_s, flow.window_s) if fresh_s is None else fresh_s for flow in flows
        }
        self._steady = steady
        self._lock = threading.Lock()
        self._tickets = itertools.count(1)
        self._store = ReadStore(records_limit=records_limit, bytes_limit=bytes_limit)
        self._flights: dict[Hashable, _Flight[Any]] = {}
        self._round: _Round | None = None
        self._open: set[OwnerShare] = set()
        self._closed: dict[str, int] = {}

    def open(self, flow: str, now: datetime, *, join: bool = True) -> OwnerShare:
        """A share in these reads for one audit of a flow; it must be closed.

        Args:
            now: the instant of the audit.
            join: it may be planned for the instant of audits that have just begun.
        """
        with self._lock:
            ticket = next(self._tickets)
            last = self._round
            if not join:
                share = OwnerShare(self, flow, at=now, since=ticket, afresh=ticket)
            else:
                if last is None or now < last.at or not self._joins(flow, last):
                    last = self._round = _Round(ticket, now, self._steady())
                afresh = ticket if now > last.at else last.ticket
                share = OwnerShare(self, flow, at=last.at, since=last.ticket, afresh=afresh)
            self._open.add(share)
        return share

    def forget(self) -> None:
        """Forget what no audit can use any more."""
        with self._lock:
            self._forget()

    @property
    def held(self) -> tuple[int, int]:
        """How many records and bytes are kept."""
        with self._lock:
            return self._store.records, self._store.size_bytes

    # -- for its shares

    def close(self, share: OwnerShare) -> None:
        """See `OwnerShare.close`."""
        with self._lock:
            if share in self._open:
                self._open.remove(share)
                self._closed[share.flow] = next(self._tickets)
                self.shared += share.shared
                self._forget()

    def ticket(self) -> int:
        """The ticket of a read that begins now."""
        with self._lock:
            return next(self._tickets)

    def count(self, records: int) -> None:
        """Count records that the owner has returned."""
        with self._lock:
            self.records += records

    def wide(self, spec: ReadSpec) -> ReadSpec:
        """The spec with the fields of all flows; unchanged if it reads no fields."""
        return spec if spec.keys_alone else replace(spec, fields=self._fields)

    def key_of(self, row: Row) -> Key | None:
        """The canonical key of a row, None if it has none that can be read."""
        return read_key(self._parse_key, row[KEY])

    def keys_of(self, reading: Reading) -> set[Key]:
        """The canonical keys in a list, those of deleted records included."""
        raw = (*(row[KEY] for row in reading.rows), *reading.absent)
        return {key for each in raw if (key := read_key(self._parse_key, each)) is not None}

    def obtain(
        self,
        requests: Mapping[Hashable, int],
        read: Callable[[Sequence[Hashable]], ResultT],
        split: Callable[[ResultT, int], Mapping[Hashable, Entry]],
    ) -> _Obtained[ResultT]:
        """Take each request from a reading made before, from a read under way, or from one made now.

        Reads under way are waited for within the deadline of one call.

        Args:
            requests: each with the ticket at or after which its read must have begun.
            read: makes a read for some of them.
            split: what may be shared of a result, by request, given the ticket of its read.
        """
        entries, awaited, flight = self._claim(requests)
        shared = len(entries)
        if flight is not None:
            self._fly(flight, read, split)
            entries |= flight.entries
        missed = []
        for other, its in awaited.items():
            other.over.wait(self._wait_s)
            returned = other.entries
            entries |= {request: returned[request] for request in its if request in returned}
            shared += sum(request in returned for request in its)
            lacking = [request for request in its if request not in returned]
            if lacking:
                missed.append((other, lacking))
        return _Obtained(entries, flight.result if flight is not None else None, missed, shared)

    def _claim(
        self, requests: Mapping[Hashable, int]
    ) -> tuple[dict[Hashable, Entry], dict[_Flight[Any], list[Hashable]], _Flight[Any] | None]:
        """What is kept, what to wait for, and a read to be made now; None if nothing is left for it."""
        entries: dict[Hashable, Entry] = {}
        awaited: dict[_Flight[Any], list[Hashable]] = {}
        unread: list[Hashable] = []
        with self._lock:
            for request, since in requests.items():
                entry, other = self._store.get(request, since), self._flights.get(request)
                if entry is not None:
                    entries[request] = entry
                elif other is not None and other.began >= since:
                    awaited.setdefault(other, []).append(request)
                else:
                    unread.append(request)
            if not unread:
                return entries, awaited, None
            flight: _Flight[Any] = _Flight(next(self._tickets), unread)
            self._flights.update(dict.fromkeys(unread, flight))
        return entries, awaited, flight

    def _fly(
        self,
        flight: _Flight[ResultT],
        read: Callable[[Sequence[Hashable]], ResultT],
        split: Callable[[ResultT, int], Mapping[Hashable, Entry]],
    ) -> None:
        try:
            result = read(flight.requests)
            flight.entries = split(result, flight.began)
            flight.result = result
        except BaseException as error:
            flight.error = error
            raise
        finally:
            with self._lock:
                for request in flight.requests:
                    if self._flights.get(request) is flight:
                        del self._flights[request]
                if self._open:
                    for request, entry in flight.entries.items():
                        self._store.put(request, entry)
            flight.over.set()

    # -- all of these hold the lock

    def _joins(self, flow: str, last: _Round) -> bool:
        """Whether the next audit of a flow may be planned for the instant of a round."""
        fresh = self._steady() - last.begun_s <= self._fresh_s[flow]
        return fresh and self._closed.get(flow, 0) < last.ticket and all(each.flow != flow for each in self._open)

    def _forget(self) -> None:
        if not len(self._store):
            return
        needed = [each.since for each in self._open]
        last = self._round
        if last is not None and any(self._joins(flow, last) for flow in self._fresh_s):
            needed.append(last.ticket)
        self._store.forget_before(min(needed, default=None))


class OwnerShare:
    """The reads of one audit at its owner, shared with other audits; see `Owner`.

    Attributes:
        at: the instant that the audit is planned for; all that it uses was read later.
        since: the ticket of that instant.
        shared: records that another audit has read.
    """

    def __init__(self, reads: OwnerReads, flow: str, *, at: datetime, since: int, afresh: int) -> None:
        self.flow = flow
        self.at = at
        self.since = since
        self.shared = 0
        self._reads = reads
        self._afresh = afresh
        self._due: Mapping[Key, int] = {}
        self._listed: Collection[Key] = frozenset()
        self._listed_from = since

    @property
    def name(self) -> str:
        """The system's name."""
        return self._reads.reader.name

    def read_afresh(self, due: Iterable[Key], announced: Iterable[Key] = ()) -> None:
        """Take records only from recent reads.

        Args:
            due: from reads that began after this audit.
            announced: from reads that begin from now on, because the owner has announced a change of them.
        """
        self._due = {**dict.fromkeys(due, self._afresh), **dict.fromkeys(announced, self._reads.ticket())}

    def close(self) -> None:
        """Nothing more is read of the owner."""
        self._reads.close(self)

    # -- reads

    def changed(self, spec: ReadSpec, since: datetime | int | None, limit: int) -> Reading:
        """See `SystemReader.changed`."""
        reader = self._reads.reader
        self._listed_from, reading, self._listed = self._list(
            spec, ("changed", since), limit, lambda each: reader.changed(each, since, limit)
        )
        return reading

    def page(self, spec: ReadSpec, after: str | None, limit: int) -> Reading:
        """See `SystemReader.page`."""
        reader = self._reads.reader
        return self._list(spec, ("page", after), limit, lambda each: reader.page(each, after, limit))[1]

    def fetch(self, spec: ReadSpec, keys: Sequence[Key]) -> Reading:
        """See `SystemReader.fetch`; each record carries the instants of the read that returned it."""
        reads, reader, wide = self._reads, self._reads.reader, self._reads.wide(spec)
        if not keys:
            return reader.fetch(spec, keys)
        requests: dict[Hashable, Key] = {(wide.fields, wide.mark, key): key for key in keys}
        got = reads.obtain(
            {request: self._needed_from(key) for request, key in requests.items()},
            lambda unread: reader.fetch(wide, [requests[each] for each in unread]),
            lambda reading, began: self._records(wide, reading, began),
        )
        records = {key: got.entries[request].value for request, key in requests.items() if request in got.entries}
        made: list[Reading] = []
        error: ProbeError | None = None
        unreadable: dict[Key, str] = {}
        again = [key for key in keys if key not in records]
        if got.own is not None:
            made.append(got.own)
            self._count(spec, len(got.own.instants))
        if wide.fields == spec.fields:
            again = []
            if got.own is not None:
                error, unreadable = got.own.error, dict(got.own.unreadable)
            for flight, its in got.missed:
                failed = _failed(flight)
                if failed is None:
                    again += [requests[each] for each in its]
                else:
                    made.append(failed)
                    error = error or failed.error
        narrow = reader.fetch(spec, again) if again else None
        if narrow is not None:
            made.append(narrow)
            self._count(spec, len(narrow.instants))
            error, unreadable = error or narrow.error, unreadable | dict(narrow.unreadable)
        self.shared += 0 if spec.keys_alone else got.shared
        rows = _narrowed((row for record in records.values() for row in record.rows), wide, spec)
        return Reading(
            system=self.name,
            sent_at=min([*(each.seen[0] for each in records.values()), *(each.sent_at for each in made)]),
            received_at=max([*(each.seen[1] for each in records.values()), *(each.received_at for each in made)]),
            rows=[*rows, *(narrow.rows if narrow is not None else ())],
            error=error,
            unreadable=unreadable,
            instants={
                **{key: record.seen for key, record in records.items()},
                **(narrow.instants if narrow is not None else {}),
            },
            doubled={
                **{key: record.doubled for key, record in records.items() if record.doubled is not None},
                **(narrow.doubled if narrow is not None else {}),
            },
            unpaired={
                **{key: record.unpaired for key, record in records.items() if record.unpaired is not None},
                **(narrow.unpaired if narrow is not None else {}),
            },
            traced={key for key, record in records.items() if record.traced}
            | (narrow.traced if narrow is not None else frozenset()),
        )

    def ranked(self, spec: ReadSpec, seed: str, lower: int, upper: int, limit: int) -> Sequence[tuple[Any, int]]:
        """See `SystemReader.ranked`. Raises ProbeError."""
        reader = self._reads.reader
        return self._once(
            ("ranked", seed, lower, upper, limit), lambda: reader.ranked(spec, seed, lower, upper, limit)
        )

    def can_rank(self, spec: ReadSpec, seed: str) -> bool:
        """See `SystemReader.can_rank`. Raises ProbeError."""
        return self._once(("can_rank", seed), lambda: self._reads.reader.can_rank(spec, seed))

    def highest_version(self, spec: ReadSpec) -> int | None:
        """See `SystemReader.highest_version`. Raises ProbeError."""
        return self._once(("highest_version",), lambda: self._reads.reader.highest_version(spec))

    def _needed_from(self, key: Key) -> int:
        """The ticket at or after which the read of a record must have begun."""
        since = self._due.get(key, self.since)
        return max(since, self._listed_from) if key in self._listed else since

    def _records(self, wide: ReadSpec, reading: Reading, began: int) -> dict[Hashable, Entry]:
        rows: dict[Key, list[Row]] = {key: [] for key in reading.instants}
        for row in reading.rows:
            key = self._reads.key_of(row)
            if key is not None and key in rows:
                rows[key].append(row)
        return {
            (wide.fields, wide.mark, key): _entry(began, _record(reading, key, its), its) for key, its in rows.items()
        }

    def _list(
        self, spec: ReadSpec, request: tuple[Hashable, ...], limit: int, read: Callable[[ReadSpec], Reading]
    ) -> tuple[int, Reading, Collection[Key]]:
        """The ticket of the read of a part of a list, this part, and its keys; read afresh if one of them is due."""
        began, reading = self._part(spec, request, limit, read, self.since)
        keys = self._reads.keys_of(reading)
        since = max((self._due[key] for key in keys if key in self._due), default=self.since)
        if began < since:
            began, reading = self._part(spec, request, limit, read, since)
            keys = self._reads.keys_of(reading)
        return began, reading, keys

    def _part(
        self,
        spec: ReadSpec,
        request: tuple[Hashable, ...],
        limit: int,
        read: Callable[[ReadSpec], Reading],
        since: int,
    ) -> tuple[int, Reading]:
        """The same from reads that began at or after a ticket.

        A part that was read with another limit will do if neither of the limits cuts it off.
        """
        wide = self._reads.wide(spec)
        failures: list[Reading | None] = []
        for name in ((*request, wide.fields, wide.mark), (*request, limit, wide.fields, wide.mark)):
            got = self._reads.obtain({name: since}, lambda _: read(wide), _part_of(name, limit))
            if got.own is not None:
                self._count(spec, len(got.own.rows))
            entry = got.entries.get(name)
            if entry is None:
                failures = [got.own, *(_failed(flight) for flight, _ in got.missed)]
                break
            part: _Part = entry.value
            if part.limit == limit or (not part.reading.truncated and len(part.reading.rows) <= limit):
                self.shared += len(part.reading.rows) if got.shared and not spec.keys_alone else 0
                return entry.began, replace(part.reading, rows=_narrowed(part.reading.rows, wide, spec))
        began = self._reads.ticket()
        if wide.fields == spec.fields:
            for failed in failures:
                if failed is not None:
                    return began, failed
        reading = read(spec)
        self._count(spec, len(reading.rows))
        return began, reading

    def _once(self, request: tuple[Hashable, ...], read: Callable[[], ResultT]) -> ResultT:
        got = self._reads.obtain(
            {request: self.since},
            lambda _: read(),
            lambda result, began: {
                request: _entry(began, result, [[each] for each in result] if isinstance(result, list) else ())
            },
        )
        entry = got.entries.get(request)
        if entry is None:
            for flight, _ in got.missed:
                _failed(flight)
            return read()
        result: ResultT = entry.value
        return result

    def _count(self, spec: ReadSpec, records: int) -> None:
        """Count records that were read now; keys alone do not count."""
        if not spec.keys_alone:
            self._reads.count(records)


def _failed(flight: _Flight[Any]) -> Reading | None:
    """The reading of a read that failed, for who has waited for it; None if it says nothing about the system.

    Raises:
        ProbeError, ReaderClosedError: it has raised that.
    """
    if flight.error is not None and not isinstance(flight.error, SpentError):
        raise flight.error
    result = flight.result
    if not isinstance(result, Reading) or result.error is None or isinstance(result.error, SpentError):
        return None
    return result


def _part_of(name: Hashable, limit: int) -> Callable[[Reading, int], Mapping[Hashable, Entry]]:
    """What may be shared of a part of a list: nothing if it failed."""
    return lambda reading, began: {} if reading.error else {name: _entry(began, _Part(reading, limit), reading.rows)}


def _entry(began: int, value: Any, rows: Sequence[Sequence[Any]]) -> Entry:
    size_bytes = ENTRY_BYTES + sum(sum(map(getsizeof, row)) for row in rows)
    return Entry(began=began, value=value, records=len(rows), size_bytes=size_bytes)


def _record(reading: Reading, key: Key, rows: Sequence[Row]) -> _Record:
    """What a reading holds of one record."""
    return _Record(
        rows, reading.when(key), reading.doubled.get(key), reading.unpaired.get(key), key in reading.traced
    )


def _narrowed(rows: Iterable[Row], wide: ReadSpec, spec: ReadSpec) -> list[Row]:
    """Rows with only the fields of one flow, in its order."""
    if wide.fields == spec.fields:
        return list(rows)
    positions = [wide.fields.index(name) for name in spec.fields]
    return [(*row[:VALUES_FROM], *(row[VALUES][position] for position in positions)) for row in rows]

"""The records of the org, with every version they had and when it was committed.

What people do happens in transactions. A record's stamps are of the moment it was written in its transaction;
others see it from the commit on. So a long transaction commits records whose SystemModstamp is already behind what
a reader has seen, which is what `latestDateCovered` of getUpdated is about.

Source: Object Reference (v68.0), "System Fields"; SOAP API Developer Guide, "Data Replication", "GetUpdatedResult"
(a long-running transaction holds latestDateCovered at its start), "undelete()".
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any

from tests.standins.clock import Clock
from tests.standins.salesforce import ids
from tests.standins.salesforce.instants import whole_second
from tests.standins.salesforce.schema import NUMBERS, Field, SObject

Values = Mapping[str, Any]
USER = ids.new_id("005", 1)


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a transaction did to one record, for the event bus."""

    kind: str  # CREATE, UPDATE, DELETE, UNDELETE
    sobject: str
    id: str
    values: Values
    changed: frozenset[str]
    written_at: datetime


@dataclass(frozen=True, kw_only=True)
class Deletion:
    """A line of the delete log."""

    id: str
    deleted_at: datetime


@dataclass
class _Record:
    sobject: str
    committed_at: list[datetime] = field(default_factory=list)
    versions: list[Values | None] = field(default_factory=list)  # None: purged

    def at(self, instant: datetime | None) -> Values | None:
        if instant is None:
            return self.versions[-1] if self.versions else None
        index = bisect_right(self.committed_at, instant)
        return self.versions[index - 1] if index else None


def kept(of: Field, value: Any) -> Any:
    """A value as the org keeps it: an empty text is null, an instant has whole seconds, a number its scale.

    Raises:
        ValueError: the field cannot hold it.
    """
    if of.type == "boolean":
        if not isinstance(value, bool):
            raise ValueError(f"{of.name} wants true or false, not {value!r}")
        return value
    if value is None or value == "":
        if not of.nillable:
            raise ValueError(f"{of.name} wants a value")
        return None
    if of.type in NUMBERS:
        try:
            return int(value) if of.type == "int" else Decimal(str(value))
        except (InvalidOperation, ValueError):
            raise ValueError(f"{of.name} wants a number, not {value!r}") from None
    if of.type == "datetime":
        instant = datetime.fromisoformat(value) if isinstance(value, str) else value
        return whole_second(instant.astimezone(UTC))
    if of.type == "date":
        return date.fromisoformat(value) if isinstance(value, str) else value
    if of.type in {"id", "reference"}:
        whole = ids.with_suffix(value)
        if whole is None:
            raise ValueError(f"{of.name}: {value!r} is no id")
        return whole
    if of.type == "multipicklist":
        parts = value.split(";") if isinstance(value, str) else list(value)
        return ";".join(dict.fromkeys(parts))
    if of.length and len(str(value)) > of.length:
        raise ValueError(f"{of.name} holds {of.length} characters")
    return str(value)


class Store:
    """All records of all objects."""

    def __init__(self, objects: dict[str, SObject], clock: Clock) -> None:
        self.objects = objects
        self.clock = clock
        self.lock = threading.RLock()
        self.listeners: list[Callable[[list[Change]], None]] = []
        self.deletions: dict[str, list[Deletion]] = defaultdict(list)
        self.earliest_deletion: dict[str, datetime] = {}
        self._records: dict[str, _Record] = {}
        self._of: dict[str, list[str]] = defaultdict(list)
        self._index: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self._numbers: dict[str, int] = defaultdict(int)
        self._open: dict[int, datetime] = {}

    def sobject(self, name: str) -> SObject | None:
        """The object of that name, in whatever case."""
        return self.objects.get(name.lower())

    def sobject_of(self, record_id: str) -> SObject | None:
        """The object that an id belongs to."""
        return next((each for each in self.objects.values() if each.prefix == record_id[:3]), None)

    def next_id(self, of: SObject) -> str:
        """An id nobody has."""
        with self.lock:
            self._numbers[of.name] += 1
            return ids.new_id(of.prefix, self._numbers[of.name])

    def get(self, record_id: str, as_of: datetime | None = None) -> Values | None:
        """A record as committed by then, deleted or not; None where there is none (or it is purged)."""
        with self.lock:
            record = self._records.get(record_id)
            return record.at(as_of) if record else None

    def scan(
        self, of: SObject, as_of: datetime | None = None, among: Iterable[str] | None = None
    ) -> Iterator[Values]:
        """The records of an object as committed by then, deleted ones too."""
        with self.lock:
            for record_id in list(self._of[of.name] if among is None else among):
                record = self._records.get(record_id)
                values = record.at(as_of) if record and record.sobject == of.name else None
                if values is not None:
                    yield values

    def with_value(self, of: SObject, name: str, value: str) -> set[str]:
        """The ids of records that ever had a value in an External Id field, in whatever case."""
        with self.lock:
            return set(self._index[of.name, name.lower()].get(value.lower(), ()))

    def oldest_open(self) -> datetime | None:
        """When the oldest transaction began that has not ended."""
        with self.lock:
            return min(self._open.values(), default=None)

    def begin(self) -> Transaction:
        """Start a transaction, as a batch job does."""
        transaction = Transaction(self)
        with self.lock:
            self._open[id(transaction)] = self.clock.now()
        return transaction

    def end(self, transaction: Transaction, changes: list[Change], purged: list[str]) -> None:
        """Let others see what a transaction did."""
        with self.lock:
            self._open.pop(id(transaction), None)
            now = self.clock.now()
            for change in changes:
                record = self._records.get(change.id)
                if record is None:
                    record = self._records[change.id] = _Record(change.sobject)
                    self._of[change.sobject].append(change.id)
                record.committed_at.append(max(now, *record.committed_at[-1:], now))
                record.versions.append(change.values)
                self._note(change)
            for record_id in purged:
                record = self._records[record_id]
                record.committed_at.append(max(now, *record.committed_at[-1:], now))
                record.versions.append(None)
        for listener in self.listeners:
            listener(changes)

    def _note(self, change: Change) -> None:
        of = self.objects[change.sobject.lower()]
        for each in of:
            if each.external_id and (value := change.values.get(each.name)) is not None:
                self._index[of.name, each.name.lower()][str(value).lower()].add(change.id)
        log = self.deletions[of.name]
        if change.kind == "DELETE":
            log.append(Deletion(id=change.id, deleted_at=change.written_at))
        elif change.kind == "UNDELETE":
            log[:] = [line for line in log if line.id != change.id]

    def forget_deletions(self, of: str, before: datetime) -> None:
        """Purge the delete log, as the vendor's background process does when it grows."""
        with self.lock:
            log = self.deletions[of]
            gone = [line for line in log if line.deleted_at < before]
            log[:] = [line for line in log if line.deleted_at >= before]
            if gone:
                self.earliest_deletion[of] = max(line.deleted_at for line in gone)


class Transaction:
    """What somebody does at once. Use it with `with`, or commit it later, when the clock has moved on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changes: list[Change] = []
        self._purged: list[str] = []
        self._seen: dict[str, Values] = {}

    def __enter__(self) -> Transaction:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.commit()
        else:
            self.roll_back()

    def commit(self) -> None:
        """Make it visible now."""
        self._store.end(self, self._changes, self._purged)
        self._changes, self._purged = [], []

    def roll_back(self) -> None:
        """Forget it."""
        self._store.end(self, [], [])
        self._changes, self._purged = [], []

    def put(self, sobject: str, values: Values, *, by: str = USER) -> str:
        """Create a record.

        Returns: its id of 18 characters.
        """
        of = self._store.objects[sobject.lower()]
        record_id = self._store.next_id(of)
        now = whole_second(self._store.clock.now())
        whole: dict[str, Any] = {each.name: False if each.type == "boolean" else None for each in of}
        whole |= {"Id": record_id, "OwnerId": by, "CreatedDate": now, "CreatedById": by}
        if "CurrencyIsoCode" in whole:
            whole["CurrencyIsoCode"] = "EUR"
        whole |= self._checked(of, record_id, values)
        self._write("CREATE", of, whole, frozenset(), by)
        return record_id

    def update(self, record_id: str, values: Values, *, by: str = USER) -> None:
        """Change some fields of a record."""
        of, before = self._current(record_id)
        new = self._checked(of, before["Id"], values)
        changed = frozenset(name for name, value in new.items() if value != before.get(name))
        self._write("UPDATE", of, {**before, **new}, changed, by)

    def touch(self, record_id: str, values: Values | None = None) -> None:
        """What the system does by itself: SystemModstamp moves, LastModifiedDate does not, no event tells."""
        of, before = self._current(record_id)
        after = {**before, **self._checked(of, before["Id"], values or {})}
        self._write("SYSTEM", of, after, frozenset(), None)

    def delete(self, record_id: str, *, purge: bool = False, by: str = USER) -> None:
        """Put a record into the recycle bin, or past it."""
        of, before = self._current(record_id)
        if not before["IsDeleted"]:
            self._write("DELETE", of, {**before, "IsDeleted": True}, frozenset(), by)
        if purge:
            self._purged.append(before["Id"])

    def undelete(self, record_id: str, *, by: str = USER) -> None:
        """Take a record out of the recycle bin."""
        of, before = self._current(record_id, deleted=True)
        self._write("UNDELETE", of, {**before, "IsDeleted": False}, frozenset(), by)

    def _current(self, record_id: str, *, deleted: bool = False) -> tuple[SObject, Values]:
        whole = ids.with_suffix(record_id) or ""
        values = self._seen.get(whole) or self._store.get(whole)
        of = self._store.sobject_of(whole)
        if values is None or of is None or (values["IsDeleted"] and not deleted and whole not in self._seen):
            raise KeyError(record_id)
        return of, values

    def _checked(self, of: SObject, record_id: str, values: Values) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in values.items():
            each = of.find(name)
            if each is None or not each.updateable:
                raise ValueError(f"{of.name} has no field {name} to write")
            found[each.name] = kept(each, value)
            if each.unique and value:
                for other in self._store.with_value(of, each.name, value):
                    held = self._store.get(other)
                    if other != record_id and held and _same(each, held.get(each.name), value):
                        raise ValueError(f"DUPLICATE_VALUE: {each.name} {value!r} is of {other}")
        return found

    def _write(self, kind: str, of: SObject, values: dict[str, Any], changed: frozenset[str], by: str | None) -> None:
        now = whole_second(self._store.clock.now())
        values["SystemModstamp"] = now
        if by is not None:
            values |= {"LastModifiedDate": now, "LastModifiedById": by}
            changed |= {"LastModifiedDate"} if kind == "UPDATE" else frozenset()
        if "FirstName" in values:
            values["Name"] = " ".join(part for part in (values["FirstName"], values["LastName"]) if part)
        frozen = MappingProxyType(values)
        self._seen[values["Id"]] = frozen
        self._changes.append(
            Change(kind=kind, sobject=of.name, id=values["Id"], values=frozen, changed=changed, written_at=now)
        )


def _same(of: Field, one: Any, other: Any) -> bool:
    if one is None or other is None:
        return False
    return bool(one == other if of.case_sensitive else str(one).lower() == str(other).lower())

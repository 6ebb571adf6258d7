"""The event bus: what is published when a transaction commits, and how long it is kept.

Source: Change Data Capture Developer Guide (v68.0), "ChangeEventHeader Fields" (records with the same change in one
transaction and second share an event), "Change Event Body Fields" (with the Pub/Sub API all fields are there,
unchanged ones empty; a deletion has none), "Gap Events", "Overflow Events"; Pub/Sub API Developer Guide, "Event
Deserialization Considerations" (bitmaps: the bit of a field's place in the schema; `place-0x..` for the parts of a
compound field; dates and instants are milliseconds since 1970), "Event Message Durability" (72 hours; replay ids
are opaque and not contiguous, and lose their meaning when an org moves).

Where the documents are silent: the Avro type of multi-picklists (a string, joined by `;`), what a change of the
system without a user does (no event), how far a replay id stays good when nothing is published: as long as the last
keepalive named it in the last 72 hours.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Any
from uuid import uuid4
from zlib import crc32

import fastavro

from tests.standins.clock import Clock
from tests.standins.salesforce.schema import Field, SObject
from tests.standins.salesforce.store import USER, Change, Store

KEPT = timedelta(hours=72)
ALL_CHANGES = "/data/ChangeEvents"
CHANGE_TYPES = (
    "CREATE", "UPDATE", "DELETE", "UNDELETE", "GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE",
    "GAP_OVERFLOW", "SNAPSHOT",
)  # fmt: skip
_AVRO = {"boolean": "boolean", "int": "int", "double": "double", "currency": "double", "percent": "double"}
_AVRO |= {"date": "long", "datetime": "long"}
_ABSENT = {"Id", "IsDeleted", "SystemModstamp"}


@dataclass(frozen=True)
class EventType:
    """A kind of event: its topic and the fields of its payload."""

    name: str
    fields: tuple[Field, ...]
    changes: bool = True

    @property
    def topic(self) -> str:
        """Where it is published."""
        return f"/data/{self.name}" if self.changes else f"/event/{self.name}"

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The Avro schema."""
        fields: list[dict[str, Any]] = [{"name": "ChangeEventHeader", "type": _HEADER}] if self.changes else []
        for each in self.fields:
            parts = [part for part in self.fields if part.part_of == each.name]
            if each.part_of:
                continue
            kind: list[Any] = ["null", _AVRO.get(each.type, "string")]
            if parts:
                names = [{"name": part.name, "type": ["null", "string"], "default": None} for part in parts]
                kind.append({"type": "record", "name": "PersonName", "fields": names})
            fields.append({"name": each.name, "type": kind, "default": None})
        return {"type": "record", "name": self.name, "namespace": "com.sforce.eventbus", "fields": fields}

    @cached_property
    def schema_json(self) -> str:
        """The schema as text."""
        return json.dumps(self.schema)

    @cached_property
    def schema_id(self) -> str:
        """The schema's fingerprint."""
        digest = hashlib.md5(self.schema_json.encode(), usedforsecurity=False).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    @cached_property
    def _parsed(self) -> Any:
        return fastavro.parse_schema(json.loads(self.schema_json))

    def encoded(self, header: dict[str, Any] | None, values: dict[str, Any]) -> bytes:
        """A payload."""
        whole: dict[str, Any] = {} if header is None else {"ChangeEventHeader": header}
        for each in self.fields:
            value = _epoch(values.get(each.name))
            if each.part_of is None:
                parts = [part.name for part in self.fields if part.part_of == each.name]
                person = {part: values.get(part) for part in parts}
                whole[each.name] = (person if any(person.values()) else None) if parts else value
        out = io.BytesIO()
        fastavro.schemaless_writer(out, self._parsed, whole)
        return out.getvalue()

    def bitmap(self, names: Iterable[str]) -> list[str]:
        """Field names as a bitmap field of the header has them."""
        known, top, nested = [each["name"] for each in self.schema["fields"]], 0, dict[int, int]()
        parents = {each.name: each.part_of for each in self.fields}
        for name in names:
            parent = parents.get(name)
            if parent:
                parts = [each.name for each in self.fields if each.part_of == parent]
                place = known.index(parent)
                nested[place] = nested.get(place, 0) | 1 << parts.index(name)
            elif name in known and not any(each.part_of == name for each in self.fields):
                top |= 1 << known.index(name)
        return [*([_hex(top)] if top else []), *(f"{place}-{_hex(bits)}" for place, bits in sorted(nested.items()))]


_STRINGS = {"type": "array", "items": "string"}
_HEADER = {
    "type": "record",
    "name": "ChangeEventHeader",
    "fields": [
        {"name": "entityName", "type": "string"},
        {"name": "recordIds", "type": _STRINGS},
        {"name": "changeType", "type": {"type": "enum", "name": "ChangeType", "symbols": list(CHANGE_TYPES)}},
        {"name": "changeOrigin", "type": "string"},
        {"name": "transactionKey", "type": "string"},
        {"name": "sequenceNumber", "type": "int"},
        {"name": "commitTimestamp", "type": "long"},
        {"name": "commitNumber", "type": "long"},
        {"name": "commitUser", "type": "string"},
        {"name": "nulledFields", "type": _STRINGS},
        {"name": "diffFields", "type": _STRINGS},
        {"name": "changedFields", "type": _STRINGS},
    ],
}


def _hex(bits: int) -> str:
    digits = f"{bits:X}"
    return f"0x{digits:0>{len(digits) + len(digits) % 2}}"


def _epoch(value: Any) -> Any:
    if isinstance(value, datetime):
        return int(value.timestamp() * 1000)
    if isinstance(value, date):
        return int(datetime.combine(value, time(), UTC).timestamp() * 1000)
    return float(value) if isinstance(value, Decimal) else value


@lru_cache
def change_type(of: SObject) -> EventType:
    """The change event of an object."""
    name = of.name.removesuffix("__c") + ("__ChangeEvent" if of.name.endswith("__c") else "ChangeEvent")
    return EventType(name, tuple(each for each in of if each.name not in _ABSENT))


@dataclass(frozen=True, kw_only=True)
class Event:
    """What is on the bus."""

    type: EventType
    replay_id: bytes
    published_at: datetime
    header: dict[str, Any] | None
    values: dict[str, Any]
    id: str = field(default_factory=lambda: str(uuid4()))

    @cached_property
    def payload(self) -> bytes:
        """The Avro payload."""
        return self.type.encoded(self.header, self.values)


class Bus:
    """All events of the org in their order.

    Attributes:
        enabled: the objects whose changes are published; None for all.
        most_changes: how many changes of one transaction have events of their own, before overflow events.
        arrived: told when something was published.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self.enabled: set[str] | None = None
        self.most_changes = 100_000
        self.arrived = threading.Condition()
        self.platform: dict[str, EventType] = {}
        self._store = store
        self._clock = clock
        self._events: list[Event] = []
        self._held: list[Event] | None = None
        self._given: dict[bytes, datetime] = {}
        self._last = 4_711
        self._shown = self._tip()
        self._commits = 900_000_000
        self._schemas: dict[str, EventType] = {}
        store.listeners.append(self._committed)

    # topics

    def types(self, topic: str) -> list[EventType]:
        """The kinds of events on a topic; empty where there is no such topic."""
        known = [change_type(each) for each in self._store.objects.values()]
        known = [each for each in known if self.enabled is None or each.name in self._names()]
        known += self.platform.values()
        for each in known:
            self._schemas[each.schema_id] = each
        if topic == ALL_CHANGES:
            return [each for each in known if each.changes]
        return [each for each in known if each.topic == topic]

    def schema(self, schema_id: str) -> EventType | None:
        """A kind of event by its schema."""
        return self._schemas.get(schema_id)

    def _names(self) -> set[str]:
        return {change_type(self._store.objects[each.lower()]).name for each in self.enabled or ()}

    # what is published

    def define(self, name: str, *fields: Field) -> None:
        """Make a platform event, such as `Order_Event__e`."""
        system = (Field(name="CreatedDate", type="datetime"), Field(name="CreatedById", type="reference"))
        self.platform[name] = EventType(name, (*system, *fields), changes=False)

    def publish(self, name: str, **values: Any) -> bytes:
        """Publish a platform event.

        Returns: its replay id.
        """
        whole = {"CreatedDate": self._clock.now(), "CreatedById": USER, **values}
        return self._add(self.platform[name], None, whole)

    def gap(self, change: str, sobject: str, *record_ids: str) -> None:
        """Publish a gap event: something changed, the event does not say what. OVERFLOW names no record either."""
        kind, ids = change_type(self._store.objects[sobject.lower()]), list(record_ids)
        self._add(kind, self._header(sobject, ids, f"GAP_{change}", str(uuid4()), 1), {})

    def hold(self) -> None:
        """Deliver nothing more until it is released: the bus lags."""
        self._held = self._held or []

    def release(self) -> None:
        """Deliver what was held."""
        with self.arrived:
            self._events += self._held or []
            self._held = None
            self._shown = self._tip()
            self.arrived.notify_all()

    def reset(self) -> None:
        """Move the org: the events are gone, and no replay id from before means anything."""
        with self.arrived:
            self._events.clear()
            self._given.clear()
            self._last += 1_000_000
            self._shown = self._tip()

    def _committed(self, changes: list[Change]) -> None:
        key = str(uuid4())
        self._commits += 1
        told = [each for each in changes if each.kind != "SYSTEM"]
        if self.enabled is not None:
            told = [each for each in told if each.sobject in self.enabled]
        told, beyond = self._cut(told)
        for number, same in enumerate(_merged(told), 1):
            first = same[0]
            kind = change_type(self._store.objects[first.sobject.lower()])
            header = self._header(first.sobject, [each.id for each in same], first.kind, key, number)
            header["commitUser"] = first.values["LastModifiedById"]
            values = dict(first.values) if first.kind in {"CREATE", "UNDELETE"} else {}
            if first.kind == "UPDATE":
                values = {name: first.values.get(name) for name in first.changed}
                header["changedFields"] = kind.bitmap(first.changed)
                header["nulledFields"] = kind.bitmap(name for name, value in values.items() if value is None)
            self._add(kind, header, values)
        for sobject in dict.fromkeys(each.sobject for each in beyond):
            self.gap("OVERFLOW", sobject)

    def _cut(self, changes: list[Change]) -> tuple[list[Change], list[Change]]:
        """The changes with events of their own, and the rest. In an update each field counts."""
        count = 0
        for at, change in enumerate(changes):
            count += len(change.changed) if change.kind == "UPDATE" else 1
            if count > self.most_changes:
                return changes[:at], changes[at:]
        return changes, []

    def _header(self, of: str, ids: list[str], change: str, key: str, number: int) -> dict[str, Any]:
        return {
            "entityName": of,
            "recordIds": ids,
            "changeType": change,
            "changeOrigin": "",
            "transactionKey": key,
            "sequenceNumber": number,
            "commitTimestamp": int(self._clock.now().timestamp() * 1000),
            "commitNumber": self._commits,
            "commitUser": USER,
            "nulledFields": [],
            "diffFields": [],
            "changedFields": [],
        }

    def _add(self, kind: EventType, header: dict[str, Any] | None, values: dict[str, Any]) -> bytes:
        with self.arrived:
            self._last += 1 + crc32(str(self._last).encode()) % 3  # ids are not contiguous
            now = self._clock.now()
            event = Event(type=kind, replay_id=self._tip(), published_at=now, header=header, values=values)
            if self._held is None:
                self._events.append(event)
                self._shown = event.replay_id
            else:
                self._held.append(event)
            self._given[event.replay_id] = now
            self._schemas[kind.schema_id] = kind
            self.arrived.notify_all()
            return event.replay_id

    def _tip(self) -> bytes:
        return self._last.to_bytes(8, "big")

    # what is read; hold `arrived` around these

    def name_tip(self) -> bytes:
        """The replay id of the end of the stream, for a keepalive; it is good for another 72 hours."""
        tip = self._shown
        self._given[tip] = self._clock.now()
        return tip

    def knows(self, replay_id: bytes) -> bool:
        """Whether a subscription can begin behind that id."""
        given = self._given.get(replay_id)
        return given is not None and self._clock.now() - given <= KEPT

    def after(self, replay_id: bytes, topics: Sequence[str], most: int) -> list[Event]:
        """The next events on some topics, at most so many."""
        now = self._clock.now()
        kept = (each for each in self._events if now - each.published_at <= KEPT)
        found = (each for each in kept if each.replay_id > replay_id and each.type.topic in topics)
        return [event for event, _ in zip(found, range(most), strict=False)]


def _merged(changes: list[Change]) -> list[list[Change]]:
    """Changes that are the same in several records of one object, within one second, together."""
    groups: list[list[Change]] = []
    for change in changes:
        last = groups[-1][0] if groups else None
        same = (
            last is not None
            and change.kind == last.kind in {"UPDATE", "DELETE"}
            and (change.sobject, change.changed, change.written_at) == (last.sobject, last.changed, last.written_at)
            and all(change.values.get(name) == last.values.get(name) for name in change.changed)
            and change.id not in {each.id for each in groups[-1]}
        )
        if same:
            groups[-1].append(change)
        else:
            groups.append([change])
    return groups

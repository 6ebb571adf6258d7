"""Records in Salesforce: by Id through sObject Collections, by another key and by changes through SOQL.

Every listing goes by key and stamp, never by OFFSET or by a query locator, which expires after two days: its position
survives a restart. Keys of large objects are listed by query jobs (`bulk`), and the event bus announces changes
(`event_bus`, `change_events`). Data that the connected app's user may not see does not exist for the API.
Source: REST API Developer Guide (v68.0), SOQL and SOSL Reference (v66.0), Object Reference, "System Fields".
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from probes.call_deadline import left, one_call, some_calls, within
from probes.contract import (
    DESCRIBING_CALLS,
    INSPECT_CALLS,
    MISSING,
    Announcements,
    ClockSample,
    CollectionSchema,
    FieldSchema,
    Key,
    Page,
    ProbeError,
    ReadSpec,
    Reason,
    Row,
)
from probes.http import walk
from probes.http.date_clock import read_clock
from probes.http.line import DIRECT, Line
from probes.letter_case import CASELESS, writings
from probes.records.alike_keys import alike
from probes.records.salesforce import bulk, soql
from probes.records.salesforce.change_events import Change, ChangeHeaders, topic_of
from probes.records.salesforce.event_bus import BusEvent, EventBus
from probes.records.salesforce.session import Session, reason_of, refused
from probes.records.salesforce.settings import SalesforceSettings
from probes.records.unranked import Unranked
from probes.wording import did_you_mean, listed

IDS_AT_ONCE = 2_000
"""Source: REST API Developer Guide, "Get Records With a Request Body Using sObject Collections"."""

KEYS_AT_ONCE = 400
"""Keys of one `fetch` by another field: they take a few queries, each as long as an address may be."""

NAMED_AT_ONCE = 2_000
"""Announced records whose keys are looked up at once; of more than that, the list of changes has them sooner."""

LARGEST_PAGE = 2_000
"""Source: REST API Developer Guide, "Query"."""

DESCRIBED = 40
"""Most objects that `collections` describes, each with a call of the org's allowance."""

LONGEST_NUMBER = 40
"""Most digits of a numeric key: the org's own have 18."""

OFTEN_USED = ("Account", "Contact", "Lead", "Opportunity", "Order", "Contract", "Product2", "Case", "Asset", "User")

NUMBERS = frozenset({"int", "double", "currency", "percent", "long"})
TEXTS = frozenset({"string", "email", "phone", "url", "picklist", "textarea", "combobox", "encryptedstring"})
STAMP = "SystemModstamp"
"""The stamp of a record's last change; LastModifiedDate misses those by the system itself."""

_TYPES = {"boolean": "boolean", "int": "integer", "long": "integer", "date": "date", "datetime": "timestamp"}
_TYPES |= {"double": "decimal", "currency": "decimal", "percent": "decimal", "multipicklist": "set"}
_TYPES |= {"id": "salesforce_id", "reference": "salesforce_id"}

_ID = re.compile(r"[0-9A-Za-z]{15}([0-9A-Za-z]{3})?")
_MORE = re.compile(r"/services/data/v\d+\.0/query(?:All)?/[A-Za-z0-9]+-\d+")
_POSITION = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)\|([0-9A-Za-z]{18})")

FieldsOf = Mapping[str, Mapping[str, Any]]
"""The described fields of an object, by lower-case name."""


class SalesforceProbe(Unranked):
    """Reads one org."""

    def __init__(self, settings: SalesforceSettings, line: Line = DIRECT) -> None:
        self.delay_floor_s = settings.delay_floor_s
        self.timeout_s = settings.budget.timeout_s
        self._session = Session(settings, line)
        self._known: dict[str, FieldsOf] = {}
        self._knowing = threading.Lock()
        self._bulk = bulk.BulkLists(self._session) if settings.bulk else None
        self._bus: EventBus | None = None
        if settings.change_events:
            self._bus = EventBus(settings.event_bus, settings.url, self._session, self._session.scrub.line)
            self._headers = ChangeHeaders(self._bus.schema)

    # -- capabilities

    def batch_limit(self, spec: ReadSpec) -> int:
        return IDS_AT_ONCE if _by_id(spec) else KEYS_AT_ONCE

    @some_calls(INSPECT_CALLS)
    def inspect(self, spec: ReadSpec) -> tuple[str, ...]:
        fields = self._described(spec.collection)
        remarks = []
        for name in dict.fromkeys(each for each in (spec.key, spec.mark, *spec.fields) if each is not None):
            remarks += self._field_remarks(spec, name, fields)
        key = fields[spec.key.lower()]
        if spec.key_type == CASELESS:
            self._refuse_case(spec)
        if not key.get("idLookup") and not key.get("externalId"):
            remarks.append(f"{spec.collection}.{spec.key} is not an External Id: every read scans the object")
        if spec.mark and spec.mark.lower() != "systemmodstamp":
            remarks.append(f"{spec.mark} does not show changes by the system itself; SystemModstamp does")
        self._session.query(soql.select(_selected(spec), spec.collection, "ORDER BY Id LIMIT 1"))
        remarks.append(f"records of {spec.collection} that the user may not see count as missing: give it View All")
        return (*remarks, *self._unannounced(spec), *self._session.remarks)

    def _unannounced(self, spec: ReadSpec) -> list[str]:
        """A remark if the changes of a collection are not announced although the map says so."""
        if self._bus is None:
            return []
        try:
            self._bus.check_topic(topic_of(spec.collection))
        except ProbeError as failure:
            return [f"changes of {spec.collection} are not announced, and found by their stamps alone: {failure}"]
        return []

    def _field_remarks(self, spec: ReadSpec, name: str, fields: FieldsOf) -> list[str]:
        own, _, of_parent = name.partition(".")
        if of_parent:
            parents = {str(each.get("relationshipName")).lower() for each in fields.values()} - {"none"}
            if own.lower() in parents:
                return []
            raise ProbeError(
                Reason.QUERY, f"{spec.collection} refers to no {own!r}{did_you_mean(own, sorted(parents))}"
            )
        found = fields.get(own.lower())
        if found is None:
            names = [str(each["name"]) for each in fields.values()]
            raise ProbeError(
                Reason.QUERY,
                f"{spec.collection} has no field named {own!r}{did_you_mean(own, names)}",
                hint="a field that the user may not see is not there either",
            )
        if found.get("calculated"):
            return [f"{name} is computed: it changes without a stamp, so that only the sweep finds its changes"]
        return []

    def highest_version(self, spec: ReadSpec) -> int | None:
        """Salesforce has no increasing version number."""
        return None

    @some_calls(DESCRIBING_CALLS)
    def collections(self) -> list[CollectionSchema]:
        """Describe the org's own objects and those of every CRM, 40 at most.

        Raises:
            ProbeError: `permission` if the user may read none of them.
        """
        readable = [each for each in self._objects() if each.get("queryable") and each.get("retrieveable")]
        names = [str(each["name"]) for each in readable]
        wanted = [name for name in OFTEN_USED if name in names]
        wanted += [str(each["name"]) for each in readable if each.get("custom") and each["name"] not in wanted]
        if not wanted:
            raise ProbeError(
                Reason.PERMISSION,
                f"the user may read no custom object, and not {listed(OFTEN_USED)}",
                hint="give the user that the app runs as a permission set with View All on each object to be audited "
                "and read access to its fields",
            )
        return [self._schema(name) for name in wanted[:DESCRIBED]]

    def _schema(self, name: str) -> CollectionSchema:
        fields = [
            FieldSchema(
                name=str(each["name"]),
                type=_TYPES.get(str(each["type"]), "string"),
                described=str(each["type"]),
                unique=each["type"] == "id" or bool(each.get("unique")),
            )
            for each in sorted(self._described(name).values(), key=lambda each: each["name"] != STAMP)
        ]
        stamp = fields[0].name if fields and fields[0].name == STAMP else None
        return CollectionSchema(name=name, fields=tuple(fields), changed_at=stamp)

    def _objects(self) -> list[Mapping[str, Any]]:
        document = self._session.ask("GET", f"{self._session.data}/sobjects")
        found = document.get("sobjects") if isinstance(document, dict) else None
        if not isinstance(found, list):
            raise _no_answer("sobjects", document)
        return found

    def _described(self, name: str) -> FieldsOf:
        """The fields of an object, read once.

        Raises:
            ProbeError: `query` if there is no such object.
        """
        with self._knowing:
            if name.lower() in self._known:
                return self._known[name.lower()]
        try:
            document = self._session.ask("GET", f"{self._session.data}/sobjects/{name}/describe")
        except ProbeError as failure:
            if "NOT_FOUND" not in failure.message:
                raise
            names = [str(each["name"]) for each in self._objects()]
            raise ProbeError(
                Reason.QUERY,
                f"no object named {name!r}{did_you_mean(name, names)}",
                hint="an object that the user may not read is not there either",
            ) from None
        found = document.get("fields") if isinstance(document, dict) else None
        if not isinstance(found, list):
            raise _no_answer("describe", document)
        fields = {str(each["name"]).lower(): each for each in found}
        with self._knowing:
            self._known[name.lower()] = fields
        return fields

    # -- reading

    @one_call
    def fetch(self, spec: ReadSpec, keys: Sequence[Key]) -> list[Row]:
        if not keys:
            return []
        if _by_id(spec):
            return self._by_ids(spec, [str(key) for key in keys if _ID.fullmatch(str(key))])
        kind = self._kind_of_key(spec)
        spelled = keys
        if spec.key_type == CASELESS:
            self._refuse_case(spec)
            spelled = [each for key in keys for each in writings(str(key), mistaken=spec.mistaken)]
        literals = [literal for key in spelled if (literal := _literal(kind, key)) is not None]
        head = soql.select(_selected(spec), spec.collection, f"WHERE {spec.key} IN")
        asked = {_alike(spec, kind, key) for key in keys}
        found: dict[str, Mapping[str, Any]] = {}
        for text in soql.parts(head, literals):
            # Two writings of one key may be in two queries, each of which finds every record of it.
            found |= {_address(record): record for record in self._all(text, deleted=_in_bin(spec))}
        rows = [_row(spec, record) for record in found.values()]
        if spec.key_type == CASELESS:
            return rows
        # Texts are compared without case, so a key in another case is a different key.
        return [row for row in rows if _alike(spec, kind, row[0]) in asked]

    def _by_ids(self, spec: ReadSpec, ids: Sequence[str]) -> list[Row]:
        rows = []
        names = _selected(spec)
        for at in range(0, len(ids), IDS_AT_ONCE):
            part = ids[at : at + IDS_AT_ONCE]
            asked = {"ids": part, "fields": names}
            target = f"{self._session.data}/composite/sobjects/{spec.collection}"
            found = self._session.ask("POST", target, asked)
            if not isinstance(found, list) or refused(found)[0]:
                raise _no_answer("composite/sobjects", found)
            if len(found) != len(part):
                raise ProbeError(Reason.DECODE, f"{len(found)} records were returned for {len(part)} ids")
            for wanted, record in zip(part, found, strict=True):
                if record is None:
                    continue
                row = _row(spec, _checked(record))
                if str(row[0])[:15] != wanted[:15]:
                    raise ProbeError(Reason.DECODE, f"{spec.collection} returned another record than requested")
                rows.append(row)
        return rows

    def _refuse_case(self, spec: ReadSpec) -> None:
        """Raise ProbeError if the field of the key compares case."""
        if self._described(spec.collection).get(spec.key.lower(), {}).get("caseSensitive"):
            raise ProbeError(
                Reason.QUERY,
                f"{spec.collection}.{spec.key} is case-sensitive, so its keys are not found in another case",
                hint="say key_written: lower if all are written in lower case, or use a field that is not",
            )

    def _kind_of_key(self, spec: ReadSpec) -> str:
        """The type of the key's field. Raises ProbeError if it cannot be a key or does not exist."""
        found = self._described(spec.collection).get(spec.key.lower())
        kind = "" if found is None else str(found["type"])
        if kind not in NUMBERS | TEXTS | {"id", "reference"}:
            told = f"is a {kind}, which cannot be a key" if kind else "does not exist, or the user may not read it"
            raise ProbeError(Reason.QUERY, f"{spec.collection}.{spec.key} {told}")
        return kind

    @one_call
    def changed(self, spec: ReadSpec, since: datetime | int | None, limit: int, after: str | None = None) -> Page:
        if spec.mark is None or not (since is None or isinstance(since, datetime)):
            raise ProbeError(Reason.QUERY, "changes are found by changed_at: SystemModstamp alone")
        mark = spec.mark
        wanted = f"WHERE {mark} != null "
        if after is not None:
            place = _POSITION.fullmatch(after)
            if place is None:
                raise ProbeError(Reason.CURSOR_LOST, "a position that this probe did not write")
            wanted = f"WHERE {mark} > {place[1]} OR ({mark} = {place[1]} AND Id > '{place[2]}') "
        elif since is not None:
            wanted = f"WHERE {mark} >= {soql.instant(since)} "
        rows, last = self._listed(spec, f"{wanted}ORDER BY {mark}, Id", limit)
        if last is None:
            return Page(rows=rows)
        stamp = _instant(_value(last, mark))
        if stamp is None:
            raise ProbeError(Reason.DECODE, f"{spec.collection}.{mark} holds something that is not an instant")
        return Page(rows=rows, next=f"{soql.instant(stamp)}|{_value(last, 'Id')}", more=True)

    # -- announcements

    def announces(self, spec: ReadSpec) -> bool:
        return self._bus is not None

    def announced(self, spec: ReadSpec, after: str | None, limit: int, wait_s: float) -> Announcements:
        if self._bus is None:
            raise ProbeError(Reason.QUERY, "change_events is not set in the map")
        topic = topic_of(spec.collection)
        delivered = self._bus.follow(topic, _replay_id(topic, after), limit, wait_s)
        if delivered.position is None:
            raise ProbeError(Reason.TIMEOUT, f"the event bus was silent for {wait_s:g} s")
        ids: dict[str, None] = {}
        names_all = True
        with within(self.timeout_s):
            for event in delivered.events:
                change = self._change(event)
                ids.update(dict.fromkeys(change.ids))
                names_all = names_all and change.names_all
            keys, lost = self._keys_of(spec, list(ids))
        return Announcements(
            keys=keys, position=f"{topic} {delivered.position.hex()}", names_all=names_all and not lost
        )

    def _change(self, event: BusEvent) -> Change:
        """The change that an event is about; one that cannot be decoded names no record, and holds up no other."""
        try:
            return self._headers.read(event)
        except ProbeError as failure:
            if failure.reason is not Reason.DECODE:
                raise
            return Change(ids=(), names_all=False)

    def _keys_of(self, spec: ReadSpec, ids: Sequence[str]) -> tuple[list[Any], bool]:
        """The keys of records, deleted ones too, and whether some records are gone, so that theirs is unknown."""
        if spec.key.lower() == "id" or not ids:
            return list(ids), False
        if len(ids) > NAMED_AT_ONCE:
            return [], True
        head = soql.select(["Id", spec.key], spec.collection, "WHERE Id IN")
        keys = {}
        for text in soql.parts(head, [soql.text(each) for each in ids]):
            for record in self._all(text, deleted=True):
                keys[str(_value(record, "Id"))[:15]] = _value(record, spec.key)
        known = [keys[each[:15]] for each in ids if each[:15] in keys]
        return [key for key in known if key is not None], len(known) < len(ids)

    # -- lists

    @one_call
    def page(self, spec: ReadSpec, after: str | None, limit: int) -> Page:
        place = None if after is None else bulk.place_of(after)
        if place is not None:
            return self._from_job(spec, place, limit)
        if after is None and self._takes_job(spec, limit):
            begun = self._job(spec)
            if begun is not None:
                return Page(next=begun.text(), more=True, later=True)
        wanted = ""
        if after is not None:
            if not re.fullmatch(r"[0-9A-Za-z]{18}", after):
                raise ProbeError(Reason.CURSOR_LOST, "a position that this probe did not write")
            wanted = f"WHERE Id > '{after}' "
        rows, last = self._listed(spec, f"{wanted}ORDER BY Id", limit, after)
        return Page(rows=rows) if last is None else Page(rows=rows, next=str(_value(last, "Id")), more=True)

    def _takes_job(self, spec: ReadSpec, limit: int) -> bool:
        """Whether a whole listing takes fewer calls by a query job: keys alone, of a large object."""
        if self._bulk is None or not spec.keys_alone or spec.mark is not None or limit < bulk.LEAST_LIMIT:
            return False
        if self._bulk.avoids(spec.collection):
            return False
        try:
            document = self._session.query(soql.select(["COUNT()"], spec.collection), deleted=_in_bin(spec))
        except ProbeError as failure:
            if failure.reason is Reason.TIMEOUT and "QUERY_TIMEOUT" in failure.message:
                return True
            raise
        total = document.get("totalSize") if isinstance(document, dict) else None
        if not isinstance(total, int):
            raise _no_answer("query", document)
        return total >= bulk.WORTHWHILE

    def _job(self, spec: ReadSpec) -> bulk.Place | None:
        """The beginning of a query job's results; None if the org creates no such job."""
        if self._bulk is None:
            return None
        try:
            return self._bulk.begin(soql.select(_selected(spec), spec.collection), deleted=_in_bin(spec))
        except ProbeError as failure:
            if failure.reason not in {Reason.QUERY, Reason.PERMISSION}:
                raise
            self._bulk.avoid(spec.collection)
            return None

    def _from_job(self, spec: ReadSpec, place: bulk.Place, limit: int) -> Page:
        """The next rows of a query job."""
        if self._bulk is None or not spec.keys_alone or spec.mark is not None:
            raise ProbeError(Reason.CURSOR_LOST, "a position in a query job, which is not read any more")
        kinds = [self._type_of(spec, name) for name in _selected(spec)]
        lines = self._bulk.read(place, _selected(spec), limit, spec.collection)
        rows = [
            (values[0], None, *values[1:])
            for values in (
                [_typed(kind, text) for kind, text in zip(kinds, line, strict=True)] for line in lines.rows
            )
        ]
        following = None if lines.next is None else lines.next.text()
        return Page(rows=rows, next=following, more=following is not None, later=lines.later)

    def _type_of(self, spec: ReadSpec, name: str) -> str:
        """The type of a field, "" if it is not known."""
        return str(self._described(spec.collection).get(name.lower(), {}).get("type", ""))

    def _listed(
        self, spec: ReadSpec, rest: str, limit: int, after: str | None = None
    ) -> tuple[list[Row], Mapping[str, Any] | None]:
        """The rows of a listing and the record after which it continues, None at its end."""
        count = min(limit, LARGEST_PAGE)
        text = soql.select(_selected(spec, "Id"), spec.collection, f"{rest} LIMIT {count}")
        document = self._session.query(text, deleted=_in_bin(spec))
        records, further = _records(document)
        ids = [str(_value(record, "Id")) for record in records]
        if len(set(ids)) < len(ids) or after in ids or len(ids) > count:
            raise ProbeError(Reason.DECODE, f"{spec.collection} returned a record twice, or more than requested")
        rows = [_row(spec, record) for record in records]
        if not records:
            if further is not None:
                raise ProbeError(Reason.DECODE, f"{spec.collection} returned no record but claims that more follow")
            return rows, None
        # A page may be short; only one that is not full and is marked as the last is the last.
        return rows, records[-1] if further is not None or len(records) == count else None

    def _all(self, text: str, *, deleted: bool) -> list[Mapping[str, Any]]:
        """All records of a query, from all its pages.

        Args:
            deleted: those in the recycle bin, too.

        Raises:
            ProbeError: `decode` if a page came twice or is missing: then absence proves nothing.
        """
        first = _part(self._session.query(text, deleted=deleted))
        return walk.whole(first, lambda further: _part(self._session.ask("GET", further)), _address)

    # -- the system

    @one_call
    def clock(self) -> ClockSample:
        return read_clock(self._session.head)

    def prove_read_only(self, spec: ReadSpec | None) -> str:
        """The API has no read-only session; the probe can only send what is on its list."""
        return (
            "only GET is ever sent, POST to composite/sobjects/OBJECT, which reads records by their ids, and POST to "
            "jobs/query, which creates a job that reads"
        )

    def close(self) -> None:
        for each in (self._bus, self._bulk, self._session):
            if each is not None:
                each.close()


def _replay_id(topic: str, after: str | None) -> bytes | None:
    """The replay id in a position of this topic. Raises ProbeError if it is not one."""
    if after is None:
        return None
    named, _, replay_id = after.rpartition(" ")
    if named != topic or not re.fullmatch(r"([0-9a-f]{2})+", replay_id):
        raise ProbeError(Reason.CURSOR_LOST, "a position of another topic")
    return bytes.fromhex(replay_id)


def _by_id(spec: ReadSpec) -> bool:
    """Whether records are read by sObject Collections: they take no fields of parents, and see no recycle bin."""
    return spec.key.lower() == "id" and not _in_bin(spec) and not any("." in name for name in spec.fields)


def _in_bin(spec: ReadSpec) -> bool:
    """Whether records in the recycle bin are wanted: there alone IsDeleted is ever true."""
    return spec.deleted is not None and spec.deleted.lower() == "isdeleted"


def _selected(spec: ReadSpec, *more: str) -> list[str]:
    """The fields to select, each once: a query that names one twice is refused."""
    names: dict[str, str] = {}
    for name in (spec.key, spec.mark, *spec.fields, *more):
        if name is not None:
            names.setdefault(name.lower(), name)
    return list(names.values())


def _checked(record: Any) -> Mapping[str, Any]:
    if not isinstance(record, dict) or not isinstance(record.get("attributes"), dict):
        raise ProbeError(Reason.DECODE, "a response holds something that is not a record")
    return record


def _records(document: Any) -> tuple[list[Mapping[str, Any]], str | None]:
    """The records of a query's response, and where it continues."""
    left()
    shape = isinstance(document, dict) and isinstance(document.get("records"), list)
    if not shape or not isinstance(document.get("done"), bool) or not isinstance(document.get("totalSize"), int):
        raise _no_answer("query", document)
    further = document.get("nextRecordsUrl")
    if document["done"] == isinstance(further, str):
        raise ProbeError(Reason.DECODE, "a response does not show whether more follows")
    return [_checked(record) for record in document["records"]], further


def _part(document: Any) -> walk.Part:
    """One page of a query's result; the first one has the record count."""
    found, further = _records(document)
    if further is not None and not _MORE.fullmatch(further):
        raise ProbeError(Reason.DECODE, "a response does not show how it continues")
    return walk.Part(records=found, further=further, total=document["totalSize"])


def _address(record: Mapping[str, Any]) -> str:
    """Identifies a record, whatever fields were selected."""
    return str(record["attributes"]["url"])


def _no_answer(what: str, document: Any) -> ProbeError:
    """The error for an invalid response with status 200."""
    code, message = refused(document) if isinstance(document, list) else ("", "")
    if code:
        return ProbeError(reason_of(code), f"{what} returned {code}: {message[:200]}")
    return ProbeError(Reason.DECODE, f"{what} returned something other than the API documents")


def _row(spec: ReadSpec, record: Mapping[str, Any]) -> Row:
    mark = _instant(_value(record, spec.mark)) if spec.mark else None
    return (_value(record, spec.key), mark, *(_value(record, name) for name in spec.fields))


def _value(record: Mapping[str, Any], path: str) -> Any:
    """A field's value, by its name in whatever case; that of a missing parent is null."""
    found: Any = record
    for name in path.split("."):
        if found is None:
            return None
        if not isinstance(found, dict):
            return MISSING
        named = found.get(name, MISSING)
        if named is MISSING:
            small = name.lower()
            named = next((value for key, value in found.items() if key.lower() == small), MISSING)
        found = named
    return found


def _typed(kind: str, text: str) -> Any:
    """A value of a CSV as JSON would have it; a text that cannot be one of its type stays as it is."""
    if not text:
        return None
    if kind == "boolean":
        return {"true": True, "false": False}.get(text.lower(), text)
    if kind in NUMBERS:
        value = _number(text)
        return text if value is None else value
    return text


def _instant(value: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(str(value)).astimezone(UTC)
    except ValueError:
        return None


def _literal(kind: str, key: Key) -> str | None:
    """A key as a SOQL literal of a field's type; None if such a field cannot hold it."""
    if kind in NUMBERS:
        value = _number(key)
        return None if value is None else soql.number(value)
    if kind in {"id", "reference"} and not _ID.fullmatch(str(key)):
        return None
    return soql.text(str(key))


def _number(key: Any) -> Decimal | None:
    try:
        value = Decimal(str(key))
    except InvalidOperation:
        return None
    return value if value.is_finite() and abs(value.adjusted()) < LONGEST_NUMBER else None


def _alike(spec: ReadSpec, kind: str, key: Any) -> str:
    """A key in a form that matches returned keys with requested ones."""
    if kind in NUMBERS:
        value = _number(key)
        return str(key) if value is None else soql.number(value.normalize())
    return alike("salesforce_id" if kind in {"id", "reference"} else spec.key_type, key)

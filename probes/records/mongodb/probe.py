"""Records in MongoDB, read with PyMongo.

Only `find` with a projection reads records: no aggregation, no script, and no command that could write
(`probes.records.mongodb.driver` refuses it before it is sent). A listing follows `_id`, which every document has and
which is always indexed, through all its types in MongoDB's own order.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any, TypeVar

from probes.call_deadline import becomes, begins, left, one_call, passed, some_calls, within
from probes.contract import (
    INSPECT_CALLS,
    MISSING,
    ClockSample,
    CollectionSchema,
    FieldSchema,
    Key,
    Page,
    ProbeError,
    ReadSpec,
    Reason,
    Row,
    StampsError,
)
from probes.records.mongodb.settings import MongoDbSettings, plain_url
from probes.secrets import Scrubber
from probes.wording import did_you_mean

KEYS_AT_ONCE = 1_000
"""Keys of one `find`: with all the ways to write each they stay far below the 16 MiB of a command."""

ROWS_AT_ONCE = 5_000
"""Documents of one batch of an answer, which ends at 16 MiB all the same."""

FETCHED_LIMIT_BYTES = 16 * 1024 * 1024
"""What all the documents of one call may come to, as for every other system."""

SAMPLE = 100
"""Documents that are looked at to learn which fields there are."""

STRAYS_CEILING = 1_000
"""Stamps of another type than most, which are looked at in every poll: no comparison finds them."""

READS_FROM = ("primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest")

AnswerT = TypeVar("AnswerT")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PER_S = {"s": 1, "ms": 1_000, "us": 1_000_000}

_WRITES = frozenset(
    {
        *(
            "insert",
            "update",
            "remove",
            "dropCollection",
            "dropDatabase",
            "createCollection",
            "createIndex",
            "dropIndex",
        ),
        *("renameCollectionSameDB", "collMod", "bypassDocumentValidation", "createUser", "grantRole", "anyAction"),
    }
)
"""Actions of a privilege that change something. Source: MongoDB manual, "Privilege Actions"."""


class MongoDbProbe:
    """Reads one database through a small pool of connections."""

    def __init__(self, settings: MongoDbSettings) -> None:
        try:
            import pymongo
            import pymongo.errors
            from bson.codec_options import CodecOptions
            from pymongo.read_concern import ReadConcern
            from pymongo.read_preferences import make_read_preference

            from probes.records.mongodb import documents, driver, failures
        except ModuleNotFoundError as error:
            raise ProbeError(
                Reason.QUERY,
                "the driver pymongo is not installed",
                hint="pip install 'plumbline-auditor[mongodb]'",
            ) from error
        self._bson: ModuleType = documents
        self._errors: Any = pymongo.errors
        self._within = pymongo.timeout
        self.delay_floor_s = settings.delay_floor_s
        self.timeout_s = settings.budget.timeout_s
        self._settings = settings
        self._explain = failures.Explainer(Scrubber.of(settings), self.timeout_s)
        try:
            self._client, self._wrapping = driver.open_client(
                plain_url(settings.url.get_secret_value()), self.timeout_s, settings.budget.connections
            )
        except (pymongo.errors.PyMongoError, ValueError, OSError) as error:
            raise ProbeError(Reason.QUERY, f"the URL cannot be used: {self._explain.said(error)}") from None
        age = -1 if settings.max_staleness_s is None else int(settings.max_staleness_s)
        mode = READS_FROM.index(settings.read)
        self._database: Any = self._client.get_database(
            settings.database_name,
            read_preference=make_read_preference(mode, None, age),
            read_concern=ReadConcern(settings.read_concern),
            codec_options=CodecOptions(
                tz_aware=True, datetime_conversion=4
            ),  # dates beyond the calendar stay numbers
        )
        self._convert = documents.converter(settings.uuid)
        self._collations: dict[str, Mapping[str, Any] | None] = {}
        self._common_types = False

    # -- what it can do

    def batch_limit(self, spec: ReadSpec) -> int:
        return KEYS_AT_ONCE

    @some_calls(INSPECT_CALLS)
    def inspect(self, spec: ReadSpec) -> tuple[str, ...]:
        described = self._described(spec.collection)
        remarks: list[str] = []
        if described is None:
            remarks.append(
                f"{spec.collection}: the login may not list collections, so it is unknown whether it exists"
            )
        some = [self._bson.decoded(each) for each in self._documents(spec.collection, {}, None, {}, SAMPLE)[0]]
        for path in dict.fromkeys(each for each in (spec.key, spec.mark, *spec.fields) if each is not None):
            remarks += self._field_remarks(spec, path, some)
        if described is not None and described.get("type") == "view":
            return tuple(remarks)
        return (*remarks, *self._index_remarks(spec), *self._collation_remarks(spec, some))

    def _described(self, collection: str) -> Mapping[str, Any] | None:
        """What the server says of a collection; None where the login may not ask.

        Raises:
            ProbeError: `query` where there is none of this name, or it is a view of one that is gone.
        """
        try:
            found = self._listed_collections({"name": collection})
            if not found:
                names = [each["name"] for each in self._listed_collections({})]
                there = [name for name in names if not name.startswith("system.")]
                raise ProbeError(
                    Reason.QUERY,
                    f"no collection named {collection!r} in {self._settings.database_name}"
                    f"{did_you_mean(collection, there)}",
                )
        except ProbeError as failure:
            if failure.reason is Reason.PERMISSION:
                return None
            raise
        known: Mapping[str, Any] = found[0]
        collation = known.get("options", {}).get("collation")
        self._collations[collection] = collation if collation and collation.get("locale") != "simple" else None
        if viewed := known.get("options", {}).get("viewOn"):
            self._described(viewed)
        return known

    def _listed_collections(self, wanted: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        return self._asked(lambda: list(self._database.list_collections(filter=dict(wanted))))

    def _listed_indexes(self, collection: str) -> list[Mapping[str, Any]]:
        return self._asked(lambda: list(self._database[collection].list_indexes()))

    def _field_remarks(self, spec: ReadSpec, path: str, some: Sequence[Mapping[str, Any]]) -> list[str]:
        """What is to be said of a field that none of some documents has."""
        if not some or any(self._bson.find(document, path) is not MISSING for document in some):
            return []
        try:
            with within(self.timeout_s):
                if self._documents(spec.collection, {path: {"$exists": True}}, None, {"_id": 1}, 1)[0]:
                    return []
        except ProbeError as failure:
            if failure.reason is not Reason.TIMEOUT:
                raise
            return [f"{path} is in none of the first {len(some)} records of {spec.collection}"]
        names = dict.fromkeys(name for document in some for name in self._bson.paths_of(document))
        raise ProbeError(
            Reason.QUERY, f"no record of {spec.collection} has a field named {path!r}{did_you_mean(path, names)}"
        )

    def _index_remarks(self, spec: ReadSpec) -> list[str]:
        try:
            indexes = self._listed_indexes(spec.collection)
        except ProbeError as failure:
            if failure.reason is not Reason.PERMISSION:
                raise
            return [f"{spec.collection}: the login may not see whether its fields have an index"]
        led = {next(iter(index["key"])) for index in indexes if index.get("key") and _answers_all(index)}
        wanted = [each for each in (spec.key, spec.mark) if each is not None]
        remarks = [
            f"{spec.collection}.{path} has no index: every read scans the collection"
            for path in wanted
            if path not in led and path != "_id"
        ]
        mark = spec.mark
        if (
            mark is not None
            and mark in led
            and self._documents(spec.collection, {mark: None}, None, {"_id": 1}, 1)[0]
        ):
            told = f"{spec.collection}.{mark} is null or missing in some records"
            remarks.append(f"{told}: only the sweep finds their changes")
        return remarks

    def _collation_remarks(self, spec: ReadSpec, some: Sequence[Mapping[str, Any]]) -> list[str]:
        if self._collations.get(spec.collection) is None:
            return []
        if not any(isinstance(self._bson.find(document, spec.key), str) for document in some):
            return []
        return [f"{spec.collection} has a collation, and keys are compared byte by byte: no index answers for texts"]

    @one_call
    def collections(self) -> list[CollectionSchema]:
        known = self._listed_collections({})
        names = sorted(each["name"] for each in known if not each["name"].startswith("system."))
        views = {each["name"] for each in known if each.get("type") == "view"}
        return [self._schema(name, view=name in views) for name in names]

    def _schema(self, name: str, *, view: bool) -> CollectionSchema:
        """A collection as its first documents are."""
        found = self._documents(name, {}, {"_id": -1}, {}, SAMPLE)[0]
        some = [self._bson.decoded(each) for each in found]
        unique = {"_id"}
        if not view:
            with contextlib.suppress(ProbeError):
                for index in self._listed_indexes(name):
                    if index.get("unique") and len(index["key"]) == 1:
                        unique |= set(index["key"])
        fields = []
        for path in dict.fromkeys(path for document in some for path in self._bson.paths_of(document)):
            values = [self._bson.find(document, path) for document in some]
            type_, described = self._bson.described([each for each in values if each is not MISSING])
            fields.append(FieldSchema(name=path, type=type_, described=described, unique=path in unique))
        return CollectionSchema(name=name, fields=tuple(fields))

    # -- reading

    @one_call
    def fetch(self, spec: ReadSpec, keys: Sequence[Key]) -> list[Row]:
        if not keys:
            return []
        among = [each for key in keys for each in self._bson.alternatives(spec.key_type, key, self._settings.uuid)]
        found, more = self._documents(
            spec.collection, {spec.key: {"$in": among}}, None, self._projection(spec), None, all_batches=True
        )
        if more:
            raise _too_large()
        if not found:
            self._described(spec.collection)  # of a collection that is gone MongoDB answers nothing, and no error
        asked = frozenset(map(str, keys))
        rows = [self._row(spec, document) for document in found]
        return [row for row in rows if self._bson.as_asked(row[0], asked)]

    @one_call
    def page(self, spec: ReadSpec, after: str | None, limit: int) -> Page:
        wanted: dict[str, Any] | None = {}
        later: dict[str, Any] | None = None
        if after is not None:
            wanted, later = self._bson.behind("_id", *self._bson.cursor_values(after, "id"))
        found: list[bytes] = []
        cut = False
        for condition in (wanted, later):
            if condition is not None and not cut and len(found) <= limit:
                some, cut = self._documents(
                    spec.collection, condition, {"_id": 1}, self._projection(spec), limit + 1 - len(found)
                )
                found += some
        if not found:
            self._described(spec.collection)
        documents = [self._bson.decoded(each) for each in found[:limit]]
        self._check_order(spec, documents, None if after is None else self._bson.cursor_values(after, "id"))
        more = cut or len(found) > limit
        rows = [self._row_of(spec, document) for document in documents]
        place = self._bson.cursor_text(id=documents[-1]["_id"]) if more and documents else None
        return Page(rows=rows, next=place, more=more)

    def _check_order(self, spec: ReadSpec, documents: Sequence[Mapping[str, Any]], before: list[Any] | None) -> None:
        """See that a listing goes on, so that it comes to an end and leaves nothing out.

        Raises:
            ProbeError: `decode` where it does not.
        """
        for document in documents:
            if "_id" not in document:
                raise ProbeError(Reason.DECODE, f"{spec.collection} answers a record without _id")
            if before and not self._bson.comes_behind(document["_id"], before[0]):
                raise ProbeError(
                    Reason.DECODE,
                    f"{spec.collection} answers records out of the order of _id, or one of them again",
                    hint="is it MongoDB, or a server that only speaks its protocol?",
                )
            before = [document["_id"]]

    @one_call
    def changed(self, spec: ReadSpec, since: datetime | int | None, limit: int, after: str | None = None) -> Page:
        path = spec.mark
        if path is None:
            raise ProbeError(Reason.QUERY, f"{spec.collection} has no changed_at and no version field in the map")
        types, bound = self._bound(spec, path, since)
        conditions: list[dict[str, Any]] = [{path: {"$type": list(types)} if bound is None else {"$gte": bound}}]
        strays: list[Row] = []
        if after is None:
            strays = self._strays(spec, path, types, since)
        else:
            mark, identity = self._bson.cursor_values(after, "mark", "id")
            same, later = self._bson.behind("_id", identity)
            conditions = [{path: mark, **each} for each in (same, later) if each is not None]
            conditions.append({path: {"$gt": mark}})
        found: list[bytes] = []
        cut = False
        for condition in conditions:
            if not cut and len(found) < limit:
                some, cut = self._documents(
                    spec.collection, condition, {path: 1, "_id": 1}, self._projection(spec), limit - len(found)
                )
                found += some
        documents = [self._bson.decoded(each) for each in found]
        if not found and not strays:
            self._described(spec.collection)
        rows = [self._row_of(spec, document) for document in documents]
        place = None
        if cut and documents:  # the answer ended before the limit did: it goes on behind the last of its records
            mark = self._bson.find(documents[-1], path)
            if not isinstance(mark, list):
                place = self._bson.cursor_text(mark=mark, id=documents[-1]["_id"])
        return Page(rows=[*strays, *rows], next=place, more=cut or len(found) >= limit)

    def _bound(self, spec: ReadSpec, path: str, since: datetime | int | None) -> tuple[Sequence[int], Any]:
        """The types of most stamps, and from which value on they are asked for; None for all of them."""
        bson = self._bson
        if spec.changed_at is None or spec.changed_at_unit is not None:
            bound = since
            if isinstance(since, datetime):
                unit = _PER_S[spec.changed_at_unit or "s"]
                bound = (since - _EPOCH) // timedelta(microseconds=1) * unit // 1_000_000
            return bson.NUMBERS, bound
        newest, _ = self._documents(spec.collection, {}, {path: -1}, {"_id": 1, path: 1}, 1)
        stamp = bson.find(bson.decoded(newest[0]), path) if newest else None
        if isinstance(stamp, bson.Timestamp):
            return (bson.TIMESTAMP,), (
                None if not isinstance(since, datetime) else bson.Timestamp(max(0, int(since.timestamp())), 0)
            )
        if isinstance(stamp, int | float) and not isinstance(stamp, bool):
            raise ProbeError(
                Reason.QUERY, f"{spec.collection}.{path} holds numbers", hint="set changed_at_unit: s, ms or us"
            )
        return (bson.DATE,), since

    def _strays(self, spec: ReadSpec, path: str, types: Sequence[int], since: datetime | int | None) -> list[Row]:
        """Records whose stamp is of another type: a comparison passes them over, whatever they say."""
        other = {path: {"$type": self._bson.other_types(types)}}
        found, cut = self._documents(spec.collection, other, None, self._projection(spec), STRAYS_CEILING + 1)
        if cut or len(found) > STRAYS_CEILING:
            expected = "dates" if spec.changed_at is not None and spec.changed_at_unit is None else "numbers"
            raise StampsError(
                Reason.QUERY,
                f"{spec.collection}.{path}: more than {STRAYS_CEILING:,} stamps that are not {expected}, so changes "
                "cannot be found by it",
                hint="store them as dates, or name a growing version:; with neither, leave changed_at out, and only "
                "the sweep finds changes",
            )
        rows = [self._row(spec, document) for document in found]
        return [row for row in rows if not _certainly_before(row[1], since)]

    @one_call
    def highest_version(self, spec: ReadSpec) -> int | None:
        path = spec.version
        if path is None:
            raise ProbeError(Reason.QUERY, f"{spec.collection} has no version field in the map")
        numbers = {path: {"$type": list(self._bson.NUMBERS)}}
        found, _ = self._documents(spec.collection, numbers, {path: -1}, {"_id": 1, path: 1}, 1)
        value = self._convert(self._bson.find(self._bson.decoded(found[0]), path)) if found else None
        try:
            number = None if value is None else int(value)
        except (ValueError, ArithmeticError, TypeError):
            return None
        return number if number is not None and -(2**63) <= number < 2**63 else None

    def can_rank(self, spec: ReadSpec, seed: str) -> bool:
        """MongoDB has no SHA-256 to compute ranks with; the sample walks its keys instead."""
        return False

    def rank_index(self, spec: ReadSpec, seed: str) -> str | None:
        return None

    def ranked(self, spec: ReadSpec, seed: str, lower: int, upper: int, limit: int) -> list[tuple[Any, int]]:
        raise ProbeError(Reason.QUERY, "MongoDB cannot list keys by rank")

    # -- the system

    @one_call
    def clock(self) -> ClockSample:
        """Read the primary's own clock, in milliseconds.

        Not `operationTime` and `$clusterTime`: they count whole seconds, stand still for up to ten seconds while
        nothing is written, and may run ahead of every clock of the cluster.
        Source: MongoDB manual, "hello" (`localTime`), and "periodicNoopIntervalSecs".
        """
        from pymongo.read_preferences import ReadPreference

        words = {"read_preference": ReadPreference.PRIMARY, "codec_options": self._database.codec_options}
        self._asked(lambda: self._database.command("hello", **words))  # a connection is there
        sent_at = datetime.now(UTC)
        with self._asking():
            told = self._database.command("hello", **words)
        received_at = datetime.now(UTC)
        server_at = told.get("localTime")
        if not isinstance(server_at, datetime):
            raise ProbeError(Reason.DECODE, "the server does not tell its time")
        return ClockSample(sent_at=sent_at, received_at=received_at, server_at=server_at, resolution_s=0.001)

    @one_call
    def prove_read_only(self, spec: ReadSpec | None) -> str:
        """MongoDB has no read-only session; no other command than one that reads can leave the probe."""
        sent = "only commands that read are ever sent"
        told = self._asked(lambda: self._database.command("connectionStatus", showPrivileges=True))
        info = told.get("authInfo") or {}
        users = [f"{each.get('user')}" for each in info.get("authenticatedUsers") or []]
        if not users:
            return f"{sent}; no login is required, so anyone may write"
        privileges = info.get("authenticatedUserPrivileges")
        if privileges is None:
            return f"{sent}; what else {users[0]} may do the server does not tell"
        may = sorted({action for each in privileges for action in self._writes(each)})
        if may:
            return f"{sent}; {users[0]} may also write ({', '.join(may[:4])}): the role read is enough"
        return f"{sent}; {users[0]} may not write"

    def _writes(self, privilege: Mapping[str, Any]) -> set[str]:
        """What a privilege lets a login change in this database."""
        resource = privilege.get("resource") or {}
        here = resource.get("db") in {"", self._settings.database_name} or resource.get("anyResource")
        return set(_WRITES) & set(privilege.get("actions") or ()) if here else set()

    def close(self) -> None:
        self._wrapping.cut_off()
        with contextlib.suppress(Exception), self._within(0.5):
            self._client.close()

    # -- one question

    def _projection(self, spec: ReadSpec) -> dict[str, int]:
        projection: dict[str, int] = self._bson.projection(
            path for path in (spec.key, spec.mark, *spec.fields) if path is not None
        )
        return projection

    def _documents(
        self,
        collection: str,
        wanted: Mapping[str, Any],
        order: Mapping[str, int] | None,
        fields: Mapping[str, int],
        limit: int | None,
        *,
        all_batches: bool = False,
    ) -> tuple[list[bytes], bool]:
        """Documents as their bytes, and whether the answer ended before all of them were in it.

        Args:
            fields: the projection; {} for whole documents.
            limit: of documents.
            all_batches: read on until all are there, up to `FETCHED_LIMIT_BYTES`.
        """
        if self._common_types:
            wanted = self._bson.of_common_types(wanted)
        try:
            return self._read(collection, wanted, order, fields, limit, all_batches=all_batches)
        except ProbeError as failure:
            if self._common_types or failure.reason is not Reason.QUERY or "type code" not in failure.message.lower():
                raise
        self._common_types = True
        fewer = self._bson.of_common_types(wanted)
        return self._read(collection, fewer, order, fields, limit, all_batches=all_batches)

    def _read(
        self,
        collection: str,
        wanted: Mapping[str, Any],
        order: Mapping[str, int] | None,
        fields: Mapping[str, int],
        limit: int | None,
        *,
        all_batches: bool,
    ) -> tuple[list[bytes], bool]:
        words: dict[str, Any] = {"batch_size": min(limit or ROWS_AT_ONCE, ROWS_AT_ONCE), "limit": limit or 0}
        if order:
            words["sort"] = list(order.items())
        if fields:
            words["projection"] = dict(fields)
        if self._has_collation(collection):
            words["collation"] = {"locale": "simple"}

        def read() -> tuple[list[bytes], bool]:
            found: list[bytes] = []
            size = memory = 0
            cursor = self._database[collection].find_raw_batches(dict(wanted), **words)
            try:
                while True:
                    batch = next(cursor, b"")
                    size += len(batch)
                    if size > FETCHED_LIMIT_BYTES and found:
                        if all_batches:
                            raise _too_large()
                        return found, True
                    memory += self._bson.memory_of(batch)
                    becomes(memory)
                    found += self._bson.documents(batch)
                    left()
                    if not cursor.cursor_id:  # an empty batch alone is no end
                        break
                    if found and not all_batches:
                        return found, limit is None or len(found) < limit
            finally:
                with contextlib.suppress(self._errors.PyMongoError, ProbeError):
                    cursor.close()
            return found, False

        return self._asked(read)

    def _has_collation(self, collection: str) -> bool:
        """Whether a collection compares texts otherwise than by their bytes, where nothing else is asked for."""
        if collection not in self._collations:
            self._described(collection)
            self._collations.setdefault(collection, None)
        return self._collations[collection] is not None

    def _row(self, spec: ReadSpec, document: bytes) -> Row:
        return self._row_of(spec, self._bson.decoded(document))

    def _row_of(self, spec: ReadSpec, document: Mapping[str, Any]) -> Row:
        left()
        find, convert = self._bson.find, self._convert
        mark = find(document, spec.mark) if spec.mark else None
        values = (find(document, path) for path in spec.fields)
        return (
            self._bson.key_of(find(document, spec.key), convert),
            None if mark is None or mark is MISSING else convert(mark),
            *(value if value is MISSING else convert(value) for value in values),
        )

    # -- errors

    def _asked(self, ask: Callable[[], AnswerT]) -> AnswerT:
        """Ask, and once more where the connection broke off or its member has stepped down."""
        begins()
        try:
            with self._asking():
                return ask()
        except ProbeError as failure:
            if failure.reason is not Reason.UNREACHABLE or passed():
                raise
        begins()
        with self._asking():
            return ask()

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """What is asked inside ends with the call, and every failure of PyMongo is a `ProbeError`."""
        try:
            with self._within(left(INSPECT_CALLS * self.timeout_s)):
                yield
        except ProbeError:
            raise
        except self._errors.PyMongoError as error:
            raise self._explain.explained(error) from None
        except OSError as error:
            raise ProbeError(Reason.UNREACHABLE, self._explain.said(error)) from None
        except Exception as error:  # PyMongo takes it for granted that an answer has its parts
            told = f"an answer that is none of MongoDB's ({type(error).__name__})"
            raise ProbeError(Reason.DECODE, told, hint="is it a MongoDB server that listens there?") from None


def _answers_all(index: Mapping[str, Any]) -> bool:
    """Whether an index answers for every document and every value: neither partial nor hashed, of texts or places."""
    return "partialFilterExpression" not in index and next(iter(index["key"].values())) in {1, -1}


def _certainly_before(stamp: Any, since: datetime | int | None) -> bool:
    """Whether a stamp says for certain that a record was not changed since."""
    if isinstance(stamp, str) and isinstance(since, datetime):
        try:
            at = datetime.fromisoformat(stamp.strip())
        except ValueError:
            return False
        return at.tzinfo is not None and at < since
    if isinstance(stamp, datetime) and isinstance(since, datetime):
        return stamp < since
    return False


def _too_large() -> ProbeError:
    return ProbeError(
        Reason.TOO_LARGE,
        f"records of more than {FETCHED_LIMIT_BYTES >> 20} MiB together",
        hint="leave fields of that size out of the map",
        of_key=True,
    )

"""Records in MongoDB, read with PyMongo.

A listing follows `_id`, which every document has and which is always indexed, through all its types in MongoDB's own
order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from probes.call_deadline import one_call, some_calls
from probes.composite_keys import parted
from probes.contract import (
    INSPECT_CALLS,
    WRITTEN_FREELY,
    ClockSample,
    CollectionSchema,
    Key,
    Page,
    ProbeError,
    ReadSpec,
    Reason,
    Row,
)
from probes.records.mongodb.session import Session, too_large
from probes.records.mongodb.settings import MongoDbSettings
from probes.records.unranked import Unranked

KEYS_AT_ONCE = 1_000
"""Keys per `find`: in all their spellings they stay far below the 16 MiB of a command."""

WRITTEN_AT_ONCE = 200
"""Keys per `find` of those that may be written in several ways: they are one regular expression."""

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
"""Privilege actions that change something. Source: MongoDB manual, "Privilege Actions"."""


class MongoDbProbe(Unranked):
    """Reads one database through a small pool of connections."""

    def __init__(self, settings: MongoDbSettings) -> None:
        self._session = Session(settings)
        # These need the driver, which the session has loaded.
        from probes.records.mongodb import changes, description, order, stream

        self._bson = self._session.bson
        self._order, self._changes, self._description, self._stream = order, changes, description, stream
        self.delay_floor_s = settings.delay_floor_s
        self.timeout_s = settings.budget.timeout_s
        self._settings = settings

    # -- capabilities

    def batch_limit(self, spec: ReadSpec) -> int:
        return (WRITTEN_AT_ONCE if spec.written_freely else KEYS_AT_ONCE) // len(spec.key_fields)

    @some_calls(INSPECT_CALLS)
    def inspect(self, spec: ReadSpec) -> tuple[str, ...]:
        return self._description.inspect(self._session, spec)

    @one_call
    def collections(self) -> list[CollectionSchema]:
        return self._description.collections(self._session)

    # -- reading

    @one_call
    def fetch(self, spec: ReadSpec, keys: Sequence[Key]) -> list[Row]:
        if not keys:
            return []
        documents, more = self._session.documents(
            spec.collection, self._among(spec, keys), None, self._session.projection(spec), None, all_batches=True
        )
        if more:
            raise too_large()
        if not documents:
            # For a dropped collection MongoDB returns nothing, without an error.
            self._session.described(spec.collection)
        texts = frozenset(map(str, keys))
        rows = [self._session.row(spec, document) for document in documents]
        return [row for row in rows if self._bson.is_requested(row[0], texts)]

    def _among(self, spec: ReadSpec, keys: Sequence[Key]) -> dict[str, Any]:
        """The filter for documents with one of these keys."""
        legacy = self._settings.uuid
        if spec.key_type in WRITTEN_FREELY:
            return {spec.key: {"$in": self._bson.however_written(spec.key_type, keys, mistaken=spec.mistaken)}}
        if not spec.key_parts:
            spelled = [each for key in keys for each in self._bson.alternatives(spec.key_type, key, legacy)]
            return {spec.key: {"$in": spelled}}
        whole = (parted(key, len(spec.key_parts)) for key in keys)
        return {
            "$or": [
                {
                    path: {
                        "$in": self._bson.however_written(type_, [part], mistaken=spec.mistaken)
                        if type_ in WRITTEN_FREELY
                        else self._bson.part_alternatives(part, legacy)
                    }
                    for path, type_, part in zip(spec.key_parts, spec.key_types, parts, strict=True)
                }
                for parts in whole
            ]
        }

    @one_call
    def page(self, spec: ReadSpec, after: str | None, limit: int) -> Page:
        same: dict[str, Any] | None = {}
        later: dict[str, Any] | None = None
        if after is not None:
            same, later = self._order.behind("_id", *self._order.cursor_values(after, "id"))
        read: list[bytes] = []
        cut = False
        for condition in (same, later):
            if condition is not None and not cut and len(read) <= limit:
                some, cut = self._session.documents(
                    spec.collection, condition, {"_id": 1}, self._session.projection(spec), limit + 1 - len(read)
                )
                read += some
        if not read:
            self._session.described(spec.collection)
        documents = [self._bson.decoded(each) for each in read[:limit]]
        self._check_order(spec, documents, None if after is None else self._order.cursor_values(after, "id"))
        more = cut or len(read) > limit
        rows = [self._session.row_of(spec, document) for document in documents]
        place = self._order.cursor_text(id=documents[-1]["_id"]) if more and documents else None
        return Page(rows=rows, next=place, more=more)

    def _check_order(self, spec: ReadSpec, documents: Sequence[Mapping[str, Any]], before: list[Any] | None) -> None:
        """Check that a listing advances, so that it ends and leaves nothing out.

        Raises:
            ProbeError: `decode` if it does not.
        """
        for document in documents:
            if "_id" not in document:
                raise ProbeError(Reason.DECODE, f"{spec.collection} returned a record without _id")
            if before and not self._order.comes_behind(document["_id"], before[0]):
                raise ProbeError(
                    Reason.DECODE,
                    f"{spec.collection} returned records out of the order of _id, or one of them again",
                    hint="is it MongoDB, or a server that only speaks its protocol?",
                )
            before = [document["_id"]]

    @one_call
    def changed(self, spec: ReadSpec, since: datetime | int | None, limit: int, after: str | None = None) -> Page:
        feed = self._stream if self._stream.streams(spec) else self._changes
        page: Page = feed.changed(self._session, spec, since, limit, after)
        return page

    @one_call
    def highest_version(self, spec: ReadSpec) -> int | None:
        path = spec.version
        if path is None:
            raise ProbeError(Reason.QUERY, f"{spec.collection} has no version field in the map")
        numbers = {path: {"$type": list(self._order.NUMBERS)}}
        documents, _ = self._session.documents(spec.collection, numbers, {path: -1}, {"_id": 1, path: 1}, 1)
        value = self._session.convert(self._bson.find(self._bson.decoded(documents[0]), path)) if documents else None
        try:
            number = None if value is None else int(value)
        except (ValueError, ArithmeticError, TypeError):
            return None
        return number if number is not None and -(2**63) <= number < 2**63 else None

    # -- the system

    @one_call
    def clock(self) -> ClockSample:
        """Read the primary's own clock, in milliseconds.

        Not `operationTime` and `$clusterTime`: they count whole seconds, do not advance for up to ten seconds while
        nothing is written, and may run ahead of every clock of the cluster.
        Source: MongoDB manual, "hello" (`localTime`), and "periodicNoopIntervalSecs".
        """
        from pymongo.read_preferences import ReadPreference

        words = {"read_preference": ReadPreference.PRIMARY, "codec_options": self._session.database.codec_options}
        self._session.run(lambda: self._session.database.command("hello", **words))  # opens a connection
        sent_at = datetime.now(UTC)
        with self._session.running():
            hello = self._session.database.command("hello", **words)
        received_at = datetime.now(UTC)
        server_at = hello.get("localTime")
        if not isinstance(server_at, datetime):
            raise ProbeError(Reason.DECODE, "the server does not report its time")
        return ClockSample(sent_at=sent_at, received_at=received_at, server_at=server_at, resolution_s=0.001)

    @one_call
    def prove_read_only(self, spec: ReadSpec | None) -> str:
        """MongoDB has no read-only session; only reading commands can leave the probe."""
        sent = "only commands that read are ever sent"
        status = self._session.run(lambda: self._session.database.command("connectionStatus", showPrivileges=True))
        info = status.get("authInfo") or {}
        users = [f"{each.get('user')}" for each in info.get("authenticatedUsers") or []]
        if not users:
            return f"{sent}; no login is required, so anyone may write"
        privileges = info.get("authenticatedUserPrivileges")
        if privileges is None:
            return f"{sent}; what else {users[0]} may do is not reported by the server"
        may = sorted({action for each in privileges for action in self._writes(each)})
        if may:
            return f"{sent}; {users[0]} may also write ({', '.join(may[:4])}): the role read is enough"
        return f"{sent}; {users[0]} may not write"

    def _writes(self, privilege: Mapping[str, Any]) -> set[str]:
        """What a privilege allows a login to change in this database."""
        resource = privilege.get("resource") or {}
        here = resource.get("db") in {"", self._settings.database_name} or resource.get("anyResource")
        return set(_WRITES) & set(privilege.get("actions") or ()) if here else set()

    def close(self) -> None:
        self._session.close()

"""Changes in a MongoDB collection, by its change stream: the ids of what changed, whose records are then read by id.

A stream starts at an instant and is read up to the present. The resume token of its last response is the cursor. It
reaches back as far as the server's oplog: if the start is older than that, or the collection was dropped meanwhile,
changes are found by the records' own stamp once, and a stream continues from there. Otherwise the mark of a change is
the time of its event: a stamp that a writer left as it was would date the change back.

Sources: MongoDB manual, "Change Streams", "Change Events", "Replica Set Oplog"; MongoDB driver specifications,
"Change Streams" (2025-01-29).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import bson
from bson.timestamp import Timestamp
from pymongo.read_concern import ReadConcern

from probes.call_deadline import left
from probes.contract import KEY, VALUES, Page, ProbeError, ReadSpec, Reason, Row
from probes.records.mongodb import changes, documents, order
from probes.records.mongodb.session import Session, too_large
from probes.records.mongodb.settings import EVENT_TIME

RECORDS_AT_ONCE = 1_000
"""Most records of one page."""

AWAIT_MS = 50
"""How long a server may wait for another event before it returns none."""

WALL_TIME_SINCE = 17
"""The wire version of MongoDB 6.0, whose events have the time of the change in milliseconds."""

EVENT_PARTS = {"$project": {"operationType": 1, "documentKey": 1, "clusterTime": 1, "wallTime": 1}}

OF_RECORDS = frozenset({"insert", "update", "replace", "delete"})
ENDINGS = frozenset({"drop", "rename", "dropDatabase", "invalidate"})
"""Events after which a stream ends. Source: MongoDB manual, "invalidate Event"."""

STREAM, STAMP = "stream", "stamp"

_TOKEN = re.compile(r"82([0-9A-F]{8})([0-9A-F]{8})[0-9A-F]*", re.IGNORECASE)
"""A token begins with the type of a timestamp and the cluster time up to which the stream was read, so that tokens
sort by it. Sources: MongoDB manual, "Resume Tokens"; mongodb/mongo, src/mongo/db/pipeline/resume_token.h."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The latest event of a record.

    Attributes:
        key: the record's `_id`, and its shard key.
        at: the time of the change: the server's clock in milliseconds from MongoDB 6.0 on, before that the cluster
            time in whole seconds.
    """

    key: Mapping[str, Any]
    at: datetime


@dataclass(slots=True, kw_only=True)
class Part:
    """A part of a stream.

    Attributes:
        latest: the changed records in the order of their latest events, by the BSON of their `_id`.
        read_to: the cluster time up to which the stream was read, None before the first response.
        token: where it continues.
        more: it was not read up to the present.
        behind_s: if it was, how far the server's own position is behind.
    """

    latest: dict[bytes, Change] = field(default_factory=dict)
    read_to: Timestamp | None = None
    token: Mapping[str, Any] | None = None
    more: bool = False
    behind_s: float = 0.0

    def reaches(self, at: Timestamp) -> bool:
        """Whether the stream was read up to this cluster time, as its token shows. Raises ProbeError."""
        token_at = _time_of(self.token)
        self.read_to = token_at if self.read_to is None else max(self.read_to, token_at)
        return self.read_to >= at

    def add(self, event: Mapping[str, Any]) -> None:
        """Add the next event.

        Raises:
            ProbeError: `cursor_lost` if the stream ends with it, `decode` if it is not the next event of a stream.
        """
        kind, at = event.get("operationType"), event.get("clusterTime")
        if kind in ENDINGS:
            raise ProbeError(Reason.CURSOR_LOST, f"the change stream ended: {kind}")
        if not isinstance(at, Timestamp) or (self.read_to is not None and at < self.read_to):
            raise ProbeError(Reason.DECODE, "a change stream returned events out of order, or one of them again")
        self.read_to = at
        if kind not in OF_RECORDS:
            return
        key, wall = event.get("documentKey"), event.get("wallTime")
        if not isinstance(key, Mapping) or "_id" not in key:
            raise ProbeError(Reason.DECODE, "a change stream returned an event without the record's _id")
        identity = bson.encode({"_id": key["_id"]})
        self.latest.pop(identity, None)
        self.latest[identity] = Change(key=key, at=wall if isinstance(wall, datetime) else _instant(at))


def streams(spec: ReadSpec) -> bool:
    """Whether a spec's changes are found by the collection's change stream."""
    return spec.options.get("changes") == STREAM and spec.changed_at is not None


def stamp_of(spec: ReadSpec) -> str | None:
    """The field with a record's own stamp or version, None if the map names none."""
    return None if spec.mark == EVENT_TIME else spec.mark


def changed(session: Session, spec: ReadSpec, since: datetime | int | None, limit: int, after: str | None) -> Page:
    """Records that changed at or after an instant; see `RecordProbe.changed`."""
    if isinstance(since, int):
        raise ProbeError(Reason.QUERY, "a change stream starts at an instant, not at a version")
    kind, at, place = order.cursor_values(after, "kind", "at", "place") if after is not None else (STREAM, None, None)
    if kind == STAMP or since is None:
        return _by_stamp(session, spec, since, limit, at, place)
    start: dict[str, Any] = {"start_at_operation_time": Timestamp(max(1, int(since.timestamp())), 0)}
    if place is not None:
        start = {"resume_after": place}
    try:
        part = _read(session, spec.collection, start, min(limit, RECORDS_AT_ONCE))
    except ProbeError as failure:
        if failure.reason is not Reason.CURSOR_LOST:
            raise
        return _by_stamp(session, spec, since, limit, None, None)
    rows, absent = _records(session, spec, part)
    if not rows and not absent:
        session.described(spec.collection)  # MongoDB opens streams of collections that do not exist
    return Page(
        rows=rows,
        absent=absent,
        next=order.cursor_text(kind=STREAM, at=None, place=part.token) if part.more else None,
        more=part.more,
        behind_s=part.behind_s,
        reached_at=None if part.read_to is None else _instant(part.read_to),
    )


def inspect(session: Session, spec: ReadSpec) -> list[str]:
    """Check that the collection's change stream can be opened, and return remarks on it.

    Raises:
        ProbeError: `query` if the server is not part of a replica set, `permission` if the login may not open it.
    """
    hello = session.run(lambda: session.database.command("hello"))
    if not hello.get("setName") and hello.get("msg") != "isdbgrid":
        raise ProbeError(
            Reason.QUERY,
            "changes: stream needs a replica set or a sharded cluster, and this server belongs to neither",
            hint="run it as a replica set (one member is enough), or leave changes: out",
        )
    _read(session, spec.collection, {}, 1)
    remarks = []
    if stamp_of(spec) is None:
        remark = f"{spec.collection} has no changed_at"
        remarks.append(f"{remark}: changes older than the oplog are found only by the sweep")
    if int(hello.get("maxWireVersion", 0)) < WALL_TIME_SINCE:
        remarks.append("events of this version of MongoDB count whole seconds: set clock_slack to at least 1s")
    return remarks


def _read(session: Session, collection: str, start: Mapping[str, Any], limit: int) -> Part:
    """Read a stream until that many records have changed, the present is reached, or half of the time is over.

    Raises:
        ProbeError: `cursor_lost` if the oplog no longer holds the start, or the collection was dropped since.
    """
    target = session.database.get_collection(collection, read_concern=ReadConcern("majority"))
    words = {"max_await_time_ms": AWAIT_MS, "batch_size": limit, **start}
    first = start.get("resume_after")

    def read() -> Part:
        part = Part(read_to=start.get("start_at_operation_time") if first is None else _time_of(first))
        with (
            session.database.client.start_session(causal_consistency=False) as within,
            target.watch([EVENT_PARTS], session=within, **words) as stream,
        ):
            present = within.operation_time
            if not isinstance(present, Timestamp):
                raise ProbeError(Reason.DECODE, "the server does not report the time of an operation")
            part.token = stream.resume_token
            if part.token not in (None, first) and part.reaches(present):  # a first response without events
                return part
            while True:
                event = stream.try_next()
                before, part.token = part.token, stream.resume_token
                if event is not None:
                    part.add(event)
                elif part.reaches(present):
                    return part
                elif part.token == before:  # there is nothing later to read
                    part.behind_s = float(present.time - _time_of(part.token).time)
                    return part
                if len(part.latest) >= limit or left() < session.timeout_s / 2:
                    part.more = part.token is not None
                    return part

    return session.run(read)


def _records(session: Session, spec: ReadSpec, part: Part) -> tuple[list[Row], list[Any]]:
    """The records that changed, oldest change first, and the keys of those that no longer exist."""
    if not part.latest:
        return [], []
    ids = [change.key["_id"] for change in part.latest.values()]
    read, more = session.documents(
        spec.collection, {"_id": {"$in": ids}}, None, session.projection(spec), None, all_batches=True
    )
    if more:
        raise too_large()
    by_id = {bson.encode({"_id": each["_id"]}): each for each in map(documents.decoded, read)}
    rows: list[Row] = []
    absent: list[Any] = []
    for identity, change in part.latest.items():
        document = by_id.get(identity)
        if document is None:
            key = session.key_of(spec, change.key)
            if None not in (key if isinstance(key, tuple) else (key,)):
                absent.append(key)
            continue
        row = session.row_of(spec, document)
        rows.append((row[KEY], change.at, *row[VALUES]))
    return rows, absent


def _by_stamp(
    session: Session,
    spec: ReadSpec,
    since: datetime | None,
    limit: int,
    now: Timestamp | None,
    place: str | None,
) -> Page:
    """Changes by the records' own stamp, up to which a stream can continue afterwards.

    Args:
        now: the cluster time when this began, None at the beginning.
        place: where it continues.
    """
    now = _cluster_time(session) if now is None else now
    if stamp_of(spec) is None:
        return Page(reached_at=_instant(now), told_from=_instant(now))
    page = changes.changed(session, replace(spec, marks_records=True), since, limit, place)
    if page.next is not None:
        return replace(page, next=order.cursor_text(kind=STAMP, at=now, place=page.next))
    return page if page.more else replace(page, reached_at=_instant(now))


def _cluster_time(session: Session) -> Timestamp:
    """The present time of the cluster's clock."""

    def read() -> Any:
        with session.database.client.start_session(causal_consistency=False) as within:
            session.database.command("hello", session=within)
            return within.operation_time

    now = session.run(read)
    if not isinstance(now, Timestamp):
        raise ProbeError(Reason.DECODE, "the server does not report the time of an operation")
    return now


def _time_of(token: Mapping[str, Any] | None) -> Timestamp:
    """The cluster time up to which a stream with this token was read. Raises ProbeError if it does not show it."""
    match = _TOKEN.fullmatch(str((token or {}).get("_data", "")))
    if match is None:
        raise ProbeError(
            Reason.DECODE,
            "a change stream returned a resume token that is not in MongoDB's form",
            hint="is it MongoDB, or a server that only speaks its protocol?",
        )
    return Timestamp(int(match[1], 16), int(match[2], 16))


def _instant(at: Timestamp) -> datetime:
    return datetime.fromtimestamp(at.time, UTC)

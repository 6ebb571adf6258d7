"""The oplog of the stand-in for MongoDB, and the change streams that read it.

Written from the MongoDB manual 8.0 ("Change Streams", "Change Events", "invalidate Event", "Replica Set Oplog"; read
in November 2026), the driver specifications ("Change Streams", 2025-01-29) and the error codes of mongodb/mongo
(src/mongo/base/error_codes.yml). Tokens have MongoDB's beginning (the type of a timestamp and the cluster time), by
which they sort; the rest is this stand-in's own. Streams are those of one collection; a server with nothing to return
returns at once, however long it may wait. Pre- and post-images, expanded events and split events are missing.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bson import Timestamp

HISTORY_LOST = 286, "Resume of change stream was not possible, as the resume point may no longer be in the oplog."
POSITION_LOST = 136, "CollectionScan died due to position in capped collection being deleted."

_TOKEN = re.compile(r"82([0-9A-F]{8})([0-9A-F]{8})2B04(29|2C|2D)([0-9A-F]{8})")
_WATER, _EVENT, _INVALIDATE = "29", "2C", "2D"


class OplogError(Exception):
    """A refusal, with MongoDB's code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An operation on a collection."""

    number: int
    at: Timestamp
    wall_at: datetime
    collection: str
    kind: str
    key: Mapping[str, Any] | None = None
    document: Mapping[str, Any] | None = None

    @property
    def place(self) -> tuple[int, int, str, int]:
        return self.at.time, self.at.inc, _EVENT, self.number


@dataclass(slots=True, kw_only=True)
class Stream:
    """An open change stream.

    Attributes:
        after: the place behind which it continues.
        fields: the projection of its events.
    """

    database: str
    collection: str
    after: tuple[int, int, str, int]
    fields: Mapping[str, Any] = field(default_factory=dict)
    ended: bool = False
    invalid: Entry | None = None


class Oplog:
    """The operations of a replica set, oldest first; may change at any time.

    Attributes:
        entries: the operations that it still holds.
        rolled_to: no operation before this time is held any more; None if nothing was dropped.
        scanned_at_once: most operations that a response examines, None for all.
        behind_s: how far the position of a stream that has read everything is behind the present.
        wall_times: whether events have `wallTime` (MongoDB 6.0 and later).
        repeats: the next response returns the events of the one before again.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.rolled_to: Timestamp | None = None
        self.scanned_at_once: int | None = None
        self.behind_s = 0
        self.wall_times = True
        self.repeats = False
        self._numbers = itertools.count(1)
        self._latest = Timestamp(0, 0)
        self._returned: list[dict[str, Any]] = []

    def time(self, now: datetime) -> Timestamp:
        """The cluster time at an instant: whatever is appended from now on comes after it."""
        self._latest = max(self._latest, Timestamp(int(now.timestamp()), 1))
        return self._latest

    def append(
        self,
        collection: str,
        kind: str,
        at: datetime,
        key: Mapping[str, Any] | None = None,
        document: Mapping[str, Any] | None = None,
    ) -> Entry:
        """Note an operation; one in the past stands for an operation of that time."""
        seconds = int(at.timestamp())
        before = self.entries[-1].at if self.entries else Timestamp(0, 0)
        if seconds >= self._latest.time:
            before = max(before, self._latest)
        stamp = Timestamp(seconds, 1) if before.time < seconds else Timestamp(before.time, before.inc + 1)
        self._latest = max(self._latest, stamp)
        entry = Entry(
            number=next(self._numbers),
            at=stamp,
            wall_at=at.astimezone(UTC),
            collection=collection,
            kind=kind,
            key=key,
            document=document,
        )
        self.entries.append(entry)
        return entry

    def roll(self, to: datetime) -> None:
        """Drop the operations before an instant."""
        self.rolled_to = Timestamp(int(to.timestamp()), 0)
        self.entries = [each for each in self.entries if each.at >= self.rolled_to]

    def open(self, database: str, collection: str, options: Mapping[str, Any], now: Timestamp) -> Stream:
        """Open a stream. Raises OplogError."""
        starts = [name for name in ("resumeAfter", "startAfter", "startAtOperationTime") if name in options]
        if len(starts) > 1:
            raise OplogError(40674, f"Only one type of resume option is allowed, but multiple were found: {starts}")
        after = (now.time, now.inc + 1, _WATER, 0)
        if starts == ["startAtOperationTime"]:
            at = options["startAtOperationTime"]
            if not isinstance(at, Timestamp):
                raise OplogError(14, "'$changeStream.startAtOperationTime' is the wrong type, expected 'timestamp'")
            after = (at.time, at.inc, _WATER, 0)
        elif starts:
            match = _TOKEN.fullmatch(str(options[starts[0]].get("_data")))
            if match is None:
                raise OplogError(260, "Resume token is not valid")
            if match[3] == _INVALIDATE and starts == ["resumeAfter"]:
                raise OplogError(260, "resumeAfter is not allowed from an invalidate notification")
            after = (int(match[1], 16), int(match[2], 16), match[3], int(match[4], 16))
        if self._lost(after):
            raise OplogError(*HISTORY_LOST)
        return Stream(database=database, collection=collection, after=after)

    def read(self, stream: Stream, count: int, now: Timestamp) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """The next events of a stream, and the token behind what was read for them. Raises OplogError."""
        if self._lost(stream.after):
            raise OplogError(*POSITION_LOST)
        if self.repeats and self._returned:
            self.repeats = False
            return list(self._returned), self._returned[-1]["_id"]
        events: list[dict[str, Any]] = []
        if stream.invalid is not None:
            events.append(self._event(stream, stream.invalid, "invalidate", _INVALIDATE))
            stream.ended, stream.invalid = True, None
            return events, events[-1]["_id"]
        later = [each for each in self.entries if each.place > stream.after]
        scanned = later[: self.scanned_at_once]
        for entry in scanned:
            if len(events) >= count:
                return self._returns(events)
            stream.after = entry.place
            if entry.collection != stream.collection:
                continue
            events.append(self._event(stream, entry, entry.kind, _EVENT))
            if entry.kind in {"drop", "rename"}:
                stream.invalid = entry
                return self._returns(events)
        if len(scanned) == len(later):
            stream.after = max(stream.after, (now.time - self.behind_s, now.inc, _WATER, 0))
        return self._returns(events, stream.after)

    def _returns(
        self, events: list[dict[str, Any]], place: tuple[int, int, str, int] | None = None
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        self._returned = events or self._returned
        if place is None or (events and place[2] == _EVENT):
            return events, events[-1]["_id"]
        return events, _token((place[0], place[1], _WATER, 0) if place[2] == _EVENT else place)

    def _lost(self, place: Sequence[Any]) -> bool:
        return self.rolled_to is not None and Timestamp(place[0], place[1]) < self.rolled_to

    def _event(self, stream: Stream, entry: Entry, kind: str, sort: str) -> dict[str, Any]:
        event: dict[str, Any] = {
            "_id": _token((entry.at.time, entry.at.inc, sort, entry.number)),
            "operationType": kind,
            "clusterTime": entry.at,
        }
        if self.wall_times:
            event["wallTime"] = entry.wall_at
        if kind != "invalidate":
            event["ns"] = {"db": stream.database, "coll": entry.collection}
        if entry.key is not None and kind != "invalidate":
            event["documentKey"] = dict(entry.key)
        if kind in {"insert", "replace"} and entry.document is not None:
            event["fullDocument"] = dict(entry.document)
        if stream.fields:
            event = {name: value for name, value in event.items() if name == "_id" or stream.fields.get(name)}
        return event


def _token(place: tuple[int, int, str, int]) -> dict[str, Any]:
    seconds, number, sort, entry = place
    return {"_data": f"82{seconds:08X}{number:08X}2B04{sort}{entry:08X}"}

"""A stand-in for a MongoDB replica set of one member, over the real wire protocol.

It is there for what FerretDB lacks: Decimal128, MinKey and MaxKey, collations, views, privileges, cluster time, and
servers that fail or lie on demand. Written from the MongoDB manual 8.0 ("Wire Protocol", "find", "getMore",
"listCollections", "listIndexes", "hello", "connectionStatus", "Comparison/Sort Order", "Query and Projection
Operators", "Collation"; read in November 2026) and bsonspec.org 1.1. It keeps documents in memory and takes them from
the test itself; there is no login, no write command, and no aggregation but change streams, which return what `write`
changed (`tests/standins/oplog.py`). Of collations it knows `simple` and strength 2.
"""

from __future__ import annotations

import contextlib
import math
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cmp_to_key
from typing import Any

import bson
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS

from tests.standins.oplog import Oplog, OplogError, Stream

OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(
    tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO, uuid_representation=0
)
LEAST_BATCH = 101
"""Documents of a first batch where the client names no size."""

BATCH_BYTES = 16 * 1024 * 1024
ABSENT = object()


@dataclass(slots=True, kw_only=True)
class Fault:
    """What happens to a command instead of its answer.

    Attributes:
        code, message: of an error; 0 for none.
        details: beside it.
        reply: this document instead.
        raw: these bytes instead, whatever they are; None to hang up.
        hang: say nothing at all.
        again: `raw` without end.
    """

    code: int = 0
    message: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    reply: Mapping[str, Any] | None = None
    raw: bytes | None = b""
    hang: bool = False
    again: bool = False


class MongoServer:
    """Listens on loopback; its documents, faults and clock may change at any time.

    Args:
        name: of its database.
        tls: with which it speaks TLS.

    Attributes:
        collections: by name the documents.
        options: by name the options of a collection (`collation`, for example).
        views: names of those that are views.
        indexes: by name the indexes beside that on `_id`.
        privileges: of the login, None for a server without logins.
        faults: by command what happens to it; a list is used up, one fault after the other.
        asked: every command that came, in order.
        clock_ahead_s: how far its clock is ahead.
        hello: what its greeting says beside the usual.
        oplog: of the replica set.
        standalone: it belongs to no replica set.
        routes: it is the router of a sharded cluster (`mongos`).
    """

    def __init__(self, name: str = "shop", tls: ssl.SSLContext | None = None) -> None:
        self.name = name
        self._tls = tls
        self.collections: dict[str, list[dict[str, Any]]] = {}
        self.options: dict[str, dict[str, Any]] = {}
        self.views: set[str] = set()
        self.indexes: dict[str, list[dict[str, Any]]] = {}
        self.privileges: list[dict[str, Any]] | None = None
        self.faults: dict[str, Fault | list[Fault]] = {}
        self.asked: list[dict[str, Any]] = []
        self.clock_ahead_s = 0.0
        self.hello: dict[str, Any] = {}
        self.oplog = Oplog()
        self.standalone = False
        self.routes = False
        self._streams: dict[int, Stream] = {}
        self._cursors: dict[int, list[dict[str, Any]]] = {}
        self._guard = threading.Lock()
        self._over = threading.Event()
        self._taken: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it is, with its database."""
        return f"mongodb://127.0.0.1:{self.port}/{self.name}?replicaSet=rs0"

    @property
    def calls(self) -> Counter[str]:
        """How often each command came, without those that only keep connections."""
        keeps = {"hello", "isMaster", "ismaster", "endSessions", "killCursors"}
        return Counter(name for each in self.asked if (name := next(iter(each))) not in keeps)

    def close(self) -> None:
        """End it with every connection."""
        self._over.set()
        for each in (self._listener, *self._taken):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def write(self, name: str, kind: str, document: dict[str, Any], at: datetime | None = None) -> None:
        """Change a collection as a client does, which stands in the oplog.

        Args:
            kind: `insert`, `replace`, `update` (of the named fields), `delete` or `drop`.
            document: with its `_id`; for `delete` that alone, for `drop` empty.
        """
        with self._guard:
            here = self.collections.setdefault(name, [])
            old = next((each for each in here if each["_id"] == document.get("_id")), None)
            if kind == "drop":
                del self.collections[name]
            elif kind == "insert":
                here.append(document)
            elif old is not None and kind == "delete":
                here.remove(old)
            elif old is not None:
                here[here.index(old)] = document if kind == "replace" else {**old, **document}
            key = {"_id": document["_id"]} if document else None
            self.oplog.append(name, kind, at or self._now(), key, document if kind != "update" else None)

    # -- the wire

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                taken, _ = self._listener.accept()
                self._taken.append(taken)
                threading.Thread(target=self._serve, args=(taken,), daemon=True).start()

    def _serve(self, taken: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError), taken:
            if self._tls is not None:
                taken = self._tls.wrap_socket(taken, server_side=True)
            while True:
                length, identity, _, kind = struct.unpack("<iiii", _exactly(taken, 16))
                body = _exactly(taken, length - 16)
                if kind == 2004:
                    at = body.index(b"\0", 4) + 9
                    command = bson.decode(body[at:], OPTIONS)
                else:
                    (size,) = struct.unpack_from("<i", body, 5)  # documents to write may follow behind it
                    command = bson.decode(body[5 : 5 + size], OPTIONS)
                if not self._answer(taken, dict(command), identity, kind):
                    return

    def _answer(self, taken: socket.socket, command: dict[str, Any], identity: int, kind: int) -> bool:
        """Answer one command; answers whether the connection goes on."""
        name = next(iter(command))
        with self._guard:
            self.asked.append(command)
            fault = self.faults.get(name)
            if isinstance(fault, list):
                fault = fault.pop(0) if fault else None
        if fault is not None:
            if fault.hang:
                self._over.wait()
                return False
            if fault.raw is None:
                return False
            if fault.raw:
                taken.sendall(fault.raw)
                while fault.again and not self._over.is_set():
                    taken.sendall(fault.raw)
                return False
        with self._guard:
            reply = self._reply(name, command) if fault is None else _failure(fault)
        document = bson.encode(reply, codec_options=OPTIONS)
        if kind == 2004:
            body = struct.pack("<iqii", 8, 0, 0, 1) + document
            taken.sendall(struct.pack("<iiii", 16 + len(body), 1, identity, 1) + body)
        else:
            body = struct.pack("<I", 0) + b"\0" + document
            taken.sendall(struct.pack("<iiii", 16 + len(body), 1, identity, 2013) + body)
        return True

    # -- commands

    def _reply(self, name: str, command: Mapping[str, Any]) -> dict[str, Any]:
        known: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "hello": self._hello,
            "isMaster": self._hello,
            "ismaster": self._hello,
            "ping": lambda _: {},
            "endSessions": lambda _: {},
            "buildInfo": lambda _: {"version": "8.0.0", "versionArray": [8, 0, 0, 0]},
            "killCursors": self._kill,
            "find": self._find,
            "aggregate": self._aggregate,
            "getMore": self._get_more,
            "listCollections": self._list_collections,
            "listIndexes": self._list_indexes,
            "connectionStatus": self._connection_status,
        }
        if name not in known:
            return _failure(Fault(code=59, message=f"no such command: '{name}'"))
        try:
            told = known[name](command)
        except (_RefusedError, OplogError) as error:
            return _failure(Fault(code=error.code, message=str(error)))
        if self.standalone:
            return {**told, "ok": 1.0}
        at = self.oplog.time(self._now())
        signature = {"hash": bytes(20), "keyId": Int64(0)}
        return {**told, "ok": 1.0, "operationTime": at, "$clusterTime": {"clusterTime": at, "signature": signature}}

    def _now(self) -> datetime:
        now = datetime.now(UTC) + timedelta(seconds=self.clock_ahead_s)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def _hello(self, _: Mapping[str, Any]) -> dict[str, Any]:
        me = f"127.0.0.1:{self.port}"
        member: dict[str, Any] = {
            "setName": "rs0",
            "setVersion": 1,
            "hosts": [me],
            "primary": me,
            "me": me,
            "secondary": False,
            "lastWrite": {"lastWriteDate": self._now()},
        }
        return {
            "isWritablePrimary": True,
            "ismaster": True,
            **({"msg": "isdbgrid"} if self.routes else {} if self.standalone else member),
            "localTime": self._now(),
            "maxBsonObjectSize": 16 * 1024 * 1024,
            "maxMessageSizeBytes": 48_000_000,
            "maxWriteBatchSize": 100_000,
            "logicalSessionTimeoutMinutes": 30,
            "minWireVersion": 0,
            "maxWireVersion": 25,
            "readOnly": False,
            **self.hello,
        }

    def _kill(self, command: Mapping[str, Any]) -> dict[str, Any]:
        killed = [each for each in command["cursors"] if each in self._cursors or each in self._streams]
        for each in killed:
            self._cursors.pop(each, None)
            self._streams.pop(each, None)
        return {"cursorsKilled": killed}

    def _find(self, command: Mapping[str, Any]) -> dict[str, Any]:
        name = command["find"]
        fold = _folds(command.get("collation") or self.options.get(name, {}).get("collation"))
        found = [each for each in self.collections.get(name, []) if matches(each, command.get("filter", {}), fold)]
        for path, way in reversed(list(command.get("sort", {}).items())):
            found.sort(key=cmp_to_key(_by(path, fold)), reverse=way < 0)
        limit = command.get("limit", 0)
        found = found[: abs(limit)] if limit else found
        found = [projected(each, command.get("projection") or {}) for each in found]
        batch = command.get("batchSize", LEAST_BATCH)
        cut = self._batch(found, batch)
        single = command.get("singleBatch") or limit < 0 or cut == len(found)
        return {"cursor": self._cursor(name, "firstBatch", found, cut, keep=not single)}

    def _aggregate(self, command: Mapping[str, Any]) -> dict[str, Any]:
        name = command["aggregate"]
        stages = [next(iter(each.items())) for each in command["pipeline"]]
        if [each for each, _ in stages] not in (["$changeStream"], ["$changeStream", "$project"]):
            raise _RefusedError(40324, "this stand-in has no aggregation but change streams")
        if self.standalone:
            raise _RefusedError(40573, "The $changeStream stage is only supported on replica sets")
        if name in self.views:
            raise _RefusedError(166, f"Namespace {self.name}.{name} is a view, not a collection")
        if command.get("readConcern", {}).get("level", "majority") != "majority":
            raise _RefusedError(72, "$changeStream cannot run with a readConcern other than majority")
        stream = self.oplog.open(self.name, name, stages[0][1], self.oplog.time(self._now()))
        stream.fields = stages[1][1] if len(stages) > 1 else {}
        number = time.monotonic_ns()
        self._streams[number] = stream
        return self._streamed(number, "firstBatch", command.get("cursor", {}).get("batchSize", LEAST_BATCH))

    def _streamed(self, number: int, word: str, size: int) -> dict[str, Any]:
        """The next events of a stream."""
        stream = self._streams[number]
        events, token = self.oplog.read(stream, size, self.oplog.time(self._now()))
        if stream.ended:
            del self._streams[number]
        cursor = {"id": Int64(0 if stream.ended else number), "ns": f"{self.name}.{stream.collection}", word: events}
        return {"cursor": {**cursor, "postBatchResumeToken": token}}

    def _get_more(self, command: Mapping[str, Any]) -> dict[str, Any]:
        if command["getMore"] in self._streams:
            return self._streamed(command["getMore"], "nextBatch", command.get("batchSize", LEAST_BATCH))
        rest = self._cursors.pop(command["getMore"], None)
        if rest is None:
            raise _RefusedError(43, f"cursor id {command['getMore']} not found")
        cut = self._batch(rest, command.get("batchSize", len(rest)))
        return {"cursor": self._cursor(command["collection"], "nextBatch", rest, cut, keep=cut < len(rest))}

    def _batch(self, found: Sequence[Mapping[str, Any]], size: int) -> int:
        """How many documents fit into one answer."""
        whole = 0
        for at, document in enumerate(found[:size]):
            whole += len(bson.encode(document, codec_options=OPTIONS))
            if whole > BATCH_BYTES and at:
                return at
        return min(size, len(found))

    def _cursor(self, name: str, word: str, found: list[dict[str, Any]], cut: int, *, keep: bool) -> dict[str, Any]:
        number = 0
        if keep:
            number = time.monotonic_ns()
            self._cursors[number] = found[cut:]
        return {"id": Int64(number), "ns": f"{self.name}.{name}", word: found[:cut]}

    def _list_collections(self, command: Mapping[str, Any]) -> dict[str, Any]:
        known = [
            {
                "name": name,
                "type": "view" if name in self.views else "collection",
                "options": self.options.get(name, {}),
                "info": {"readOnly": name in self.views},
            }
            for name in self.collections
        ]
        found = [each for each in known if matches(each, command.get("filter") or {}, str)]
        return {"cursor": self._cursor("$cmd.listCollections", "firstBatch", found, len(found), keep=False)}

    def _list_indexes(self, command: Mapping[str, Any]) -> dict[str, Any]:
        name = command["listIndexes"]
        if name not in self.collections:
            raise _RefusedError(26, f"ns does not exist: {self.name}.{name}")
        if name in self.views:
            raise _RefusedError(166, f"Namespace {self.name}.{name} is a view, not a collection")
        found = [{"v": 2, "key": {"_id": 1}, "name": "_id_"}, *self.indexes.get(name, [])]
        return {"cursor": self._cursor(name, "firstBatch", found, len(found), keep=False)}

    def _connection_status(self, _: Mapping[str, Any]) -> dict[str, Any]:
        if self.privileges is None:
            return {"authInfo": {"authenticatedUsers": [], "authenticatedUserRoles": []}}
        users = [{"user": "looker", "db": "admin"}]
        return {"authInfo": {"authenticatedUsers": users, "authenticatedUserPrivileges": self.privileges}}


class _RefusedError(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def _failure(fault: Fault) -> dict[str, Any]:
    if fault.reply is not None:
        return dict(fault.reply)
    return {"ok": 0.0, "errmsg": fault.message, "code": fault.code, "codeName": f"Error{fault.code}", **fault.details}


def _exactly(taken: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size:
        part = taken.recv(size - len(got))
        if not part:
            raise EOFError
        got += part
    return got


# -- the order of values

_RANKS: tuple[tuple[type | tuple[type, ...], int, str], ...] = (
    (MinKey, 0, "minKey"),
    (type(None), 1, "null"),
    (bool, 8, "bool"),
    ((int, float, Decimal128), 2, "number"),
    (Code, 12, "javascript"),
    (str, 3, "string"),
    (Binary, 6, "binData"),
    (bytes, 6, "binData"),
    (ObjectId, 7, "objectId"),
    ((datetime, DatetimeMS), 9, "date"),
    (Timestamp, 10, "timestamp"),
    (Regex, 11, "regex"),
    (MaxKey, 99, "maxKey"),
    (list, 5, "array"),
    (Mapping, 4, "object"),
)


def rank(value: Any) -> int:
    """Where the values of a type stand among those of other types."""
    return next(at for kind, at, _ in _RANKS if isinstance(value, kind))


def compared(one: Any, other: Any, fold: Callable[[str], str] = str) -> int:
    """-1, 0 or 1 as one value comes before, with or behind another."""
    if rank(one) != rank(other):
        return -1 if rank(one) < rank(other) else 1
    if isinstance(one, Mapping):
        pairs = [(rank(a), n, a) for n, a in one.items()], [(rank(b), n, b) for n, b in other.items()]
        for (type_a, name_a, a), (type_b, name_b, b) in zip(*pairs, strict=False):
            order = _sign(type_a, type_b) or _sign(name_a, name_b) or compared(a, b, fold)
            if order:
                return order
        return _sign(len(one), len(other))
    if isinstance(one, list):
        for a, b in zip(one, other, strict=False):
            if order := compared(a, b, fold):
                return order
        return _sign(len(one), len(other))
    return _sign(_plain(one, fold), _plain(other, fold))


def _sign(one: Any, other: Any) -> int:
    return int(one > other) - int(one < other)


def _plain(value: Any, fold: Callable[[str], str]) -> Any:
    if isinstance(value, bool) or value is None:
        return bool(value)
    if isinstance(value, int | float | Decimal128):
        number = value.to_decimal() if isinstance(value, Decimal128) else Decimal(value)
        return (0, Decimal(0)) if number.is_nan() else (1, number)  # NaN before all others
    if isinstance(value, str):
        return fold(value).encode()
    if isinstance(value, bytes):
        return len(value), value.subtype if isinstance(value, Binary) else 0, bytes(value)
    if isinstance(value, datetime):
        return (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    if isinstance(value, DatetimeMS):
        return int(value)
    if isinstance(value, Timestamp):
        return value.time, value.inc
    if isinstance(value, Regex):
        return str(value.pattern)
    return value.binary if isinstance(value, ObjectId) else 0


def _folds(collation: Mapping[str, Any] | None) -> Callable[[str], str]:
    """How a collation has texts compared."""
    if collation is None or collation.get("locale") == "simple":
        return str
    if collation.get("strength", 3) != 2:
        raise _RefusedError(2, "this stand-in knows collations of strength 2 alone")
    return str.casefold


def _by(path: str, fold: Callable[[str], str]) -> Callable[[Any, Any], int]:
    def key(document: Any) -> Any:
        found = values_at(document, path)
        flat = [item for each in found for item in (each if isinstance(each, list) and each else [each])]
        return min(flat, key=cmp_to_key(lambda a, b: compared(a, b, fold)), default=None)

    return lambda one, other: compared(key(one), key(other), fold)


# -- conditions


def values_at(document: Any, path: str) -> list[Any]:
    """All values at a dotted path, through arrays."""
    head, _, rest = path.partition(".")
    if isinstance(document, list):
        found = [value for each in document if isinstance(each, Mapping) for value in values_at(each, path)]
        if head.isdecimal() and int(head) < len(document):
            found += values_at(document[int(head)], rest) if rest else [document[int(head)]]
        return found
    if not isinstance(document, Mapping) or head not in document:
        return []
    return values_at(document[head], rest) if rest else [document[head]]


def matches(document: Mapping[str, Any], condition: Mapping[str, Any], fold: Callable[[str], str]) -> bool:
    """Whether a document meets a condition."""
    for name, wanted in condition.items():
        if name in {"$and", "$or"}:
            met = [matches(document, each, fold) for each in wanted]
            if not (all(met) if name == "$and" else any(met)):
                return False
        elif name.startswith("$"):
            raise _RefusedError(2, f"unknown top level operator: {name}")
        elif not _meets(values_at(document, name), wanted, fold):
            return False
    return True


def _meets(found: list[Any], wanted: Any, fold: Callable[[str], str]) -> bool:
    operators = isinstance(wanted, Mapping) and next(iter(wanted), "").startswith("$")
    if not operators:
        return _any(found, lambda value: compared(value, wanted, fold) == 0, absent=wanted is None)
    return all(_operator(name, value, found, fold) for name, value in wanted.items())


def _operator(name: str, wanted: Any, found: list[Any], fold: Callable[[str], str]) -> bool:
    if name == "$exists":
        return bool(found) == bool(wanted)
    if name == "$not":
        return not _meets(found, wanted, fold)
    if name == "$ne":
        return not _meets(found, {"$eq": wanted}, fold)
    if name == "$eq":
        return _any(found, lambda value: compared(value, wanted, fold) == 0, absent=wanted is None)
    if name == "$in":
        return any(_meets(found, {"$eq": each}, fold) for each in wanted)
    if name == "$type":
        types = wanted if isinstance(wanted, list) else [wanted]
        return _any(found, lambda value: type_number(value) in types, absent=False)
    if name not in {"$gt", "$gte", "$lt", "$lte"}:
        raise _RefusedError(2, f"unknown operator: {name}")
    if _is_nan(wanted):
        return name in {"$gte", "$lte"} and _any(found, _is_nan, absent=False)

    def holds(value: Any) -> bool:
        if rank(value) != rank(wanted) or _is_nan(value):  # a comparison finds values of its own type
            return False
        order = compared(value, wanted, fold)
        return {"$gt": order > 0, "$gte": order >= 0, "$lt": order < 0, "$lte": order <= 0}[name]

    return _any(found, holds, absent=False)


def _any(found: list[Any], holds: Callable[[Any], bool], *, absent: bool) -> bool:
    if not found:
        return absent
    return any(holds(item) for each in found for item in ([each, *each] if isinstance(each, list) else [each]))


def _is_nan(value: Any) -> bool:
    number = value.to_decimal() if isinstance(value, Decimal128) else value
    return isinstance(number, float | Decimal) and math.isnan(number)


def type_number(value: Any) -> int:
    """The number of a value's type on the wire."""
    number = bson.encode({"": value}, codec_options=OPTIONS)[4]
    return -1 if number == 255 else number


# -- projections


def projected(document: Mapping[str, Any], projection: Mapping[str, Any]) -> dict[str, Any]:
    """A document cut down to some paths."""
    if not projection:
        return dict(document)
    paths = [path.split(".") for path, way in projection.items() if way and path != "_id"]
    for path in paths:
        if any(path != other and path == other[: len(path)] for other in paths):
            raise _RefusedError(31249, f"Path collision at {'.'.join(path)}")
    kept = {"_id": document["_id"]} if "_id" in document and projection.get("_id", 1) else {}
    return kept | {name: value for name, value in _cut(document, paths).items() if name != "_id"}


def _cut(document: Mapping[str, Any], paths: Sequence[Sequence[str]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in document.items():
        here = [path for path in paths if path[0] == name]
        if any(len(path) == 1 for path in here):
            found[name] = value
        elif here and isinstance(value, Mapping):
            found[name] = _cut(value, [path[1:] for path in here])
        elif here and isinstance(value, list):
            found[name] = [_cut(each, [path[1:] for path in here]) for each in value if isinstance(each, Mapping)]
    return found

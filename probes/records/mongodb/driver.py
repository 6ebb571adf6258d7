"""PyMongo, kept within bounds: what it sends, what it reads, and how long it waits.

Every outgoing message is checked: a command that is not on the list of reading commands is refused before it reaches
the network, which proves that nothing can be written; of aggregations, only one that opens a change stream and can do
nothing else is sent. Incoming messages are checked from their first 16 bytes on:
PyMongo allocates the size that the server announces, and decodes the whole message.
Source: MongoDB manual, "MongoDB Wire Protocol".
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import weakref
from typing import Any

import bson
from bson.errors import BSONError

from probes.contract import ProbeError, Reason
from probes.guarded_socket import GuardedSocket
from probes.metering import spend

READS = frozenset({"find", "aggregate", "getMore", "listCollections", "listIndexes", "connectionStatus"})
"""Commands that read; `aggregate` does if it opens a change stream (`opens_stream`)."""

STREAM_STAGES = ("$changeStream", "$project")
"""The stages of such an aggregation; others could write (`$out`, `$merge`) or run scripts (`$function`)."""

KEEPS = frozenset(
    {"hello", "ismaster", "isMaster", "saslStart", "saslContinue", "authenticate", "killCursors", "endSessions"}
)
"""Commands that open, keep and close a connection and its own cursors and sessions."""

ENDS = frozenset({"killCursors", "endSessions"})
"""Commands that release something: they are sent even if the budget is spent."""

ANSWER_LIMIT_BYTES = 16 * 1024 * 1024 + 64 * 1024
"""The largest response to a reading command: MongoDB's own limit, plus the envelope of the records. Source: MongoDB
manual, "MongoDB Limits and Thresholds", BSON Document Size."""

SMALL_LIMIT_BYTES = 1024 * 1024
"""The largest response to any other command, which PyMongo decodes as a whole."""

LISTED_LIMIT_BYTES = 4 * 1024 * 1024
"""The same for a list of collections or indexes."""

LIMITS = {
    **dict.fromkeys(("find", "aggregate", "getMore"), ANSWER_LIMIT_BYTES),
    **dict.fromkeys(("listCollections", "listIndexes"), LISTED_LIMIT_BYTES),
}
OP_REPLY, OP_QUERY, OP_COMPRESSED, OP_MSG = 1, 2004, 2012, 2013


def command_of(message: bytes) -> str:
    """The command in a message; "" if it cannot be determined."""
    try:
        (kind,) = struct.unpack_from("<i", message, 12)
        if kind == OP_MSG:
            at = 21 if message[20] == 0 else -1
        elif kind == OP_QUERY:
            at = message.index(b"\0", 20) + 9
        else:
            return ""
        if at < 0:
            return ""
        begin = at + 5  # the document's length, and the type of its first value
        return bytes(message[begin : message.index(b"\0", begin)]).decode("ascii")
    except (ValueError, IndexError, struct.error):
        return ""


def opens_stream(message: bytes) -> bool:
    """Whether a message is nothing but an `aggregate` that opens a change stream and projects its events."""
    length = int.from_bytes(message[21:25], "little")
    if message[20:21] != b"\0" or 21 + length != len(message):
        return False
    try:
        pipeline = bson.decode(message[21:]).get("pipeline")
    except BSONError:
        return False
    stages = pipeline if isinstance(pipeline, list) else []
    if tuple(tuple(stage) for stage in stages if isinstance(stage, dict)) != tuple((each,) for each in STREAM_STAGES):
        return False
    fields = stages[1]["$project"]
    return isinstance(fields, dict) and all(each == 1 for each in fields.values())


class MessageSocket(GuardedSocket):
    """Wraps a connected socket of PyMongo.

    Reading raises ProbeError if a response is too large, or compressed without having been requested; sending does if
    a command is not allowed, or if the system's budget is spent.
    """

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self._limit = SMALL_LIMIT_BYTES
        self._head = b""
        self._body = 0

    def sendall(self, data: bytes, *words: Any) -> None:
        """Send one message; see `socket.sendall`."""
        command = command_of(bytes(data[:4096]))
        if command not in READS and command not in KEEPS:
            raise ProbeError(
                Reason.PERMISSION, f"refused to send {command or 'a message'!r}: it is not a reading command"
            )
        if command == "aggregate" and not opens_stream(bytes(data)):
            raise ProbeError(Reason.PERMISSION, "refused to send 'aggregate': it does not open a change stream")
        if command not in ENDS:
            spend()
        self._limit = LIMITS.get(command, SMALL_LIMIT_BYTES)
        self._head, self._body = b"", 0
        super().sendall(bytes(data), *words)

    def recv_into(self, buffer: Any, *words: Any) -> int:
        """Receive; see `socket.recv_into`."""
        size = super().recv_into(buffer, *words)
        self._look(memoryview(buffer)[:size])
        return size

    def recv(self, size: int, *words: Any) -> bytes:
        """Receive; see `socket.recv`."""
        data = super().recv(size, *words)
        self._look(memoryview(data))
        return data

    def _look(self, data: memoryview) -> None:
        at = 0
        while at < len(data):
            if self._body:
                part = min(self._body, len(data) - at)
                self._body -= part
                at += part
                continue
            part = min(16 - len(self._head), len(data) - at)
            self._head += bytes(data[at : at + part])
            at += part
            if len(self._head) == 16:
                length, _, _, kind = struct.unpack("<iiii", self._head)
                self._head, self._body = b"", max(0, length - 16)
                self._check(length, kind)

    def _check(self, length: int, kind: int) -> None:
        if kind not in {OP_MSG, OP_REPLY} or length < 21:
            self.cut_off()
            what = "compressed, unrequested" if kind == OP_COMPRESSED else "not a message of MongoDB's protocol"
            raise ProbeError(Reason.DECODE, f"the response is {what}", hint="is the server a MongoDB server?")
        if length > self._limit:
            self.cut_off()
            raise ProbeError(
                Reason.TOO_LARGE,
                f"a response of more than {self._limit >> 20} MiB",
                hint="leave fields of that size out of the map",
                of_key=self._limit == ANSWER_LIMIT_BYTES,
            )

    def cut_off(self) -> None:
        """End running operations, from any thread."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)


class Wrapping:
    """Poses as PyMongo's TLS context: returns guarded sockets, with TLS inside if requested.

    Args:
        context: PyMongo's own TLS context, None for none.
    """

    def __init__(self, context: Any) -> None:
        self._context = context
        self._open: weakref.WeakSet[MessageSocket] = weakref.WeakSet()
        self._guard = threading.Lock()
        self._over = False
        self.check_hostname: bool = context is not None and bool(context.check_hostname)
        self.verify_mode: Any = context.verify_mode if context is not None else False

    def wrap_socket(self, sock: Any, server_hostname: str | None = None, session: Any = None) -> MessageSocket:
        """A guarded socket over a connected one."""
        if self._context is not None:
            sock = self._context.wrap_socket(sock, server_hostname=server_hostname, session=session)
        guarded = MessageSocket(sock)
        with self._guard:
            if not self._over:
                self._open.add(guarded)
                return guarded
        sock.close()
        raise OSError("closed")

    def cut_off(self) -> None:
        """End everything that is running, and allow nothing new."""
        with self._guard:
            self._over = True
            sockets = list(self._open)
        for each in sockets:
            each.cut_off()


def open_client(url: str, timeout_s: float, connections: int, **words: Any) -> tuple[Any, Wrapping]:
    """A PyMongo client that connects on its first call, and the object that cuts it off.

    Raises:
        PyMongoError, ValueError: the URL cannot be used.
    """
    import pymongo

    client: Any = pymongo.MongoClient(
        url,
        connect=False,
        appname="plumbline",
        connectTimeoutMS=int(timeout_s * 1000) or 1,
        serverSelectionTimeoutMS=int(timeout_s * 1000) or 1,
        socketTimeoutMS=int(timeout_s * 1000) or 1,
        maxPoolSize=connections,
        serverMonitoringMode="poll",
        retryReads=False,  # within a deadline PyMongo retries repeatedly, and reports only the last attempt
        retryWrites=False,
        compressors=[],
        **words,
    )
    options = client.options.pool_options
    wrapping = Wrapping(options._ssl_context)
    # Every connection of a client goes through here, including its monitors'.
    options._PoolOptions__ssl_context = wrapping
    return client, wrapping

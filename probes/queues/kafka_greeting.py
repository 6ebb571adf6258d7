"""What a Kafka server says of the versions it speaks, looked at before librdkafka is let near it.

librdkafka aborts the whole process at an answer whose list of versions is null. Who does not tell a list of them here
is refused; whatever else is wrong with a server, librdkafka says itself. This keeps out what is no Kafka and what is
broken, not who answers us rightly and the driver wrongly. Version 0 is answered by every server, before any login.
Source: kafka.apache.org/protocol, ApiVersions.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import time

from probes.call_deadline import left
from probes.contract import ProbeError, Reason

GREETED_WITHIN_S = 1.0
"""How long all servers together are waited for; librdkafka waits for the rest of the call."""

GREETING_LIMIT_BYTES = 65_536
"""The longest answer looked at; a server of today says less than 1,000 bytes."""

PORT = 9092
"""Where a server is that is named without a port."""

_API_VERSIONS = 18
_ASKED_AS = 1
"""The number of our request, which is that of librdkafka's first one."""
_HEAD = struct.Struct(">ihi")
_VERSION_BYTES = 6


def check_greeting(servers: str, *, tls: bool, ca: str | None) -> None:
    """Ask each of these servers for its versions.

    Raises:
        ProbeError: `decode` where one answers what cannot be.
    """
    until = time.monotonic() + left(GREETED_WITHIN_S)
    for server in servers.split(","):
        answer = b""
        with contextlib.suppress(OSError, ValueError):
            answer = _answer(server.strip().rpartition("://")[2], until, tls=tls, ca=ca)
        if _cannot_be(answer):
            raise ProbeError(
                Reason.DECODE,
                f"{server.strip()} claims versions that cannot be",
                hint="is it Kafka? check servers: and who answers there",
            )


def _answer(server: str, until: float, *, tls: bool, ca: str | None) -> bytes:
    """What a server answers, without its length; b"" where there is no sense in it yet."""
    host, _, port = server.rpartition(":") if ":" in server.rpartition("]")[2] else (server, "", str(PORT))
    name = b"plumbline"
    asked = struct.pack(">hhih", _API_VERSIONS, 0, _ASKED_AS, len(name)) + name
    with contextlib.ExitStack() as open_:
        host = host.strip("[]")
        line: socket.socket = open_.enter_context(socket.create_connection((host, int(port)), _until(until)))
        if tls:
            line = open_.enter_context(ssl.create_default_context(cafile=ca).wrap_socket(line, server_hostname=host))
        line.sendall(struct.pack(">i", len(asked)) + asked)
        (size,) = struct.unpack(">i", _exactly(line, 4, until))
        if not _HEAD.size <= size <= GREETING_LIMIT_BYTES:
            return b""
        return _exactly(line, size, until)


def _exactly(line: socket.socket, count: int, until: float) -> bytes:
    found = b""
    while len(found) < count:
        line.settimeout(_until(until))
        part = line.recv(count - len(found))
        if not part:
            raise ConnectionError
        found += part
    return found


def _until(until: float) -> float:
    remaining = until - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    return remaining


def _cannot_be(answer: bytes) -> bool:
    if len(answer) < _HEAD.size:
        return False
    number, _, count = _HEAD.unpack_from(answer)
    return number == _ASKED_AS and not 0 < count * _VERSION_BYTES <= len(answer) - _HEAD.size

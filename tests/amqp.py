"""As much of AMQP 0-9-1 as it takes to publish what no driver lets through: headers of any bytes and types.

Source: rabbitmq.com/resources/specs/amqp0-9-1.pdf, sections 4.2 (frames) and 1.8.3 (`basic`).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence


def text(value: bytes) -> bytes:
    """A field of type long string."""
    return b"S" + struct.pack(">I", len(value)) + value


def table(*fields: tuple[bytes, bytes]) -> bytes:
    """A table of fields, each with its type before its value."""
    inner = b"".join(struct.pack(">B", len(name)) + name + value for name, value in fields)
    return struct.pack(">I", len(inner)) + inner


def nested(levels: int) -> bytes:
    """A field that holds tables nested so deep."""
    value = b"t\1"
    for _ in range(levels):
        value = b"F" + table((b"a", value))
    return value


def publish(port: int, queue: str, messages: Sequence[tuple[bytes, bytes]]) -> None:
    """Publish to a queue over the default exchange, as guest, and wait until the broker has taken all of it.

    Args:
        messages: of each, its headers as a table in AMQP's own form, and its payload.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
        line.sendall(b"AMQP\0\0\x09\1")
        _await(line, 10, 10)  # start
        login = b"\0guest\0guest"
        words = table() + b"\5PLAIN" + struct.pack(">I", len(login)) + login + b"\5en_US"
        _send(line, 0, 10, 11, words)
        _await(line, 10, 30)  # tune
        _send(line, 0, 10, 31, struct.pack(">HIH", 1, 131_072, 0))
        _send(line, 0, 10, 40, b"\1/\0\0")
        _await(line, 10, 41)
        _send(line, 1, 20, 10, b"\0")
        _await(line, 20, 11)
        _send(line, 1, 85, 10, b"\0")  # confirms
        _await(line, 85, 11)
        name = queue.encode()
        for headers, payload in messages:
            _send(line, 1, 60, 40, struct.pack(">H", 0) + b"\0" + struct.pack(">B", len(name)) + name + b"\0")
            head = struct.pack(">HHQH", 60, 0, len(payload), 0x2000) + headers
            line.sendall(_frame(2, 1, head))
            for begin in range(0, len(payload), 100_000):
                line.sendall(_frame(3, 1, payload[begin : begin + 100_000]))
            _await(line, 60, 80)  # ack
        _send(line, 0, 10, 50, struct.pack(">H", 200) + b"\0" + struct.pack(">HH", 0, 0))
        _await(line, 10, 51)


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


def _send(line: socket.socket, channel: int, group: int, method: int, words: bytes) -> None:
    line.sendall(_frame(1, channel, struct.pack(">HH", group, method) + words))


def _await(line: socket.socket, group: int, method: int) -> None:
    while True:
        kind, _, length = struct.unpack(">BHI", _exactly(line, 7))
        payload = _exactly(line, length + 1)
        if kind == 1:
            met = struct.unpack(">HH", payload[:4])
            if met == (group, method):
                return
            if met in {(10, 50), (20, 40)}:
                raise AssertionError(f"the broker closes: {payload[4:]!r}")


def _exactly(line: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        more = line.recv(count - len(found))
        assert more, "the broker has gone"
        found += more
    return found

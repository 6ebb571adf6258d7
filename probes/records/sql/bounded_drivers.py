"""Drivers of SQL databases with a limit on bytes read and, while connecting, on time.

The drivers hold the whole response to a statement in memory before they return its first row. Here the bytes are
counted as they come from the server, so a response beyond the limit is broken off and not kept. PostgreSQL's driver
is written in C: its byte count is what the kernel reports for its socket. It reads a row in one step, so the
statement itself must make sure that no row is too large.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from probes.call_deadline import begins, came, left, passed
from probes.contract import ProbeError, Reason

ROWS_LIMIT_BYTES = 16 * 1024 * 1024
"""The largest answer to one statement, as for HTTP: whoever reads it holds it several times, as it comes and as rows.
"""

VALUE_BYTES = 100
"""Memory of a value besides its received bytes."""

PACKET_BYTES = 100
"""Memory of a MySQL row besides its bytes; the driver builds rows as they come in."""

TOO_LARGE_SETTING = "plumbline.row_too_large"
"""A setting unknown to PostgreSQL: reading it ends a statement with an error that names it."""

_RECEIVED_AT = 128
"""The offset of `tcpi_bytes_received` in Linux's `struct tcp_info`. Source: linux/include/uapi/linux/tcp.h."""

_READABLE = 1
"""psycopg's `Ready.R`."""

_opened: ContextVar[list[Any] | None] = ContextVar("opened", default=None)


def too_large() -> ProbeError:
    """The error of a statement with a response beyond the limit."""
    return ProbeError(
        Reason.TOO_LARGE,
        f"an answer of more than {ROWS_LIMIT_BYTES >> 20} MiB",
        hint="leave fields of that size out of the map",
        of_key=True,
    )


@contextmanager
def opening() -> Iterator[list[Any]]:
    """The connections that this thread opens meanwhile, from their first byte on."""
    opened: list[Any] = []
    token = _opened.set(opened)
    try:
        yield opened
    finally:
        _opened.reset(token)


def _note(connection: Any) -> None:
    opened = _opened.get()
    if opened is not None:
        opened.append(connection)


@cache
def postgresql_connection() -> Any:
    """psycopg's connection class, bounded."""
    import psycopg

    class BoundedConnection(psycopg.Connection[Any]):
        def __init__(self, *words: Any, **named: Any) -> None:
            super().__init__(*words, **named)
            _note(self)

        @classmethod
        def _connect_gen(cls, *words: Any, **named: Any) -> Any:
            # libpq itself waits for at least two seconds.
            return _ends_in_time(super()._connect_gen(*words, **named), psycopg.errors.ConnectionTimeout)

        def wait(self, gen: Any, *words: Any, **named: Any) -> Any:
            return super().wait(self._counted(gen), *words, **named)

        def _counted(self, gen: Any) -> Generator[Any, Any, Any]:
            received: _Received | None = None
            counted = 0
            begins()
            try:
                wanted = next(gen)
                while True:
                    ready = yield wanted
                    if not ready & _READABLE:
                        wanted = gen.send(ready)
                        continue
                    received = received or _Received(self.pgconn.socket)
                    size = received.before_read()
                    try:
                        if size > ROWS_LIMIT_BYTES:
                            raise too_large()
                        came(max(0, size - counted))
                    except ProbeError:  # the rest of the response is still in it
                        self.pgconn.finish()
                        raise
                    counted = max(size, counted)
                    wanted = gen.send(ready)
                    received.after_read()
            except StopIteration as end:
                return end.value

    return BoundedConnection


def _ends_in_time(gen: Any, late: type[Exception]) -> Generator[Any, Any, Any]:
    """Run a connecting generator until the call's deadline."""
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if passed():
                raise late("connection timeout expired")
            wanted = gen.send(ready)
    except StopIteration as end:
        return end.value


class _Received:
    """Counts the bytes received on a socket from now on, including those already waiting in it.

    Linux counts exactly for TCP. Elsewhere it is the difference of the waiting bytes before and after each read,
    which misses bytes that arrive in between.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._before: int | None = None
        self._summed = 0
        self._waited = 0
        with contextlib.suppress(OSError, struct.error):
            waiting = self._waiting()  # first: bytes that arrive between the two must not count twice
            self._before = self._by_kernel() - waiting

    def _by_kernel(self) -> int:
        # A second object for the same descriptor, which must not close it.
        wire = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=self._descriptor)
        try:
            info = wire.getsockopt(socket.IPPROTO_TCP, getattr(socket, "TCP_INFO", -1), 256)
        finally:
            wire.detach()
        return int(struct.unpack_from("Q", info, _RECEIVED_AT)[0])

    def _waiting(self) -> int:
        import fcntl
        import termios

        return int(struct.unpack("i", fcntl.ioctl(self._descriptor, termios.FIONREAD, bytes(4)))[0])

    def before_read(self) -> int:
        """The count, before the driver reads on."""
        if self._before is not None:
            return self._by_kernel() - self._before
        with contextlib.suppress(OSError):
            self._waited = self._waiting()
        return self._summed + self._waited

    def after_read(self) -> None:
        """Note that the driver has read."""
        if self._before is None:
            with contextlib.suppress(OSError):
                self._summed += max(self._waited - self._waiting(), 0)


@cache
def mysql_connection() -> Any:
    """PyMySQL's connection class, bounded."""
    import pymysql.connections

    connection: Any = pymysql.connections.Connection

    class BoundedConnection(connection):  # type: ignore[misc]
        _unread = ROWS_LIMIT_BYTES

        def connect(self, sock: Any = None) -> None:
            _note(self)
            whole: Any = self
            whole.connect_timeout = left(whole.connect_timeout)
            super().connect(sock)

        def _execute_command(self, *words: Any) -> None:
            self._unread = ROWS_LIMIT_BYTES
            begins()
            super()._execute_command(*words)

        def _read_bytes(self, num_bytes: int) -> bytes:
            self._unread -= num_bytes
            try:
                if self._unread < 0:
                    raise too_large()
                came(num_bytes + PACKET_BYTES)
            except ProbeError:
                self._force_close()
                raise
            return bytes(super()._read_bytes(num_bytes))

    return BoundedConnection


def cut(connection: Any) -> None:
    """Wake code that waits for a connection, from another thread; the connection is discarded afterwards."""
    with contextlib.suppress(Exception):
        if hasattr(connection, "interrupt"):  # SQLite
            connection.interrupt()
        elif hasattr(connection, "pgconn"):
            with socket.socket(fileno=os.dup(connection.fileno())) as wire:
                wire.shutdown(socket.SHUT_RDWR)
        else:
            connection._sock.shutdown(socket.SHUT_RDWR)

"""HTTP that keeps one deadline for a whole exchange.

httpx limits each wait for the socket, so a server that sends a byte now and then can be waited for endlessly. Here
every wait is limited to the time left until the deadline of the thread's current exchange. An exchange can also be
cut off from another thread: closing a client or a socket does not wake code that waits for it.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx


class Deadline:
    """The deadline of the current exchange in this thread."""

    def __init__(self) -> None:
        self._here = threading.local()
        self._open = weakref.WeakSet[_Stream]()
        self._over = False
        self._guard = threading.Lock()

    @contextmanager
    def until(self, deadline: float) -> Iterator[None]:
        """Exchanges of this thread inside the block end by `deadline` (monotonic seconds)."""
        self._here.at = deadline
        try:
            yield
        finally:
            self._here.at = None

    def left(self, timeout: float | None) -> float | None:
        """How long to wait now, and no longer than `timeout`. Raises `httpcore.ReadTimeout` if no time is left."""
        at = getattr(self._here, "at", None)
        if at is None:
            return timeout
        left: float = at - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the deadline of the exchange has passed")
        return left if timeout is None else min(left, timeout)

    def cut_off(self) -> None:
        """End every running exchange with an error, from any thread, and allow no new ones."""
        with self._guard:
            self._over = True
            streams = list(self._open)
        for stream in streams:
            stream.cut_off()

    def keep(self, stream: httpcore.NetworkStream) -> httpcore.NetworkStream:
        """A stream that keeps the deadline. Raises `httpcore.ConnectError` after a cut-off."""
        kept = _Stream(stream, self)
        with self._guard:
            if not self._over:
                self._open.add(kept)
                return kept
        kept.close()
        raise httpcore.ConnectError("cut off")

    def backend(self) -> httpcore.NetworkBackend:
        """A backend with sockets that keep the deadline."""
        return _Backend(self)

    def bind(self, client: httpx.Client) -> None:
        """Make a client keep the deadline, also through the proxies of the environment."""
        # Private attributes of httpx (0.28) and httpcore (1.0): a custom transport would disable the proxies.
        for transport in (client._transport, *client._mounts.values()):
            if isinstance(transport, httpx.HTTPTransport):
                pool: Any = transport._pool
                pool._network_backend = self.backend()


class _Backend(httpcore.SyncBackend):
    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            addresses = self._addresses(host, port, timeout)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(str(error)) from error
        failure: Exception = httpcore.ConnectError("no address")
        for address in dict.fromkeys(str(each[4][0]) for each in addresses):  # they share the deadline
            try:
                left = self._deadline.left(timeout)
                return self._deadline.keep(super().connect_tcp(address, port, left, local_address, socket_options))
            except httpcore.ReadTimeout:
                raise httpcore.ConnectTimeout("the deadline of the exchange has passed") from None
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    def _addresses(self, host: str, port: int, timeout: float | None) -> list[Any]:
        """The addresses of a host. A resolver cannot be interrupted, so a thread that can be abandoned calls it."""
        try:
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except (OSError, UnicodeError):
            pass  # a name
        resolved: Future[list[Any]] = Future()

        def ask() -> None:
            try:
                resolved.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            except BaseException as error:  # it is raised in the waiting thread
                resolved.set_exception(error)

        threading.Thread(target=ask, name="resolver", daemon=True).start()
        try:
            return resolved.result(self._deadline.left(timeout))
        except (TimeoutError, httpcore.ReadTimeout):
            raise httpcore.ConnectTimeout(f"no address of {host} before the deadline") from None


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def cut_off(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(timeout)
        return self._deadline.keep(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

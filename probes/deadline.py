"""HTTP that keeps one deadline for a whole exchange.

httpx limits each wait for the socket, so a server that sends a byte now and then is waited for without end.
Here every wait is cut to what is left until the deadline of the exchange under way in this thread.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx


class DeadlineTransport(httpx.HTTPTransport):
    """httpx's own transport over sockets that know the deadline.

    Args:
        verify: false to accept any TLS certificate.
        connections: most sockets open at once.
    """

    def __init__(self, *, verify: bool, connections: int) -> None:
        super().__init__(verify=verify)
        self._deadline = Deadline()
        # The pool is httpx's private attribute (0.28): it offers no way to pass a network backend.
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(verify=verify),
            max_connections=connections,
            max_keepalive_connections=connections,
            network_backend=self._deadline.backend(),
        )

    @contextmanager
    def until(self, deadline: float) -> Iterator[None]:
        """Exchanges of this thread inside the block end by `deadline` (monotonic seconds)."""
        with self._deadline.until(deadline):
            yield


class Deadline:
    """When the exchange under way in this thread must have ended."""

    def __init__(self) -> None:
        self._here = threading.local()

    @contextmanager
    def until(self, deadline: float) -> Iterator[None]:
        """Exchanges of this thread inside the block end by `deadline` (monotonic seconds)."""
        self._here.at = deadline
        try:
            yield
        finally:
            self._here.at = None

    def left(self, timeout: float | None) -> float | None:
        """How long to wait now, and no longer than `timeout`. Raises `httpcore.ReadTimeout` where no time is left."""
        at = getattr(self._here, "at", None)
        if at is None:
            return timeout
        left: float = at - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the deadline of the exchange has passed")
        return left if timeout is None else min(left, timeout)

    def backend(self) -> httpcore.NetworkBackend:
        """Sockets that keep it."""
        return _Backend(self)

    def bind(self, client: httpx.Client) -> None:
        """Have a client keep it, through the proxies of the environment too."""
        # Private attributes of httpx (0.28) and httpcore (1.0): a transport of one's own would turn the proxies off.
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
        left = self._deadline.left(timeout)
        return _Stream(super().connect_tcp(host, port, left, local_address, socket_options), self._deadline)


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

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(timeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

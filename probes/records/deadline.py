"""An HTTP transport that keeps one deadline for a whole exchange.

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
        self._deadline = threading.local()
        # The pool is httpx's private attribute (0.28): it offers no way to pass a network backend.
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(verify=verify),
            max_connections=connections,
            max_keepalive_connections=connections,
            network_backend=_Backend(self._deadline),
        )

    @contextmanager
    def until(self, deadline: float) -> Iterator[None]:
        """Exchanges of this thread inside the block end by `deadline` (monotonic seconds)."""
        self._deadline.at = deadline
        try:
            yield
        finally:
            self._deadline.at = None


class _Backend(httpcore.SyncBackend):
    def __init__(self, deadline: threading.local) -> None:
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(self._deadline, timeout)
        return _Stream(super().connect_tcp(host, port, left, local_address, socket_options), self._deadline)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadline: threading.local) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._deadline, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._deadline, timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left(self._deadline, timeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: threading.local, timeout: float | None) -> float | None:
    at = getattr(deadline, "at", None)
    if at is None:
        return timeout
    left: float = at - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the deadline of the exchange has passed")
    return left if timeout is None else min(left, timeout)

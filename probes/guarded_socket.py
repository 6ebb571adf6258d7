"""A socket for drivers that only know timeouts of single waits: it keeps the deadline of the current call, and counts
the bytes received for each request."""

from __future__ import annotations

import math
from typing import Any

from probes.call_deadline import begins, came, left
from probes.contract import ProbeError, Reason

RECEIVED_LIMIT_BYTES = 96 * 1024 * 1024
"""Most bytes received for one request: more than one read of letters of any reasonable size."""


class GuardedSocket:
    """Wraps a connected socket.

    Reading raises ProbeError, `timeout` when the call's deadline has passed, `too_large` when more than
    `RECEIVED_LIMIT_BYTES` came in since something was sent, and `over_budget` when other responses left no room.
    """

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._timeout_s: float | None = sock.gettimeout()
        self._received = 0

    def settimeout(self, seconds: float | None) -> None:
        """Limit single waits; the call's deadline stays."""
        self._timeout_s = seconds

    def gettimeout(self) -> float | None:
        """The limit of single waits."""
        return self._timeout_s

    def recv(self, size: int, *words: Any) -> bytes:
        """Receive; see `socket.recv`."""
        self._wait()
        data: bytes = self._sock.recv(size, *words)
        self._count(len(data))
        return data

    def recv_into(self, *words: Any) -> int:
        """Receive; see `socket.recv_into`."""
        self._wait()
        size: int = self._sock.recv_into(*words)
        self._count(size)
        return size

    def sendall(self, data: bytes, *words: Any) -> None:
        """Send; see `socket.sendall`."""
        self._wait()
        self._received = 0
        begins()
        self._sock.sendall(data, *words)

    def _wait(self) -> None:
        if self._timeout_s == 0:  # the caller only checks for data
            self._sock.settimeout(0)
            return
        seconds = left(self._timeout_s)
        self._sock.settimeout(None if math.isinf(seconds) else seconds)

    def _count(self, size: int) -> None:
        self._received += size
        if self._received > RECEIVED_LIMIT_BYTES:
            raise received_too_much()
        came(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def received_too_much() -> ProbeError:
    """The error of a request that receives too much."""
    return ProbeError(
        Reason.TOO_LARGE,
        f"more than {RECEIVED_LIMIT_BYTES >> 20} MiB came in for one request",
        hint="are its messages that large? they can be counted, and not looked at",
    )

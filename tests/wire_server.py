"""A server on loopback that says what an attack says, to whoever connects."""

from __future__ import annotations

import contextlib
import socket
import threading

from tests.attacks.wires import Wire


class WireServer:
    """Plays one attack after the other; `wire` may change at any time.

    Args:
        asked_first: wait for a request of HTTP before anything is said.

    Attributes:
        asked: what was sent to it, the beginning of each.
    """

    def __init__(self, wire: Wire, *, asked_first: bool) -> None:
        self.wire = wire
        self.asked: list[bytes] = []
        self._asked_first = asked_first
        self._over = threading.Event()
        self._taken: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                taken, _ = self._listener.accept()
                self._taken = [each for each in self._taken if each.fileno() >= 0] + [taken]
                threading.Thread(target=self._serve, args=(taken,), daemon=True).start()

    def _serve(self, taken: socket.socket) -> None:
        wire = self.wire
        with contextlib.suppress(OSError), taken:
            if self._asked_first:
                self.asked.append(_request(taken))
            for at in range(0, len(wire.first), wire.pieces or len(wire.first) or 1):
                taken.sendall(wire.first[at : at + (wire.pieces or len(wire.first))])
                if wire.pieces and self._over.wait(wire.every_s):
                    return
            if wire.again is None:
                if not wire.pieces:
                    taken.shutdown(socket.SHUT_WR)
                return
            while not self._over.wait(wire.every_s if wire.again else 0.2) and self.wire is wire:
                taken.sendall(wire.again)

    def close(self) -> None:
        """End it, and whatever it is saying."""
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for taken in self._taken:  # it may be saying what nobody reads any more
            with contextlib.suppress(OSError):
                taken.shutdown(socket.SHUT_RDWR)


def _request(taken: socket.socket) -> bytes:
    """A request with its body, as far as its headers tell."""
    taken.settimeout(30)
    got = b""
    while b"\r\n\r\n" not in got and (part := taken.recv(65_536)):
        got += part
    head, _, body = got.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    while len(body) < length and (part := taken.recv(65_536)):
        body += part
    return head[:4_000]

"""A TCP proxy that breaks on demand: passes, swallows, resets, talks nonsense, or drips."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from typing import Literal

Mode = Literal["pass", "swallow", "reset", "garbage", "drip"]

KEPT_BYTES = 1_000_000


class Proxy:
    """Listens on a free loopback port and relays to another; `mode` may change at any time.

    Attributes:
        sent: the first `KEPT_BYTES` of what all clients have sent.
    """

    def __init__(self, target_port: int) -> None:
        self._target = target_port
        self.mode: Mode = "pass"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self.sent = bytearray()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        if self.mode == "garbage":
            with contextlib.suppress(OSError):
                client.sendall(b"\x00\xffthis is no database and no HTTP server\r\n\r\n" * 4)
                client.close()
            return
        server = socket.create_connection(("127.0.0.1", self._target))
        self._open.append(server)
        threading.Thread(target=self._relay, args=(client, server, False), daemon=True).start()
        self._relay(server, client, True)

    def _relay(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not answers and len(self.sent) < KEPT_BYTES:
                    self.sent += data
                while self.mode == "swallow":
                    time.sleep(0.02)
                if self.mode == "reset":
                    for each in (source, sink):
                        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        with contextlib.suppress(OSError):
                            each.shutdown(socket.SHUT_RD)  # wakes the other thread, which would keep it open
                        each.close()
                    return
                if self.mode == "drip" and answers:
                    for at in range(len(data)):
                        sink.sendall(data[at : at + 1])
                        time.sleep(0.3)
                else:
                    sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)  # closed alone, it would stay open as long as the other thread reads it
            sink.close()

    def close(self) -> None:
        """Stop listening and end every connection."""
        self.mode = "pass"
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError):
                each.close()

"""A server on loopback that answers every request with the bytes it was given, however wrong they are."""

from __future__ import annotations

import contextlib
import socket
import threading

from tests.attacks.answers import Attack


class RawServer:
    """Listens on a port of its own; `url` is where."""

    def __init__(self, attack: Attack) -> None:
        self._attack = attack
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                taken, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(taken,), daemon=True).start()

    def _serve(self, taken: socket.socket) -> None:
        with contextlib.suppress(OSError), taken:
            asked = b""
            while b"\r\n\r\n" not in asked:
                part = taken.recv(65536)
                if not part:
                    return
                asked += part
            for part in self._attack.bytes_of():
                if self._over.wait(self._attack.pause_s) if self._attack.pause_s else self._over.is_set():
                    return
                taken.sendall(part)

    def close(self) -> None:
        """Stop it; answers under way end."""
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

"""A reverse proxy that signs people in: it tells the server behind it who asks, whatever the request said."""

from __future__ import annotations

import contextlib
import re
import socket
import threading


class SignIn:
    """Listens on a free loopback port and relays HTTP and WebSockets to another, with a person's name.

    Attributes:
        source: the address that it connects from.
    """

    def __init__(self, target_port: int, *, header: str, name: str, source: str = "127.0.0.1") -> None:
        self._target, self._header, self._name, self._source = target_port, header, name, source
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                read = client.recv(65536)
                if not read:
                    return
                head += read
            head, _, rest = head.partition(b"\r\n\r\n")
            line, *fields = head.split(b"\r\n")
            own = self._header.lower().encode() + b":"
            fields = [each for each in fields if not each.lower().startswith(own)]
            if not re.search(rb"(?mi)^upgrade:", head):  # one request a connection, so that each is told of
                fields = [each for each in fields if not each.lower().startswith(b"connection:")]
                fields.append(b"Connection: close")
            fields += [f"{self._header}: {self._name}".encode(), b"X-Forwarded-For: 203.0.113.9"]
            server = socket.create_connection(("127.0.0.1", self._target), source_address=(self._source, 0))
            self._open.append(server)
            threading.Thread(target=self._relay, args=(server, client), daemon=True).start()
            server.sendall(b"\r\n".join([line, *fields, b"", rest]))
            self._relay(client, server)

    def _relay(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Stop listening and end every connection."""
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.close()

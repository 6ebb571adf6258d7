"""A small HTTP server on loopback whose answers are a function of the test's own, for stand-ins of APIs."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs


@dataclass(frozen=True, kw_only=True)
class Request:
    """What came in; `path` and `query` exactly as they were sent."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def values(self) -> dict[str, str]:
        """The query's parameters."""
        return {name: found[-1] for name, found in parse_qs(self.query, keep_blank_values=True).items()}


@dataclass(frozen=True, kw_only=True)
class Response:
    """What goes out; a document is sent as JSON, bytes as they are, an iterator of bytes in chunks."""

    document: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Api:
    """The server; `asked` keeps every request but HEAD."""

    def __init__(self, answer: Callable[[Request], Response | Any]) -> None:
        self.asked: list[Request] = []
        self.answer = answer
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                path, _, query = self.path.partition("?")
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = Request(
                    method=self.command, path=path, query=query, headers=dict(self.headers.items()), body=body
                )
                if self.command != "HEAD":
                    api.asked.append(request)
                found = api.answer(request)
                response = found if isinstance(found, Response) else Response(document=found)
                whole = response.document
                if isinstance(whole, Iterator):
                    self._stream(response, whole)
                    return
                sent = whole if isinstance(whole, bytes) else json.dumps(whole).encode()
                self.send_response(response.status)
                for name, value in {"Content-Type": "application/json", **response.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(sent)

            def _stream(self, response: Response, parts: Iterator[bytes]) -> None:
                self.send_response(response.status)
                for name, value in {"Transfer-Encoding": "chunked", **response.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(OSError):
                    for part in parts:
                        self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
                self.close_connection = True

            def do_GET(self) -> None:
                self._serve()

            def do_HEAD(self) -> None:
                self._serve()

            def do_POST(self) -> None:
                self._serve()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    @property
    def paths(self) -> list[str]:
        """What was asked, path and query."""
        return [each.path + (f"?{each.query}" if each.query else "") for each in self.asked]

    def close(self) -> None:
        """Stop it."""
        self._server.shutdown()
        self._server.server_close()

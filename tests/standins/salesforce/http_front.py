"""The HTTP side: one server on 127.0.0.1 that asks a function for its answers, on the stand-in's clock."""

from __future__ import annotations

import contextlib
import gzip
import sys
import threading
import traceback
from collections.abc import Callable
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.standins.clock import Clock
from tests.standins.faults import Answer
from tests.standins.salesforce.rest import Request


class HttpFront:
    """Listens, and hands every request to `answer`."""

    def __init__(self, answer: Callable[[Request], Answer], clock: Clock) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            server_version = "Salesforce-stand-in"
            sys_version = ""
            disable_nagle_algorithm = True

            def date_time_string(self, timestamp: float | None = None) -> str:
                return format_datetime(clock.now().replace(microsecond=0), usegmt=True)

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.title(): value for name, value in self.headers.items()}
                answered = answer(Request(method=self.command, target=self.path, headers=headers, body=body))
                results = answered.headers.get("Content-Type") == "text/csv"  # "always compressed"
                self._send(answered, zipped=results or "gzip" in headers.get("Accept-Encoding", ""))

            def _send(self, answered: Answer, *, zipped: bool) -> None:
                headers = {"Content-Type": "application/json;charset=UTF-8", **answered.headers}
                sent = answered.sent
                if not isinstance(sent, bytes):
                    headers["Transfer-Encoding"] = "chunked"
                else:
                    if zipped and sent and answered.cut_after is None:
                        sent = gzip.compress(sent, 1)
                        headers["Content-Encoding"] = "gzip"
                    headers["Content-Length"] = str(len(sent))
                self.send_response(answered.status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "HEAD":
                    return
                self.close_connection |= answered.cut_after is not None or not isinstance(sent, bytes)
                with contextlib.suppress(OSError):
                    if isinstance(sent, bytes):
                        self.wfile.write(sent[: answered.cut_after])
                        return
                    for part in sent:
                        self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")

            def do_GET(self) -> None:
                self._serve()

            def do_HEAD(self) -> None:
                self._serve()

            def do_POST(self) -> None:
                self._serve()

            def do_PATCH(self) -> None:
                self._serve()

            def do_PUT(self) -> None:
                self._serve()

            def do_DELETE(self) -> None:
                self._serve()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Quiet(ThreadingHTTPServer):
    """Says nothing of callers that go away."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing but of faults of the stand-in itself."""
        if not isinstance(sys.exc_info()[1], OSError):
            traceback.print_exc()

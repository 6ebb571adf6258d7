"""The front of a stand-in: an HTTP server on 127.0.0.1 that routes, counts every call and fails as told."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl, unquote

from tests.standins.clock import Clock
from tests.standins.faults import Answer, Fault, Faults


@dataclass(frozen=True, kw_only=True)
class Request:
    """What came in.

    Attributes:
        query: the parameters in their order.
        headers: by lower-case name.
        page: by how many pages the answer is to miss (`Fault.page`).
    """

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    page: int = 0

    def value(self, name: str) -> str | None:
        """The last value of a parameter."""
        found = self.values(name)
        return found[-1] if found else None

    def values(self, name: str) -> list[str]:
        """All values of a parameter."""
        return [value for given, value in self.query if given == name]

    @property
    def form(self) -> dict[str, str]:
        """The fields of a form in the body."""
        return dict(parse_qsl(self.body.decode(errors="replace"), keep_blank_values=True))


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call that was made.

    Attributes:
        operation: the vendor's operation, or `unknown`.
        fault: what it met, if anything was ordered.
    """

    operation: str
    request: Request
    status: int
    fault: str | None


class RefusalError(Exception):
    """What the caller is told instead of an answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.status} {answer.document}")
        self.answer = answer


class QuietServer(ThreadingHTTPServer):
    """Reports its own errors, and not that a caller went away."""

    daemon_threads = True

    def handle_error(self, *request: Any) -> None:
        """Print what is an error of the stand-in itself."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(*request)


class Service:
    """One vendor's API; what is its own is in the subclass.

    Attributes:
        routes: method, path with `{name}` for a part, and the method of this class that answers; its name is the
            name of the operation.
        calls: every call, in order.
        clock: the server's own; the `Date` header follows it.
    """

    routes: ClassVar[Sequence[tuple[str, str, str]]] = ()

    def __init__(self, *, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.calls: list[Call] = []
        self._faults = Faults()
        self._lock = threading.RLock()
        self._routes = [(method, _pattern(path), name) for method, path, name in self.routes]
        self._server = QuietServer(("127.0.0.1", 0), _handler(self))
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        serve = self._server.serve_forever
        threading.Thread(target=serve, kwargs={"poll_interval": 0.02}, daemon=True).start()

    # -- what a vendor says in its own words

    def refusal(self, status: int, retry_after: str | None) -> Answer:
        """The vendor's error with a status; `retry_after` is "" where the vendor decides on the header."""
        raise NotImplementedError

    def admit(self, operation: str, request: Request) -> Mapping[str, str]:
        """Let a call in, or raise RefusalError; answers headers that its answer gets."""
        raise NotImplementedError

    def revoke(self) -> None:
        """Make every token that was given out worthless."""
        raise NotImplementedError

    # -- what a test says

    def fail(self, fault: Fault, *, on: str = "*", times: int = 1) -> None:
        """Let the next calls of an operation fail."""
        self._faults.order(on, fault, times)

    def count(self, operation: str | None = None) -> int:
        """How many calls of an operation were made, or of all."""
        return sum(operation in {None, call.operation} for call in self.calls)

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Change what is stored while no call is being answered."""
        with self._lock:
            yield

    # -- serving

    def answer(self, request: Request) -> Answer:
        """Answer one request."""
        with self._lock:
            operation, handler, parts = self._route(request)
            fault = self._faults.next(operation)
            answer = self._faulty(fault, operation, handler, request, parts)
            name = fault.name if fault else None
            self.calls.append(Call(operation=operation, request=request, status=answer.status, fault=name))
            return answer

    def _faulty(
        self,
        fault: Fault | None,
        operation: str,
        handler: Callable[..., Any] | None,
        request: Request,
        parts: Mapping[str, str],
    ) -> Answer:
        if fault and fault.status is not None:
            return self.refusal(fault.status, fault.retry_after)
        if fault and fault.instead:
            return fault.instead()
        try:
            headers = self.admit(operation, request)
            if handler is None:
                raise RefusalError(self.refusal(404, None))
            found = handler(replace(request, page=fault.page if fault else 0), **parts)
            answer = found if isinstance(found, Answer) else Answer(document=found)
            answer = replace(answer, headers={**headers, **answer.headers})
        except RefusalError as refusal:
            answer = refusal.answer
        return fault.after(answer) if fault and fault.after else answer

    def _route(self, request: Request) -> tuple[str, Callable[..., Any] | None, Mapping[str, str]]:
        for method, pattern, name in self._routes:
            found = pattern.fullmatch(request.path)
            if found and method == request.method:
                parts = {part: unquote(value) for part, value in found.groupdict().items()}
                return name, getattr(self, name), parts
        return "unknown", None, {}

    def close(self) -> None:
        """Stop it."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def json_body(request: Request) -> Any:
    """The document in a body; None where it is none."""
    try:
        return json.loads(request.body)
    except ValueError:
        return None


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(path)))


def _handler(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            path, _, query = self.path.partition("?")
            request = Request(
                method="GET" if self.command == "HEAD" else self.command,
                path=path,
                query=parse_qsl(query, keep_blank_values=True),
                headers={name.lower(): value for name, value in self.headers.items()},
                body=self.rfile.read(int(self.headers.get("Content-Length") or 0)),
            )
            answer = service.answer(request)
            body = answer.sent
            self.send_response(answer.status)
            for name, value in {"Content-Type": "application/json;charset=utf-8", **answer.headers}.items():
                self.send_header(name, value)
            if isinstance(body, bytes):
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body[: answer.cut_after])
                self.close_connection = answer.cut_after is not None
                return
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.close_connection = True
            with contextlib.suppress(OSError):
                for part in body:
                    self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")

        def date_time_string(self, timestamp: float | None = None) -> str:
            """The server's own clock in the Date header."""
            return format_datetime(service.clock.now(), usegmt=True)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", Handler._serve)
    return Handler

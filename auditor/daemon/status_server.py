"""The daemon's own HTTP server on the loopback address: health, metrics, and verdicts on single records.

It only reads, and only the ledger: no request makes the auditor call a connected system. Paths as in Kubernetes
(https://kubernetes.io/docs/reference/using-api/health-checks/): `/livez` fails if only a restart helps, `/readyz` if
the process does not audit, `/healthz` if anything of the auditor's own does not work.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote

from auditor.daemon.vitals import Vitals
from auditor.escaping import visible
from auditor.history.verified import STATUS, RecordVerdict, record_verdict
from auditor.host_names import LOOPBACK_NAMES, authority, authority_of_origin
from auditor.ledger import Ledger, LedgerError
from auditor.map.integration_map import IntegrationMap, UnknownNameError
from auditor.workspace import Workspace
from probes.durations import parse_duration

LOOPBACK = "127.0.0.1"

MOST_REQUESTS = 16
"""Requests handled at once; further connections are closed."""

MOST_READERS = 4
"""Of those, the requests that read the ledger: one that hangs must not keep `/livez` from responding."""

REQUEST_S = 10.0
"""From accepting a connection to closing it."""

JSON = "application/json; charset=utf-8"

log = logging.getLogger(__name__)


class PortError(Exception):
    """The port cannot be listened on; the text says why."""


class StatusServer:
    """Serves until it is closed.

    Args:
        port: on 127.0.0.1; 0 for any free one.

    Attributes:
        port: the one that it listens on.

    Raises:
        PortError: it cannot listen there.
    """

    def __init__(self, integration_map: IntegrationMap, workspace: Workspace, vitals: Vitals, port: int) -> None:
        from auditor.daemon.metrics import Metrics

        self.map = integration_map
        self.vitals = vitals
        self._workspace = workspace
        self._ledger: Ledger | None = None
        self._opening = threading.Lock()
        self._readers = threading.BoundedSemaphore(MOST_READERS)
        self._series: dict[str, str] | None = None
        self.metrics = Metrics(integration_map, vitals, self.ledger)
        try:
            self._server = _Server((LOOPBACK, port), type("Handler", (_Handler,), {"status": self}))
        except (OSError, OverflowError) as error:
            in_use = getattr(error, "errno", None) == errno.EADDRINUSE
            why = "it is in use; choose another" if in_use else getattr(error, "strerror", None) or str(error)
            raise PortError(f"cannot listen on port {port} of {LOOPBACK}: {why}") from None
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, name="status-server", daemon=True).start()

    def ledger(self) -> Ledger:
        """The ledger, with connections apart from those of the audits. Raises LedgerError."""
        with self._opening:
            if self._ledger is None:
                self._ledger = self._workspace.existing_ledger()
            if self._ledger is None:
                raise LedgerError("there is no ledger yet")
            return self._ledger

    def follow(self, integration_map: IntegrationMap) -> None:
        """Answer for this map from now on."""
        self.map, self._series = integration_map, None
        self.metrics.follow(integration_map)

    def series(self) -> Mapping[str, str]:
        """By flow, the series of fingerprints under the map and the digest key. Raises LedgerError."""
        series, known = self._series, self.map
        if series is None:
            digest_key = self._workspace.digest_key()
            series = {name: known.flow(name).comparer(digest_key).series for name in known.flows}
            if known is self.map:
                self._series = series
        return series

    @contextlib.contextmanager
    def reading(self) -> Any:
        """Wait for a turn to read the ledger. Raises LedgerError."""
        if not self._readers.acquire(timeout=REQUEST_S / 2):
            raise LedgerError("the ledger does not respond to earlier requests")
        try:
            yield
        finally:
            self._readers.release()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        if self._ledger is not None:
            self._ledger.close()


class _Server(HTTPServer):
    """A thread per request, within bounds."""

    allow_reuse_address = True
    request_queue_size = MOST_REQUESTS

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._free = threading.BoundedSemaphore(MOST_REQUESTS)
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Bind without looking up this machine's name, as `HTTPServer` would."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = LOOPBACK, self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Handle a request on a thread of its own; close it if too many are being handled."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        work = threading.Thread(target=self._handle, args=(request, client_address), daemon=True)
        try:
            work.start()
        except RuntimeError:  # no more threads
            self._free.release()
            self.shutdown_request(request)

    def _handle(self, request: socket.socket, client_address: Any) -> None:
        def cut() -> None:
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

        deadline = threading.Timer(REQUEST_S, cut)
        deadline.daemon = True
        try:
            deadline.start()
            self.finish_request(request, client_address)
        except Exception as error:
            log.debug("status request: %s", type(error).__name__)
        finally:
            deadline.cancel()
            self.shutdown_request(request)
            self._free.release()


def refused(headers: Message) -> tuple[HTTPStatus, str] | None:
    """Why a request is refused: it was addressed to another name, or comes from a page of another site."""
    hosts, origins = headers.get_all("Host") or [], headers.get_all("Origin") or []
    host = authority(hosts[0]) if len(hosts) == 1 else None
    if host is None or host[0] not in LOOPBACK_NAMES:
        names = "localhost, 127.0.0.1 and [::1]"
        return HTTPStatus.MISDIRECTED_REQUEST, f"this server accepts only the names {names}"
    if any(authority_of_origin(each) != host for each in origins):
        return HTTPStatus.FORBIDDEN, "requests from pages of other sites are refused"
    return None


class _Handler(BaseHTTPRequestHandler):
    """Handles one request; `status` is set by a subclass of each self.status."""

    status: StatusServer
    timeout = REQUEST_S

    def version_string(self) -> str:
        return "plumbline"

    def log_message(self, format: str, *args: Any) -> None:
        log.debug("status request: " + format, *args)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        self.close_connection = True
        self._send(code, {"error": HTTPStatus(code).phrase})

    def do_GET(self) -> None:
        if (refusal := refused(self.headers)) is not None:
            self._send(refusal[0], {"error": refusal[1]})
            return
        path, _, query = self.path.partition("?")
        routes: dict[str, Callable[[], None]] = {
            "/livez": self._live,
            "/readyz": self._ready,
            "/healthz": self._health,
            "/metrics": self._metrics,
        }
        if path in routes:
            routes[path]()
        elif path.startswith("/api/records/"):
            self._record(path, query)
        else:
            self._send(HTTPStatus.NOT_FOUND, {"error": "no such path"})

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        self._send(HTTPStatus.METHOD_NOT_ALLOWED, {"error": "only GET and HEAD are allowed"}, Allow="GET, HEAD")

    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_POST  # noqa: N815

    def _live(self) -> None:
        health = self.status.vitals.health()
        self._send_health(health.live, {"live": health.live, "reasons": list(health.dead)})

    def _ready(self) -> None:
        health = self.status.vitals.health()
        reasons = [*health.dead, *health.unready]
        self._send_health(health.ready, {"ready": health.ready, "reasons": reasons})

    def _health(self) -> None:
        health = self.status.vitals.health()
        self._send_health(health.well, health.as_document())

    def _send_health(self, good: bool, document: dict[str, Any]) -> None:
        self._send(HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE, document)

    def _metrics(self) -> None:
        try:
            with self.status.reading():
                body, content_type = self.status.metrics.exposed(self.headers.get("Accept", ""))
        except LedgerError as error:
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, {"error": visible(str(error))})
            return
        self._send_bytes(HTTPStatus.OK, body, content_type)

    def _record(self, path: str, query: str) -> None:
        parts = [unquote(each, errors="surrogatepass") for each in path.split("/", 4)[3:]]
        try:
            words = parse_qs(query, keep_blank_values=True, strict_parsing=bool(query))
            if unknown := words.keys() - {"within", "flow"}:
                raise UnknownNameError(f"unknown parameter {min(unknown)}")
            within = [parse_duration(each) for each in words.get("within", [])]
        except ValueError as error:
            self._send(HTTPStatus.BAD_REQUEST, {"error": visible(str(error))})
            return
        if len(parts) < 2 or not parts[1]:
            self._send(HTTPStatus.NOT_FOUND, {"error": "expected /api/records/TYPE/KEY"})
            return
        if parts[0] not in self.status.map.data_types:
            self._send(HTTPStatus.NOT_FOUND, {"error": f"unknown data type {visible(parts[0])}"})
            return
        now = datetime.now(UTC)
        try:
            with self.status.reading():
                verdict = record_verdict(
                    self.status.map,
                    self.status.ledger(),
                    parts[0],
                    parts[1],
                    now=now,
                    within_s=min(within, default=None),
                    flows=words.get("flow"),
                    series=self.status.series(),
                )
        except UnknownNameError as error:
            self._send(HTTPStatus.BAD_REQUEST, {"error": visible(str(error))})
            return
        except LedgerError as error:
            verdict = RecordVerdict.unknown(parts[0], parts[1], visible(str(error)), now)
        self._send(STATUS[verdict.verdict], verdict.as_document())

    def _send(self, status: int, document: dict[str, Any], **headers: str) -> None:
        body = (json.dumps(document, default=str) + "\n").encode()
        self._send_bytes(status, body, JSON, **headers)

    def _send_bytes(self, status: int, body: bytes, content_type: str, **headers: str) -> None:
        self.send_response(status)
        fixed = {"Content-Type": content_type, "Content-Length": str(len(body)), "Cache-Control": "no-store"}
        for name, value in (fixed | {"X-Content-Type-Options": "nosniff"} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

"""The daemon's HTTP server: what its paths return, whom it refuses, and that nothing can keep it from responding."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from auditor.daemon.daemon import Daemon
from auditor.daemon.status_server import MOST_REQUESTS, PortError, StatusServer
from auditor.daemon.vitals import vitals_of
from auditor.map.loader import load_map
from auditor.workspace import Workspace
from tests import HOME
from tests.daemons import running, stopped_after
from tests.servers import free_port
from tests.stand import Stand
from tests.waiting import PATIENCE_S, wait_until

SECRET = "k" * 32


MALFORMED = {
    "no text": b"\x00\xff\xfe\r\n\r\n",
    "no target": b"GET\r\n\r\n",
    "no such version": b"GET /livez HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
    "another host in the target": b"GET http://evil.example/livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no UTF-8 in a key": b"GET /api/records/customer/%ff%fe%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a long key": b"GET /api/records/customer/" + b"9" * 30_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a parameter that is no text": b"GET /api/records/customer/1?within=%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a long target": b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n",
}
"""Requests by what is wrong with them."""


@dataclass(frozen=True)
class Reply:
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """Its JSON."""
        return json.loads(self.body)


def request(port: int, path: str, method: str = "GET", **headers: str) -> Reply:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as connection:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


@pytest.fixture
def workspace(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("AUDITOR_DIGEST_KEY", SECRET)
    return Workspace.at(stand.place / "var", ledger_url=stand.ledger_url)


@pytest.fixture
def server(stand: Stand, workspace: Workspace) -> Iterator[StatusServer]:
    made = StatusServer(stand.map, workspace, vitals_of(stand.map), 0)
    yield made
    made.close()


def test_health_of_a_process_that_waits_and_of_one_that_audits(server: StatusServer) -> None:
    assert request(server.port, "/livez").status == 200
    waiting = request(server.port, "/readyz")
    assert (waiting.status, waiting.document["reasons"]) == (503, ["the auditor is starting"])
    server.vitals.begins(lambda: False)
    assert request(server.port, "/readyz").document == {"ready": True, "reasons": []}
    healthy = request(server.port, "/healthz")
    assert (healthy.status, healthy.document["status"]) == (200, "pass")
    assert healthy.headers["content-type"] == "application/json; charset=utf-8"
    server.vitals.begins(lambda: True)
    failing = request(server.port, "/healthz")
    assert failing.status == 503
    assert failing.document["checks"]["ready"]["reasons"] == ["the ledger cannot be written"]


def test_it_answers_for_a_newer_map(server: StatusServer, stand: Stand) -> None:
    assert request(server.port, "/api/records/customer/1?flow=again").status == 400
    text = stand.map_file.read_text()
    text += "  again: {data_type: customer, from: crm, to: billing, pattern: real-time}\n"
    stand.map_file.write_text(text)
    server.follow(load_map(stand.map_file, {}))
    assert request(server.port, "/api/records/customer/1?flow=again").status == 503  # not audited yet
    metrics = request(server.port, "/metrics").body
    assert b'plumbline_audits_total{flow="again"' in metrics
    assert b"plumbline_map_refused 0.0" in metrics
    stand.ledger.map_loads.note(at=datetime.now(UTC), cause="signal", outcome="refused", location="map.yaml")
    assert b"plumbline_map_refused 1.0" in request(server.port, "/metrics").body


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "localhost.evil.example:80"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]:9464"}, 200),
    ],
)
def test_requests_for_other_names_and_from_other_sites_are_refused(
    server: StatusServer, headers: dict[str, str], status: int
) -> None:
    for path in ("/livez", "/metrics", "/api/records/customer/1"):
        reply = request(server.port, path, **headers)
        assert reply.status == status or (status == 200 and path.startswith("/api/") and reply.status == 503)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/healthz", 405),
        ("DELETE", "/api/records/customer/1", 405),
        ("BREW", "/healthz", 501),
        ("GET", "/", 404),
        ("GET", "/healthz/", 404),
        ("GET", "/api/records/customer", 404),
        ("GET", "/api/records/customer/", 404),
        ("GET", "/api/records/nothing/1", 404),
        ("GET", "/api/records/customer/x", 400),
        ("GET", "/api/records/customer/1?within=soon", 400),
        ("GET", "/api/records/customer/1?flow=to_mars", 400),
        ("GET", "/api/records/customer/1?read=1", 400),
    ],
)
def test_what_it_does_not_serve(server: StatusServer, stand: Stand, method: str, path: str, status: int) -> None:
    stand.agree(3)
    reply = request(server.port, path, method)
    assert reply.status == status
    assert "error" in reply.document


def test_verdicts_on_records(server: StatusServer, stand: Stand) -> None:
    stand.agree(3)
    reply = request(server.port, "/api/records/customer/2?within=1h")
    assert (reply.status, reply.document["verdict"]) == (200, "verified")
    assert reply.document["as_of_at"].endswith("+00:00")
    assert request(server.port, "/api/records/customer/2", "HEAD").body == b""
    unknown = request(server.port, "/api/records/customer/99")
    assert (unknown.status, unknown.document["verdict"]) == (503, "unknown")
    stand.put("billing", 2, name="Eve")
    stand.sweep()
    stand.audit_until(lambda: [row["state"] for row in stand.rows("divergences")] == ["open"])
    differs = request(server.port, "/api/records/customer/2?within=1h&flow=to_billing")
    assert (differs.status, differs.document["verdict"]) == (409, "differs")
    assert differs.document["flows"][0]["fields"] == ["name"]
    assert b"Eve" not in differs.body


def test_a_ledger_that_is_gone_makes_records_unknown_and_the_process_stays_live(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDITOR_DIGEST_KEY", SECRET)
    missing = Workspace.at(stand.place / "var", ledger_url=f"sqlite:///{stand.place}/missing.sqlite")
    server = StatusServer(stand.map, missing, vitals_of(stand.map), 0)
    assert request(server.port, "/api/records/customer/2").document["verdict"] == "unknown"
    assert b"plumbline_ledger_up 0.0" in request(server.port, "/metrics").body
    assert request(server.port, "/livez").status == 200
    server.close()


def test_a_port_in_use_is_a_clear_error(server: StatusServer, stand: Stand, workspace: Workspace) -> None:
    with pytest.raises(PortError, match=rf"cannot listen on port {server.port} of 127.0.0.1: it is in use"):
        StatusServer(stand.map, workspace, vitals_of(stand.map), server.port)


def test_connections_that_send_nothing_are_closed_and_bounded(server: StatusServer) -> None:
    idle = [socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) for _ in range(MOST_REQUESTS)]
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as beyond:
        assert beyond.recv(1) == b""
    for each in idle:
        each.close()

    def responds() -> bool:
        try:
            return request(server.port, "/livez").status == 200
        except (OSError, http.client.HTTPException):
            return False

    wait_until(responds)


@pytest.mark.parametrize("wrong", MALFORMED)
def test_malformed_requests_get_an_error_and_the_next_one_is_served(
    server: StatusServer, stand: Stand, wrong: str
) -> None:
    stand.agree(1)
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as connection:
        connection.sendall(MALFORMED[wrong])
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while part := connection.recv(65536):
                received += part
    assert not received.startswith((b"HTTP/1.0 2", b"HTTP/1.1 2"))
    assert b"Traceback" not in received
    assert request(server.port, "/livez").status == 200


def test_the_daemon_serves_its_health_from_start_to_stop(stand: Stand) -> None:
    port = free_port()
    environment = {
        "AUDITOR_LEDGER": stand.ledger_url,
        "AUDITOR_DIGEST_KEY": SECRET,
        "AUDITOR_STATUS_PORT": str(port),
    }
    for key in (1, 2, 3):
        stand.put("crm", key)
        stand.put("billing", key)
    with running(stand.map_file, stand.place / "var", environment=environment) as daemon:

        def status(path: str) -> int:
            try:
                return request(port, path).status
            except OSError:
                return 0

        wait_until(lambda: status("/healthz") == 200)
        wait_until(lambda: status("/api/records/customer/2") == 200)
        words = request(port, "/metrics").body.decode()
        assert 'plumbline_audits_total{flow="to_billing",outcome="complete"}' in words
        assert "plumbline_lease_held 1.0" in words
        second = subprocess.run(
            [sys.executable, "-m", "auditor", "run", "--map", stand.map_file, "--data", "var2"],
            cwd=stand.place,
            env={**os.environ, **environment, "PYTHONPATH": str(HOME)},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert (second.returncode, "--status-port: cannot listen on port" in second.stderr) == (2, True)
        assert stopped_after(daemon, PATIENCE_S, signal.SIGTERM) < 10


def test_a_second_daemon_is_live_but_not_ready_and_names_the_holder(stand: Stand, workspace: Workspace) -> None:
    first = Daemon(stand.map, workspace)
    first.start()
    port = free_port()
    environment = {"AUDITOR_LEDGER": stand.ledger_url, "AUDITOR_DIGEST_KEY": SECRET, "AUDITOR_STATUS_PORT": str(port)}
    with running(stand.map_file, Path(stand.place, "var2"), environment=environment):

        def reasons() -> str:
            try:
                return " ".join(request(port, "/readyz").document["reasons"])
            except OSError:
                return ""

        wait_until(lambda: "another auditor is using the ledger" in reasons())
        assert request(port, "/livez").status == 200
        first.stop()
        wait_until(lambda: request(port, "/readyz").status == 200)

"""Receivers of notices: a stand-in for Slack, and such as hang, drip or never end."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from auditor.senders.contract import TIMEOUT_S, Receipt, Sender
from auditor.senders.registry import SENDERS, open_sender, sender_settings
from tests.http_api import Api, Request, Response
from tests.waiting import PATIENCE_S

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOTICE: dict[str, Any] = {
    "incident": 7,
    "transition": "opened",
    "breach": "orphan",
    "summary": "to_billing: 3 customer: records exist that the owner does not have",
    "flow": "to_billing",
    "system": None,
    "source": "crm",
    "target": "billing",
    "count": 3,
    "peak": 3,
    "window_s": 4.0,
    "team": "billing",
    "channel": "#x",
    "runbook": "https://wiki.example/orphans",
    "opened_at": NOW.isoformat(),
    "at": (NOW + timedelta(minutes=5)).isoformat(),
    "detail": "",
}


SECRET = "secret-part"
"""Stands in the addresses of receivers, and nowhere that a person reads."""


KEY = "k3y0f1nt3gr4t10n"

WORDS: dict[str, dict[str, Any]] = {
    "pagerduty": {"routing_key": KEY},
    "opsgenie": {"api_key": KEY},
    "slack_bot": {"token": KEY, "channel": "#ops"},
    "email": {"from": "plumbline@example.com", "to": "ops@example.com"},
}
"""Words that a sender needs besides its address."""

OVER_HTTP = [name for name in SENDERS if name not in {"apprise", "email", "slack_bot"}]
"""Senders for which a status says everything."""


def words(name: str, address: str) -> dict[str, Any]:
    """What a map says of a sender that sends to this address."""
    return {sender_settings(name).address_word: address, **WORDS.get(name, {})}


def opened(name: str, url: str, *, dashboard: str | None = None, timeout_s: float = TIMEOUT_S, **more: Any) -> Sender:
    """A sender of the registry that sends to this address."""
    settings = sender_settings(name).model_validate({**words(name, url), **more})
    return open_sender(name, settings, dashboard=dashboard, timeout_s=timeout_s)


class FakeSlack:
    """A stand-in for Slack's incoming webhooks: it checks the documented limits and keeps what it got."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.answers: list[tuple[int, str, dict[str, str]]] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, text, headers = fake.answers.pop(0) if fake.answers else (200, "ok", {})
                if status == -1:  # accepted, but the answer is lost
                    fake.got.append(json.loads(body))
                    self.connection.close()
                    return
                if status == 200:
                    fake.got.append(json.loads(body))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/services/T0/B0/secret-part"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def receiver(answer: Callable[[Request], Response | Any]) -> Iterator[Api]:
    api = Api(answer)
    try:
        yield api
    finally:
        api.close()


@contextlib.contextmanager
def dripping(data: bytes, *, again: bytes) -> Iterator[str]:
    """The address of a server that begins an answer with some bytes and goes on with others, without end."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    taken, _ = listener.accept()
                    with contextlib.suppress(OSError), taken:
                        taken.sendall(data)
                        while not over.wait(0.05):
                            taken.sendall(again)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/services/T0/B0/secret-part"
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(PATIENCE_S)


def sent(sender: Sender) -> Receipt:
    """How a try ends, which must end however long the receiver goes on."""
    receipts: list[Receipt] = []
    thread = threading.Thread(target=lambda: receipts.append(sender.send(NOTICE, possible_repeat=False)), daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert receipts, "the try does not end"
    return receipts[0]

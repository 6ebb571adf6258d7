"""Systems that say back what they were sent: no word of it reaches the log, the ledger, a message or a screen."""

from __future__ import annotations

import base64
import contextlib
import io
import logging
import re
import socket
import sqlite3
import struct
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from typer.testing import CliRunner

from auditor.alerts.delivery import deliver_next, open_senders
from auditor.alerts.reporter import Reporter
from auditor.audit.flow_audit import Auditor
from auditor.audit.queue_audit import QueueAuditor
from auditor.cli import app
from auditor.cli.options import VisibleFormatter, load
from auditor.dashboard.installations import forget
from auditor.ledger import Ledger
from auditor.systems.reader import open_readers
from auditor.workspace import Workspace
from probes.registry import open_queue_probe
from tests.attacks.secrets import FORMS, SECRETS
from tests.auditor.dashboard.page_runs import run, text
from tests.http_api import Api, Request, Response

PASSWORD = SECRETS["reserved"]
UNICODE = SECRETS["unicode"]
BEARER = SECRETS["token"]
HELD = {
    "password": PASSWORD,
    "password of a broker": UNICODE,
    "bearer": BEARER,
    "token of a template": "tpl-T0k3n/8+aZz77",
    "key of a body": "b0dyK3y-Qq91xW",
    "key of an address": "urlK3y/Qw55pPx",
    "part of a hook": "Ho0kPfadX91aZq",
    "key of Amazon": "AKIAX7Q2ZW9RT5YU",
    "secret of Amazon": "wJ4lrXUtnF/K7MDENG+bPxRf",
    "secret of an app": "an9Yp0intSecr3t",
    "given to an app": "g1v3nT0kenToAnApp",
}

MAP = """\
systems:
  crm:
    kind: rest
    url: "http://someone:{password}@{host}/crm?api_key={key}"
    headers: {{X-Key: "Bearer {bearer}"}}
    budget: {{timeout: 5s}}
  shop:
    kind: rest
    url: "http://{host}/shop"
    headers: {{Authorization: "Bearer {bearer}"}}
    budget: {{timeout: 5s}}
  books: {{kind: sql, url: "postgresql://someone:{password}@{postgresql}/db?gssencmode=disable&sslmode=disable",
    zone: UTC, budget: {{timeout: 5s}}}}
data_types:
  customer:
    owner: crm
    window: 30s
    fields: {{email: {{type: string, evidence: clear}}}}
    in:
      crm: {{collection: c, key: id, one: "/c/{{key}}?token={token}", list: "/c?access_token={token}&n={{limit}}"}}
      shop: &shop
        collection: c
        key: id
        many: {{read_only_post: "/search?signature={token}", body: {{api_key: "{body}", ids: "{{keys}}"}}}}
        list: {{read_only_post: "/list", body: {{api_key: "{body}", limit: "{{limit}}"}}}}
  order:
    owner: shop
    window: 30s
    fields: {{email: {{type: string, evidence: clear}}}}
    in:
      shop: *shop
      books: {{collection: orders, key: id}}
  bill:
    owner: books
    window: 30s
    fields: {{email: {{type: string, evidence: clear}}}}
    in:
      books: {{collection: bills, key: id}}
      crm: {{collection: c, key: id, one: "/c/{{key}}?token={token}", list: "/c?access_token={token}&n={{limit}}"}}
flows:
  customers:
    data_type: customer
    from: crm
    to: shop
    pattern: real-time
    alert: {{failures: 1}}
    queues:
      rabbit: {{kind: rabbitmq, url: "http://someone:{unicode}@{host}/rabbit", queue: q, timeout: 5s}}
      anypoint: {{kind: anypoint_mq, organization: o, environment: e, region: r, queue: q, client_id: someone,
        client_secret: "{app}", url: "http://{host}/anypoint", broker_url: "http://{host}/anypoint", timeout: 5s}}
      amazon: {{kind: sqs, queue_url: "http://{host}/sqs/1/q", endpoint: "http://{host}/sqs", region: us-east-1,
        access_key: {amazon}, secret_key: "{amazon_secret}", timeout: 5s}}
      redis: {{kind: redis, url: "redis://someone:{unicode}@{redis}", name: letters, timeout: 5s}}
      nats: {{kind: nats, url: "nats://someone:{unicode}@{nats}", stream: s, timeout: 5s}}
  orders: {{data_type: order, from: shop, to: books, pattern: real-time, alert: {{failures: 1}}}}
  bills: {{data_type: bill, from: books, to: crm, pattern: real-time, alert: {{failures: 1}}}}
alerts:
  slack: {{webhook: "http://{host}/hooks/slack/{hook}"}}
  webhook: {{url: "http://someone:{password}@{host}/hooks/other/{hook}?token={token}"}}
"""

STATUSES = (401, 403, 404, 302, 429, 500, 200)
"""How the systems answer beside 400."""

WRITTEN = (
    *("plain", "capitals", "percent", "percent in small letters", "percent twice", "JSON", "JSON in Unicode"),
    *("repr of bytes", "HTML", "HTML in decimal", "base64", "Basic", "hexadecimal", "cut"),
)
"""The forms in which they say back what they were sent."""


class Brokers:
    """Three servers that refuse a login, with the login in the refusal: PostgreSQL, Redis and NATS."""

    def __init__(self) -> None:
        self.form: Callable[[str], str] = str
        self.met: set[str] = set()
        self._listeners = {name: socket.create_server(("127.0.0.1", 0)) for name in ("postgresql", "redis", "nats")}
        self.hosts = {name: f"127.0.0.1:{each.getsockname()[1]}" for name, each in self._listeners.items()}
        for name, listener in self._listeners.items():
            threading.Thread(target=self._accept, args=(name, listener), daemon=True).start()

    def _accept(self, name: str, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                taken, _ = listener.accept()
                threading.Thread(target=self._serve, args=(name, taken), daemon=True).start()

    def _serve(self, name: str, taken: socket.socket) -> None:
        with contextlib.suppress(OSError), taken:
            taken.settimeout(60)
            getattr(self, f"_{name}")(taken)

    def _said(self, name: str, sent: bytes) -> str:
        self.met.add(name)
        return " ".join(self.form(sent.decode("utf-8", "replace")).split())

    def _postgresql(self, taken: socket.socket) -> None:
        taken.recv(10_000)  # who connects
        taken.sendall(b"R" + struct.pack("!ii", 8, 3))  # a password in plain text, please
        told = self._said("postgresql", taken.recv(10_000)[5:].rstrip(b"\0"))
        fields = f"SFATAL\0VFATAL\0C28P01\0Mno login with {told}\0\0".encode()
        taken.sendall(b"E" + struct.pack("!i", 4 + len(fields)) + fields)

    def _redis(self, taken: socket.socket) -> None:
        while sent := taken.recv(10_000):
            told = self._said("redis", sent).encode()
            taken.sendall(b"".join(b"-ERR no such login: %s\r\n" % told for _ in range(sent.count(b"*") or 1)))

    def _nats(self, taken: socket.socket) -> None:
        taken.sendall(b'INFO {"server_id":"s","version":"2.10.0","auth_required":true,"max_payload":1048576}\r\n')
        told = self._said("nats", taken.recv(10_000)).encode()
        taken.sendall(b"-ERR 'Authorization Violation for %s'\r\n" % told)

    def close(self) -> None:
        for each in self._listeners.values():
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


class World:
    """A map of systems that say back what they were sent, and an installation that audits them."""

    def __init__(self, place: Path) -> None:
        self.form: Callable[[str], str] = str
        self.status = 400
        self.turn = 0
        self.api = Api(self._answer)
        self.brokers = Brokers()
        self.data = place / "var"
        self.workspace = Workspace.at(self.data)
        self.file = place / "map.yaml"
        host = self.api.url.removeprefix("http://")
        words = {
            **{"password": quote(PASSWORD, safe=""), "unicode": quote(UNICODE, safe=""), "bearer": BEARER},
            **{"token": quote(HELD["token of a template"], safe=""), "body": HELD["key of a body"]},
            **{"key": quote(HELD["key of an address"], safe=""), "hook": HELD["part of a hook"]},
            **{"amazon": HELD["key of Amazon"], "amazon_secret": HELD["secret of Amazon"]},
            **{"app": HELD["secret of an app"], "host": host, **self.brokers.hosts},
        }
        self.file.write_text(MAP.format(**words))
        self.lines = io.StringIO()
        self._handler = logging.StreamHandler(self.lines)
        self._handler.setFormatter(VisibleFormatter("%(levelname)s %(name)s %(message)s"))
        logging.getLogger().addHandler(self._handler)
        self.map = load(self.file)
        self._probes = {name: open_queue_probe(settings, None) for name, settings in self.map.queues.items()}
        self.ledger: Ledger = self.workspace.ledger()
        self.ledger.installation.check_key(self.workspace.digest_key(), adopt=True)

    def _answer(self, request: Request) -> Response:
        if request.path.endswith("/oauth2/token") and self.turn % 2:
            return Response(document={"access_token": HELD["given to an app"]})
        line = f"{request.method} {request.path}" + (f"?{request.query}" if request.query else "")
        sent = [line, unquote(line), *(f"{name}: {value}" for name, value in request.headers.items())]
        basic = request.headers.get("Authorization", "").partition("Basic ")[2]
        sent += [base64.b64decode(basic).decode()] if basic else []
        sent.append(request.body.decode("utf-8", "replace"))
        sent = [each for each in sent if not re.match("(?i)(host|accept|user-agent|connection|content)", each)]
        first = len(self.api.asked) % len(sent)
        body = " ".join(self.form(each) for each in sent[first:] + sent[:first]).encode("utf-8", "replace")
        told = quote(self.form(sent[0]))[:2_000]
        headers = {"Location": f"/login?back={told}", "Retry-After": told, "Content-Type": told[:200] or "x"}
        return Response(document=body, status=self.status, headers=headers)

    def audit(self) -> None:
        """Ask everything once, as a daemon that has just begun does, and send what there is to say about it."""
        now = datetime.now(UTC) + timedelta(minutes=self.turn)
        self.turn += 1
        readers = open_readers(self.map)
        senders = open_senders(self.map.alerts)
        reporter = Reporter.of_map(self.ledger, self.map, list(senders), hold_s=0)
        for name, settings in self.map.flows.items():
            Auditor(
                flow=self.map.flow(name),
                source=readers[settings.from_],
                target=readers[settings.to],
                ledger=self.ledger,
                digest_key=b"k" * 32,
                reporter=reporter,
                others=readers,
            ).audit(now)
        for (flow, queue), settings in self.map.queues.items():
            QueueAuditor(
                flow=self.map.flow(flow),
                queue=queue,
                settings=settings,
                probe=self._probes[flow, queue],
                ledger=self.ledger,
                reporter=reporter,
            ).audit(now)
        for _ in range(4):
            deliver_next(self.ledger, senders, now + timedelta(hours=1))
        for reader in readers.values():
            reader.close()
        for sender in senders.values():
            sender.close()

    def kept(self) -> str:
        """Every text in the ledger."""
        held = sqlite3.connect(self.data / "ledger.sqlite")
        try:
            return "\n".join(held.iterdump())
        finally:
            held.close()

    def close(self) -> None:
        logging.getLogger().removeHandler(self._handler)
        for probe in self._probes.values():
            probe.close()
        self.ledger.close()
        self.api.close()
        self.brokers.close()
        forget()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def _certain(secret: str) -> Iterator[str]:
    """What tells that a secret stands in a text: five signs of it in a row, or a form of it in other signs."""
    for at in range(len(secret) - 4):
        if secret[at : at + 5].isalnum():
            yield secret[at : at + 5].casefold()
    data = secret.encode()
    yield data.hex()[:16]
    for before in (0, 1, 2):
        yield base64.b64encode(b"\0" * before + data).decode()[4:16].casefold()


NEEDLES = {name: sorted(set(_certain(secret))) for name, secret in HELD.items()}


def assert_discreet(told: str, where: str) -> None:
    folded = told.casefold()
    for name, needles in NEEDLES.items():
        for needle in needles:
            at = folded.find(needle)
            assert at < 0, f"the {name} stands in {where}: {told[max(0, at - 200) : at + 100]}"


def test_nothing_that_is_kept_logged_or_sent_says_back_a_secret(world: World) -> None:
    for name, status in [*((name, 400) for name in WRITTEN), *(("plain", status) for status in STATUSES)]:
        world.form = world.brokers.form = FORMS[name]
        world.status = status
        world.audit()
        assert_discreet(world.kept(), f"the ledger, written as {name}")
        assert_discreet(world.lines.getvalue(), f"the log, written as {name}")
    met = {request.path.split("/")[1] for request in world.api.asked}
    assert met == {"crm", "shop", "rabbit", "anypoint", "sqs", "hooks"}
    assert world.brokers.met == {"postgresql", "redis", "nats"}
    sent = [request.body.decode() for request in world.api.asked if request.path.startswith("/hooks")]
    assert any("HTTP 4" in each for each in sent)
    assert_discreet("\n".join(sent), "an alert")
    assert "***" in world.kept()
    assert "***" in world.lines.getvalue()


COMMANDS = (
    "check",
    "map --json",
    "map --format yaml",
    "review",
    "doctor",
    "doctor --json",
    "status",
    "status --json",
    "incidents",
    "incidents --json",
    "drift",
    "coverage",
    "backlog",
    "backlog --json",
    "letters --json",
    "record customer 7",
    "record order 7 --json",
    "record bill 7",
)
PAGES = ("overview", "drift", "dead-letters", "sla", "map", "configuration")


@pytest.mark.parametrize("form", ["plain", "percent", "JSON in Unicode", "Basic", "HTML"])
def test_no_command_and_no_page_says_back_a_secret(world: World, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world.form = world.brokers.form = FORMS[form]
    world.audit()
    runner = CliRunner()
    for command in COMMANDS:
        words = command.split()
        places = [
            "--map",
            str(world.file),
            *(() if words[0] in {"check", "map", "review"} else ("--data", str(world.data))),
        ]
        done = runner.invoke(app, [words[0], *places, *words[1:]])
        assert isinstance(done.exception, SystemExit | None), (command, done.exception)
        assert done.output, command
        assert_discreet(done.output, command)
    monkeypatch.setenv("AUDITOR_MAP", str(world.file))
    monkeypatch.setenv("AUDITOR_DATA", str(world.data))
    for page in PAGES:
        drawn = run(page)
        assert not drawn.exception
        assert_discreet(text(drawn) + "".join(each.value.to_csv() for each in drawn.dataframe), page)
    assert_discreet(text(run("record", type="customer", key="7")), "the Record page")
    assert_discreet(world.lines.getvalue(), "the log")

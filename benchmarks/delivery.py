"""Whether every incident reaches Slack, and how often, while half of all attempts fail and the sending process dies.

A process of its own delivers the outbox to a stand-in for Slack, and is killed again and again. Its clock is
simulated: what it would wait for (the pace, backoff, `Retry-After`) passes at once; requests, timeouts and kills are
real.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import random
import re
import signal
import socket
import tempfile
import threading
import time
from collections import Counter, defaultdict
from ctypes import c_double
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import sqlalchemy as sa

from auditor.alerts.delivery import deliver_next, open_pace
from auditor.ledger import Ledger
from auditor.ledger import tables as t
from auditor.senders.registry import open_sender, posts_in_channels, sender_settings
from benchmarks.report import arguments, emit, say

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
INCIDENTS = 50_000
"""By each of the two ways, the token and the webhook."""

QUICKLY = 200
CHANNELS = 20
APART_S = 300.0
"""Incidents of one channel come this far apart, so that they are reported one by one."""

AT_ONCE = 1_000
"""So many openings are put into the outbox whenever it is empty; their incidents open from then on, one by one."""

TIMEOUT_S = 0.25
STORM = 10_000
STORM_S = 300

FAULTS = (
    *("429", "500", "500 after accepting", "reset", "reset after accepting", "hang", "hang after accepting"),
    *("invalid_blocks", "channel_not_found"),
)
WEIGHTS = (40, 40, 40, 40, 40, 1, 1, 20, 20)
AFTER = " after accepting"


class Receiver:
    """A stand-in for Slack: webhooks and the methods of the Web API that the bot uses, half of whose calls fail.

    Attributes:
        posted: by incident and transition, the texts that arrived.
        unsure: incidents whose delivery ended without a certain response.
        faults: how often each was met.
    """

    def __init__(self, chance: random.Random, *, failing: float) -> None:
        self.posted: defaultdict[int, list[str]] = defaultdict(list)
        self.unsure: set[int] = set()
        self.calls: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._messages: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._chance, self._failing = chance, failing
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, path: str, body: bytes) -> tuple[str, int, dict[str, Any] | str]:
        """How a call fails, "" if it does not, and its response."""
        with self._lock:
            method = path.rpartition("/")[2] if path.startswith("/api/") else "webhook"
            self.calls[method] += 1
            fault = ""
            if self._chance.random() < self._failing:
                (fault,) = self._chance.choices(FAULTS, WEIGHTS)
                self.faults[fault] += 1
            if method.startswith("conversations."):
                return fault, 200, self._read(method, body)
            payload = json.loads(body)
            found = re.search(r"incident (\d+)", payload["text"])
            number = int(found[1]) if found else 0
            certain = fault in {"", "429", "invalid_blocks", "channel_not_found"}
            if not certain:
                self.unsure.add(number)
            if not fault or fault.endswith(AFTER):
                return fault, 200, self._accept(method, payload, number)
            return fault, 200, "ok"

    def _accept(self, method: str, payload: dict[str, Any], number: int) -> dict[str, Any] | str:
        if method == "webhook":
            self.posted[number].append(payload["text"])
            return "ok"
        channel = str(payload["channel"])
        if method == "chat.update":
            return {"ok": True, "channel": channel, "ts": payload["ts"]}
        stamp = f"{payload['metadata']['event_payload']['number'].partition('.')[2]}"
        message = {"ts": stamp, "metadata": payload["metadata"]}
        self._messages[channel].append(message)
        self.posted[number].append(payload["text"])
        return {"ok": True, "channel": channel, "ts": stamp}

    def _read(self, method: str, body: bytes) -> dict[str, Any]:
        values = {name: found[-1] for name, found in parse_qs(body.decode()).items()}
        listed = self._messages[values["channel"]]
        end = int(values.get("cursor") or len(listed))
        begin = max(0, end - int(values["limit"]))
        oldest = float(values["oldest"])
        page = [each for each in listed[begin:end] if float(each["ts"]) > oldest][::-1]
        more = str(begin) if begin and len(page) == end - begin else ""
        return {"ok": True, "messages": page, "response_metadata": {"next_cursor": more}}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """A caller that was killed is no news."""


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 64 * 1024

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fault, status, document = receiver.answer(self.path, body)
            kind = fault.removesuffix(AFTER)
            headers: dict[str, str] = {}
            if kind == "hang":
                time.sleep(2 * TIMEOUT_S)
            if kind in {"hang", "reset"}:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                self.close_connection = True
                return
            if kind in {"429", "500"}:
                status, document = int(kind), "failed"
                headers = {"Retry-After": "30"} if status == 429 else {}
            elif kind and self.path.startswith("/api/"):
                document = {"ok": False, "error": kind}
            elif kind:
                status, document = 400 if kind == "invalid_blocks" else 404, kind
            sent = document.encode() if isinstance(document, str) else json.dumps(document).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(sent))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def main() -> int:
    """Run the benchmark."""
    asked = arguments(__doc__)
    incidents = QUICKLY if asked.quick else INCIDENTS
    good = True
    for way in ("token", "webhook"):
        with tempfile.TemporaryDirectory() as place:
            good &= _deliveries(way, incidents, random.Random(asked.seed), Path(place), quick=asked.quick)
    with tempfile.TemporaryDirectory() as place:
        good &= _storm(Path(place), quick=asked.quick)
    return 0 if good else 1


def _deliveries(way: str, incidents: int, chance: random.Random, place: Path, *, quick: bool) -> bool:
    """Deliver incidents one by one while half of all attempts fail."""
    receiver = Receiver(chance, failing=0.5)
    url = f"sqlite:///{place}/ledger.sqlite"
    sender = "slack_bot" if way == "token" else "slack"
    kills = 0
    clock = multiprocessing.get_context("spawn").Value("d", 0.0, lock=False)  # whoever is killed would keep the lock
    for begin in range(0, incidents, AT_ONCE):
        part = range(begin, min(incidents, begin + AT_ONCE))
        _fill(url, part, sender, channels=CHANNELS if way == "token" else 1, after_s=clock.value)
        kills += _until_empty(url, sender, receiver.url, chance, clock, kill_every_s=3.0 if quick else 5.0)
        say(f"{part.stop} of {incidents} by {way}")
    killed = _killed(url)
    receiver.close()
    lost = incidents - sum(map(bool, receiver.posted))
    doubled = {number: texts for number, texts in receiver.posted.items() if len(texts) > 1}
    certain = [number for number in doubled if number not in receiver.unsure | killed]
    unlabelled = [
        number for number, texts in doubled.items() if any("possible duplicate" not in each for each in texts[1:])
    ]
    attempts = sum(receiver.calls.values())
    seen: dict[str, Any] = {
        "simulated": "the pace, backoff and Retry-After",
        "attempts": attempts,
        "failed": round(sum(receiver.faults.values()) / attempts, 3),
        "kills": kills,
        "faults": dict(receiver.faults),
    }
    more: dict[str, Any] = {"n": incidents, "quick": quick}
    good = emit("delivery", f"{way}_lost", lost, "incidents", goal="= 0", **more, **seen)
    if way == "token":
        return emit("delivery", "token_doubled", len(doubled), "incidents", goal="= 0", **more) & good
    good &= emit("delivery", "webhook_doubled", len(doubled), "incidents", **more)
    good &= emit("delivery", "webhook_doubled_where_certain", len(certain), "incidents", goal="= 0", **more)
    return good & emit("delivery", "webhook_doubled_unlabelled", len(unlabelled), "incidents", goal="= 0", **more)


def _storm(place: Path, *, quick: bool) -> bool:
    """Ten thousand incidents at once, and what a channel gets of them in five minutes, by each way."""
    good = True
    for sender in ("slack", "slack_bot"):
        receiver = Receiver(random.Random(1), failing=0.0)
        url = f"sqlite:///{place}/{sender}.sqlite"
        _fill(url, range(STORM), sender, channels=1, apart_s=0.0)
        ledger = Ledger(url)
        senders = {sender: _opened(sender, receiver.url)}
        pace = open_pace(ledger, sender, BEGIN)
        for second in range(0, STORM_S + 1, 5):
            deliver_next(ledger, senders, BEGIN + timedelta(seconds=second), to=sender, pace=pace)
        waiting = ledger.outbox.counts().get((sender, "pending"), 0)
        ledger.close()
        receiver.close()
        messages = sum(map(len, receiver.posted.values()))
        name = "webhook" if sender == "slack" else "token"
        more: dict[str, Any] = {"n": STORM, "quick": quick, "simulated": "the five minutes"}
        good &= emit("delivery", f"{name}_messages_of_a_storm_in_5_min", messages, "messages", goal="<= 3", **more)
        good &= emit("delivery", f"{name}_waiting_after_a_storm", waiting, "messages", goal="= 0", **more)
    return good


def _fill(
    url: str, incidents: range, sender: str, *, channels: int, apart_s: float = APART_S, after_s: float = 0.0
) -> None:
    """Put the openings of incidents into the outbox of a ledger, which is created if it does not exist."""
    ledger = Ledger(url)
    ledger.migrate()
    with ledger.write() as transaction:
        rows = [
            {**_incident(each, after_s + apart_s * (at // channels)), "rev": transaction.revision}
            for at, each in enumerate(incidents)
        ]
        transaction.execute(sa.insert(t.incidents), rows)
        transaction.execute(sa.insert(t.alerts), [_message(each, sender, channels) for each in rows])
    ledger.close()


def _incident(number: int, after_s: float) -> dict[str, Any]:
    flow = f"flow_{number % 50}"
    plain = {
        "id": number + 1,
        "fingerprint": f"f{number}",
        "flow": flow,
        "breach": "not_arriving",
        "cause": "not_arriving",
        "severity": "high",
        "evidence": "",
        "state": "open",
        "opened_at": BEGIN + timedelta(seconds=after_s, microseconds=number % CHANNELS),
        "count": 3,
        "peak": 3,
        "told": 3,
        "growth": 0,
        "told_messages": 1,
        "explained": False,
        "apart": False,
        "reopened": 0,
        "summary": f"{flow}: records did not arrive",
    }
    return {name: value for name, value in plain.items() if name in t.incidents.c}


def _message(incident: dict[str, Any], sender: str, channels: int) -> dict[str, Any]:
    at = incident["opened_at"]
    notice = {
        **dict.fromkeys(("system", "data_type", "team", "runbook")),
        **{name: incident[name] for name in ("breach", "summary", "flow", "count", "peak", "told")},
        "incident": incident["id"],
        "transition": "opened",
        "detail": "",
        "source": "crm",
        "target": "billing",
        "window_s": 60.0,
        "channel": f"C{incident['id'] % channels:010d}",
        "opened_at": at.isoformat(),
        "at": at.isoformat(),
    }
    return {
        "rev": incident["rev"],
        "incident_id": incident["id"],
        "transition": "opened",
        "sender": sender,
        "channel": notice["channel"] if posts_in_channels(sender) else "",
        "state": "pending",
        "created_at": at,
        "next_try_at": at,
        "tries": 0,
        "possible_repeat": False,
        "notice": json.dumps(notice),
    }


def _opened(sender: str, url: str) -> Any:
    words: dict[str, Any] = {"webhook": f"{url}/services/T0/B0/x"}
    if sender == "slack_bot":
        words = {"url": f"{url}/api", "token": "xoxb-1", "channel": "C0000000000"}
    return open_sender(sender, sender_settings(sender).model_validate(words), timeout_s=TIMEOUT_S)


def _until_empty(
    url: str, sender: str, receiver: str, chance: random.Random, clock: c_double, *, kill_every_s: float
) -> int:
    """Let processes deliver, one after the other, until nothing waits; returns how many were killed."""
    context = multiprocessing.get_context("spawn")
    kills = 0
    while True:
        ready = context.Event()
        process = context.Process(target=_deliver, args=(url, sender, receiver, clock, ready))
        process.start()
        while process.is_alive() and not ready.wait(0.05):
            pass
        process.join(chance.uniform(0.2, 1.8) * kill_every_s)
        if process.exitcode is None:
            os.kill(process.pid or 0, signal.SIGKILL)
            process.join()
            kills += 1
            continue
        if process.exitcode:
            raise RuntimeError(f"the sending process ended with {process.exitcode}")
        return kills


def _deliver(url: str, sender: str, receiver: str, clock: c_double, ready: Event) -> None:
    """Deliver until nothing waits; the simulated clock goes on where a killed predecessor left it."""
    logging.disable(logging.CRITICAL)
    ledger = Ledger(url)
    senders = {sender: _opened(sender, receiver)}
    now = BEGIN + timedelta(seconds=clock.value)
    column = t.alerts.c
    marked = sa.select(column.incident_id).where(column.state == "sending")
    with ledger.database.read() as connection, Path(f"{url.removeprefix('sqlite:///')}.killed").open("a") as file:
        file.writelines(f"{identity}\n" for identity in connection.scalars(marked))
    ledger.outbox.recover(now)
    ready.set()
    pace = open_pace(ledger, sender, now)
    next_due = sa.select(sa.func.min(column.next_try_at, type_=t.Instant)).where(
        column.state.in_(("pending", "failed"))
    )
    while True:
        if deliver_next(ledger, senders, now, to=sender, pace=pace):
            continue
        with ledger.database.read() as connection:
            due = connection.execute(next_due).scalar()
        if due is not None and due <= now:
            due = pace.ready_at(now)
        if due is None:
            return
        now = due
        clock.value = (now - BEGIN).total_seconds()


def _killed(url: str) -> set[int]:
    """The incidents whose message was under way when a process was killed: nobody knows whether it arrived."""
    file = Path(f"{url.removeprefix('sqlite:///')}.killed")
    return {int(line) for line in file.read_text().split()}


if __name__ == "__main__":
    raise SystemExit(main())

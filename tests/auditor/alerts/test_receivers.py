"""Receivers of alerts that hang, drip, never end or ask for the absurd: each try ends, and none holds up the rest."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from auditor.alerts import slack, webhook
from auditor.alerts.contract import Receipt, Sender
from auditor.alerts.delivery import deliver_next
from auditor.alerts.delivery_rule import LONGEST_ASKED_S, after_try
from auditor.alerts.slack import SlackSender
from auditor.alerts.webhook import WebhookSender
from auditor.daemon.daemon import Daemon
from auditor.map.loader import load_map
from auditor.workspace import Workspace
from tests.auditor.alerts.test_delivery import NOTICE, NOW, queue
from tests.http_api import Api, Request, Response
from tests.servers import free_port
from tests.stand import Stand
from tests.waiting import PATIENCE_S, wait_until


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


def patience(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    for module in (slack, webhook):
        monkeypatch.setattr(module, "TIMEOUT_S", seconds)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    patience(monkeypatch, 1.0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("make", [WebhookSender, lambda url: SlackSender(url, dashboard=None)])
@pytest.mark.parametrize(
    ("data", "again"),
    [(b"", b"H"), (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"), (b"HTTP/1.1 200 OK\r\nx: ", b"y")],
    ids=["one letter again and again", "headers without end", "one header without end"],
)
def test_an_answer_that_drips_before_its_body_ends_at_the_deadline(
    make: Callable[[str], Sender], data: bytes, again: bytes
) -> None:
    with dripping(data, again=again) as url:
        receipt = sent(make(url))
    assert receipt.outcome == "ambiguous"
    assert "secret-part" not in receipt.error


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("status", "outcome"), [(404, "rejected"), (500, "ambiguous"), (429, "refused")])
def test_an_error_whose_text_drips_is_known_by_its_status(status: int, outcome: str) -> None:
    with dripping(b"HTTP/1.1 %d No\r\nConnection: close\r\n\r\nno such channel " % status, again=b".") as url:
        receipt = sent(WebhookSender(url))
    assert receipt.outcome == outcome
    assert receipt.error.startswith(f"HTTP {status}: no such channel")


def test_a_success_is_one_however_long_its_body_goes_on() -> None:
    with dripping(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok", again=b".") as url:
        assert sent(WebhookSender(url)) == Receipt(outcome="sent")


def test_an_endless_error_is_read_no_further_than_it_is_told() -> None:
    told = threading.Event()

    def endless() -> Iterator[bytes]:
        try:
            for _ in itertools.count():
                yield b"x" * 65536
        finally:
            told.set()  # the receiver was hung up on

    with receiver(lambda _: Response(document=endless(), status=404)) as api:
        receipt = sent(WebhookSender(api.url))
        assert told.wait(PATIENCE_S)
    assert receipt == Receipt(outcome="rejected", error=f"HTTP 404: {'x' * 100}")


@pytest.mark.parametrize("packing", ["gzip", "br", "zstd", "deflate"])
def test_a_packed_error_that_stands_for_gigabytes_is_not_unpacked(packing: str) -> None:
    bomb = gzip.compress(b"y" * 20_000_000) * 10
    with receiver(lambda _: Response(document=bomb, status=500, headers={"Content-Encoding": packing})) as api:
        receipt = sent(WebhookSender(api.url))
    assert receipt.outcome == "ambiguous"
    assert receipt.error == "HTTP 500: " + ("y" * 100 if packing == "gzip" else "")
    assert api.asked[0].headers["Accept-Encoding"] == "gzip"


@pytest.mark.parametrize(
    ("asked", "wait_s"),
    [
        ("30", 30.0),
        ("0", 1.0),
        ("-5", 1.0),
        ("1e300", LONGEST_ASKED_S),
        ("inf", LONGEST_ASKED_S),
        ("315360000", LONGEST_ASKED_S),
        ("Sat, 01 Mar 2064 12:00:00 GMT", LONGEST_ASKED_S),
        ("Sun, 01 Mar 2020 12:00:40 GMT", 1.0),
        ("nan", 2.0),
        ("soon", 2.0),
    ],
)
def test_a_wait_that_a_receiver_asks_for_is_kept_within_reason(stand: Stand, asked: str, wait_s: float) -> None:
    headers = {"Retry-After": asked}
    queue(stand)
    with receiver(lambda _: Response(document="later", status=429, headers=headers)) as api:
        sender = WebhookSender(api.url)
        assert deliver_next(stand.ledger, {"slack": sender}, NOW)
    (row,) = stand.rows("alerts")
    due = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(str(row["next_try_at"])))
    assert (due - NOW).total_seconds() == wait_s


def test_a_wait_is_capped_whatever_the_receipt_says() -> None:
    after = after_try(Receipt(outcome="refused", retry_after_s=1e18), 1, NOW, False)
    assert after["next_try_at"] == NOW + timedelta(seconds=LONGEST_ASKED_S)


def test_a_receiver_that_hangs_keeps_no_other_waiting_and_no_stop(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience(monkeypatch, 10 * PATIENCE_S)
    released = threading.Event()

    def hang(_: Request) -> Response:
        released.wait(10 * PATIENCE_S)
        return Response(status=500)

    with receiver(hang) as hung, receiver(lambda _: "ok") as other:
        stand.agree(5)
        alerts = f"alerts:\n  slack: {{webhook: '{other.url}'}}\n  webhook: {{url: '{hung.url}'}}\n"
        stand.map_file.write_text(stand.map_file.read_text() + alerts)
        daemon = Daemon(load_map(stand.map_file, {}), Workspace.at(stand.place / "var", ledger_url=stand.ledger_url))
        daemon.start()
        stand.run("billing", "INSERT INTO customers VALUES (9, 'Eve', '1.00', '2026-03-01 00:00:00')")
        wait_until(lambda: hung.asked and other.asked)
        wait_until(lambda: ("slack", "sent") in [(row["sender"], row["state"]) for row in stand.rows("alerts")])
        daemon.stop()
        wait_until(lambda: not any(each.is_alive() for each in daemon.timetable._workers))
        left = [row for row in stand.rows("alerts") if row["sender"] == "webhook"]
        released.set()
    assert [(row["state"], bool(row["possible_repeat"])) for row in left] == [("pending", True)]


def test_what_is_for_a_sender_that_the_map_no_longer_names_is_given_up(stand: Stand) -> None:
    queue(stand)
    with receiver(lambda _: "ok") as other:
        stand.map_file.write_text(stand.map_file.read_text() + f"alerts:\n  webhook: {{url: '{other.url}'}}\n")
        daemon = Daemon(load_map(stand.map_file, {}), Workspace.at(stand.place / "var", ledger_url=stand.ledger_url))
        daemon.start()
        given_up = {"slack": "the map no longer names the sender slack"}
        wait_until(
            lambda: {r["sender"]: r["error"] for r in stand.rows("alerts") if r["state"] == "failed"} == given_up
        )
        daemon.stop()


def test_alerts_go_through_the_proxy_of_the_environment_by_the_same_deadline(
    impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dripping(b"HTTP/1.1 200 OK\r\n", again=b"x: y\r\n") as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy)
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.delenv("no_proxy", raising=False)
        receipt = sent(WebhookSender("http://receiver.invalid/x"))
    assert receipt.outcome == "ambiguous"  # without the proxy: refused, for nobody is called that


def test_nobody_at_any_address_is_a_refusal() -> None:
    for host in (f"localhost:{free_port()}", "no-such-host.invalid"):
        assert sent(WebhookSender(f"http://{host}/x")).outcome == "refused"

"""Receivers of alerts that hang or ask for the absurd: none holds up the rest, or waits for ages."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from auditor.alerts.delivery import deliver_next
from auditor.alerts.delivery_rule import LONGEST_ASKED_S, after_try
from auditor.daemon.daemon import Daemon
from auditor.map.loader import load_map
from auditor.senders.contract import Receipt
from auditor.workspace import Workspace
from tests.auditor.alerts.test_delivery import queue
from tests.auditor.senders.receivers import NOW, opened, receiver
from tests.http_api import Request, Response
from tests.stand import Stand
from tests.waiting import PATIENCE_S, wait_until


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
        sender = opened("webhook", api.url)
        assert deliver_next(stand.ledger, {"slack": sender}, NOW)
    (row,) = stand.rows("alerts")
    due = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(str(row["next_try_at"])))
    assert (due - NOW).total_seconds() == wait_s


def test_a_wait_is_capped_whatever_the_receipt_says() -> None:
    after = after_try(Receipt(outcome="refused", retry_after_s=1e18), 1, NOW, False, since_at=NOW)
    assert after["next_try_at"] == NOW + timedelta(seconds=LONGEST_ASKED_S)


def test_a_receiver_that_hangs_keeps_no_other_waiting_and_no_stop(stand: Stand) -> None:
    released = threading.Event()

    def hang(_: Request) -> Response:
        released.wait(10 * PATIENCE_S)
        return Response(status=500)

    with receiver(hang) as hung, receiver(lambda _: "ok") as other:
        stand.agree(5)
        alerts = f"alerts:\n  slack: {{webhook: '{other.url}'}}\n  webhook: {{url: '{hung.url}'}}\n"
        stand.map_file.write_text(stand.map_file.read_text() + alerts)
        workspace = Workspace.at(stand.place / "var", ledger_url=stand.ledger_url)
        daemon = Daemon(load_map(stand.map_file, {}), workspace, alert_timeout_s=10 * PATIENCE_S)
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

"""The outbox: takes what the ledger has queued, sends it, and writes down how that ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import datetime, timedelta

from auditor.alerts.contract import Receipt, Sender
from auditor.alerts.slack import SlackSender
from auditor.alerts.webhook import WebhookSender
from auditor.integration_map import AlertSettings
from auditor.ledger import LEASE_S, Ledger

MOST_TRIES = 12
FIRST_WAIT_S = 2.0
LONGEST_WAIT_S = 600.0
LONGEST_ASKED_S = 86_400.0
"""A receiver that asks to wait for longer is tried again after this time all the same."""

SURE_S = LEASE_S / 3
"""So long after a transaction nobody else can hold the lease; a message leaves within it."""

log = logging.getLogger(__name__)


def open_senders(settings: AlertSettings) -> dict[str, Sender]:
    """The senders that the map asks for, by name."""
    dashboard = str(settings.dashboard) if settings.dashboard else None
    senders: dict[str, Sender] = {}
    if settings.slack is not None:
        senders["slack"] = SlackSender(settings.slack.webhook.get_secret_value(), dashboard=dashboard)
    if settings.webhook is not None:
        senders["webhook"] = WebhookSender(settings.webhook.url.get_secret_value())
    return senders


def deliver_next(ledger: Ledger, senders: Mapping[str, Sender], now: datetime, *, to: str | None = None) -> bool:
    """Send the next message that is due, to one of the receivers or to whichever it is for.

    The message is marked as being sent before the request leaves. Whoever dies in between leaves that mark,
    and the message is sent again saying that it may be a repeat: at least once, and never silently twice.

    Returns:
        Whether there was one.
    """
    begun_s = awake_s()
    alert = ledger.claim_alert(now, to=to)
    if alert is None:
        return False
    if awake_s() - begun_s > SURE_S:
        ledger.confirm_lease()  # this process or the machine has slept, and another may have taken over
    sender = senders.get(alert.sender)
    if sender is None:
        receipt = Receipt(outcome="rejected", error=f"the map no longer names the sender {alert.sender}")
    else:
        receipt = sender.send(alert.notice, possible_repeat=alert.possible_repeat)
    ledger.settle_alert(alert.alert_id, **after_try(receipt, alert.tries, now, alert.possible_repeat))
    if receipt.outcome != "sent":
        log.warning("alert %d to %s: %s %s", alert.alert_id, alert.sender, receipt.outcome, receipt.error)
    return True


def awake_s() -> float:
    """A clock that is never set and goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def after_try(receipt: Receipt, tries: int, now: datetime, possible_repeat: bool) -> dict[str, object]:
    """Decide what becomes of a message after a try. Pure.

    Returns:
        The columns of the outbox to write.
    """
    if receipt.outcome == "sent":
        return {"state": "sent", "sent_at": now, "error": None, "next_try_at": None}
    if receipt.outcome == "rejected" or tries >= MOST_TRIES:
        return {"state": "failed", "error": receipt.error, "next_try_at": None}
    wait_s = min(FIRST_WAIT_S * 2 ** (tries - 1), LONGEST_WAIT_S)
    if receipt.retry_after_s is not None:
        wait_s = min(max(receipt.retry_after_s, 1.0), LONGEST_ASKED_S)
    return {
        "state": "pending",
        "error": receipt.error,
        "next_try_at": now + timedelta(seconds=wait_s),
        "possible_repeat": possible_repeat or receipt.outcome == "ambiguous",
    }

"""Delivery: sends the messages that the ledger has queued, and records the outcome."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping
from datetime import datetime

from auditor.alerts.delivery_rule import after_try
from auditor.alerts.unrecorded import Unrecorded
from auditor.ledger import LEASE_S, Ledger, LedgerError
from auditor.map.settings import Alerts
from auditor.senders.contract import TIMEOUT_S, Receipt, Sender
from auditor.senders.registry import open_sender

SURE_S = LEASE_S / 3
"""For this long after a transaction no other process can hold the lease; a message must leave within it."""

log = logging.getLogger(__name__)


def open_senders(settings: Alerts, *, timeout_s: float = TIMEOUT_S) -> dict[str, Sender]:
    """The senders that the map configures, by name.

    Args:
        timeout_s: the deadline of one try.
    """
    dashboard = str(settings.dashboard) if settings.dashboard else None
    return {
        name: open_sender(name, each, dashboard=dashboard, timeout_s=timeout_s)
        for name, each in settings.senders.items()
    }


def deliver_next(ledger: Ledger, senders: Mapping[str, Sender], now: datetime, *, to: str | None = None) -> bool:
    """Send the next due message, for one receiver or for any.

    The message is marked as sending before the request goes out. If the process dies in between, the mark remains,
    and the message is sent again as a possible duplicate: at least once, and never twice unmarked.

    Returns:
        Whether there was one.
    """
    begun_s = awake_s()
    alert = ledger.outbox.claim(now, to=to)
    if alert is None:
        return False
    if awake_s() - begun_s > SURE_S:
        ledger.lease.confirm()  # this process or the machine has slept, so another may have taken over
    sender = senders.get(alert.sender)
    if sender is None:
        receipt = Receipt(outcome="rejected", error=f"the map no longer names the sender {alert.sender}")
    else:
        receipt = sender.send(alert.notice, possible_repeat=alert.possible_repeat)
    ledger.outbox.settle(alert.alert_id, **after_try(receipt, alert.tries, now, alert.possible_repeat))
    if receipt.outcome != "sent" or receipt.error:
        log.warning("alert %d to %s: %s %s", alert.alert_id, alert.sender, receipt.outcome, receipt.error)
    return True


def deliver_unrecorded(
    ledger: Ledger, senders: Mapping[str, Sender], now: datetime, unrecorded: Unrecorded, *, to: str
) -> bool:
    """Send the next message to a receiver while the ledger is unable to record it.

    Messages waiting in a readable ledger are sent, too; `settle_unrecorded` records that later.
    """
    with contextlib.suppress(LedgerError):
        for alert in ledger.outbox.due(now, to=to):
            unrecorded.take_in(to, alert.alert_id, alert.notice, now)
    return unrecorded.deliver_next(senders, now, to=to)


def settle_unrecorded(ledger: Ledger, unrecorded: Unrecorded, *, to: str) -> None:
    """Record which of the ledger's messages were delivered while it could not be written. Raises LedgerError."""
    for alert_id, sent_at in unrecorded.delivered(to, int).items():
        ledger.outbox.settle(alert_id, state="sent", sent_at=sent_at, error=None, next_try_at=None)
        unrecorded.forget(to, alert_id)


def awake_s() -> float:
    """A monotonic clock that also runs while the machine sleeps, if the platform has one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))

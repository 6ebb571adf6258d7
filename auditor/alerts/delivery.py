"""Delivery: sends the messages that the ledger has queued, and records the outcome."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime

from auditor.alerts.delivery_rule import after_try
from auditor.alerts.digest import FOLD_ABOVE, digest
from auditor.alerts.pace import DIGEST_EVERY, Pace
from auditor.alerts.unrecorded import Unrecorded
from auditor.ledger import LEASE_S, Ledger, LedgerError, PendingAlert
from auditor.map.settings import Alerts
from auditor.senders.contract import TIMEOUT_S, PlacedSender, Posting, Receipt, Sender
from auditor.senders.registry import SENDERS, open_sender, sender_settings

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


def deliver_next(
    ledger: Ledger, senders: Mapping[str, Sender], now: datetime, *, to: str | None = None, pace: Pace | None = None
) -> bool:
    """Send the next due message, for one receiver or for any; in a storm, all that wait for one channel as a digest.

    The message is marked as sending before the request goes out. If the process dies in between, the mark remains,
    and the message is sent again as a possible duplicate, unless its receiver shows that it has arrived: at least
    once, and never twice unmarked.

    Args:
        pace: when messages may be posted; needs `to`.

    Returns:
        Whether there was one.
    """
    begun_s = awake_s()
    gathering: Sequence[str] = ()
    if pace is not None and to is not None and pace.digested_lately(now):
        gathering = pace.gathering(now, ledger.outbox.crowded(now, to, FOLD_ABOVE))
    alert = ledger.outbox.claim(
        now,
        to=to,
        held=pace.held(now) if pace else (),
        gathering=gathering,
        fold_above=FOLD_ABOVE if to in SENDERS and sender_settings(to).folds else None,
    )
    if alert is None:
        return False
    if awake_s() - begun_s > SURE_S:
        ledger.lease.confirm()  # this process or the machine has slept, so another may have taken over
    receipt = _tried(alert, senders.get(alert.sender), now)
    outcome = after_try(receipt, alert.tries, now, alert.possible_repeat, since_at=alert.created_at)
    ledger.outbox.settle(alert, place=receipt.place, **outcome)
    if pace is not None:
        pace.tried(alert.channel, now, wait_s=receipt.retry_after_s)
        if alert.folded and receipt.outcome == "sent":
            pace.digested(alert.channel, now)
    if receipt.outcome != "sent" or receipt.error:
        log.warning("alert %d to %s: %s %s", alert.alert_id, alert.sender, receipt.outcome, receipt.error)
    return True


def _tried(alert: PendingAlert, sender: Sender | None, now: datetime) -> Receipt:
    if sender is None:
        return Receipt(outcome="rejected", error=f"the map no longer names the sender {alert.sender}")
    notice = digest(alert.folded, now) if alert.folded else alert.notice
    if isinstance(sender, PlacedSender):
        posting = Posting(number=alert.number, since_at=alert.created_at, place=alert.place)
        return sender.post(notice, posting, possible_repeat=alert.possible_repeat)
    return sender.send(notice, possible_repeat=alert.possible_repeat)


def open_pace(ledger: Ledger, to: str, now: datetime) -> Pace:
    """The pace of a sender, which goes on where a predecessor stopped."""
    digests = ledger.outbox.digests(now - DIGEST_EVERY)
    return Pace({channel: at for (sender, channel), at in digests.items() if sender == to})


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
        ledger.outbox.settle_sent(alert_id, sent_at)
        unrecorded.forget(to, alert_id)


def awake_s() -> float:
    """A monotonic clock that also runs while the machine sleeps, if the platform has one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))

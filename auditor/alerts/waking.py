"""Waking: what was snoozed or silenced is reported once more when that ends, if it is still open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from auditor.ledger import Ledger, Transaction
from checks.handling import Event, State, Verb
from checks.silences import first_hiding


def wake(ledger: Ledger, senders: Sequence[str], now: datetime) -> int:
    """Queue the messages of incidents whose snooze or silence has ended.

    Args:
        senders: names of the senders that messages are queued for.

    Returns:
        How many incidents are reported again.
    """
    woken = 0
    for incident_id in ledger.incident_events.snoozes_over(now):
        with ledger.write() as transaction:
            handling = ledger.incident_events.handling(transaction, incident_id)
            if handling is None or handling.state != State.SNOOZED or (handling.snoozed_until_at or now) > now:
                continue  # somebody has just acted on it
            event = Event(verb=Verb.RETURNED, acted_at=now, text="its snooze has ended")
            ledger.incident_events.record(transaction, incident_id, event)
            woken += _report(ledger, transaction, incident_id, senders, now, why="its snooze has ended")
    for incident_id, silence_id in ledger.outbox.silenced().items():
        with ledger.write() as transaction:
            handling = ledger.incident_events.handling(transaction, incident_id)
            notice = ledger.incidents.present_notice(transaction, incident_id)
            hidden = first_hiding(ledger.silences.active(transaction, now), notice or {}, now)
            if handling is None or not handling.live or hidden is not None:
                continue
            why = f"silence {silence_id} has ended"
            ledger.incident_events.record(
                transaction, incident_id, Event(verb=Verb.SILENCE_ENDED, acted_at=now, text=why)
            )
            if handling.state == State.OPEN:
                woken += _report(ledger, transaction, incident_id, senders, now, why=why)
    return woken


def _report(
    ledger: Ledger, transaction: Transaction, incident_id: int, senders: Sequence[str], now: datetime, *, why: str
) -> bool:
    """Report an incident that is still open: as new if no receiver has heard of it, otherwise as a reminder."""
    present = ledger.incidents.present_notice(transaction, incident_id)
    if present is None:
        return False
    known = bool(ledger.outbox.heard(transaction, incident_id))
    transition = "reminder" if known else "opened"
    notice: Mapping[str, Any] = {**present, "transition": transition, "act": why, "at": now.isoformat()}
    for sender in senders:
        ledger.outbox.queue(
            transaction,
            incident_id=incident_id,
            transition=f"{transition} at {now:%Y-%m-%dT%H:%M:%S}",
            sender=sender,
            notice=notice,
            at=now,
        )
    return True

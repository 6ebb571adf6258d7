"""Escalation: an incident that nobody acknowledges in time is reported to further senders."""

from __future__ import annotations

from datetime import datetime

from auditor.ledger import Ledger
from checks.handling import Event, State, Verb
from checks.routes import Routing
from checks.silences import first_hiding
from probes.durations import measured


def escalate(ledger: Ledger, routing: Routing, now: datetime) -> int:
    """Queue the messages of incidents that are due for escalation; each once for as long as it stays open.

    Returns:
        How many incidents were escalated.
    """
    if not routing.escalates:
        return 0
    escalated = 0
    silences = ledger.silences.listed(at=now)
    unattended = ledger.incident_events.unattended_since()
    for incident_id, opened_at, notice in ledger.outbox.last_notices():
        waited_s = (now - max(opened_at, unattended.get(incident_id, opened_at))).total_seconds()
        recipients = routing.escalations(notice, now, waited_s)
        if not recipients or first_hiding(silences, notice, now) is not None:
            continue
        reason = f"nobody has acknowledged it for {measured(waited_s)}"
        detail = "; ".join(filter(None, (str(notice.get("detail") or ""), reason)))
        escalation = {**notice, "transition": "escalated", "detail": detail, "act": "", "at": now.isoformat()}
        with ledger.write() as transaction:
            handling = ledger.incident_events.handling(transaction, incident_id)
            if handling is None or handling.state != State.OPEN:
                continue  # somebody has just acknowledged it
            event = Event(verb=Verb.ESCALATED, acted_at=now, text=reason)
            ledger.incident_events.record(transaction, incident_id, event)
            for recipient in recipients:
                ledger.outbox.queue_to(
                    transaction,
                    recipient,
                    incident_id=incident_id,
                    transition=f"escalated at {now:%Y-%m-%dT%H:%M:%S}",
                    notice=escalation,
                    at=now,
                )
        escalated += 1
    return escalated

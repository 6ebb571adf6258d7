"""Escalation: an incident that nobody acknowledges in time is reported to further senders."""

from __future__ import annotations

from datetime import datetime

from auditor.ledger import Ledger
from checks.routes import Routing
from probes.durations import format_duration


def escalate(ledger: Ledger, routing: Routing, now: datetime) -> int:
    """Queue the messages of incidents that are due for escalation; each once for as long as it stays open.

    Returns:
        How many incidents were escalated.
    """
    if not routing.escalates:
        return 0
    escalated = 0
    for incident_id, opened_at, notice in ledger.outbox.last_notices():
        waited_s = (now - opened_at).total_seconds()
        recipients = routing.escalations(notice, now, waited_s)
        if not recipients:
            continue
        escalated += 1
        reason = f"nobody has acknowledged it for {format_duration(waited_s)}"
        detail = "; ".join(filter(None, (str(notice.get("detail") or ""), reason)))
        escalation = {**notice, "transition": "escalated", "detail": detail, "at": now.isoformat()}
        with ledger.write() as transaction:
            for recipient in recipients:
                ledger.outbox.queue_to(
                    transaction,
                    recipient,
                    incident_id=incident_id,
                    transition=f"escalated at {opened_at:%Y-%m-%dT%H:%M:%S}",
                    notice=escalation,
                    at=now,
                )
    return escalated

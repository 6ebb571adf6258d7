"""Closes what a changed map leaves behind: incidents and conflicts about parts that it no longer has."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from auditor.ledger import Ledger
from auditor.map.integration_map import IntegrationMap
from checks.escalation import Act, ConflictMove, State
from checks.incidents import Incident

GONE = "no longer in the map"

CONFLICTS_KEPT = timedelta(days=7)
"""How long conflicts of a flow that the map no longer has stay open after its last audit: a daemon started with the
wrong map must not end what people have decided, assigned or commented on."""


def close_leftovers(integration_map: IntegrationMap, ledger: Ledger, senders: Sequence[str], now: datetime) -> int:
    """Close the incidents and conflicts of flows, systems and queues that the map no longer has.

    Incidents are closed at once, with a message to everyone who was notified of them; one that still holds opens
    again. Conflicts, which hold people's decisions, are closed when their flow has not been audited for
    `CONFLICTS_KEPT`.

    Returns:
        How many were closed.
    """
    closed = 0
    gone = ledger.conflicts.flows() - integration_map.flows.keys()
    forgotten = [flow for flow in sorted(gone) if not _audited_since(ledger, flow, now - CONFLICTS_KEPT)]
    with ledger.write() as transaction:
        for incident in ledger.incidents.live(transaction):
            what = _gone(integration_map, incident)
            if not what:
                continue
            closed += 1
            detail = f"{what} is {GONE}"
            new_values = {"state": "resolved", "resolved_at": now, "clear_since_at": None}
            summary = f"{incident.summary}; closed: {detail}"
            ledger.incidents.save(transaction, incident.incident_id, {**new_values, "summary": summary})
            notice = ledger.incidents.last_notice(transaction, incident.incident_id)
            for sender in senders if notice else ():
                resolved_notice = {**(notice or {}), "transition": "resolved", "summary": summary, "detail": detail}
                transition = "resolved" + (f" {incident.reopened}" if incident.reopened else "")
                ledger.outbox.queue(
                    transaction,
                    incident_id=incident.incident_id,
                    transition=transition,
                    sender=sender,
                    notice={**resolved_notice, "at": now.isoformat()},
                    at=now,
                    fingerprint=incident.fingerprint,
                )
        for flow in forgotten:
            move = ConflictMove(act=Act.SETTLED, state=State.SETTLED, text=f"flow {flow} is {GONE}", closes=True)
            for conflict, _ in ledger.conflicts.live(transaction, flow):
                closed += 1
                ledger.conflicts.move(transaction, conflict, move, now)
    return closed


def _audited_since(ledger: Ledger, flow: str, since: datetime) -> bool:
    """Whether an audit of the flow, also one that failed, has ended after an instant."""
    audited_at = ledger.flows.state(flow).audited_at
    failed = ledger.flows.failed_runs(flow, audited_at)
    return any(at is not None and at > since for at in (audited_at, failed.last_at if failed else None))


def _gone(integration_map: IntegrationMap, incident: Incident) -> str:
    """The incident's subject if the map no longer has it, otherwise ""."""
    if incident.flow is None:
        return "" if incident.system in integration_map.systems else f"system {incident.system}"
    if incident.flow not in integration_map.flows:
        return f"flow {incident.flow}"
    queue = incident.fingerprint.removeprefix(f"flow/{incident.flow}/{incident.breach}").removeprefix("/")
    return f"queue {queue}" if queue and (incident.flow, queue) not in integration_map.queues else ""

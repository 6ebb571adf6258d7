"""Ends the breaches that a changed map leaves behind: those of parts that it no longer has."""

from __future__ import annotations

from datetime import datetime

from auditor.alerts.reporter import Reporter
from auditor.ledger import Ledger
from auditor.map.integration_map import IntegrationMap
from checks.breach_life import OpenBreach

GONE = "no longer in the map"


def end_leftovers(integration_map: IntegrationMap, ledger: Ledger, reporter: Reporter, now: datetime) -> int:
    """End the breaches of flows, systems and queues that the map no longer has; one that still holds begins again.

    Their incidents are over with them, with a message to everyone who was notified.

    Returns:
        How many were ended.
    """
    with ledger.write() as transaction:
        missing = {each.breach_id: _missing(integration_map, each) for each in ledger.breaches.open(transaction)}
        gone = {breach_id: f"{what} is {GONE}" for breach_id, what in missing.items() if what}
        reporter.end(transaction, gone, now)
    return len(gone)


def _missing(integration_map: IntegrationMap, breach: OpenBreach) -> str:
    """The breach's subject if the map no longer has it, otherwise ""."""
    if breach.flow is None:
        return "" if breach.system in integration_map.systems else f"system {breach.system}"
    if breach.flow not in integration_map.flows:
        return f"flow {breach.flow}"
    queue = breach.queue
    return f"queue {queue}" if queue and (breach.flow, queue) not in integration_map.queues else ""

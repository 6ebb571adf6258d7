"""Closes the conflicts that a changed map leaves behind: those of flows that it no longer has."""

from __future__ import annotations

from datetime import datetime, timedelta

from auditor.ledger import Ledger
from auditor.map.integration_map import IntegrationMap
from checks.escalation import Act, ConflictMove, State

GONE = "no longer in the map"

CONFLICTS_KEPT = timedelta(days=7)
"""How long conflicts of a flow that the map no longer has stay open after its last audit: a daemon started with the
wrong map must not end what people have decided, assigned or commented on."""


def close_leftovers(integration_map: IntegrationMap, ledger: Ledger, now: datetime) -> int:
    """Close the conflicts of flows that the map no longer has.

    They hold people's decisions, and are closed when their flow has not been audited for `CONFLICTS_KEPT`.

    Returns:
        How many were closed.
    """
    closed = 0
    gone = ledger.conflicts.flows() - integration_map.flows.keys()
    forgotten = [flow for flow in sorted(gone) if not _audited_since(ledger, flow, now - CONFLICTS_KEPT)]
    if not forgotten:
        return 0
    with ledger.write() as transaction:
        for flow in forgotten:
            move = ConflictMove(act=Act.SETTLED, state=State.SETTLED, text=f"flow {flow} is {GONE}", closes=True)
            for conflict, _ in ledger.conflicts.live(transaction, flow):
                closed += 1
                ledger.conflicts.move(transaction, conflict, move, now)
    return closed


def _audited_since(ledger: Ledger, flow: str, since: datetime) -> bool:
    """Whether an audit of the flow, also one that failed, has ended after an instant."""
    audited_at = ledger.flows.state(flow).audited_at
    failed = ledger.flows.failed_runs(flow).get(flow)
    return any(at is not None and at > since for at in (audited_at, failed.last_at if failed else None))

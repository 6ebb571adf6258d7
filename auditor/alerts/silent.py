"""The doctor's report on senders with undelivered messages, and on the daily drill."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from auditor.alerts.drill_rule import problem
from auditor.ledger import DrillState, Lease, Undelivered
from auditor.map.integration_map import IntegrationMap
from auditor.systems.doctor import SystemReport


def silent_senders(integration_map: IntegrationMap, lost: Sequence[Undelivered]) -> list[SystemReport]:
    """The senders of the map with undelivered latest messages.

    Args:
        lost: messages about incidents that could not be delivered.
    """
    named = integration_map.alerts.senders.keys()
    return [
        SystemReport(
            system=f"alerts {each.sender}",
            latency_s=None,
            clock="",
            read_only="",
            problems=[str(each)] if each.fails else [],
            remarks=[] if each.fails else [str(each)],
        )
        for each in lost
        if each.sender in named
    ]


def drill_report(
    integration_map: IntegrationMap, state: DrillState | None, lease: Lease | None, now: datetime
) -> list[SystemReport]:
    """What is known about the daily drill; empty if the map has none.

    Args:
        state: how the last drills went; None without a ledger.
        lease: of the ledger; None without one.
    """
    drill = integration_map.alerts.held_drill
    if drill is None or state is None:
        return []
    wrong = problem(drill, state, now, lease.since_at if lease is not None else None)
    return [
        SystemReport(
            system=f"drill to {drill.to}",
            latency_s=None,
            clock="",
            read_only="",
            problems=[wrong] if wrong else [],
            remarks=[] if wrong else [str(state)],
        )
    ]

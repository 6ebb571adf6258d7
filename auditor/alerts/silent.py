"""The doctor's report on senders with undelivered messages or silent buttons, and on the daily drill."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from auditor.alerts.drill_rule import problem
from auditor.alerts.trial import try_buttons
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


def buttons_report(integration_map: IntegrationMap) -> list[SystemReport]:
    """Whether the auditor can listen to the buttons of the senders that have some; asks these services."""
    trials = [try_buttons(name, settings) for name, settings in integration_map.alerts.senders.items()]
    return [
        SystemReport(
            system=f"alerts {each.sender} (buttons)",
            latency_s=None,
            clock="",
            read_only="",
            problems=[] if each.passed else [f"{each.receipt.error}; {each.advice}"],
            remarks=[each.advice] if each.passed else [],
        )
        for each in trials
        if each is not None
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

"""The doctor's report on senders with undelivered messages."""

from __future__ import annotations

from collections.abc import Sequence

from auditor.ledger import Undelivered
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
            problems=[str(each)] if each.given_up else [],
            remarks=[] if each.given_up else [str(each)],
        )
        for each in lost
        if each.sender in named
    ]

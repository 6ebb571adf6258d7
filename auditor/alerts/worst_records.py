"""The records that a notice names: those of an incident that have differed longest, and where people see them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from auditor.ledger import Ledger, Transaction
from auditor.map.flow import Flow
from auditor.map.record_links import link_of
from auditor.storage.kept_text import restored
from checks.breaches import BREACH_OF
from checks.root_causes import Group

LISTED = 6
"""Most records that a notice names."""


def worst_records(
    ledger: Ledger, transaction: Transaction, group: Group, flows: Mapping[str, Flow], now: datetime
) -> list[dict[str, Any]]:
    """The records of an incident that have differed longest.

    Returns:
        Each once, with its data type, its key, the flow in which it has differed longest, its lag there in
        seconds, so far (None if it is not about lateness), and by system its address there.
    """
    causes: dict[str, list[str]] = {}
    for each in group.breaches:
        if each.flow in flows:
            of_breach = [cause.value for cause, breach in BREACH_OF.items() if breach is each.breach]
            causes.setdefault(str(each.flow), []).extend(of_breach)
    wanted = {flow: found for flow, found in causes.items() if found}
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for flow, key, missed_at in ledger.findings.longest(transaction, wanted, LISTED * len(wanted)):
        record = found.setdefault(
            (flows[flow].settings.data_type, key),
            {
                "data_type": flows[flow].settings.data_type,
                "flow": flow,
                "key": key,
                "lag_s": (now - missed_at).total_seconds() if missed_at is not None else None,
                "links": {},
            },
        )
        record["links"] |= _links(flows[flow], key)
    return [*found.values()][:LISTED]


def _links(flow: Flow, key: str) -> dict[str, str]:
    sides = (
        (flow.source_name, flow.source, flow.source_binding),
        (flow.target_name, flow.target, flow.target_binding),
    )
    found = {name: link_of(system, binding, restored(key)) for name, system, binding in sides}
    return {name: link for name, link in found.items() if link is not None}

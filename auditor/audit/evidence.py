"""Evidence: what the open divergences of a flow have in common, and whose clock was set."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime

from auditor.ledger import Ledger, Transaction
from auditor.map.flow import Flow
from auditor.systems.reader import SystemReader
from checks.breach_life import CONCURRENT, DELETIONS, PARTIAL, SOME_DELETIONS, SYSTEMATIC
from checks.breaches import BREACH_OF, Breach
from checks.cause import Cause
from checks.clocks import clock_text
from checks.systematic import SYSTEMATIC_RECORDS, most_alike

DIFFERENCES = 500
"""The most divergences, latest first, that are searched for a pattern."""

ALTERED = frozenset({Cause.TRANSFORMATION, Cause.FOREIGN_WRITE, Cause.UNEXPLAINED})
"""Causes whose records may show one mistake of a program."""


def evidence_of(
    ledger: Ledger, transaction: Transaction, flow: Flow, open_by_cause: Mapping[str, int]
) -> dict[Breach, tuple[str, str]]:
    """By breach, the reason and the text of what its records have in common."""
    found: dict[Breach, tuple[str, str]] = {}
    for cause in ALTERED:
        if open_by_cause.get(cause, 0) >= SYSTEMATIC_RECORDS:
            rows = ledger.records.open_differences(transaction, flow.name, cause, DIFFERENCES)
            alike = most_alike(json.loads(row) for row in rows)
            if alike is not None:
                found[BREACH_OF[cause]] = SYSTEMATIC, alike.text_of(flow.target_name)
    both = open_by_cause.get(Cause.WRITE_CONFLICT, 0)
    if both and ledger.records.concurrent_writes(transaction, flow.name) == both:
        found[Breach.WRITE_CONFLICT] = CONCURRENT, ""
    late = sum(open_by_cause.get(each, 0) for each in (Cause.LATE, Cause.LOST))
    gone = ledger.records.late_deletions(transaction, flow.name) if late else 0
    if gone:
        found[Breach.NOT_ARRIVING] = DELETIONS if gone == late else SOME_DELETIONS, ""
    if gone < late and flow.settings.pattern == "batch":
        arrived = ledger.records.arrived_beside(transaction, flow.name)
        if arrived:
            text = f"{arrived} of the changes made since the first missing one have arrived"
            found[Breach.NOT_ARRIVING] = PARTIAL, text
    return found


def clock_steps(readers: Iterable[SystemReader], now: datetime) -> dict[str, str]:
    """By system, how its clock was set, while its timestamps are not used."""
    steps = {}
    for reader in readers:
        clock = reader.clock
        if clock is not None and clock.stepped_at is not None and clock.trusted(now) is None:
            steps[reader.name] = (
                f"the clock of {reader.name} was found to have been set at {clock.stepped_at:%H:%M:%S} UTC; compared "
                f"with the auditor's, it is at {clock_text(clock)}. Its timestamps are not used until "
                f"{clock.trusted_from_at:%H:%M:%S} UTC"
            )
    return steps

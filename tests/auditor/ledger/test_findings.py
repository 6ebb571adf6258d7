"""The lists of what differs and what is on its way, and of incidents."""

from __future__ import annotations

from dataclasses import replace

from auditor.ledger import Ledger
from checks.record_history import DivergenceState
from tests.auditor.ledger.rows import NOW, change, divergence, incident, save


def test_the_lists_name_records_and_incidents(ledger: Ledger) -> None:
    save(ledger, changes=[change(2)], divergences=[divergence(3)])
    assert [(row["key"], row["why"]) for row in ledger.findings.pending("f", 10)] == [
        ("2", "a change on its way"),
        ("3", "suspected: late"),
    ]
    save(ledger, divergences=[replace(divergence(4), state=DivergenceState.OPEN, opened_at=NOW)])
    assert [(row["key"], row["cause"]) for row in ledger.findings.divergent("f", [], 10)] == [("4", "late")]
    assert ledger.findings.divergent("f", ["lost"], 10) == []
    assert ledger.incidents.rows(live_only=False, limit=10) == []
    with ledger.write() as transaction:
        identity = ledger.incidents.save(transaction, 0, incident())
        for transition in ("opened", "grown 2x"):
            ledger.outbox.queue(
                transaction, incident_id=identity, transition=transition, sender="slack", notice={}, at=NOW
            )
    (row,) = ledger.incidents.rows(live_only=True, limit=10)
    assert (row["breach"], row["told"], row["message"]) == ("orphan", "grown 2x", "pending")

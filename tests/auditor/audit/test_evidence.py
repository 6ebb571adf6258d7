"""What the open divergences of a flow have in common, and whose clock was set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from auditor.audit.evidence import clock_steps, evidence_of
from checks.breaches import Breach
from checks.clocks import ClockBounds
from tests.stand import Stand

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def evidence(stand: Stand) -> dict[Breach, tuple[str, str]]:
    flow = stand.map.flow("to_billing")
    with stand.ledger.write() as transaction:
        causes = stand.ledger.records.open_divergences(transaction, flow.name)
        return evidence_of(stand.ledger, transaction, flow, causes)


def audited(stand: Stand, seconds: float) -> None:
    for _ in range(int(seconds)):
        stand.clock.advance(1)
        stand.auditor.audit(stand.clock.now())


def test_records_that_differ_in_the_same_way_show_one_mistake(stand: Stand) -> None:
    stand.fill(6)
    audited(stand, 3)
    for key in range(1, 6):
        stand.put("crm", key, amount="2.00", ago_s=0)
        stand.put("billing", key, amount="200.00")
    audited(stand, 12)
    ((reason, text),) = evidence(stand).values()
    assert (reason, text) == ("systematic", "amount in billing is times 100 in 5 of 5 records")


def test_changes_of_a_batch_are_missing_while_others_have_arrived(stand: Stand) -> None:
    stand.remap("pattern: real-time", "pattern: batch")
    stand.fill(6)
    audited(stand, 3)
    for key in range(1, 5):
        stand.put("crm", key, name="Grace", ago_s=0)
    audited(stand, 7)
    assert evidence(stand) == {}
    stand.put("crm", 5, name="Grace", ago_s=0)
    audited(stand, 1)
    stand.put("billing", 5, name="Grace", ago_s=0)
    audited(stand, 3)
    reason, text = evidence(stand)[Breach.NOT_ARRIVING]
    assert (reason, text) == ("partial", "1 of the changes made since the first missing one have arrived")


def test_deletions_are_late_alone_or_beside_other_changes(stand: Stand) -> None:
    stand.fill(6)
    audited(stand, 3)
    stand.run("crm", "DELETE FROM customers WHERE id IN (1, 2)")
    audited(stand, 12)
    assert evidence(stand) == {Breach.NOT_ARRIVING: ("deletions", "")}
    stand.put("crm", 3, name="Grace", ago_s=0)
    audited(stand, 12)
    assert evidence(stand) == {Breach.NOT_ARRIVING: ("some_deletions", "")}
    stand.run("billing", "DELETE FROM customers WHERE id IN (1, 2)")
    audited(stand, 30)
    assert evidence(stand) == {}


def test_records_are_changed_on_both_sides_by_systems_that_may(stand: Stand) -> None:
    stand.remap("name: {type: string, evidence: clear}", "name: {type: string, writers: [billing], evidence: clear}")
    stand.fill(4)
    audited(stand, 3)
    for system, name in (("crm", "Grace"), ("billing", "Mary")):
        stand.put(system, 1, name=name, ago_s=0)
    audited(stand, 12)
    assert evidence(stand) == {Breach.WRITE_CONFLICT: ("concurrent", "")}
    stand.put("crm", 2, amount="2.00", ago_s=0)
    stand.put("billing", 2, amount="3.00")
    audited(stand, 12)
    assert evidence(stand) == {}, "billing may not write amounts"


def test_a_clock_is_reported_until_its_timestamps_are_used_again() -> None:
    bounds = ClockBounds(
        lower_s=19.9,
        upper_s=20.1,
        measured_at=NOW,
        stepped_at=NOW,
        trusted_from_at=NOW + timedelta(seconds=80),
    )
    readers: Any = [SimpleNamespace(name="crm", clock=bounds), SimpleNamespace(name="billing", clock=None)]
    assert clock_steps(readers, NOW + timedelta(seconds=79)) == {
        "crm": "the clock of crm was found to have been set at 12:00:00 UTC; compared with the auditor's, it is at "
        "+20 s (± 100 ms). Its timestamps are not used until 12:01:20 UTC"
    }
    assert clock_steps(readers, NOW + timedelta(seconds=80)) == {}

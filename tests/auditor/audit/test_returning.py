"""An owner that changes a record and changes it back, while the target is late."""

from __future__ import annotations

from tests.stand import Stand


def told(stand: Stand) -> list[tuple[str, str]]:
    return [(row["key"], row["cause"]) for row in stand.ledger.findings.divergent("to_billing", [], 10)]


def changed_and_back(stand: Stand) -> None:
    """The record holds something else for four seconds, and the target shows none of it."""
    stand.audit()
    stand.clock.advance(2)
    stand.put("crm", 3, "Grace", ago_s=0)
    for _ in range(2):
        stand.audit()
        stand.clock.advance(2)
    stand.put("crm", 3, "Ada", ago_s=0)
    for _ in range(2):
        stand.audit()
        stand.clock.advance(1)


def test_a_version_that_arrives_after_it_was_left_is_never_called_a_foreign_write(stand: Stand) -> None:
    stand.agree(5)
    stand.sweep()
    changed_and_back(stand)
    assert told(stand) == []
    stand.put("billing", 3, "Grace")
    for _ in range(8):
        stand.audit()
        assert {cause for _, cause in told(stand)} <= {"in_flight", "late"}
        stand.clock.advance(2)
    assert told(stand) == [("3", "late")]
    stand.put("billing", 3, "Ada")
    stand.audit()
    assert told(stand) == []


def test_a_foreign_write_of_another_value_is_still_called_one(stand: Stand) -> None:
    stand.agree(5)
    stand.sweep()
    changed_and_back(stand)
    stand.put("billing", 3, "Eve")
    for _ in range(8):
        stand.audit()
        stand.clock.advance(2)
    assert told(stand) == [("3", "foreign_write")]

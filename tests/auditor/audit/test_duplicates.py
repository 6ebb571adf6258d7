"""Records of one system that share what only one may have."""

from __future__ import annotations

import pytest

from tests.auditor.audit.test_flow_audit import open_causes
from tests.stand import Stand

UNIQUE = "    key_type: integer\n    business_key: [name]\n"


@pytest.fixture
def unique(stand: Stand) -> Stand:
    """Names are unique."""
    stand.remap("    key_type: integer\n", UNIQUE)
    for key in range(1, 6):
        stand.put("crm", key, f"Name {key}")
        stand.put("billing", key, f"Name {key}")
    stand.sweep()
    return stand


def test_another_record_of_the_same_business_key_is_a_duplicate_and_no_orphan(unique: Stand) -> None:
    unique.put("billing", 99, "Name 3")
    unique.sweep()
    unique.audit_until(lambda: open_causes(unique))
    assert open_causes(unique) == {"duplicate": 1}
    (told,) = [each for each in unique.rows("divergences") if each["state"] == "open"]
    assert (told["key"], told["detail"]) == ("99", "same name as 3 in billing")
    assert told["winner"] == "nobody"
    assert [conflict.key for conflict in unique.ledger.conflicts.listed()] == ["99"]


def test_a_duplicate_is_over_when_the_other_record_is_gone(unique: Stand) -> None:
    unique.put("crm", 6, "Name 3")
    unique.put("billing", 6, "Name 3")
    unique.sweep()
    unique.audit_until(lambda: open_causes(unique))
    assert open_causes(unique) == {"duplicate": 1}
    unique.run("crm", "DELETE FROM customers WHERE id = 3")
    unique.run("billing", "DELETE FROM customers WHERE id = 3")
    unique.audit_until(lambda: not open_causes(unique))
    assert open_causes(unique) == {}


def test_two_that_both_exist_at_the_owner_are_told_there(unique: Stand) -> None:
    unique.put("crm", 6, "Name 3")
    unique.put("billing", 6, "Name 3")
    unique.sweep()
    unique.audit_until(lambda: open_causes(unique))
    (told,) = [each for each in unique.rows("divergences") if each["state"] == "open"]
    assert told["detail"] == "same name as 3 in crm; same name as 3 in billing"


def test_an_idempotency_key_that_comes_again_with_another_payload_is_told(stand: Stand) -> None:
    stand.remap("    every: 1s\n", "    every: 1s\n    idempotency_key: name\n")
    for key in range(1, 4):
        for system in ("crm", "billing"):
            stand.put(system, key, f"event-{key}")
    stand.sweep()
    stand.put("billing", 50, "event-2", amount="7.00")
    stand.sweep()
    stand.audit_until(lambda: open_causes(stand))
    (told,) = [each for each in stand.rows("divergences") if each["state"] == "open"]
    assert told["detail"] == "idempotency key of 2 used again with another payload in billing"

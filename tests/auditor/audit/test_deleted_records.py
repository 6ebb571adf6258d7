"""Records that a system keeps and marks as deleted: deletions that arrive, that do not, and that nobody can tell."""

from __future__ import annotations

import pytest

from auditor.conflicts.repair import propose
from auditor.conflicts.repair_formats import write_sql
from auditor.systems.live_record import read_record
from checks.judgement import Outcome
from tests.auditor.audit.test_flow_audit import open_causes
from tests.stand import Stand


@pytest.fixture
def marked(stand: Stand) -> Stand:
    """Both systems keep what is deleted: the owner says so with a boolean, the target with an instant."""
    stand.run("crm", "ALTER TABLE customers ADD COLUMN is_deleted integer")
    stand.run("billing", "ALTER TABLE customers ADD COLUMN removed_at text")
    for system in ("crm", "billing"):  # what `put` inserts has four values
        stand.run(system, "ALTER TABLE customers RENAME TO kept")
        extra = "is_deleted" if system == "crm" else "removed_at"
        stand.run(system, "CREATE VIEW customers AS SELECT id, name, amount, updated_at FROM kept")
        stand.run(
            system,
            "CREATE TRIGGER put INSTEAD OF INSERT ON customers BEGIN INSERT INTO kept "
            f"(id, name, amount, updated_at, {extra}) "
            "VALUES (new.id, new.name, new.amount, new.updated_at, NULL); END",
        )
        stand.run(
            system, "CREATE TRIGGER gone INSTEAD OF DELETE ON customers BEGIN DELETE FROM kept WHERE id = old.id; END"
        )
    stand.remap(
        "crm: {collection: customers, key: id, changed_at: updated_at}",
        "crm: {collection: kept, key: id, changed_at: updated_at, deleted: is_deleted}",
    )
    stand.remap(
        "billing: {collection: customers, key: id}",
        "billing: {collection: kept, key: id, deleted: {field: removed_at, is: not null}}",
    )
    return stand


def delete_at_owner(stand: Stand, key: int) -> None:
    at = stand.clock.now().strftime("%Y-%m-%d %H:%M:%S.%f")
    stand.run("crm", f"UPDATE kept SET is_deleted = 1, updated_at = '{at}' WHERE id = {key}")


def delete_at_target(stand: Stand, key: int) -> None:
    stand.run("billing", f"UPDATE kept SET removed_at = '2026-01-01' WHERE id = {key}")


def changes(stand: Stand, key: int) -> list[tuple[object, object]]:
    return [(each["operation"], each["verdict"]) for each in stand.rows("changes") if each["key"] == str(key)]


def test_records_marked_as_deleted_in_both_systems_agree(marked: Stand) -> None:
    marked.agree(10)
    delete_at_owner(marked, 3)
    delete_at_target(marked, 3)
    result = marked.sweep()
    assert result.counts[Outcome.AGREED] == result.read
    marked.clock.advance(60)
    marked.sweep()
    assert open_causes(marked) == {}


def test_a_mark_at_the_owner_is_a_change_that_is_found_by_its_stamp_and_met(marked: Stand) -> None:
    marked.agree(10)
    marked.audit()
    delete_at_owner(marked, 3)
    marked.clock.advance(0.5)
    marked.audit()
    marked.clock.advance(0.5)
    delete_at_target(marked, 3)
    marked.audit_until(lambda: changes(marked, 3) == [("delete", "met")], seconds=10)
    (change,) = [each for each in marked.rows("changes") if each["key"] == "3"]
    assert change["stamped_at"] is not None
    assert open_causes(marked) == {}


def test_a_mark_that_does_not_arrive_within_the_window_is_late(marked: Stand) -> None:
    marked.agree(10)
    delete_at_owner(marked, 3)
    marked.audit_until(lambda: open_causes(marked) == {"late": 1})
    (found,) = [each for each in marked.rows("divergences") if each["key"] == "3"]
    assert (found["kind"], found["detail"]) == ("orphan", "marked as deleted in crm (is_deleted)")


def test_a_mark_seen_first_after_the_window_is_a_late_deletion_and_no_orphan(marked: Stand) -> None:
    marked.put("crm", 1)
    marked.put("billing", 1)
    marked.run("crm", "UPDATE kept SET is_deleted = 1")
    marked.sweep()
    marked.audit_until(lambda: open_causes(marked))
    assert open_causes(marked) == {"late": 1}


def test_a_mark_at_the_target_of_a_record_that_the_owner_holds_is_a_missing_record(marked: Stand) -> None:
    marked.agree(10)
    delete_at_target(marked, 3)
    marked.sweep()
    marked.audit_until(lambda: open_causes(marked) == {"lost": 1})
    (found,) = [each for each in marked.rows("divergences") if each["key"] == "3"]
    assert (found["kind"], found["detail"]) == ("missing", "marked as deleted in billing (removed_at)")


def test_a_record_that_only_the_target_has_marked_is_no_orphan(marked: Stand) -> None:
    marked.agree(10)
    marked.put("billing", 77)
    delete_at_target(marked, 77)
    marked.sweep()
    marked.clock.advance(60)
    marked.sweep()
    assert open_causes(marked) == {}


def test_a_record_that_is_restored_is_created(marked: Stand) -> None:
    marked.agree(10)
    delete_at_owner(marked, 3)
    delete_at_target(marked, 3)
    marked.audit_until(lambda: changes(marked, 3) and changes(marked, 3)[-1][1] != "pending")
    at = marked.clock.now().strftime("%Y-%m-%d %H:%M:%S.%f")
    marked.run("crm", f"UPDATE kept SET is_deleted = 0, updated_at = '{at}' WHERE id = 3")
    marked.audit_until(lambda: open_causes(marked))
    (found,) = [each for each in marked.rows("divergences") if each["key"] == "3" and each["state"] == "open"]
    assert found["kind"] == "missing"


def test_a_mark_that_cannot_be_read_cannot_be_verified(marked: Stand) -> None:
    marked.agree(10)
    marked.run("crm", "UPDATE kept SET is_deleted = 'maybe' WHERE id = 3")
    marked.run("billing", "UPDATE kept SET removed_at = '' WHERE id = 4")
    marked.put("billing", 77)
    marked.run("billing", "UPDATE kept SET removed_at = '' WHERE id = 77")
    marked.sweep()
    marked.clock.advance(60)
    result = marked.sweep()
    assert result.counts[Outcome.CANNOT_VERIFY] == 3
    assert open_causes(marked) == {}
    told = [str(each["reason"]) for each in marked.ledger.unverified.rows("to_billing", 9)]
    assert sorted(told) == [
        "whether it is deleted, is_deleted in crm: not a boolean: text",
        "whether it is deleted, removed_at in billing: empty text",
        "whether it is deleted, removed_at in billing: empty text",
    ]
    view = read_record(marked.map, marked.readers, "customer", "3")
    assert view.verdict == "cannot verify"


def test_no_repair_removes_or_inserts_what_a_system_keeps_and_marks(marked: Stand) -> None:
    marked.agree(10)
    delete_at_owner(marked, 3)
    delete_at_target(marked, 4)
    marked.audit_until(lambda: sum(open_causes(marked).values()) == 2)
    found = propose(marked.map, marked.ledger, marked.readers, b"k" * 32, ["to_billing"])
    assert {each.action for each in found} == {"none"}
    told = {each.key: each.why for each in found}
    assert "mark the record there (removed_at); do not remove it" in told[3]
    assert "billing has the record and marks it as deleted (removed_at): restore it there" in told[4]


def test_where_one_value_means_deleted_the_repair_writes_it(marked: Stand) -> None:
    marked.remap("{field: removed_at, is: not null}", "{field: removed_at, is: removed}")
    marked.agree(10)
    delete_at_owner(marked, 3)
    marked.audit_until(lambda: open_causes(marked))
    found = propose(marked.map, marked.ledger, marked.readers, b"k" * 32, ["to_billing"])
    (statement,) = [line for line in write_sql(marked.map, found).splitlines() if line and not line.startswith("--")]
    assert statement.startswith("UPDATE")
    marked.run("billing", statement)
    with marked.open("billing") as database:
        assert database.execute("SELECT id FROM kept WHERE removed_at = 'removed'").fetchall() == [(3,)]
    marked.audit_until(lambda: not open_causes(marked))


def test_the_record_page_says_who_marks_it_as_deleted(marked: Stand) -> None:
    marked.agree(3)
    delete_at_owner(marked, 3)
    view = read_record(marked.map, marked.readers, "customer", "3")
    owner, copy = view.copies
    assert (owner.found, owner.deleted, owner.cells) == (0, "is_deleted", {})
    assert (copy.found, copy.deleted) == (1, "")
    assert view.verdict == "differs"
    assert owner.changed_at

"""Repair proposals: what should be written where, guarded, warned about, and never executed."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from auditor.conflicts.held_values import written
from auditor.conflicts.proposal import Proposal
from auditor.conflicts.repair import propose
from auditor.conflicts.repair_formats import write_csv, write_json, write_sql
from checks.fields import FieldRule
from probes.records.sql.settings import SqlSettings
from probes.records.sql.statements import statement
from tests.auditor.audit.test_flow_audit import open_causes
from tests.stand import Stand


def proposals(stand: Stand) -> list[Proposal]:
    return propose(stand.map, stand.ledger, stand.readers, b"k" * 32, ["to_billing"])


def run_sql(stand: Stand, text: str) -> None:
    """Do what a person would: run the statements on the system each comment names."""
    system = "billing"
    for line in text.splitlines():
        if line.startswith("--"):
            system = line.rpartition(" in ")[2] if " in " in line and line.endswith(("crm", "billing")) else system
        elif line:
            stand.run(system, line)


def test_a_proposal_makes_the_record_right_and_changes_nothing_that_moved(stand: Stand) -> None:
    stand.agree(6)
    stand.run("billing", "UPDATE customers SET name = 'O''Hara 50%' WHERE id = 2")
    stand.run("billing", "DELETE FROM customers WHERE id = 3")
    stand.run("billing", "UPDATE customers SET amount = '7.00' WHERE id = 4")
    stand.sweep()
    stand.audit_until(lambda: sum(open_causes(stand).values()) == 3)
    found = {each.key: each for each in proposals(stand)}
    assert (found[2].action, dict(found[2].changes), dict(found[2].guard)) == (
        "update",
        {"name": "Ada"},
        {"name": "O'Hara 50%"},
    )
    assert (found[3].action, dict(found[3].changes)) == ("insert", {"name": "Ada", "amount": "1.00"})
    text = write_sql(stand.map, found.values())
    stand.run("billing", "UPDATE customers SET amount = '9.00' WHERE id = 4")  # it moved meanwhile
    run_sql(stand, text)
    with stand.open("billing") as database:
        held = dict(database.execute("SELECT id, name || ' ' || amount FROM customers WHERE id IN (2, 3, 4)"))
    assert held == {2: "Ada 1.00", 3: "Ada 1.00", 4: "Ada 9.00"}


def test_what_a_person_must_decide_is_said_and_not_proposed(stand: Stand) -> None:
    stand.agree(5)
    stand.run("billing", "INSERT INTO customers SELECT * FROM customers WHERE id = 3")
    stand.sweep()
    stand.audit_until(lambda: open_causes(stand))
    (told,) = proposals(stand)
    assert told.action == "none"
    assert told.why.startswith("a person must decide: several records stand for one")
    assert "a person must decide" in write_sql(stand.map, [told])


def test_an_orphan_is_proposed_for_deletion_under_its_present_values(stand: Stand) -> None:
    stand.agree(5)
    stand.put("billing", 77, "Nobody")
    stand.sweep()
    stand.audit_until(lambda: open_causes(stand))
    (told,) = proposals(stand)
    assert (told.action, dict(told.guard)) == ("delete", {"name": "Nobody", "amount": "1.00"})
    text = write_sql(stand.map, [told])
    assert "DELETE FROM customers WHERE id = 77 AND name = 'Nobody' AND amount = '1.00';" in text


def test_side_effects_are_warned_about(stand: Stand) -> None:
    stand.remap("    every: 1s\n", "    every: 1s\n    side_effects: [welcome e-mail]\n")
    stand.agree(5)
    stand.run("billing", "UPDATE customers SET name = 'Eve' WHERE id = 2")
    stand.sweep()
    stand.audit_until(lambda: open_causes(stand))
    text = write_sql(stand.map, proposals(stand))
    assert "-- WARNING: replaying this flow's messages does it again: welcome e-mail" in text
    assert "-- WARNING: no idempotency key: a replayed message is processed a second time" in text


def test_the_three_formats_tell_the_same(stand: Stand) -> None:
    stand.agree(5)
    stand.run("billing", "UPDATE customers SET name = 'Eve', amount = '2.00' WHERE id = 2")
    stand.sweep()
    stand.audit_until(lambda: open_causes(stand))
    found = proposals(stand)
    (document,) = json.loads(write_json(found))
    rows = list(csv.DictReader(io.StringIO(write_csv(found))))
    assert document["changes"] == {"name": "Ada", "amount": "1.00"} == {row["field"]: row["proposed"] for row in rows}
    assert {row["present"] for row in rows} == {"Eve", "2.00"}
    assert "UPDATE customers SET name='Ada', amount='1.00'" in write_sql(stand.map, found)


def test_the_winner_of_a_field_merge_is_proposed_to_the_other_side(stand: Stand) -> None:
    stand.remap("name: {type: string, evidence: clear}", "name: {type: string, writers: [billing], evidence: clear}")
    stand.remap("    every: 1s\n", "    every: 1s\n    conflict_policy: field-merge\n")
    stand.agree(5)
    stand.run("billing", "UPDATE customers SET name = 'Eve' WHERE id = 3")
    stand.sweep()
    stand.audit_until(lambda: open_causes(stand))
    (told,) = proposals(stand)
    assert (told.system, dict(told.changes), dict(told.guard)) == ("crm", {"name": "Eve"}, {"name": "Ada"})


def test_values_are_written_as_the_other_system_writes_them(stand: Stand) -> None:
    stand.remap(
        "name: {type: string, evidence: clear}",
        "name: {type: enum, map: {crm: {A: active, C: cancelled}, billing: {'1': active, '0': cancelled}}}",
    )
    for key in range(1, 4):
        stand.put("crm", key, "A")
        stand.put("billing", key, "1")
    stand.sweep()
    stand.run("billing", "UPDATE customers SET name = '0' WHERE id = 2")
    stand.sweep()
    stand.audit_until(lambda: open_causes(stand))
    (told,) = proposals(stand)
    assert dict(told.changes) == {"name": "1"}


def test_a_system_that_cannot_be_read_gets_no_proposal(stand: Stand) -> None:
    stand.agree(5)
    stand.run("billing", "UPDATE customers SET name = 'Eve' WHERE id = 2")
    stand.sweep()
    stand.audit_until(lambda: open_causes(stand))
    stand.run("billing", "ALTER TABLE customers RENAME TO gone")
    (told,) = proposals(stand)
    assert told.action == "none"
    assert "billing cannot be read" in told.why


@pytest.mark.parametrize("text", ["o'clock", "50% \\ off", "a:b", "line\nbreak", "Ünïcödé", "--", "NULL"])
def test_any_text_is_written_out_so_that_a_database_reads_it_back(text: str, tmp_path: Path) -> None:
    settings = SqlSettings(kind="sql", url=f"sqlite:///{tmp_path}/x")
    with sqlite3.connect(tmp_path / "x") as database:
        database.execute('CREATE TABLE "odd names" (id text, "the value" text)')
        database.execute(statement(settings, "insert", "odd names", ("id", text), {"the value": None}, {}))
        changed = statement(settings, "update", "odd names", ("id", text), {"the value": text}, {"the value": None})
        database.execute(changed)
        assert database.execute('SELECT * FROM "odd names"').fetchall() == [(text, text)]


@pytest.mark.parametrize(
    ("rule", "value", "held"),
    [
        ({"type": "money", "currency": "EUR", "minor_units": ["billing"]}, (Decimal("10.5"), "EUR"), Decimal("1050")),
        ({"type": "money", "currency": "JPY", "minor_units": ["billing"]}, (Decimal("10"), "JPY"), Decimal("10")),
        ({"type": "money", "currency": "EUR"}, (Decimal("10.5"), "EUR"), Decimal("10.5")),
        ({"type": "enum", "map": {"billing": {"A": "active"}}}, "active", "A"),
        ({"type": "boolean", "map": {"billing": {"Y": "true", "N": "false"}}}, False, "N"),
        ({"type": "timestamp", "unit": {"billing": "ms"}}, datetime(1970, 1, 1, 0, 1, tzinfo=UTC), 60_000),
        ({"type": "string"}, "as it is", "as it is"),
    ],
)
def test_a_merged_value_is_proposed_in_the_systems_own_labels_and_units(rule: Any, value: Any, held: Any) -> None:
    assert written(FieldRule.model_validate(rule), "billing", value) == held


def test_a_local_time_is_proposed_in_the_zone_of_its_system(stand: Stand) -> None:
    stand.remap("      name: {type: string, evidence: clear}\n", "      updated_at: {type: timestamp}\n")
    stand.remap('billing.sqlite", zone: UTC', 'billing.sqlite", zone: Europe/Berlin')
    for key, at, there in (
        (1, "2026-03-01 12:00:00", "2026-03-01 13:00:00"),
        (2, "2026-07-01 12:00:00", "2026-07-01 12:00:00"),
    ):
        stand.run("crm", f"INSERT INTO customers VALUES ({key}, 'x', '1', '{at}')")
        stand.run("billing", f"INSERT INTO customers VALUES ({key}, 'x', '1', '{there}')")
    stand.sweep()
    stand.audit_until(lambda: open_causes(stand))
    (told,) = proposals(stand)
    assert (told.key, dict(told.changes)) == (2, {"updated_at": "2026-07-01 14:00:00"})


def test_numbers_inside_json_are_proposed_with_all_of_their_digits() -> None:
    held = {"total": Decimal("90071992547409931.25"), "lines": [Decimal("1.50"), 2], "note": "\u00e9"}
    proposal = Proposal(
        flow="f",
        data_type="t",
        key=1,
        cause="late",
        action="update",
        system="s",
        changes={"doc": held},
        guard={},
        why="",
    )
    (read,) = json.loads(write_json([proposal]), parse_float=Decimal)
    assert read["changes"]["doc"] == held
    (_, row) = csv.reader(io.StringIO(write_csv([proposal])))
    assert '{"total": 90071992547409931.25, "lines": [1.50, 2], "note": "\u00e9"}' in row


def test_deletions_of_most_of_a_copy_carry_a_caution(stand: Stand) -> None:
    stand.agree(6)
    stand.run("crm", "DELETE FROM customers WHERE id > 2")
    stand.sweep()
    stand.audit_until(lambda: sum(open_causes(stand).values()) == 4)
    found = proposals(stand)
    assert {each.action for each in found} == {"delete"}
    caution = "4 of the 6 records of billing would be deleted (67%): is crm really without these records"
    assert all(each.warnings[0].startswith(caution) for each in found)
    assert f"-- WARNING: {caution}" in write_sql(stand.map, found)


def proposal(**more: Any) -> Proposal:
    told: dict[str, Any] = {"key": 1, "changes": {}, "guard": {}, "why": ""}
    return Proposal(flow="f", data_type="t", cause="late", action="update", system="billing", **{**told, **more})


def test_bytes_and_special_numbers_are_exact_in_json_and_csv() -> None:
    changes = {"b": b"\0\xff", "m": float("nan"), "n": Decimal("Infinity"), "t": "a\x1b\u202e"}

    def refuse(token: str) -> object:
        raise AssertionError(token)

    text = write_json([proposal(changes=changes)])
    (document,) = json.loads(text, parse_constant=refuse)
    assert document["changes"] == {"b": {"hex": "00ff"}, "m": "NaN", "n": "Infinity", "t": "a\x1b\u202e"}
    assert not set(text) & set("\x1b\u202e")
    rows = csv.DictReader(io.StringIO(write_csv([proposal(changes=changes)])))
    assert [row["proposed"] for row in rows] == ['{"hex": "00ff"}', "NaN", "Infinity", "a\x1b\u202e"]


def test_bytes_are_proposed_as_bytes_and_not_as_words_about_them(stand: Stand) -> None:
    stand.remap("name: {type: string, evidence: clear}", "name: {type: bytes}")
    for system, held in (("crm", "00FF41"), ("billing", "00")):
        stand.run(system, f"INSERT INTO customers VALUES (1, X'{held}', '1', '2026-01-01 00:00:00')")
    stand.sweep()
    stand.audit_until(lambda: open_causes(stand))
    text = write_sql(stand.map, proposals(stand))
    assert "SET name=X'00FF41' WHERE id = 1 AND name = X'00'" in text
    run_sql(stand, text)
    with stand.open("billing") as database:
        assert database.execute("SELECT name FROM customers").fetchall() == [(b"\0\xffA",)]


def test_text_with_nul_is_not_proposed_and_said(stand: Stand) -> None:
    stand.agree(5)
    with stand.open("billing") as database:
        database.execute("UPDATE customers SET name = ? WHERE id = 2", ("a\0b",))
    stand.sweep()
    stand.audit_until(lambda: open_causes(stand))
    (told,) = proposals(stand)
    assert (told.action, "NUL" in told.why) == ("none", True)
    text = write_sql(stand.map, [told])
    assert "\0" not in text
    assert all(not line or line.startswith("--") for line in text.splitlines())

"""What an auditor remembers between two audits, and what is forgotten of an audit that was not recorded."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from auditor.audit import (
    budget,
    case,
    duplicates,
    flow_audit,
    gathered,
    judging,
    letter_scan,
    memory,
    queue_reading,
    recording,
    result,
    sample,
    sweep,
)
from auditor.audit.memory import NONE_LOST, Memory, QueueMemory
from auditor.audit.queue_audit import QueueAuditor
from auditor.ledger import LedgerError
from probes.registry import open_queue_probe
from tests.stand import Stand

VALUES: set[type[Any]] = {
    each
    for module in (
        *(budget, case, duplicates, flow_audit, gathered, judging, letter_scan),
        *(memory, queue_reading, recording, result, sample, sweep),
    )
    for each in vars(module).values()
    if isinstance(each, type) and is_dataclass(each) and each.__module__ == module.__name__
}


@pytest.mark.parametrize("kind", sorted(VALUES, key=str), ids=lambda each: each.__name__)
def test_what_an_audit_carries_is_frozen(kind: Any) -> None:
    assert kind.__dataclass_params__.frozen
    empty = object.__new__(kind)
    with pytest.raises((FrozenInstanceError, TypeError)):
        setattr(empty, fields(kind)[0].name, None)


def test_everything_that_is_remembered_is_one_value(stand: Stand) -> None:
    made = {name: id(value) for name, value in vars(stand.auditor).items() if name != "memory"}
    stand.agree(5)
    stand.audit()
    assert {name: id(value) for name, value in vars(stand.auditor).items() if name != "memory"} == made
    assert stand.auditor.memory != stand.new_auditor().memory


def test_the_docstring_names_everything_that_a_restart_forgets() -> None:
    told = str(Memory.__doc__).split("Attributes:")[0]
    # What is asked of the ledger again at no cost but a query goes without saying.
    asked_again = {"begun", "unordered", "counted_at"}
    assert {each.name for each in fields(Memory) if f"`{each.name}`" not in told} == asked_again


def test_everything_that_is_remembered_of_a_queue_is_one_value(stand: Stand) -> None:
    stand.agree(1)
    stand.run("billing", "INSERT INTO letters VALUES (1, 1, '2026-01-01', 'no')")
    with closing(open_record_queue(stand)) as auditor:
        made = {name: id(value) for name, value in vars(auditor).items() if name != "memory"}
        reader = dict(vars(auditor._reader))
        before = auditor.memory
        auditor.audit(datetime.now(UTC))
        assert {name: id(value) for name, value in vars(auditor).items() if name != "memory"} == made
        assert vars(auditor._reader) == reader
        assert (len(before.states), len(auditor.memory.states)) == (0, 1)
        assert auditor.memory.scan.met == {"1"}


def test_letters_of_an_audit_that_could_not_be_recorded_are_read_again(stand: Stand) -> None:
    stand.run("billing", "INSERT INTO letters VALUES (1, 1, '2026-01-01', 'no')")
    with closing(open_record_queue(stand)) as auditor:
        refuse(stand, "backlogs")
        before = auditor.memory
        with pytest.raises(LedgerError):
            auditor.audit(datetime.now(UTC))
        assert auditor.memory == before
        allow(stand)
        stand.run("billing", "INSERT INTO letters VALUES (2, 1, '2026-01-01', 'no')")
        refuse(stand, "dead_letters")
        auditor.audit(datetime.now(UTC))
        assert (len(auditor.memory.states), auditor.memory.scan) == (1, before.scan)


def test_the_docstring_names_everything_that_a_restart_forgets_of_a_queue() -> None:
    told = str(QueueMemory.__doc__).split("Attributes:")[0]
    assert [each.name for each in fields(QueueMemory) if f"`{each.name}`" not in told] == []


def open_record_queue(stand: Stand) -> QueueAuditor:
    settings = stand.map.queues["to_billing", "dead"]
    return QueueAuditor(
        flow=stand.map.flow("to_billing"),
        queue="dead",
        settings=settings,
        probe=open_queue_probe(settings, stand.map.system_of(settings)),
        ledger=stand.ledger,
    )


def refuse(stand: Stand, what: str) -> None:
    """Have the ledger refuse rows of one table, from inside the database."""
    with closing(sqlite3.connect(stand.place / "ledger.sqlite")) as database, database:
        database.execute(f"CREATE TRIGGER no BEFORE INSERT ON {what} BEGIN SELECT RAISE(ABORT, 'no'); END")


def allow(stand: Stand) -> None:
    with closing(sqlite3.connect(stand.place / "ledger.sqlite")) as database, database:
        database.execute("DROP TRIGGER no")


def test_an_audit_that_could_not_be_recorded_is_forgotten_but_for_the_count(stand: Stand) -> None:
    stand.agree(5)
    before = stand.auditor.memory
    refuse(stand, "probe_runs")
    for lost in (1, 2):
        with pytest.raises(LedgerError):
            stand.audit()
        assert stand.auditor.memory.lost.audits == lost
    assert replace(stand.auditor.memory, lost=NONE_LOST) == before
    allow(stand)
    stand.audit()
    assert stand.auditor.memory.lost == NONE_LOST
    assert [row["message"] for row in stand.rows("probe_runs") if row["reason"] == "not_recorded"]


def test_one_transaction_holds_the_whole_audit_with_its_identities(stand: Stand) -> None:
    stand.remap("    key_type: integer\n", "    key_type: integer\n    business_key: [name]\n")
    stand.put("crm", 1, "Ada")
    stand.put("billing", 1, "Ada")
    refuse(stand, "probe_runs")
    with pytest.raises(LedgerError):
        stand.sweep()
    kept = {name: _count(stand, name) for name in ("identities", "baselines", "samples", "lag_cells")}
    assert not any(kept.values()), kept
    allow(stand)
    stand.sweep()
    assert _count(stand, "identities") == 2


def test_a_probe_between_two_turns_remembers_no_failure(stand: Stand) -> None:
    stand.agree(3)
    stand.run("billing", "ALTER TABLE customers RENAME TO gone")
    stand.auditor.recheck(datetime.now(UTC) + timedelta(seconds=60))
    assert stand.auditor.memory.failed == 0
    stand.audit()
    assert stand.auditor.memory.failed == 1


def _count(stand: Stand, table: str) -> int:
    with closing(sqlite3.connect(stand.place / "ledger.sqlite")) as database:
        return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

"""What an auditor remembers between two audits, and what is forgotten of an audit that was not recorded."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from auditor.audit import duplicates, flow_audit, gathered, judging, memory, recording, result, sample, sweep
from auditor.audit.memory import NONE_LOST, Memory
from auditor.ledger import LedgerError
from tests.stand import Stand

VALUES: set[type[Any]] = {
    each
    for module in (duplicates, flow_audit, gathered, judging, memory, recording, result, sample, sweep)
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

"""What the steps read: tables in common on real servers, and the first verdicts in the ledger."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from auditor.setup import steps
from auditor.setup.addresses import pair_of
from auditor.setup.reading import command, find, first_verdicts
from auditor.setup.setup_error import SetupError
from auditor.setup.steps import Plan
from auditor.setup.trial import check
from auditor.workspace import Workspace
from tests.auditor.setup.pair import database, fill, systems_in


def proposed(place: Path) -> Plan:
    """A set-up that has proposed a map for two systems."""
    fill(place)
    plan = steps.connected(systems_in(place))
    assert plan.systems is not None
    return steps.proposed(steps.discovered(plan, find(plan.systems, tell=lambda _: None)), [0])


def test_the_tables_of_a_postgresql_and_a_sqlite_are_matched(postgresql_url: str, tmp_path: Path) -> None:
    fill(tmp_path)
    with psycopg.connect(postgresql_url) as connection:
        connection.execute("CREATE TABLE customers (id int PRIMARY KEY, name text, balance numeric)")
        connection.execute("INSERT INTO customers SELECT n, 'Customer ' || n, n / 4.0 FROM generate_series(1, 12) n")
    copy = database(f"sqlite:///{tmp_path}/warehouse.sqlite")
    systems = pair_of(database(postgresql_url, name="crm"), copy, {})
    told: list[str] = []
    (match,) = find(systems, tell=told.append).matches
    assert (match.left.name, match.right.name, match.common) == ("customers", "dim_customer", 11)
    assert "reading the schema of crm" in told


def test_a_system_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    fill(tmp_path)
    owner = database("postgresql://ada@127.0.0.1:1/crm", "hunter2-0123456789")
    systems = pair_of(owner, database(f"sqlite:///{tmp_path}/warehouse.sqlite"), {})
    with pytest.raises(SetupError) as failed:
        find(systems, tell=lambda _: None)
    assert "hunter2" not in str(failed.value)
    assert str(failed.value).startswith("crm: ")


def test_the_first_verdicts_are_in_the_ledger(tmp_path: Path) -> None:
    plan = proposed(tmp_path)
    assert plan.text is not None
    loaded = check(plan.text, "map.yaml", plan.variables, plan.scrub).loaded
    assert loaded is not None
    workspace = Workspace.at(tmp_path / "var")
    (report,) = first_verdicts(loaded, workspace, wait_s=0, tell=lambda _: None)
    assert (report.records, report.pending) == (12, 2)
    ledger = workspace.existing_ledger()
    assert ledger is not None
    assert ledger.lease.now().holder is None
    ledger.close()


def test_the_first_verdicts_wait_until_the_window_has_ended(tmp_path: Path) -> None:
    plan = proposed(tmp_path)
    assert plan.text is not None
    assert "window: 60s" in plan.text
    loaded = check(plan.text.replace("window: 60s", "window: 2s"), "map.yaml", plan.variables, plan.scrub).loaded
    assert loaded is not None
    (report,) = first_verdicts(loaded, Workspace.at(tmp_path / "var"), tell=lambda _: None)
    assert report.pending == 0
    assert sum(report.open_by_cause.values()) == 2


def test_the_command_names_what_is_not_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("run", tmp_path / "plumbline.yaml", Path("var")) == "auditor run"
    assert command("run", Path("my map.yaml"), Path("data")) == "auditor run --map 'my map.yaml' --data data"

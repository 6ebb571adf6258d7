"""A map that is not in force yet: its mistakes, and a dry run that writes nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from auditor.setup import steps
from auditor.setup.reading import find
from auditor.setup.trial import Checked, FirstReading, Trial, check, dry_run
from tests.auditor.setup.pair import RECORDS, fill, systems_in


@pytest.fixture
def proposal(tmp_path: Path) -> tuple[str, dict[str, str]]:
    """The text of a proposed map, and its environment."""
    fill(tmp_path)
    plan = steps.connected(systems_in(tmp_path))
    assert plan.systems is not None
    plan = steps.proposed(steps.discovered(plan, find(plan.systems, tell=lambda _: None)), [0])
    assert plan.text is not None
    return plan.text, plan.variables


def checked(text: str, environment: dict[str, str]) -> Checked:
    return check(text, "plumbline.yaml", environment, lambda message: message.replace("hunter2", "***"))


def test_a_proposal_has_no_mistakes_and_lines_to_decide(proposal: tuple[str, dict[str, str]]) -> None:
    found = checked(*proposal)
    assert found.loaded is not None
    assert [*found.loaded.systems] == ["crm", "warehouse"]
    assert found.problems == ()
    assert len(found.open) == proposal[0].count("TODO")


def test_a_mistake_has_its_line_and_column_and_no_secret(proposal: tuple[str, dict[str, str]]) -> None:
    text, environment = proposal
    found = checked(text.replace("owner: crm", "owner: hunter2"), environment)
    assert found.loaded is None
    (problem, *_) = found.problems
    assert (problem.file, problem.path) == ("plumbline.yaml", "data_types.customer.owner")
    assert text.splitlines()[problem.line - 1].strip().startswith("owner:")
    assert problem.column == 5
    assert not any("hunter2" in str(each) for each in found.problems)
    (broken,) = checked("systems: [", environment).problems
    assert (broken.file, broken.line) == ("plumbline.yaml", 1)
    assert checked("x" * 5_000_000, environment).problems[0].message.startswith("the map is larger than")


def test_a_dry_run_connects_reads_and_writes_nothing(proposal: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    loaded = checked(*proposal).loaded
    assert loaded is not None
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    told: list[str] = []
    found = dry_run(loaded, tell=told.append)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before
    assert [(each.system, each.ok) for each in found.reports] == [("crm", True), ("warehouse", True)]
    (reading,) = found.readings
    assert (reading.records, reading.agree, reading.differ, reading.missing) == (RECORDS, 10, 1, 1)
    assert reading.as_row()["remark"] == "balance differs in 1 record"
    assert found.ok
    assert told == ["connecting, and listening to the clocks", "reading the first records of customer"]


def test_a_system_that_cannot_be_read_is_said_and_nothing_raises(
    proposal: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    text, environment = proposal
    loaded = checked(text, {**environment, "WAREHOUSE_URL": f"sqlite:///{tmp_path}/none.sqlite"}).loaded
    assert loaded is not None
    found = dry_run(loaded, tell=lambda _: None)
    assert not found.ok
    assert [(each.system, each.ok) for each in found.reports] == [("crm", True), ("warehouse", False)]
    (reading,) = found.readings
    assert reading.as_row()["remark"] == "warehouse cannot be read"


def test_one_wrong_name_is_no_fault_of_the_data_types_beside_it(
    proposal: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    text, environment = proposal
    begun, flows = text.index("  customer:"), text.index("flows:")
    others = [
        text[begun:flows].replace("  customer:", f"  {name}:").replace("collection: customers", f"collection: {name}")
        for name in ("ordrs", "invoces")
    ]
    loaded = checked(text[:flows] + "".join(others) + text[flows:], environment).loaded
    assert loaded is not None
    found = dry_run(loaded, tell=lambda _: None)
    assert not found.ok
    customer, *wrong = found.readings
    assert (customer.records, customer.error) == (RECORDS, "")
    assert ["no table" in each.error for each in wrong] == [True, True]
    (crm,) = [each for each in found.reports if each.system == "crm"]
    assert ["ordrs" in each or "invoces" in each for each in crm.problems] == [True, True]


def test_why_records_cannot_be_verified_is_said_and_all_of_them_are_a_problem(
    proposal: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    text, environment = proposal
    loaded = checked(text, environment).loaded
    assert loaded is not None
    with closing(sqlite3.connect(tmp_path / "warehouse.sqlite")) as copy, copy:
        first = "(SELECT min(customer_id) FROM dim_customer)"
        copy.execute(f"UPDATE dim_customer SET full_name = x'ff00' WHERE customer_id = {first}")
    found = dry_run(loaded, tell=lambda _: None)
    (reading,) = found.readings
    assert (reading.cannot_verify, found.ok) == (1, True)
    assert "name of warehouse cannot be read (1 record)" in reading.as_row()["remark"]


def test_a_reading_that_verified_nothing_is_a_problem() -> None:
    reading = FirstReading(data_type="customer", cannot_verify=3, unverified={"v of crm cannot be read": 3})
    assert not reading.ok
    assert reading.as_row()["remark"] == "v of crm cannot be read (3 records)"
    assert not Trial(reports=(), readings=(reading,)).ok
    assert FirstReading(data_type="customer").ok
    assert FirstReading(data_type="customer", agree=1, cannot_verify=3).ok

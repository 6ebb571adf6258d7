"""Stamps that are no instants: the doctor remarks on them, and every audit concludes all the same."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from auditor.history.status import flow_status
from auditor.systems.doctor import examine
from checks.judgement import Outcome
from tests.stand import Stand

US = "11/27/2026 03:00 AM"


def fill(stand: Stand, stamp: str | None, count: int = 10, first: int = 1) -> None:
    rows = [(key, "Ada", "1.00", stamp) for key in range(first, first + count)]
    for system in ("crm", "billing"):
        with stand.open(system) as database:
            database.executemany("INSERT INTO customers VALUES (?, ?, ?, ?)", rows)


@pytest.mark.parametrize(
    ("stamp", "told", "shape"),
    [
        (US, "no instant", "written like 99/99/9999 99:99 aa, where 9 stands for a digit and a for a letter"),
        ("garbage", "no instant", "written like aaaaaaa, where 9 stands for a digit and a for a letter"),
        (None, "no instant", "NULL or empty"),
        (
            "2099-01-01 00:00:00",
            "in the future",
            "written like 9999-99-99 99:99:99, where 9 stands for a digit and a for a letter",
        ),
    ],
)
def test_the_doctor_remarks_on_stamps_that_tell_no_change(
    stand: Stand, stamp: str | None, told: str, shape: str
) -> None:
    fill(stand, "2026-01-01 00:00:00")
    fill(stand, stamp, count=3, first=11)
    (crm, *_) = examine(stand.map, seed=None, steps={})
    remark = f"customers.updated_at is {told} in 3 of the first 13 records ({shape})"
    assert [each for each in crm.remarks if each.startswith(remark)]


def test_stamps_that_are_instants_are_not_remarked_on(stand: Stand) -> None:
    fill(stand, "2026-01-01 00:00:00")
    (crm, *_) = examine(stand.map, seed=None, steps={})
    assert not [each for each in crm.remarks if "looked at" in each]


def test_an_audit_concludes_where_no_stamp_can_be_understood(stand: Stand) -> None:
    fill(stand, US, count=1_100)
    stand.run("billing", "UPDATE customers SET name = 'Eve' WHERE id = 7")
    result = stand.audit()
    assert result.error is None
    (status,) = flow_status(stand.map, stand.ledger, datetime.now(UTC))
    assert status.audited_at is not None
    assert "changes of crm are found only by the sweep: customers.updated_at: more than 1,000 stamps" in status.why
    assert "the first sweep" in status.why or status.begun
    assert stand.sweep().counts[Outcome.AGREED]
    stand.audit_until(lambda: [row for row in stand.rows("divergences") if row["key"] == "7"])
    stand.run("crm", "UPDATE customers SET updated_at = '2026-01-01 00:00:00'")
    stand.audit()
    assert [row for row in stand.rows("unverified") if row["cleared_at"] is None] == []

"""What people are told of an incident."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from auditor.alerts.incidents import move
from checks.breaches import Breach
from checks.incidents import BreachSignal
from tests.stand import Stand

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("breach", "count", "said"),
    [
        ("unverified", 1, "(1 customer record)"),
        ("unverified", 1200, "(1,200 customer records)"),
        ("dead_letters", 1, "(1 message)"),
        ("unreadable", 1, "(1 audit in a row)"),
        ("objective", 1, "(1 change did not)"),
    ],
)
def test_a_summary_counts_in_the_right_number(stand: Stand, breach: str, count: int, said: str) -> None:
    signal = BreachSignal(
        breach=Breach(breach), fingerprint="f", count=count, threshold=1, clear_after_s=1, flow="to_billing"
    )
    with stand.ledger.write() as transaction:
        move(stand.ledger, transaction, [signal], flow=stand.auditor.flow, senders=[], now=NOW)
    assert str(stand.rows("incidents")[0]["summary"]).endswith(said)

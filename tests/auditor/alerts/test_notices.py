"""What is said about an incident."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from auditor.alerts.notices import ADVICE, incident_path, transition_text
from auditor.alerts.reporter import Reporter
from checks.breach_life import SYSTEMATIC, BreachSignal
from checks.breaches import Breach
from checks.root_causes import RootCause
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
        Reporter(stand.ledger, [stand.auditor.flow]).report(transaction, [signal], NOW)
    assert str(stand.rows("incidents")[0]["summary"]).endswith(said)


@pytest.mark.parametrize(
    ("kept", "shown"),
    [
        ("opened", "opened"),
        ("reopened 1", "reopened"),
        ("resolved 12", "resolved"),
        ("worse critical 1", "worse critical"),
        ("grown 2x from 26", "grown 2x from 26"),
        ("grown 2x from 1,026 3", "grown 2x from 1,026"),
        ("grown 10x from 26 records and 1 message", "grown 10x from 26 records and 1 message"),
        ("grown 10x from 1 record and 46 messages 1", "grown 10x from 1 record and 46 messages"),
        ("grown 2x from 46 messages 1", "grown 2x from 46 messages"),
        ("escalated at 2026-03-01T12:00:00", "escalated at 2026-03-01T12:00:00"),
    ],
)
def test_a_transition_is_shown_without_the_number_that_sets_it_apart(kept: str, shown: str) -> None:
    assert transition_text(kept) == shown


@pytest.mark.parametrize(
    ("detail", "what"),
    [
        ("name in billing is off by +02:00 in 62 of 70 records", "name in billing is off by +02:00"),
        ("", "records differ in the same way"),
    ],
)
def test_a_summary_of_records_that_differ_alike_says_how(stand: Stand, detail: str, what: str) -> None:
    signal = BreachSignal(
        breach=Breach.TRANSFORMATION,
        fingerprint="f",
        count=70,
        threshold=1,
        clear_after_s=1,
        flow="to_billing",
        reason=SYSTEMATIC,
        detail=detail,
    )
    with stand.ledger.write() as transaction:
        Reporter(stand.ledger, [stand.auditor.flow]).report(transaction, [signal], NOW)
    assert stand.rows("incidents")[0]["summary"] == f"to_billing: {what} (70 customer records affected)"


def test_every_cause_has_advice() -> None:
    assert ADVICE.keys() == {*Breach, *RootCause}


def test_the_page_of_an_incident_is_addressed_with_absolute_times() -> None:
    assert incident_path(7, NOW, NOW) == ("incidents?id=7&from=2026-03-01T00%3A00%3A00Z&to=2026-03-01T00%3A00%3A00Z")

"""What was snoozed or silenced is reported when that ends, by whoever wakes it first."""

from __future__ import annotations

from datetime import timedelta

from auditor.alerts.waking import wake
from auditor.desk.desk import Case
from tests.auditor.alerts.test_reporter import later, signal
from tests.auditor.desk.test_desk import Company
from tests.stand import Stand


def test_an_acknowledged_incident_is_not_reported_when_its_silence_ends(stand: Stand) -> None:
    company = Company(stand)
    company.person().silence({"flow": ("to_billing",)}, later(600), "migration")
    company.report(0, signal("not_arriving", 10))
    company.person().acknowledge(Case("incident", 1))
    company.now = later(600)
    assert company.wake() == 0
    company.person().unacknowledge(Case("incident", 1))
    company.now += timedelta(seconds=1)
    assert company.wake() == 0
    assert company.timeline()[-2:] == [("silence_ended", "auditor"), ("unacknowledge", "ada")]


def test_without_senders_a_snooze_ends_all_the_same(stand: Stand) -> None:
    company = Company(stand)
    company.report(0, signal("not_arriving", 10))
    company.person().snooze(Case("incident", 1), later(60))
    wake(stand.ledger, [], later(60))
    assert company.incident()["state"] == "open"
    assert company.told() == [("slack", "opened")]

"""Maintenance windows of the map: silences that begin and end by themselves."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta
from zoneinfo import ZoneInfo

import pytest

from auditor.alerts.silencing import Coverage, coverage, hold_back, keep_windows
from auditor.map.loader import load_map
from auditor.map.problems import MapError
from auditor.map.settings import MaintenanceSettings
from checks.escalation import RefusedError
from tests.auditor.alerts.test_reporter import later, signal
from tests.auditor.desk.test_desk import Company
from tests.auditor.ledger.rows import incident as incident_row
from tests.stand import Stand

NIGHT = MaintenanceSettings.model_validate(
    {"name": "nightly load", "system": "billing", "hours": "00:00-01:00", "reason": "load"}
).window
"""The hour in which the incidents below begin."""


def test_it_is_entered_once_hides_messages_and_reports_what_is_left(stand: Stand) -> None:
    company = Company(stand)
    assert keep_windows(company.ledger, [NIGHT], later(-3600)) == 0
    assert keep_windows(company.ledger, [NIGHT], later(-30)) == 1
    assert keep_windows(company.ledger, [NIGHT], later(0)) == 0
    company.report(10, signal("not_arriving", 10))
    assert company.told(state="silenced") == [("slack", "opened")]
    (row,) = company.rows("silences")
    assert (row["who"], row["maintenance"], row["reason"]) == ("map", "nightly load", "load")
    assert (row["from_at"], row["until_at"]) == (later(0), later(3600))
    company.now = later(3600)
    assert (keep_windows(company.ledger, [NIGHT], company.now), company.wake()) == (0, 1)


def test_what_waits_when_it_begins_is_held_back(stand: Stand) -> None:
    company = Company(stand)
    company.report(10, signal("not_arriving", 10))
    keep_windows(company.ledger, [NIGHT], later(20))
    assert company.told(state="silenced") == [("slack", "opened")]


def test_what_was_queued_before_one_that_was_entered_ahead_is_held_back_when_it_begins(stand: Stand) -> None:
    company = Company(stand)
    assert keep_windows(company.ledger, [NIGHT], later(-30)) == 1
    company.report(-20, signal("not_arriving", 10))
    hold_back(company.ledger, later(-10))
    assert company.told(state="silenced") == []
    hold_back(company.ledger, later(0))
    assert company.told(state="silenced") == [("slack", "opened")]


def test_a_silence_for_later_holds_back_what_waits_when_it_begins(stand: Stand) -> None:
    company = Company(stand)
    company.report(10, signal("not_arriving", 10))
    company.now = later(20)
    company.person().silence({"flow": ["to_billing"]}, later(3600), "load", from_at=later(60), confirmed=True)
    assert company.told(state="silenced") == []
    hold_back(company.ledger, later(61))
    assert company.told(state="silenced") == [("slack", "opened")]


def test_one_that_a_person_ends_is_not_entered_again(stand: Stand) -> None:
    company = Company(stand)
    keep_windows(company.ledger, [NIGHT], later(0))
    company.now = later(60)
    company.person().end_silence(1)
    assert keep_windows(company.ledger, [NIGHT], later(120)) == 0
    assert keep_windows(company.ledger, [NIGHT], later(86400)) == 1


def test_one_that_the_map_no_longer_has_ends(stand: Stand) -> None:
    company = Company(stand)
    keep_windows(company.ledger, [NIGHT], later(0))
    assert keep_windows(company.ledger, [replace(NIGHT, matchers={"team": ("sales",)})], later(60)) == 2
    first, second = company.rows("silences")
    assert (first["ended_by"], first["ended_at"]) == ("map", later(60))
    assert second["ended_at"] is None
    assert keep_windows(company.ledger, [], later(120)) == 1


def test_its_hours_are_those_of_its_zone() -> None:
    settings = {"name": "n", "flow": "*", "hours": "01:00-02:00", "zone": "Europe/Berlin"}
    window = MaintenanceSettings.model_validate(settings).window
    silence = window.silence(later(600), later(0))
    assert silence is not None
    assert silence.from_at.astimezone(ZoneInfo("Europe/Berlin")).hour == 1
    assert silence.from_at.tzinfo is UTC
    assert silence.until_at - silence.from_at == timedelta(hours=1)


@pytest.mark.parametrize(
    ("window", "said"),
    [
        ("{name: n, system: billing}", "needs hours or weekdays"),
        ("{name: n, hours: '01:00-02:00'}", "say which incidents"),
        ("{name: n, system: biling, hours: '01:00-02:00'}", "did you mean 'billing'"),
        ("{name: n, system: billing, hours: '1-2'}", "are no hours"),
        ("{name: n, system: billing, weekdays: [monday]}", "unknown word 'monday'"),
        ("{system: billing, weekdays: [mon]}", "name"),
        ("{name: n, system: billing, weekdays: [mon]}, {name: n, flow: '*', weekdays: [tue]}", "also names another"),
    ],
)
def test_mistakes_are_named(stand: Stand, window: str, said: str) -> None:
    stand.map_file.write_text(stand.map_file.read_text() + f"alerts: {{maintenance: [{window}]}}\n")
    with pytest.raises(MapError) as found:
        load_map(stand.map_file, {})
    assert said in "\n".join(str(each) for each in found.value.problems)


def test_what_a_silence_would_hide_is_known_before_and_changes_nothing(stand: Stand) -> None:
    company = Company(stand)
    assert coverage(company.ledger, {"flow": ["to_*"]}) == Coverage(covered=(), live=0, unreported=0, wide="")
    company.report(10, signal("not_arriving", 10))
    assert coverage(company.ledger, {"flow": ["to_*"]}).covered == (1,)
    assert coverage(company.ledger, {"flow": ["other"]}).covered == ()
    assert "every incident" in coverage(company.ledger, {}).wide
    with company.ledger.write() as transaction:
        company.ledger.incidents.save(transaction, 0, incident_row(opened_at=later(0)))
        over = incident_row(opened_at=later(0), resolved_at=later(1), state="resolved")
        company.ledger.incidents.save(transaction, 0, over)
    assert coverage(company.ledger, {"cause": ["*"]}) == Coverage(
        covered=(1,), live=2, unreported=1, wide=coverage(company.ledger, {}).wide
    )
    assert company.rows("silences") == []
    with pytest.raises(RefusedError, match="not for colour"):
        coverage(company.ledger, {"colour": ["red"]})

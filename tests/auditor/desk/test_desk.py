"""People at the desk: each act, what it changes in the ledger, what receivers hear, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from auditor.alerts.escalation import escalate
from auditor.alerts.waking import wake
from auditor.desk.desk import Case, Desk, UnconfirmedError
from auditor.map.settings import AlertSettings
from checks.breach_life import BreachSignal
from checks.escalation import RefusedError
from checks.handling import handling_of
from checks.values import EPOCH, MICROSECOND
from tests.auditor.alerts.test_reporter import Desk as Audits
from tests.auditor.alerts.test_reporter import later, signal
from tests.stand import Stand

SEVERE_ALERTS = {
    "slack": {"webhook": "https://hooks.example/x"},
    "pagerduty": {"routing_key": "k"},
    "default": {"to": ["slack"], "escalate_after": "15m", "escalate_to": "pagerduty"},
}
ONE = Case("incident", 1)
TWO = Case("incident", 2)


class Company(Audits):
    """Audits that report, and people at the desk; the time is that of the last audit or act."""

    def __init__(self, stand: Stand) -> None:
        super().__init__(stand)
        self.stand.map = replace(stand.map, alerts=AlertSettings.model_validate(SEVERE_ALERTS))
        self.ledger.outbox.routing = self.stand.map.alerts.routing
        self.now = later(0)

    def person(self, who: str = "ada") -> Desk:
        return Desk(self.stand.map, self.ledger, who=who, known_by="test", now=lambda: self.now)

    def report(self, at_s: float, *signals: BreachSignal) -> None:
        self.now = later(at_s)
        super().report(at_s, *signals)

    def after(self, minutes: float) -> datetime:
        self.now += timedelta(minutes=minutes)
        return self.now

    def wake(self) -> int:
        return wake(self.ledger, ["slack"], self.now)

    def escalate(self) -> int:
        return escalate(self.ledger, self.stand.map.alerts.routing, self.now)

    def rows(self, table: str) -> list[dict[str, Any]]:
        return [{name: _plain(name, value) for name, value in row.items()} for row in super().rows(table)]

    def incident(self, number: int = 1) -> dict[str, Any]:
        return next(row for row in self.rows("incidents") if row["id"] == number)

    def told(self, *, state: str | None = None) -> list[tuple[object, str]]:
        """Who got which message, without the times."""
        return [
            (row["sender"], str(row["transition"]).partition(" ")[0])
            for row in self.rows("alerts")
            if row["state"] == (state or row["state"])
        ]

    def timeline(self, number: int = 1) -> list[tuple[str, str]]:
        return [(str(each.verb), each.who) for each in self.ledger.incident_events.of(number)]


def _plain(name: str, value: Any) -> Any:
    """A value of a row; instants are numbers there."""
    return EPOCH + value * MICROSECOND if name.endswith("_at") and value is not None else value


@pytest.fixture
def company(stand: Stand) -> Company:
    return Company(stand)


def test_an_acknowledged_incident_is_not_escalated_and_its_growth_is_not_reported(company: Company) -> None:
    company.report(0, signal("not_arriving", 10))
    company.person().acknowledge(ONE, "on it")
    company.report(60, signal("not_arriving", 40))
    company.after(60)
    assert company.escalate() == 0
    assert company.told() == [("slack", "opened")]
    row = company.incident()
    assert (row["state"], row["acknowledged_by"], row["acknowledged_at"]) == ("acknowledged", "ada", later(0))
    assert company.timeline() == [("opened", "auditor"), ("acknowledge", "ada"), ("grown", "auditor")]


def test_growth_past_tenfold_ends_an_acknowledgement_and_is_escalated_from_then_on(company: Company) -> None:
    company.report(0, signal("not_arriving", 10))
    company.person().acknowledge(ONE)
    company.report(3600, signal("not_arriving", 120))
    assert company.incident()["state"] == "open"
    assert company.timeline()[-1] == ("returned", "auditor")
    assert company.told() == [("slack", "opened"), ("slack", "grown")]
    company.after(14)
    assert company.escalate() == 0
    company.after(1)
    assert company.escalate() == 1
    assert company.told()[-1] == ("pagerduty", "escalated")
    assert company.timeline()[-1] == ("escalated", "auditor")


def test_an_acknowledgement_can_be_taken_back(company: Company) -> None:
    company.report(0, signal("not_arriving", 10))
    company.person().acknowledge(ONE)
    company.after(60)
    company.person("bob").unacknowledge(ONE, "not mine")
    company.after(10)
    assert company.escalate() == 0
    company.after(5)
    assert company.escalate() == 1


def test_its_end_is_reported_to_those_who_know_of_it(company: Company) -> None:
    company.report(0, signal("not_arriving", 10))
    company.person().snooze(ONE, later(36000))
    company.report(60, signal("not_arriving", 0))
    company.report(121, signal("not_arriving", 0))
    assert company.incident()["state"] == "resolved"
    assert company.incident()["snoozed_until_at"] is None
    assert company.told() == [("slack", "opened"), ("slack", "resolved")]


def test_a_snoozed_incident_is_quiet_and_then_reported_once_if_it_is_still_open(company: Company) -> None:
    company.report(0, signal("not_arriving", 10))
    company.person().snooze(ONE, later(7200), "after lunch")
    company.report(60, signal("not_arriving", 30))
    assert company.wake() == 0
    assert company.escalate() == 0
    company.now = later(7200)
    assert (company.wake(), company.wake()) == (1, 0)
    assert company.told() == [("slack", "opened"), ("slack", "reminder")]
    reminder = company.notices[-1]
    assert (reminder["transition"], reminder["count"], reminder["act"]) == ("reminder", 30, "its snooze has ended")
    assert company.incident()["state"] == "open"


def test_what_reopens_is_nobodys_again(company: Company) -> None:
    company.report(0, signal("not_arriving", 10))
    company.person().acknowledge(ONE)
    company.report(60, signal("not_arriving", 0))
    company.report(121, signal("not_arriving", 0))
    company.report(300, signal("not_arriving", 4))
    assert (company.incident()["state"], company.incident()["acknowledged_by"]) == ("open", None)
    assert company.told()[-1] == ("slack", "reopened")


def test_receivers_that_make_something_of_it_hear_of_acts(company: Company) -> None:
    company.report(0, signal("not_arriving", 10))
    company.after(15)
    company.escalate()
    company.person().acknowledge(ONE, "on it")
    company.person().comment(ONE, "it is the proxy")
    assert company.told()[2:] == [("pagerduty", "acknowledged")]
    notice = company.notices[-1]
    assert (notice["act"], notice["incident"]) == ("acknowledged by ada: on it", 1)
    company.report(960, signal("not_arriving", 0))
    company.report(1021, signal("not_arriving", 0))
    assert [each["act"] for each in company.notices if each["transition"] == "resolved"] == [""]


def test_what_a_receiver_is_told_of_an_act_outlives_an_update_of_its_message(company: Company) -> None:
    company.report(0, signal("not_arriving", 10))
    company.after(15)
    company.escalate()
    company.person().acknowledge(ONE, "on it")
    company.report(960, signal("not_arriving", 12))
    assert (company.notices[-1]["act"], company.notices[-1]["count"]) == ("acknowledged by ada: on it", 12)


def test_a_person_closes_an_incident_and_the_audits_open_it_again_if_they_still_find_it(company: Company) -> None:
    company.report(0, signal("not_arriving", 10))
    company.person().resolve(1, "restarted the worker")
    assert company.incident()["state"] == "resolved"
    assert company.told() == [("slack", "opened"), ("slack", "resolved")]
    assert company.notices[-1]["summary"].endswith("; closed: by ada: restarted the worker")
    company.report(5, signal("not_arriving", 0))
    assert company.incident()["state"] == "resolved"
    company.report(60, signal("not_arriving", 3))
    assert company.incident()["state"] == "open"
    assert company.timeline() == [("opened", "auditor"), ("resolve", "ada"), ("reopened", "auditor")]


def test_whoever_lacks_the_address_of_a_sender_tells_those_who_know_all_the_same(company: Company) -> None:
    company.report(0, signal("not_arriving", 10))
    sent = company.ledger.outbox.claim(later(1))
    assert sent is not None
    company.ledger.outbox.settle(sent, state="sent", sent_at=later(1), next_try_at=None)
    nowhere = AlertSettings.model_validate({**SEVERE_ALERTS, "slack": {"webhook": ""}})
    company.stand.map = replace(company.stand.map, alerts=nowhere)
    company.person().resolve(1)
    assert company.told() == [("slack", "opened"), ("slack", "resolved")]


def test_a_silence_hides_messages_and_nothing_else(company: Company) -> None:
    number = company.person().silence({"flow": ("to_billing",)}, later(3600), "migration")
    company.report(0, signal("not_arriving", 10))
    company.report(60, signal("not_arriving", 400))
    assert company.told() == company.told(state="silenced") == [("slack", "opened"), ("slack", "grown")]
    assert {row["silence_id"] for row in company.rows("alerts")} == {number}
    assert company.incident()["count"] == 400
    company.after(50)
    assert (company.escalate(), company.wake()) == (0, 0)
    company.now = later(3600)
    assert (company.wake(), company.wake()) == (1, 0)
    assert company.told(state="pending") == [("slack", "opened")]
    assert company.notices[-1]["act"] == "silence 1 has ended"
    company.after(14)
    assert company.escalate() == 0
    company.after(1)
    assert company.escalate() == 1


def test_what_is_over_before_its_silence_is_never_reported(company: Company) -> None:
    company.person().silence({"flow": ("to_*",)}, later(3600), "migration")
    company.report(0, signal("not_arriving", 10))
    company.report(60, signal("not_arriving", 0))
    company.report(121, signal("not_arriving", 0))
    company.now = later(3600)
    assert company.wake() == 0
    assert company.told() == [("slack", "opened")]
    assert company.told(state="silenced") == [("slack", "opened")]


def test_a_silence_takes_messages_that_wait_and_lets_the_end_of_what_is_known_through(stand: Stand) -> None:
    company = Company(stand)
    company.report(0, signal("not_arriving", 10))
    sent = company.ledger.outbox.claim(later(1))
    assert sent is not None
    company.ledger.outbox.settle(sent, state="sent", sent_at=later(1), next_try_at=None)
    company.report(2, signal("not_arriving", 100))
    company.person().silence({"cause": ("not_arriving",)}, later(3600), "known")
    assert company.told(state="silenced") == [("slack", "grown")]
    company.report(60, signal("not_arriving", 0))
    company.report(121, signal("not_arriving", 0))
    assert company.told(state="pending") == [("slack", "resolved")]


def test_one_that_people_end_early_reports_what_it_hid(company: Company) -> None:
    desk = company.person()
    number = desk.silence({"flow": ("to_billing",)}, later(36000), "migration")
    company.report(0, signal("not_arriving", 10))
    company.after(5)
    company.person("bob").end_silence(number)
    (row,) = company.rows("silences")
    assert (row["who"], row["ended_by"], row["ended_at"]) == ("ada", "bob", company.now)
    assert company.wake() == 1
    with pytest.raises(RefusedError, match="silence 1 ended at"):
        desk.end_silence(number)
    with pytest.raises(RefusedError, match="no silence 9"):
        desk.end_silence(9)


def test_an_incident_under_two_silences_waits_for_the_later_end(company: Company) -> None:
    company.person().silence({"flow": ("to_billing",)}, later(600), "first")
    company.person().silence({"system": ("billing",)}, later(1200), "second")
    company.report(0, signal("not_arriving", 10))
    company.now = later(600)
    assert company.wake() == 0
    company.now = later(1200)
    assert company.wake() == 1


def test_a_silence_that_would_hide_everything_has_to_be_confirmed(company: Company) -> None:
    desk = company.person()
    with pytest.raises(UnconfirmedError, match="silences every incident"):
        desk.silence({}, later(60), "quiet please")
    assert company.rows("silences") == []
    assert desk.silence({}, later(60), "quiet please", confirmed=True) == 1


def test_expected_records_open_no_incident_and_others_do(stand: Stand) -> None:
    stand.agree(5)
    stand.put("billing", 3, "Eve")
    stand.audit_until(lambda: stand.rows("incidents"))
    company = Company(stand)
    company.now = stand.clock.now()
    until_at = company.now + timedelta(days=1)
    assert company.person().expect(1, until_at, "being migrated") == 1
    assert (company.incident()["state"], company.incident()["expected_until_at"]) == ("resolved", until_at)
    for _ in range(8):
        stand.audit()
        stand.clock.advance(1)
    assert [row["state"] for row in stand.rows("incidents")] == ["resolved"]
    assert [row["state"] for row in stand.rows("divergences")] == ["open"]
    stand.put("billing", 4, "Mallory")
    stand.audit_until(lambda: company.incident()["state"] == "open")
    assert company.incident()["count"] == 1
    assert len([row for row in stand.rows("divergences") if row["state"] == "open"]) == 2


def test_an_expectation_that_is_taken_back_or_over_reports_the_records_again(stand: Stand) -> None:
    stand.agree(5)
    stand.put("billing", 3, "Eve")
    stand.audit_until(lambda: stand.rows("incidents"))
    company = Company(stand)
    company.now = stand.clock.now()
    company.person().expect(1, company.now + timedelta(hours=1), "being migrated")
    company.person().unexpect(1)
    stand.audit_until(lambda: company.incident()["state"] == "open")
    with pytest.raises(RefusedError, match="no records of incident 1 are expected"):
        company.person().unexpect(1)


def test_an_incident_without_records_cannot_be_expected(company: Company) -> None:
    company.report(0, signal("unreachable", 3, system="billing"))
    with pytest.raises(RefusedError, match="about no records that differ now"):
        company.person().expect(1, later(60), "maintenance")
    assert company.timeline() == [("opened", "auditor")]


def test_a_part_is_split_off_and_stays_apart(company: Company) -> None:
    two = [signal("not_arriving", 10), signal("stalled", 100, queue="dead")]
    company.report(0, *two)
    (part,) = [row["id"] for row in company.rows("breaches") if row["breach"] == "not_arriving"]
    number = company.person().split(1, [int(part)], "another team")
    company.report(5, *two)
    assert number == 2
    assert [(row["cause"], row["state"], row["apart"]) for row in company.rows("incidents")] == [
        ("stopped_consumer", "open", False),
        ("not_arriving", "open", True),
    ]
    assert company.told() == [("slack", "opened"), ("slack", "opened")]
    assert ("split", "ada") in company.timeline(1)
    assert ("split", "ada") in company.timeline(2)


def test_what_cannot_be_split_is_refused(company: Company) -> None:
    company.report(0, signal("not_arriving", 10))
    (part,) = [int(row["id"]) for row in company.rows("breaches")]
    for parts, why in (([], "name at least one part"), ([99], "99 is no open part"), ([part], "these are all parts")):
        with pytest.raises(RefusedError, match=why):
            company.person().split(1, parts)


def test_two_incidents_become_one(company: Company) -> None:
    two = [signal("orphan", 3), signal("duplicate", 20)]
    company.report(0, *two)
    assert len(company.rows("incidents")) == 2
    company.person().merge(2, 1, "one import")
    company.report(5, *two)
    assert [(row["state"], row["merged_into"]) for row in company.rows("incidents")] == [
        ("open", None),
        ("resolved", 1),
    ]
    assert {row["incident_id"] for row in company.rows("breaches")} == {1}
    assert company.told()[-1] == ("slack", "resolved")
    assert company.timeline(2)[-2:] == [("merge", "ada"), ("resolved", "auditor")]
    with pytest.raises(RefusedError, match="into itself"):
        company.person().merge(1, 1)
    with pytest.raises(RefusedError, match="incident 2 is resolved"):
        company.person().merge(2, 1)


@pytest.mark.parametrize("number", [0, -1, 9, 2**64])
def test_unknown_numbers_are_refused(company: Company, number: int) -> None:
    with pytest.raises(RefusedError, match="there is no incident"):
        company.person().acknowledge(Case("incident", number))
    with pytest.raises(RefusedError, match="there is no conflict"):
        company.person().acknowledge(Case("conflict", number))
    with pytest.raises(RefusedError, match="there is no silence"):
        company.person().end_silence(number)


def test_what_is_over_takes_comments_only(company: Company) -> None:
    company.report(0, signal("not_arriving", 10))
    company.person().resolve(1)
    company.person().comment(ONE, "it was the proxy")
    for act in (company.person().acknowledge, company.person().unacknowledge):
        with pytest.raises(RefusedError, match="resolved; only comments"):
            act(ONE)
    with pytest.raises(RefusedError, match="resolved; only comments"):
        company.person().snooze(ONE, later(60))


def test_the_row_of_an_incident_says_what_its_timeline_leads_to(company: Company) -> None:
    company.report(0, signal("not_arriving", 10))
    company.person().acknowledge(ONE)
    company.person("bob").assign(ONE, "carl")
    company.person().snooze(ONE, later(7200))
    row, handling = company.incident(), handling_of(company.ledger.incident_events.of(1))
    for name in ("state", "acknowledged_by", "acknowledged_at", "snoozed_until_at", "assignee"):
        assert row[name] == getattr(handling, name)
    assert row["assignee"] == "carl"


def test_a_conflict_takes_the_same_verbs(stand: Stand) -> None:
    stand.remap("    every: 1s\n", "    every: 1s\n    conflict_policy: manual\n    team: billing\n")
    stand.remap("name: {type: string, evidence: clear}", "name: {type: string, writers: [billing], evidence: clear}")
    stand.agree(5)
    stand.put("crm", 3, "Grace", ago_s=0)
    stand.put("billing", 3, "Eve")
    stand.audit_until(stand.ledger.conflicts.listed)
    now = stand.clock.now()
    desk = Desk(stand.map, stand.ledger, who="ada", known_by="test", now=lambda: now)
    (conflict,) = stand.ledger.conflicts.listed()
    case = Case("conflict", conflict.conflict_id)
    desk.acknowledge(case, "looking")
    with pytest.raises(RefusedError, match="already acknowledged by ada"):
        desk.acknowledge(case)
    assert stand.ledger.conflicts.listed()[0].acknowledged_by == "ada"
    desk.unacknowledge(case)
    desk.assign(case, "bob")
    desk.comment(case, "asked the customer")
    desk.snooze(case, now + timedelta(hours=1))
    with pytest.raises(RefusedError, match="in the future"):
        desk.snooze(case, now)
    desk.decide(case.number, "crm", text="they called")
    found = stand.ledger.conflicts.find(case.number)
    assert found is not None
    acts = [str(each.act) for each in found[1]]
    assert acts == ["opened", "acknowledge", "unacknowledge", "assign", "comment", "defer", "decide"]


def test_no_comment_reaches_a_message_but_that_of_its_act(company: Company) -> None:
    company.report(0, signal("not_arriving", 10))
    company.person().comment(ONE, "the password is swordfish")
    company.report(3600, signal("not_arriving", 100))
    assert "swordfish" not in json.dumps(company.notices)

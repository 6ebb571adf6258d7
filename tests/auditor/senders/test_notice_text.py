"""Notices as plain text: truncated with a count, and with links that browsers can follow."""

from __future__ import annotations

import json

import pytest

from auditor.senders.notice_text import clipped, dashboard_link, facts, incident_key, links
from auditor.senders.slack import message
from tests.auditor.senders.receivers import NOTICE


def test_a_truncated_text_says_how_much_is_left_out() -> None:
    assert clipped("x" * 100, 100) == "x" * 100
    shown = clipped("x" * 1_101, 100)
    assert len(shown) <= 100
    assert shown.startswith("x" * 70)
    kept = shown.count("x")
    assert shown.endswith(f"… ({1_101 - kept:,} more characters)")


def test_a_resolved_incident_says_how_long_it_lasted() -> None:
    assert dict(facts({**NOTICE, "transition": "resolved"}))["Resolved after"] == "5 min"
    times = {"opened_at": "2026-03-01T11:00:00+00:00", "at": "2026-03-01T11:13:48+00:00"}
    longer = {**NOTICE, **times, "transition": "resolved"}
    assert dict(facts(longer))["Resolved after"] == "14 min"
    assert "Flow" not in dict(facts({**NOTICE, "flow": None}))
    again = {**longer, "since_at": "2026-03-01T11:13:00+00:00"}
    told = dict(facts(again))
    assert (told["Since"], told["Resolved after"]) == ("2026-03-01 11:13:00 UTC", "48 s")
    assert "resolved after 48 s" in json.dumps(message(again, dashboard=None, possible_repeat=False))


def test_what_was_missed_when_that_was_decided_is_no_number_of_now() -> None:
    objective = {**NOTICE, "breach": "objective", "count": 7, "peak": 9}
    for notice, now in ((NOTICE, True), ({**NOTICE, "breach": "digest"}, True), (objective, False)):
        assert ("Now" in dict(facts(notice))) == now
        in_slack = json.dumps(message(notice, dashboard=None, possible_repeat=False))
        assert ("*Now*" in in_slack, "*Peak*" in in_slack) == (now, not now)
    assert dict(facts(objective))["Peak"] == "9"


def test_an_act_of_a_person_is_a_note() -> None:
    assert dict(facts({**NOTICE, "act": "its snooze has ended"}))["Note"] == "its snooze has ended"
    assert "Note" not in dict(facts({**NOTICE, "act": ""}))


def test_the_key_of_an_incident_is_that_of_its_installation() -> None:
    assert incident_key(NOTICE) == incident_key({**NOTICE, "transition": "resolved", "count": 0})
    assert incident_key(NOTICE) != incident_key({**NOTICE, "opened_at": "2026-03-02T12:00:00+00:00"})


@pytest.mark.parametrize(
    "runbook", ["javascript:alert(1)", "see page 7", "https://x.example/\n", "https://" + "x" * 9_000]
)
def test_what_is_no_web_address_is_no_link(runbook: str) -> None:
    assert links(None, {**NOTICE, "runbook": runbook}) == []


def test_the_dashboard_shows_the_flow() -> None:
    assert dashboard_link("http://d/", NOTICE) == "http://d/drift?flow=to_billing"
    assert dashboard_link("http://d/", {**NOTICE, "flow": None}) == "http://d/sla"
    assert dashboard_link(None, NOTICE) == ""

"""Alerts of PagerDuty: within its limits, one per incident, resolved with it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from auditor.senders.pagerduty import PagerDutySettings, event
from tests.auditor.senders.receivers import KEY, NOTICE, opened, receiver
from tests.http_api import Response


def built(notice: dict[str, object], *, possible_repeat: bool = False) -> dict[str, object]:
    return event(notice, routing_key=KEY, severity="error", dashboard="http://x", possible_repeat=possible_repeat)


def test_all_events_of_an_incident_belong_to_one_alert() -> None:
    events = [built({**NOTICE, "transition": each}) for each in ("opened", "acknowledged", "resolved", "reopened")]
    assert len({str(each["dedup_key"]) for each in events}) == 1
    assert [each["event_action"] for each in events] == ["trigger", "acknowledge", "resolve", "trigger"]
    assert built({**NOTICE, "incident": 8})["dedup_key"] != events[0]["dedup_key"]


@given(st.text(), st.text(max_size=3000))
def test_any_text_stays_within_limits(flow: str, text: str) -> None:
    """https://developer.pagerduty.com/docs/send-alert-event"""
    notice = {**NOTICE, **dict.fromkeys(("summary", "team", "detail", "source"), text * 10), "flow": flow * 50}
    sent = json.loads(json.dumps(built(notice, possible_repeat=True)))
    assert len(sent["dedup_key"]) <= 255
    assert len(sent["payload"]["source"]) > 0
    assert len(sent["payload"]["summary"]) <= 1024
    assert len(json.dumps(sent)) < 512 * 1024


def test_it_is_sent_to_the_integration() -> None:
    with receiver(lambda _: Response(document={"status": "success"}, status=202)) as api:
        assert opened("pagerduty", api.url).send(NOTICE, possible_repeat=False).outcome == "sent"
    sent = json.loads(api.asked[0].body)
    assert sent["routing_key"] == KEY
    assert sent["payload"]["severity"] == "error"
    assert sent["links"] == [{"text": "Runbook", "href": NOTICE["runbook"]}]


@pytest.mark.parametrize(("status", "outcome"), [(400, "rejected"), (429, "refused"), (500, "ambiguous")])
def test_a_failure_is_what_its_status_means(status: int, outcome: str) -> None:
    failed = {"status": "invalid event", "errors": ["Length of 'routing_key' is incorrect"]}
    with receiver(lambda _: Response(document=failed, status=status)) as api:
        assert opened("pagerduty", api.url).send(NOTICE, possible_repeat=False).outcome == outcome


def test_a_test_pages_nobody_who_is_paged_by_severity() -> None:
    sent = json.loads(json.dumps(built({**NOTICE, "transition": "test"})))
    assert sent["payload"]["severity"] == "info"


def test_a_severity_is_one_of_four() -> None:
    with pytest.raises(ValidationError, match="'critical', 'error', 'warning' or 'info'"):
        PagerDutySettings.model_validate({"routing_key": KEY, "severity": "high"})
    assert PagerDutySettings.model_validate({"routing_key": KEY}).address == "https://events.pagerduty.com/v2/enqueue"

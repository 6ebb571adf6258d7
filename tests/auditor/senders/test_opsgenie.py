"""Alerts of Opsgenie: within its limits, one per incident, closed with it."""

from __future__ import annotations

import json
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.senders.opsgenie import alert
from tests.auditor.senders.receivers import KEY, NOTICE, opened, receiver
from tests.http_api import Response


@given(st.text(), st.text(max_size=3000))
def test_any_text_stays_within_limits(flow: str, text: str) -> None:
    """https://docs.opsgenie.com/docs/alert-api"""
    notice = {**NOTICE, **dict.fromkeys(("summary", "team", "detail", "source"), text * 20), "flow": flow * 50}
    path, body = alert(notice, priority="P3", dashboard="http://x", possible_repeat=True)
    assert path == "/v2/alerts"
    assert len(body["message"]) <= 130
    assert len(body["alias"]) <= 512
    assert len(body["description"]) <= 15_000
    assert len(body["entity"]) <= 512
    assert sum(len(name) + len(value) for name, value in body["details"].items()) <= 8_000


def test_an_incident_is_one_alert_that_is_closed_when_it_is_resolved() -> None:
    with receiver(lambda _: Response(document={"result": "Request will be processed"}, status=202)) as api:
        sender = opened("opsgenie", api.url)
        for transition in ("opened", "resolved"):
            assert sender.send({**NOTICE, "transition": transition}, possible_repeat=False).outcome == "sent"
    created, closed = api.asked
    assert {each.headers["Authorization"] for each in api.asked} == {f"GenieKey {KEY}"}
    alias = json.loads(created.body)["alias"]
    assert created.path.endswith("/v2/alerts")
    assert unquote(closed.path).endswith(f"/v2/alerts/{alias}/close")
    assert closed.values == {"identifierType": "alias"}


@pytest.mark.parametrize(("act", "action"), [("acknowledged", "acknowledge"), ("unacknowledged", "unacknowledge")])
def test_an_acknowledgement_is_passed_on_to_the_alert(act: str, action: str) -> None:
    with receiver(lambda _: Response(document={"result": "Request will be processed"}, status=202)) as api:
        notice = {**NOTICE, "transition": act, "act": f"{act} by ada: on it"}
        assert opened("opsgenie", api.url).send(notice, possible_repeat=False).outcome == "sent"
    (asked,) = api.asked
    alias = alert(NOTICE, priority="P3", dashboard=None, possible_repeat=False)[1]["alias"]
    assert unquote(asked.path).endswith(f"/v2/alerts/{alias}/{action}")
    assert json.loads(asked.body)["note"] == f"{act} by ada: on it"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(401, "rejected"), (403, "rejected"), (422, "rejected"), (429, "refused"), (503, "ambiguous")],
)
def test_a_failure_is_what_its_status_means(status: int, outcome: str) -> None:
    with receiver(lambda _: Response(document={"message": "no"}, status=status)) as api:
        assert opened("opsgenie", api.url).send(NOTICE, possible_repeat=False).outcome == outcome


def test_a_test_has_the_lowest_priority() -> None:
    _, body = alert({**NOTICE, "transition": "test"}, priority="P1", dashboard=None, possible_repeat=False)
    assert body["priority"] == "P5"

"""Test messages: labelled through every sender, closed again, and with advice for each failure."""

from __future__ import annotations

import json

import pytest

from auditor.alerts.trial import SUMMARY, Trial, send_test, trial_notice, try_buttons
from auditor.senders.contract import Receipt
from auditor.senders.email import message
from auditor.senders.registry import sender_settings
from tests.auditor.senders.receivers import NOW, OVER_HTTP, receiver, words
from tests.http_api import Response
from tests.standins.slack import APP_TOKEN, BOT_TOKEN, Slack


@pytest.mark.parametrize("name", OVER_HTTP)
def test_every_sender_labels_a_test_and_closes_what_it_opens(name: str) -> None:
    model = sender_settings(name)
    with receiver(lambda _: Response(document="ok", status=202)) as api:
        trial = send_test(name, model.model_validate(words(name, api.url)), NOW)
    assert trial.passed
    assert "check that it has arrived" in trial.advice
    first = api.asked[0].body.decode()
    assert "test message of Plumbline" in json.dumps(json.loads(first))
    assert len(api.asked) == (2 if model.closes else 1)


def test_mail_labels_a_test() -> None:
    built = message(
        trial_notice(NOW), sender="a@x.example", to=("b@x.example",), dashboard=None, possible_repeat=False
    )
    assert built["Subject"] == f"[TEST] {SUMMARY}"


@pytest.mark.parametrize(
    ("status", "outcome", "advice"),
    [
        (403, "rejected", "correct alerts.pagerduty of the map"),
        (429, "refused", "try again in 60 s"),
        (500, "ambiguous", "may have arrived"),
    ],
)
def test_a_failure_says_what_to_do(status: int, outcome: str, advice: str) -> None:
    settings = sender_settings("pagerduty")
    with receiver(lambda _: Response(document="no", status=status, headers={"Retry-After": "60"})) as api:
        trial = send_test("pagerduty", settings.model_validate(words("pagerduty", api.url)), NOW)
    assert not trial.passed
    assert trial.as_row()["outcome"] == outcome
    assert advice in trial.advice
    assert len(api.asked) == 1


def test_an_alert_that_stays_open_is_reported() -> None:
    replies = [Response(document="ok", status=202), Response(document="no", status=500)]
    settings = sender_settings("opsgenie")
    with receiver(lambda _: replies.pop(0)) as api:
        trial = send_test("opsgenie", settings.model_validate(words("opsgenie", api.url)), NOW)
    assert not trial.passed
    assert "close the alert by hand" in trial.advice


def test_a_recipient_that_is_refused_is_no_success() -> None:
    trial = Trial(sender="email", receipt=Receipt(outcome="sent", error="not delivered to a@x.example"))
    assert not trial.passed
    assert "correct the addresses under alerts.email" in trial.advice


def test_buttons_are_tried_without_a_message() -> None:
    model = sender_settings("slack_bot")
    with Slack() as workspace:
        given = {"token": BOT_TOKEN, "channel": "#ops", "url": f"{workspace.url}/api"}
        assert try_buttons("slack_bot", model.model_validate(given)) is None
        tried = try_buttons("slack_bot", model.model_validate({**given, "app_token": APP_TOKEN}))
        assert tried is not None
        assert (tried.passed, tried.as_row()["sender"]) == (True, "slack_bot (buttons)")
        refused = try_buttons("slack_bot", model.model_validate({**given, "app_token": "xapp-other"}))
        assert refused is not None
        assert not refused.passed
        assert "invalid_auth: put an app-level token" in refused.receipt.error
        assert "correct alerts.slack_bot.app_token of the map" in refused.advice
        assert workspace.messages == []

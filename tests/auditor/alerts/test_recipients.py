"""Which senders and channels get the messages of an incident, from its opening to its end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from auditor.alerts.delivery import deliver_next
from auditor.map.settings import AlertSettings
from tests.auditor.alerts.test_digest import storm
from tests.auditor.senders.receivers import NOTICE, NOW, opened
from tests.stand import Stand
from tests.standins.slack import BOT_TOKEN, Slack

ALERTS: dict[str, Any] = {
    "slack_bot": {"token": "t", "channel": "#ops"},
    "pagerduty": {"routing_key": "k"},
    "webhook": {"url": "https://x.example/y"},
    "routes": [
        {"team": "billing", "to": "slack_bot", "channel": "#billing", "continue": True},
        {"severity": "critical", "to": ["pagerduty", "slack_bot"]},
    ],
    "default": {"to": "webhook"},
}


@pytest.fixture
def routed(stand: Stand) -> Stand:
    stand.ledger.outbox.routing = AlertSettings.model_validate(ALERTS).routing
    return stand


def told(stand: Stand, transition: str, *, incident: int = 1, **changed: Any) -> list[tuple[object, object]]:
    """Queue a transition for every sender of the map; returns who gets it, and in which channels."""
    notice = {**NOTICE, "channel": None, "transition": transition, **changed}
    with stand.ledger.write() as transaction:
        for sender in ("slack_bot", "pagerduty", "webhook"):
            stand.ledger.outbox.queue(
                transaction, incident_id=incident, transition=transition, sender=sender, notice=notice, at=NOW
            )
    mine = [row for row in stand.rows("alerts") if row["transition"] == transition]
    return sorted((row["sender"], row["channel"]) for row in mine if row["incident_id"] == incident)


def test_an_incident_goes_where_its_routes_lead_and_its_end_to_whoever_heard_of_it(routed: Stand) -> None:
    storm(routed, 1, sender="nobody")
    assert told(routed, "opened") == [("slack_bot", "#billing")]
    worse = [("pagerduty", ""), ("slack_bot", ""), ("slack_bot", "#billing")]
    assert told(routed, "worse", severity="critical") == worse
    assert told(routed, "resolved", team="sales") == worse


def test_what_no_route_matches_goes_to_the_default(routed: Stand) -> None:
    storm(routed, 1, sender="nobody")
    assert told(routed, "opened", team="sales") == [("webhook", "")]


def test_a_flow_keeps_its_own_channel_where_the_route_names_none(routed: Stand) -> None:
    storm(routed, 1, sender="nobody")
    got = told(routed, "opened", team="sales", severity="critical", channel="#sales")
    assert got == [("pagerduty", ""), ("slack_bot", "#sales")]


def test_each_channel_has_a_message_of_its_own_that_a_restart_goes_on_editing(routed: Stand) -> None:
    with Slack() as workspace:
        channels = {name: workspace.create_channel(name) for name in ("ops", "billing")}
        storm(routed, 1, sender="nobody")
        for at, transition in enumerate(("opened", "grown", "resolved")):
            told(routed, transition, severity="critical")
            bot = opened("slack_bot", f"{workspace.url}/api", token=BOT_TOKEN, channel="#ops")
            while deliver_next(routed.ledger, {"slack_bot": bot}, NOW + timedelta(seconds=at), to="slack_bot"):
                pass
        roots = {each["channel"]: each for each in workspace.messages if "thread_ts" not in each}
        assert sorted(roots) == sorted(channels.values())
        assert [each["edits"] for each in roots.values()] == [2, 2]
        assert len(workspace.messages) == 6

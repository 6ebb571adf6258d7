"""The buttons of an incident's message: which there are, within Slack's limits, and what a press of one says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from auditor.senders.slack import message
from auditor.senders.slack_buttons import Button, Snooze, buttons, end_of, press_of
from tests.auditor.senders.receivers import NOTICE, NOW

OPENED = NOW.replace(microsecond=123456)
ABOUT = {**NOTICE, "opened_at": OPENED.isoformat()}


def names(notice: dict[str, Any]) -> list[str]:
    return [each["action_id"] for each in buttons(notice)]


def pressed(action: dict[str, Any], **changed: Any) -> dict[str, Any]:
    user = {"id": "U012", "username": "ann", "name": "ann", "team_id": "T012"}
    container = {"type": "message_attachment", "channel_id": "C012"}
    return {"type": "block_actions", "user": user, "container": container, "actions": [action], **changed}


def test_a_message_has_buttons_as_long_as_there_is_something_to_do() -> None:
    every = ["plumbline_acknowledge", "plumbline_assign", "plumbline_snooze"]
    for transition in ("opened", "grown", "assigned", "snoozed", "unacknowledged", "reopened"):
        assert names({**ABOUT, "transition": transition}) == every
    assert names({**ABOUT, "transition": "acknowledged"}) == every[1:]
    for transition in ("resolved", "digest", "test"):
        assert names({**ABOUT, "transition": transition}) == []
    for incident in ("not recorded", 0):
        assert names({**ABOUT, "incident": incident}) == []


def test_nobody_who_listens_to_nothing_has_buttons() -> None:
    shown = message(ABOUT, dashboard="http://x.example", possible_repeat=False)
    assert "plumbline_acknowledge" not in str(shown)
    heard = message(ABOUT, dashboard="http://x.example", possible_repeat=False, acts=True)
    elements = heard["attachments"][0]["blocks"][-1]["elements"]
    assert [each["action_id"] for each in elements] == [*names(ABOUT), "open", "runbook"]


def test_buttons_keep_to_the_limits_of_block_kit_also_with_the_largest_number() -> None:
    for each in buttons({**ABOUT, "incident": 2**63 - 1}):
        assert len(each["action_id"]) <= 255
        assert len(each.get("value", "")) <= 2000
        for option in each.get("options", ()):
            assert len(option["value"]) <= 150
            assert len(option["text"]["text"]) <= 75
        assert len(each.get("options", ())) <= 5


def test_a_press_says_what_of_which_incident_and_who() -> None:
    acknowledge, _, snooze = buttons(ABOUT)
    press = press_of(pressed(acknowledge))
    assert press is not None
    assert (press.button, press.incident, press.opened_at) == (Button.ACKNOWLEDGE, 7, OPENED)
    assert (press.user, press.name, press.team, press.channel) == ("U012", "ann", "T012", "C012")
    assert press.pressed_at is None
    for stamp in ("soon", "1e99", None):
        assert press_of(pressed({**acknowledge, "action_ts": stamp})) == press
    stamped = press_of(pressed({**acknowledge, "action_ts": "1548426417.840180"}))
    assert stamped is not None
    assert stamped.pressed_at == datetime(2019, 1, 25, 14, 26, 57, 840180, tzinfo=UTC)
    chosen = press_of(pressed({**snooze, "selected_option": snooze["options"][2]}))
    assert chosen is not None
    assert (chosen.button, chosen.snooze, chosen.incident) == (Button.SNOOZE, Snooze.TOMORROW, 7)


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"type": "view_submission", "user": {"id": "U1"}},
        pressed({"action_id": "open", "type": "button"}),  # a link
        pressed({"action_id": "plumbline_acknowledge", "value": "7"}),
        pressed({"action_id": "plumbline_acknowledge", "value": "7 yesterday"}),
        pressed({"action_id": "plumbline_snooze", "selected_option": None}),
        pressed({"action_id": "plumbline_snooze", "selected_option": {"value": "9h 7 2026-03-01T12:00:00+00:00"}}),
        pressed({"action_id": "plumbline_assign", "value": "7 2026-03-01T12:00:00+00:00"}, user=None),
        pressed({"action_id": "plumbline_assign", "value": "7 0001-01-01T00:00:00+23:59"}),
        {"actions": "x", "user": []},
    ],
)
def test_what_is_no_press_of_a_button_is_none(payload: dict[str, Any]) -> None:
    assert press_of(payload) is None


@pytest.mark.parametrize(
    ("snooze", "zone", "ends"),
    [
        (Snooze.HOUR, "UTC", datetime(2026, 3, 28, 23, 30, tzinfo=UTC)),
        (Snooze.HOURS, "UTC", datetime(2026, 3, 29, 2, 30, tzinfo=UTC)),
        (Snooze.TOMORROW, "UTC", datetime(2026, 3, 29, 8, 0, tzinfo=UTC)),
        (Snooze.TOMORROW, "Europe/Berlin", datetime(2026, 3, 29, 6, 0, tzinfo=UTC)),  # summer time has begun
        (Snooze.TOMORROW, "Asia/Tokyo", datetime(2026, 3, 29, 23, 0, tzinfo=UTC)),  # it is tomorrow already
    ],
)
def test_a_snooze_ends_after_hours_or_in_the_morning_of_the_person(snooze: Snooze, zone: str, ends: datetime) -> None:
    assert end_of(snooze, datetime(2026, 3, 28, 22, 30, tzinfo=UTC), ZoneInfo(zone)) == ends

"""The buttons with which people act on an incident in Slack, and what a press of one says. Pure.

Limits: https://docs.slack.dev/reference/block-kit/block-elements/button-element (text 75, value 2000 characters),
/overflow-menu-element (five options), https://docs.slack.dev/reference/block-kit/composition-objects/option-object
(text 75, value 150 characters), https://docs.slack.dev/reference/block-kit/blocks/actions-block (25 elements).
A press: https://docs.slack.dev/reference/interaction-payloads/block_actions-payload.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from enum import StrEnum
from typing import Any

from checks.tables import complete

MORNING = time(8)
"""When a snooze until tomorrow ends."""

_WITHOUT = frozenset({"resolved", "digest", "test"})
"""Transitions after which nobody acts on the incident of a message, or of which it has none."""


class Button(StrEnum):
    """The identity of a button or a menu."""

    ACKNOWLEDGE = "plumbline_acknowledge"
    ASSIGN = "plumbline_assign"
    SNOOZE = "plumbline_snooze"


class Snooze(StrEnum):
    """For how long a person puts an incident off."""

    HOUR = "1h"
    HOURS = "4h"
    TOMORROW = "tomorrow"


_CHOICES = complete(
    {
        Snooze.HOUR: ("Snooze for 1 hour", timedelta(hours=1)),
        Snooze.HOURS: ("Snooze for 4 hours", timedelta(hours=4)),
        Snooze.TOMORROW: (f"Snooze until tomorrow, {MORNING:%H:%M}", None),
    }
)
"""What people choose from, and how long it lasts; None until the next morning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """A button that somebody has pressed.

    Attributes:
        incident: the number of the message's incident.
        opened_at: when it opened; an incident of another ledger may have the same number.
        snooze: what was chosen from the menu; None for a button.
        user: Slack's identity of the person.
        name: of the person, as far as the press says it.
        team: the identity of the person's workspace or organisation, "" if it is not known.
        channel: the identity of the channel of the message.
        pressed_at: when, by Slack's clock; None if the press does not say it.
    """

    button: Button
    incident: int
    opened_at: datetime
    snooze: Snooze | None
    user: str
    name: str
    team: str
    channel: str
    pressed_at: datetime | None = None


def buttons(notice: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The buttons for the message of a notice; none if there is nothing to act on."""
    number = notice["incident"]
    if not isinstance(number, int) or number < 1 or notice["transition"] in _WITHOUT:
        return []
    about = f"{number} {datetime.fromisoformat(str(notice['opened_at'])).isoformat()}"
    acknowledge = {**_button(Button.ACKNOWLEDGE, "Acknowledge", about), "style": "primary"}
    options = [{"text": _plain(text), "value": f"{choice} {about}"} for choice, (text, _) in _CHOICES.items()]
    return [
        *([] if notice["transition"] == "acknowledged" else [acknowledge]),
        _button(Button.ASSIGN, "Assign to me", about),
        {"type": "overflow", "action_id": Button.SNOOZE.value, "options": options},
    ]


def press_of(payload: Mapping[str, Any]) -> Press | None:
    """What a payload of Slack says was pressed; None if it is no press of one of these buttons."""
    try:
        action, user = payload["actions"][0], payload["user"]
        button = Button(action["action_id"])
        value = str(action["selected_option"]["value"] if button is Button.SNOOZE else action["value"])
        choice, _, about = value.partition(" ") if button is Button.SNOOZE else ("", "", value)
        number, _, opened_at = about.partition(" ")
        container = payload.get("container") or {}
        return Press(
            button=button,
            incident=int(number),
            opened_at=datetime.fromisoformat(opened_at).astimezone(UTC),
            snooze=Snooze(choice) if choice else None,
            user=str(user["id"]),
            name=str(user.get("name") or user.get("username") or ""),
            team=str(user.get("team_id") or ""),
            channel=str(container.get("channel_id") or payload["channel"]["id"]),
            pressed_at=_instant(action.get("action_ts")),
        )
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
        return None


def _instant(stamp: object) -> datetime | None:
    """A stamp of Slack, such as "1548426417.840180"; None for anything else."""
    try:
        return datetime.fromtimestamp(float(str(stamp)), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def end_of(snooze: Snooze, now: datetime, zone: tzinfo) -> datetime:
    """When a snooze ends.

    Args:
        zone: of the person, for what ends in the morning.
    """
    _, length = _CHOICES[snooze]
    if length is not None:
        return now + length
    tomorrow = now.astimezone(zone).date() + timedelta(days=1)
    return datetime.combine(tomorrow, MORNING, zone).astimezone(UTC)


def _button(button: Button, text: str, value: str) -> dict[str, Any]:
    return {"type": "button", "action_id": button.value, "text": _plain(text), "value": value}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}

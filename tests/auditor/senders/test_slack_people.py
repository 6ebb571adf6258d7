"""What Slack says of people, and answers that one person sees; against a stand-in for Slack."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from auditor.senders.slack_bot import SlackBotSettings
from auditor.senders.slack_people import Person, SlackPeople
from tests.standins import faults
from tests.standins.slack import BOT_TOKEN, TEAM, Slack


@pytest.fixture
def workspace() -> Iterator[Slack]:
    with Slack() as server:
        yield server


@pytest.fixture
def people(workspace: Slack) -> SlackPeople:
    url = f"{workspace.url}/api"
    return SlackPeople(SlackBotSettings.model_validate({"token": BOT_TOKEN, "channel": "#ops", "url": url}))


def test_a_person_has_the_name_and_the_zone_that_slack_shows(workspace: Slack, people: SlackPeople) -> None:
    user = workspace.create_user("ann")
    workspace.update_user(user, display_name="  Ann B. ")
    assert people.person(user) == Person(name="Ann B.", zone=ZoneInfo("Europe/Zurich"))
    workspace.update_user(user, display_name=" ", real_name="Ann Boyd", tz="Mars/Olympus")
    assert people.person(user) == Person(name="Ann Boyd", zone=UTC)


def test_without_the_scope_nothing_is_known_of_a_person(workspace: Slack, people: SlackPeople) -> None:
    user = workspace.create_user("ann")
    workspace.scopes.discard("users:read")
    assert people.person(user) == Person()
    assert people.person("W0") == Person()


def test_whose_bot_it_is_needs_no_scope_and_is_asked_once(workspace: Slack, people: SlackPeople) -> None:
    workspace.scopes.clear()
    workspace.fail(faults.refused(500), on="auth_test")
    assert people.own_teams() == frozenset()
    for _ in range(2):
        assert people.own_teams() == {TEAM}
    assert workspace.count("auth_test") == 2


def test_an_answer_is_seen_by_one_person_and_is_text(workspace: Slack, people: SlackPeople) -> None:
    channel, user = workspace.create_channel("ops"), workspace.create_user("ann")
    assert people.answer(channel, user, "already acknowledged by <!here> *x*").outcome == "sent"
    (whisper,) = workspace.whispers
    assert (whisper["channel"], whisper["user"]) == (channel, user)
    shown = json.dumps([whisper["text"], whisper["blocks"]])
    assert "already acknowledged by" in shown
    assert "<!here>" not in shown
    assert (
        "not_in_channel: invite the bot"
        in people.answer(workspace.create_channel("else", is_member=False), user, "x").error
    )

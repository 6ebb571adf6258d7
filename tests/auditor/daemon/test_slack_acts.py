"""Buttons pressed in Slack: what is recorded, in whose name, and what the person hears if it is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from auditor.daemon import slack_acts
from auditor.daemon.slack_acts import SlackActs
from auditor.desk.desk import Case, Desk
from auditor.ledger import Ledger, LedgerError, this_process
from auditor.map.settings import AlertSettings
from auditor.senders.slack_bot import SlackBotSettings
from auditor.senders.slack_buttons import Button, Press, Snooze
from auditor.senders.slack_people import SlackPeople
from tests.auditor.alerts.test_reporter import Desk as Audits
from tests.auditor.alerts.test_reporter import later, signal
from tests.stand import Stand
from tests.standins.slack import APP_TOKEN, BOT_TOKEN, TEAM, Slack


class Company(Audits):
    """An open incident, and a workspace whose people act on it."""

    def __init__(self, stand: Stand, workspace: Slack, **words: Any) -> None:
        super().__init__(stand)
        self.workspace = workspace
        self.ann = workspace.create_user("ann")
        workspace.update_user(self.ann, display_name="Ann B.")
        self.given = {
            "token": BOT_TOKEN,
            "app_token": APP_TOKEN,
            "channel": "#ops",
            "url": f"{workspace.url}/api",
            **words,
        }
        self.stand.map = replace(stand.map, alerts=AlertSettings.model_validate({"slack_bot": self.given}))
        self.now = later(600)
        self.report(0, signal("not_arriving", 10))

    def acts(self, *, token: int | None = None) -> SlackActs:
        def ledger() -> Ledger:
            opened = Ledger(self.stand.ledger_url)
            opened.database.token = token
            return opened

        settings = SlackBotSettings.model_validate(self.given)
        return SlackActs(self.stand.map, settings, SlackPeople(settings), ledger, now=lambda: self.now)

    def press(self, button: Button, snooze: Snooze | None = None, **changed: Any) -> Press:
        whole = {
            "incident": 1,
            "opened_at": later(0),
            "snooze": snooze,
            "user": self.ann,
            "name": "ann",
            "team": TEAM,
            "channel": "C00000000X",
        }
        return Press(button=button, **{**whole, **changed})

    def act(self, button: Button, snooze: Snooze | None = None, **changed: Any) -> str:
        acts = self.acts()
        try:
            return acts.act(self.press(button, snooze, **changed))
        finally:
            acts.close()

    def timeline(self) -> list[tuple[str, str, str | None]]:
        events = self.ledger.incident_events.of(1)
        return [(str(each.verb), each.who, each.known_by) for each in events if each.known_by]


@pytest.fixture
def workspace() -> Iterator[Slack]:
    with Slack() as server:
        yield server


@pytest.fixture
def company(stand: Stand, workspace: Slack) -> Company:
    return Company(stand, workspace)


def test_an_act_is_recorded_in_the_name_of_the_person(company: Company) -> None:
    assert company.act(Button.ACKNOWLEDGE) == ""
    assert company.act(Button.ASSIGN) == ""
    assert company.act(Button.SNOOZE, Snooze.TOMORROW) == ""
    known_by = f"Slack, member {company.ann}"
    verbs = ["acknowledge", "assign", "snooze"]
    assert company.timeline() == [(each, "Slack: Ann B.", known_by) for each in verbs]
    events = company.ledger.incident_events.of(1)
    assert events[-2].assignee == "Ann B."
    assert events[-1].until_at == datetime(2026, 3, 2, 7, tzinfo=UTC)  # the person is in Zurich


def test_without_the_scope_the_name_is_that_of_the_press_or_the_identity(company: Company) -> None:
    company.workspace.scopes.discard("users:read")
    company.act(Button.ASSIGN)
    company.act(Button.ASSIGN, name=" ")
    company.act(Button.ASSIGN, name="é" * 500)
    assert [who for _, who, _ in company.timeline()] == [
        "Slack: ann",
        f"Slack: {company.ann}",
        "Slack: " + "é" * 93,
    ]


def test_what_no_longer_fits_is_answered_with_a_sentence(company: Company) -> None:
    company.act(Button.ACKNOWLEDGE)
    again = company.act(Button.ACKNOWLEDGE)
    assert again == "Incident 1 was already acknowledged by Slack: Ann B. at 2026-03-01 00:10:00 UTC."
    company.report(700, signal("not_arriving", 0))
    company.report(761, signal("not_arriving", 0))
    assert company.act(Button.SNOOZE, Snooze.HOUR) == "Incident 1 is resolved; only comments are accepted."
    assert [verb for verb, _, _ in company.timeline()] == ["acknowledge"]


@pytest.mark.parametrize(
    ("button", "snooze"),
    [
        (Button.ACKNOWLEDGE, None),
        (Button.ASSIGN, None),
        (Button.SNOOZE, Snooze.HOUR),
        (Button.SNOOZE, Snooze.TOMORROW),
    ],
)
@pytest.mark.parametrize("ahead_s", [-1, 2])
def test_a_press_that_slack_delivers_again_after_a_restart_is_recorded_once(
    button: Button, snooze: Snooze | None, ahead_s: int, company: Company
) -> None:
    pressed_at = company.now + timedelta(seconds=ahead_s)  # by Slack's clock
    assert company.act(button, snooze, pressed_at=pressed_at) == ""
    company.now += timedelta(minutes=2)
    company.act(button, snooze, pressed_at=pressed_at)
    assert len(company.timeline()) == 1


def test_a_press_that_is_delivered_again_does_not_undo_what_was_done_since(company: Company) -> None:
    pressed_at = company.now - timedelta(seconds=1)
    for button, snooze in ((Button.ACKNOWLEDGE, None), (Button.SNOOZE, Snooze.TOMORROW)):
        company.act(button, snooze, pressed_at=pressed_at)
        company.now += timedelta(minutes=1)
        Desk(company.stand.map, company.ledger, who="bob", known_by="test", now=lambda: company.now).unacknowledge(
            Case("incident", 1)
        )
        company.act(button, snooze, pressed_at=pressed_at)
        assert company.timeline()[-1][0] == "unacknowledge"
    assert company.act(Button.SNOOZE, Snooze.TOMORROW, pressed_at=company.now) == ""
    assert company.timeline()[-1][0] == "snooze"


def test_a_snooze_begins_with_the_press_unless_the_clocks_disagree(company: Company) -> None:
    now = company.now
    for pressed_at, begins in ((now - timedelta(minutes=9), now - timedelta(minutes=9)), (now + timedelta(1), now)):
        company.act(Button.SNOOZE, Snooze.HOURS, pressed_at=pressed_at)
        assert company.ledger.incident_events.of(1)[-1].until_at == begins + timedelta(hours=4)


def test_another_choice_in_quick_succession_counts(company: Company) -> None:
    pressed_at = company.now - timedelta(seconds=5)
    for at, choice in enumerate((Snooze.HOUR, Snooze.HOURS)):
        company.act(Button.SNOOZE, choice, pressed_at=pressed_at + timedelta(seconds=at))
    assert company.ledger.incident_events.of(1)[-1].until_at == pressed_at + timedelta(hours=4, seconds=1)


def test_an_incident_of_another_ledger_is_not_touched(company: Company) -> None:
    for other in ({"opened_at": later(1)}, {"incident": 2}, {"incident": 2**70}, {"incident": -1}):
        assert company.act(Button.ACKNOWLEDGE, **other) == slack_acts.OTHER_LEDGER
    assert company.timeline() == []


def test_only_those_who_are_listed_may_act(stand: Stand, workspace: Slack) -> None:
    company = Company(stand, workspace, may_act=["U012ABCD"])
    assert company.act(Button.ACKNOWLEDGE) == slack_acts.NOT_LISTED
    assert company.act(Button.ACKNOWLEDGE, user="U012ABCD", team="T0ELSEWHERE") == ""
    assert [known_by for _, _, known_by in company.timeline()] == ["Slack, member U012ABCD"]


def test_people_of_another_workspace_may_not_act_unless_they_are_listed(company: Company) -> None:
    assert company.act(Button.ACKNOWLEDGE, team="T0ELSEWHERE") == slack_acts.ELSEWHERE
    assert company.act(Button.ACKNOWLEDGE, team="") == slack_acts.UNKNOWN_TEAM
    company.workspace.revoke()
    assert company.act(Button.ACKNOWLEDGE) == slack_acts.UNKNOWN_TEAM
    assert company.timeline() == []


def test_of_two_daemons_that_hear_of_a_press_the_one_with_the_lease_records_it(company: Company) -> None:
    mine = this_process("run", company.stand.place)
    tokens = [company.ledger.lease.take(company.ledger.lease.now(), mine) for _ in range(2)]
    answers = [company.acts(token=token).act(company.press(Button.SNOOZE, Snooze.HOUR)) for token in tokens]
    assert answers == [slack_acts.TAKEN_OVER, ""]
    assert [verb for verb, _, _ in company.timeline()] == ["snooze"]


def test_a_ledger_that_fails_is_said_without_its_address(company: Company, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Ledger:
        raise LedgerError("cannot use the ledger db.internal/x")

    settings = SlackBotSettings.model_validate(company.given)
    acts = SlackActs(company.stand.map, settings, SlackPeople(settings), broken)
    assert acts.act(company.press(Button.ACKNOWLEDGE)) == slack_acts.NO_LEDGER
    assert "db.internal" in caplog.text

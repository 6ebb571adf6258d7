"""Acting on incidents from Slack, the whole way: against a stand-in for Slack that speaks Socket Mode."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from auditor.daemon.daemon import Daemon
from auditor.daemon.slack_listener import SlackListener
from auditor.daemon.trouble import News
from auditor.map.loader import load_map
from auditor.senders.slack_bot import SlackBotSettings
from auditor.senders.slack_buttons import Press
from auditor.senders.slack_people import SlackPeople
from auditor.senders.slack_socket import SWITCHED_OFF, SlackSockets
from auditor.workspace import Workspace
from tests.auditor.cli.process import auditor
from tests.auditor.senders.test_slack_buttons import ABOUT, pressed
from tests.stand import Stand
from tests.standins.slack import APP_TOKEN, BOT_TOKEN, Slack
from tests.waiting import wait_until


@pytest.fixture
def workspace() -> Iterator[Slack]:
    with Slack() as server:
        yield server


@contextmanager
def auditing(stand: Stand, workspace: Slack, app_token: str = APP_TOKEN) -> Iterator[Daemon]:
    """A daemon that reports in the channel #ops."""
    workspace.create_channel("ops")
    stand.agree(5)
    bot = f"{{token: {BOT_TOKEN}, app_token: {app_token}, channel: '#ops', url: '{workspace.url}/api'}}"
    stand.map_file.write_text(stand.map_file.read_text() + f"alerts:\n  hold: 0s\n  slack_bot: {bot}\n")
    daemon = Daemon(load_map(stand.map_file, {}), Workspace.at(stand.place / "var", ledger_url=stand.ledger_url))
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()


def go_wrong(stand: Stand) -> None:
    """Two dead letters, one more than is allowed."""
    for key in (3, 4):
        stand.run("billing", f"INSERT INTO letters VALUES ({key}, {key}, '2026-03-01 00:00:00', 'no')")


def root(workspace: Slack) -> dict[str, Any]:
    """The incident's message as it is now; empty before it is posted."""
    return next(({**each} for each in workspace.messages if "thread_ts" not in each), {})


def shows(workspace: Slack, *texts: str) -> bool:
    shown = json.dumps(root(workspace))
    return all(text in shown for text in texts)


def status(stand: Stand) -> str:
    """What `auditor status` prints beside its tables."""
    where = ("--map", stand.map_file, "--data", stand.place / "var")
    return auditor("status", *where, AUDITOR_LEDGER=stand.ledger_url).stderr


def events(stand: Stand) -> list[str]:
    """What people did."""
    return [str(each.verb) for each in stand.ledger.incident_events.of(1) if each.known_by]


def test_an_incident_is_acknowledged_from_its_message_and_shows_it(stand: Stand, workspace: Slack) -> None:
    ann = workspace.create_user("ann")
    with auditing(stand, workspace) as daemon:
        go_wrong(stand)
        wait_until(lambda: shows(workspace, "OPEN", "plumbline_acknowledge"))
        workspace.socket.await_connections()
        opened = root(workspace)
        envelope = workspace.press(opened, "plumbline_acknowledge", by=ann)
        wait_until(lambda: shows(workspace, "ACKNOWLEDGED"))
        assert workspace.socket.acknowledged == [envelope]
        (incident,) = stand.rows("incidents")
        assert (incident["state"], incident["acknowledged_by"]) == ("acknowledged", "Slack: ann")
        assert events(stand) == ["acknowledge"]
        assert not shows(workspace, "plumbline_acknowledge")

        workspace.socket.disconnect()
        wait_until(lambda: workspace.socket.opened == 2)
        workspace.socket.await_connections()
        workspace.press(root(workspace), "plumbline_snooze", by=ann, choice="4h")
        wait_until(lambda: shows(workspace, "SNOOZED"))

        daemon._check()
        assert stand.ledger.listening.state().error is None
        assert stand.ledger.listening.state().since_at is not None
        stand.run("billing", "DELETE FROM letters")
        wait_until(lambda: shows(workspace, "RESOLVED"))
        assert not shows(workspace, "plumbline_assign")
        workspace.press(opened, "plumbline_assign", by=ann)  # on a screen that is not up to date
        wait_until(lambda: workspace.whispers)
        assert workspace.whispers[0]["user"] == ann
        assert "Incident 1 is resolved" in workspace.whispers[0]["text"]
        assert events(stand) == ["acknowledge", "snooze"]
    workspace.socket.await_connections(0)
    wait_until(lambda: not [each for each in threading.enumerate() if each.name.startswith("slack ")])


def test_messages_have_no_buttons_while_slack_refuses_the_token(stand: Stand, workspace: Slack) -> None:
    with auditing(stand, workspace, "xapp-1-refused") as daemon:
        wait_until(lambda: daemon._buttons.check(daemon.ledger))
        go_wrong(stand)
        wait_until(lambda: shows(workspace, "OPEN"))
        assert not shows(workspace, "plumbline_acknowledge")
        wait_until(lambda: daemon.vitals.health().undelivered)
        assert "buttons in Slack do nothing" in daemon.vitals.health().undelivered[0]
        assert "buttons in Slack: do nothing since" in status(stand)
    assert "buttons in Slack: nobody listens" in status(stand)


def test_the_daemon_of_a_newer_map_listens_in_place_of_the_one_before(stand: Stand, workspace: Slack) -> None:
    ann = workspace.create_user("ann")
    with auditing(stand, workspace) as daemon:
        go_wrong(stand)
        wait_until(lambda: shows(workspace, "OPEN", "plumbline_acknowledge"))
        workspace.socket.await_connections()
        stand.map_file.write_text(stand.map_file.read_text().replace("every: 1s", "every: 2s"))
        successor = daemon.replaced_by(load_map(stand.map_file, {}), threading.Event())
        assert successor is not None
        successor.start()
        try:
            wait_until(lambda: workspace.socket.opened == 2)
            workspace.socket.await_connections()
            workspace.press(root(workspace), "plumbline_assign", by=ann)
            wait_until(lambda: shows(workspace, "ASSIGNED"))
        finally:
            successor.stop()
    assert events(stand) == ["assign"]


class Desk:
    """A listener without a daemon; what is pressed is kept and may be refused."""

    def __init__(self, workspace: Slack, app_token: str = APP_TOKEN) -> None:
        given = {"token": BOT_TOKEN, "channel": "#ops", "url": f"{workspace.url}/api", "app_token": app_token}
        settings = SlackBotSettings.model_validate(given)
        self.acted: list[Press] = []
        self.told: list[News] = []
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)
        self.listener = SlackListener(
            SlackSockets(settings),
            self._act,
            SlackPeople(settings),
            tell=self.told.append,
            pause_s=0.05,
            now=self._later,
        )

    def _act(self, press: Press) -> str:
        self.acted.append(press)
        if press.name == "broken":
            raise ZeroDivisionError
        return "no" if press.name == "refused" else ""

    def _later(self) -> datetime:
        self.now += timedelta(seconds=3)
        return self.now

    def __enter__(self) -> Desk:
        self.listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.close()


def payload(workspace: Slack, user: str = "U012", name: str = "ann") -> dict[str, Any]:
    about = f"{ABOUT['incident']} {ABOUT['opened_at']}"
    told = pressed({"action_id": "plumbline_assign", "type": "button", "value": about})
    told["user"] |= {"id": user, "name": name}
    told["container"]["channel_id"] = "C00000000X"
    return told


def test_an_envelope_that_comes_twice_acts_once_also_after_a_new_connection(workspace: Slack) -> None:
    with Desk(workspace) as desk:
        workspace.socket.await_connections()
        for _ in range(3):
            workspace.socket.send(payload(workspace), envelope="one")
        wait_until(lambda: workspace.socket.acknowledged == ["one"] * 3)
        workspace.socket.cut()
        wait_until(lambda: workspace.socket.opened == 2)
        workspace.socket.await_connections()
        workspace.socket.send(payload(workspace), envelope="one")
        workspace.socket.send(payload(workspace), envelope="two")
        wait_until(lambda: len(workspace.socket.acknowledged) == 5)
        wait_until(lambda: len(desk.acted) == 2)


def test_what_is_no_press_is_acknowledged_and_nothing_more(workspace: Slack) -> None:
    with Desk(workspace) as desk:
        workspace.socket.await_connections()
        workspace.socket.send({"type": "view_submission"})
        workspace.socket.send(pressed({"action_id": "open", "type": "button"}))
        workspace.socket.send(payload(workspace))
        wait_until(lambda: len(workspace.socket.acknowledged) == 3 and desk.acted)
        assert len(desk.acted) == 1


def test_a_person_hears_of_a_refusal_and_of_an_error_and_further_presses_count(workspace: Slack) -> None:
    workspace.create_channel("ops")
    ann = workspace.create_user("ann")
    with Desk(workspace) as desk:
        workspace.socket.await_connections()
        for name in ("refused", "broken", "ann"):
            workspace.socket.send(payload(workspace, ann, name))
        wait_until(lambda: len(desk.acted) == 3)
        wait_until(lambda: len(workspace.whispers) == 2)
    said = sorted(each["text"] for each in workspace.whispers)
    assert said[0].startswith("An error of the auditor")
    assert said[1] == "no"


def test_a_refused_token_is_logged_once_told_once_and_shown(
    workspace: Slack, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), Desk(workspace, "xapp-1-revoked") as desk:
        wait_until(lambda: desk.told)
        wait_until(lambda: workspace.count("apps_connections_open") > 6)
        assert not desk.listener.listens
        assert (desk.listener.failure or "").startswith("Slack: invalid_auth: put an app-level token")
    assert [news.transition for news in desk.told] == ["opened"]
    assert "Meanwhile buttons in Slack do nothing" in desk.told[0].summary
    assert "verified" not in desk.told[0].detail
    assert caplog.text.count("invalid_auth") == 1
    assert "xapp-1-revoked" not in caplog.text


def test_once_it_works_again_people_hear_that_too(workspace: Slack) -> None:
    workspace.socket.greets = True
    with Desk(workspace) as desk:
        workspace.socket.await_connections()
        while not desk.told:
            opened = workspace.socket.opened
            workspace.socket.disconnect(SWITCHED_OFF)
            wait_until(lambda opened=opened: workspace.socket.opened > opened)  # type: ignore[misc]
        assert "switch it on" in desk.told[0].summary
        wait_until(lambda: len(desk.told) == 2)
        assert desk.told[1].transition == "resolved"
        assert desk.listener.listens

"""Connections over Socket Mode: opened, greeted, acknowledged and closed; against a stand-in for Slack."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from auditor.senders.slack_bot import SlackBotSettings
from auditor.senders.slack_socket import SWITCHED_OFF, NotListeningError, SlackSocket, SlackSockets
from tests.auditor.senders.receivers import receiver
from tests.servers import free_port
from tests.standins import faults
from tests.standins.slack import APP_TOKEN, BOT_TOKEN, Slack
from tests.waiting import PATIENCE_S, wait_until


@pytest.fixture
def workspace() -> Iterator[Slack]:
    with Slack() as server:
        yield server


def sockets(url: str, app_token: str = APP_TOKEN, *, hello_s: float = PATIENCE_S) -> SlackSockets:
    given = {"token": BOT_TOKEN, "channel": "#ops", "url": url, "app_token": app_token}
    return SlackSockets(SlackBotSettings.model_validate(given), hello_s=hello_s)


Heard = list[tuple[str, Mapping[str, Any]]]


@pytest.fixture
def opened(workspace: Slack) -> Iterator[tuple[SlackSocket, Heard]]:
    heard: Heard = []
    made = sockets(f"{workspace.url}/api").open(
        lambda envelope, payload: heard.append((envelope, payload)), threading.Event()
    )
    yield made, heard
    made.close()


def test_what_is_pressed_is_acknowledged_and_handed_on(workspace: Slack, opened: tuple[SlackSocket, Heard]) -> None:
    made, heard = opened
    assert made.listens
    large = {"type": "block_actions", "text": "é" * 200_000}
    sent = [workspace.socket.send({"type": "block_actions"}), workspace.socket.send(large)]
    wait_until(lambda: len(workspace.socket.acknowledged) == 2)
    assert sorted(workspace.socket.acknowledged) == sorted(sent)
    wait_until(lambda: len(heard) == 2)
    assert dict(heard)[sent[1]] == large


@pytest.mark.parametrize("reason", ["refresh_requested", "warning", SWITCHED_OFF])
def test_the_end_of_a_connection_is_announced_with_a_reason(
    workspace: Slack, opened: tuple[SlackSocket, Heard], reason: str
) -> None:
    made, heard = opened
    workspace.socket.disconnect(reason)
    wait_until(lambda: not made.listens)
    assert made.ended_because == reason
    workspace.socket.send({"type": "block_actions"})  # what comes until it closes still counts
    wait_until(lambda: heard)
    assert workspace.socket.opened == 1


@pytest.mark.parametrize("cut", [True, False])
def test_a_connection_that_is_cut_or_closed_has_ended(
    workspace: Slack, opened: tuple[SlackSocket, Heard], cut: bool
) -> None:
    made, _ = opened
    if cut:
        workspace.socket.cut()
    else:
        made.close()
    wait_until(lambda: not made.listens)
    workspace.socket.await_connections(0)


def refusal(of: Callable[[], SlackSockets]) -> NotListeningError:
    with pytest.raises(NotListeningError) as raised:
        of().open(lambda *_: None, threading.Event())
    assert APP_TOKEN not in str(raised.value)
    return raised.value


def test_a_refusal_says_what_to_do_and_whether_it_lasts(workspace: Slack) -> None:
    url = f"{workspace.url}/api"
    unknown = refusal(lambda: sockets(url, "xapp-other"))
    assert "invalid_auth: put an app-level token with the scope connections:write" in str(unknown)
    assert unknown.lasting
    workspace.fail(faults.refused(429, "17"))
    limited = refusal(lambda: sockets(url))
    assert (limited.lasting, limited.retry_after_s) == (False, 17.0)
    assert not refusal(lambda: sockets(f"http://127.0.0.1:{free_port()}")).lasting
    workspace.revoke()
    assert refusal(lambda: sockets(url)).lasting


def test_a_server_that_does_not_greet_is_no_connection(workspace: Slack) -> None:
    workspace.socket.greets = False
    assert "does not respond" in str(refusal(lambda: sockets(f"{workspace.url}/api", hello_s=0.3)))
    workspace.socket.await_connections(0)


@pytest.mark.parametrize("url", [None, 7, "", "http://x.example/", "wss://x.example:8080/", "ws://", "wss://x:y/"])
def test_an_address_without_encryption_is_not_connected_to(url: Any) -> None:
    with receiver(lambda _: {"ok": True, "url": url}) as api:
        assert "no address that is encrypted" in str(refusal(lambda: sockets(api.url)))


def test_an_address_without_encryption_is_refused_where_the_web_api_is_encrypted() -> None:
    made = sockets("https://slack.com/api")
    assert not made._trusted("ws://127.0.0.1:8080/")
    assert made._trusted("wss://wss-primary.slack.com/link/?ticket=1")


def test_an_address_that_was_used_before_is_no_connection(workspace: Slack) -> None:
    used = workspace.socket.address()
    with receiver(lambda _: {"ok": True, "url": used.replace("ticket=", "ticket=0")}) as api:
        assert "does not respond" in str(refusal(lambda: sockets(api.url)))


def test_trying_out_opens_no_connection(workspace: Slack) -> None:
    assert sockets(f"{workspace.url}/api").try_out().outcome == "sent"
    assert sockets(f"{workspace.url}/api", "xapp-other").try_out().outcome == "rejected"
    assert workspace.socket.opened == 0

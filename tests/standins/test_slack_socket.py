"""The stand-in of Slack's Socket Mode against Slack's own client."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode import SocketModeClient
from slack_sdk.socket_mode.client import BaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web import WebClient

from tests.standins.clock import Clock
from tests.standins.slack import APP_TOKEN, BOT_TOKEN, Slack
from tests.waiting import wait_until


@pytest.fixture
def slack() -> Iterator[Slack]:
    with Slack(clock=Clock(datetime(2026, 11, 20, 12, tzinfo=UTC))) as server:
        yield server


def test_slacks_own_client_is_greeted_acknowledges_and_comes_back(slack: Slack) -> None:
    heard: list[str] = []

    def hear(client: BaseSocketModeClient, request: SocketModeRequest) -> None:
        heard.append(request.type)
        client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))

    greeted: list[Any] = []

    def note(_: BaseSocketModeClient, message: dict[str, Any], __: str | None) -> None:
        greeted.append(message)

    client = SocketModeClient(APP_TOKEN, web_client=WebClient(base_url=f"{slack.url}/api/"))
    client.socket_mode_request_listeners.append(hear)
    client.message_listeners.append(note)
    client.connect()
    try:
        wait_until(lambda: greeted)
        assert (greeted[0]["type"], greeted[0]["num_connections"]) == ("hello", 1)
        sent = slack.socket.send({"type": "block_actions"})
        wait_until(lambda: slack.socket.acknowledged)
        assert (slack.socket.acknowledged, heard) == ([sent], ["interactive"])
        slack.socket.disconnect()
        wait_until(lambda: slack.socket.opened == 2)
        slack.socket.await_connections()
    finally:
        client.close()
    slack.socket.await_connections(0)


def test_only_the_app_itself_gets_an_address(slack: Slack) -> None:
    client = WebClient(base_url=f"{slack.url}/api/")
    for token, error in ((BOT_TOKEN, "not_allowed_token_type"), ("xapp-other", "invalid_auth")):
        with pytest.raises(SlackApiError, match=error):
            client.apps_connections_open(app_token=token)
    first, second = (client.apps_connections_open(app_token=APP_TOKEN)["url"] for _ in range(2))
    assert first != second

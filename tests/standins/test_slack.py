"""The stand-in of Slack against Slack's OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.standins import faults
from tests.standins.clock import Clock
from tests.standins.slack import BOT_TOKEN, TEAM, Slack
from tests.standins.specifications import breaches, openapi

NOON = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def slack() -> Iterator[Slack]:
    with Slack(clock=Clock(NOON)) as server:
        yield server


@pytest.fixture
def client(slack: Slack) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {BOT_TOKEN}"}
    with httpx.Client(base_url=slack.url, headers=headers, trust_env=False) as client:
        yield client


def called(client: httpx.Client, method: str, *, refused: bool = False, **arguments: Any) -> Any:
    """The answer of a method, which keeps to the specification."""
    answer = client.get(f"/api/{method}", params=arguments)
    assert answer.status_code == 200
    schema = openapi("slack.com").answer(f"/{method}", status="default" if refused else "200")
    assert breaches(schema, answer.json()) == []
    return answer.json()


def test_members_are_listed_by_cursor_and_the_last_one_is_empty(slack: Slack, client: httpx.Client) -> None:
    made = [slack.create_user(f"user{at}", email=f"u{at}@example.com") for at in range(5)]
    found: list[str] = []
    cursor = ""
    while True:
        page = called(client, "users.list", limit=2, cursor=cursor)
        found += [each["id"] for each in page["members"]]
        cursor = page["response_metadata"]["next_cursor"]
        if not cursor:
            break
    assert found == made
    assert called(client, "users.list", refused=True, cursor="unheard")["error"] == "invalid_cursor"


def test_a_deactivated_member_stays(slack: Slack, client: httpx.Client) -> None:
    one = slack.create_user("ann", email="ann@example.com")
    slack.clock.advance(10)
    slack.update_user(one, title="Director")
    slack.deactivate(one)
    user = called(client, "users.info", user=one)["user"]
    expected = (True, "Director", int(NOON.timestamp()) + 10)
    assert (user["deleted"], user["profile"]["title"], user["updated"]) == expected
    assert called(client, "users.info", refused=True, user="W0")["error"] == "user_not_found"


def test_addresses_want_a_scope_of_their_own(slack: Slack, client: httpx.Client) -> None:
    one = slack.create_user("ann", email="ann@example.com")
    assert called(client, "users.info", user=one)["user"]["profile"]["email"] == "ann@example.com"
    slack.scopes.discard("users:read.email")
    assert "email" not in called(client, "users.info", user=one)["user"]["profile"]


def test_channels_are_listed_with_archived_ones_unless_told(slack: Slack, client: httpx.Client) -> None:
    kept, old = slack.create_channel("general"), slack.create_channel("old")
    slack.archive(old)
    assert [each["id"] for each in called(client, "conversations.list")["channels"]] == [kept, old]
    page = called(client, "conversations.list", exclude_archived="true")
    assert [each["id"] for each in page["channels"]] == [kept]
    assert called(client, "conversations.info", channel=old)["channel"]["is_archived"] is True
    assert called(client, "conversations.info", refused=True, channel="C0")["error"] == "channel_not_found"


def test_arguments_may_come_in_a_form(slack: Slack, client: httpx.Client) -> None:
    one = slack.create_user("ann")
    assert client.post("/api/users.info", data={"user": one}).json()["user"]["id"] == one


def test_errors_come_with_status_200(slack: Slack) -> None:
    with httpx.Client(base_url=slack.url, trust_env=False) as client:
        assert called(client, "users.list", refused=True)["error"] == "not_authed"
        client.headers["Authorization"] = "Bearer xoxb-other"
        assert called(client, "users.list", refused=True)["error"] == "invalid_auth"
        client.headers["Authorization"] = f"Bearer {BOT_TOKEN}"
        slack.scopes.discard("channels:read")
        missing = called(client, "conversations.list", refused=True)
        assert (missing["error"], missing["needed"]) == ("missing_scope", "channels:read")
        slack.revoke()
        assert client.get("/api/users.list").json() == {"ok": False, "error": "token_revoked"}
        assert client.get("/api/nothing.here").json()["ok"] is False


def test_a_limit_is_429_and_says_how_long_to_wait(slack: Slack, client: httpx.Client) -> None:
    slack.create_user("ann")
    answers = [client.get("/api/users.list") for _ in range(21)]
    assert [each.status_code for each in answers] == [200] * 20 + [429]
    assert (answers[20].headers["Retry-After"], answers[20].json()["error"]) == ("60", "ratelimited")
    assert client.get("/api/users.info").status_code == 200


@pytest.mark.parametrize(("retry_after", "expected"), [("", "30"), ("5", "5"), (None, None)])
def test_a_limit_can_be_ordered(
    slack: Slack, client: httpx.Client, retry_after: str | None, expected: str | None
) -> None:
    slack.fail(faults.refused(429, retry_after))
    assert client.get("/api/users.list").headers.get("Retry-After") == expected
    slack.fail(faults.refused(500))
    assert client.get("/api/users.list").status_code == 500
    slack.fail(faults.refused(401))
    assert client.get("/api/users.list").json() == {"ok": False, "error": "invalid_auth"}


def test_a_message_is_posted_to_a_channel_that_exists(slack: Slack, client: httpx.Client) -> None:
    channel = slack.create_channel("ops")

    def posted(*, refused: bool = False, **arguments: Any) -> Any:
        answer = client.post("/api/chat.postMessage", json=arguments)
        schema = openapi("slack.com").answer("/chat.postMessage", "post", status="default" if refused else "200")
        assert breaches(schema, answer.json()) == []
        return answer.json()

    assert posted(channel="#ops", text="x")["channel"] == channel
    assert [each["text"] for each in slack.messages] == ["x"]
    assert posted(refused=True, channel="#else", text="x")["error"] == "channel_not_found"
    assert posted(refused=True, channel=channel)["error"] == "no_text"
    slack.archive(channel)
    assert posted(refused=True, channel=channel, text="x")["error"] == "is_archived"


def test_a_message_for_one_person_and_whose_token_it_is(slack: Slack, client: httpx.Client) -> None:
    channel, user = slack.create_channel("ops"), slack.create_user("ann")

    def answered(method: str, *, refused: bool = False, verb: str = "post", **arguments: Any) -> Any:
        answer = client.post(f"/api/{method}", json=arguments)
        schema = openapi("slack.com").answer(f"/{method}", verb, status="default" if refused else "200")
        assert breaches(schema, answer.json()) == []
        return answer.json()

    assert answered("chat.postEphemeral", channel=channel, user=user, text="x")["ok"]
    assert [(each["user"], each["text"]) for each in slack.whispers] == [(user, "x")]
    missing = answered("chat.postEphemeral", refused=True, channel=channel, user="W0", text="x")
    assert missing["error"] == "user_not_in_channel"
    assert answered("auth.test", verb="get")["team_id"] == TEAM


@pytest.mark.parametrize(
    "element",
    [
        {"type": "button", "action_id": "a", "text": {"type": "plain_text", "text": "x" * 76}},
        {"type": "button", "action_id": "a", "text": {"type": "plain_text", "text": "x"}, "value": "x" * 2_001},
        {"type": "overflow", "action_id": "a", "options": []},
        {"type": "overflow", "action_id": "a", "options": [{"text": {"text": "x"}, "value": "x" * 151}]},
    ],
)
def test_what_breaks_the_limits_of_block_kit_is_refused(
    slack: Slack, client: httpx.Client, element: dict[str, Any]
) -> None:
    slack.create_channel("ops")
    blocks = [{"type": "actions", "elements": [element]}]
    answer = client.post("/api/chat.postMessage", json={"channel": "#ops", "text": "x", "blocks": blocks})
    assert answer.json()["error"] == "invalid_blocks"

"""Slack by the token of a bot: the same message as on a webhook, in the channel of its flow.

Source: https://docs.slack.dev/reference/methods/chat.postMessage (status 200 with `ok: false` for most errors; after
`fatal_error` and `internal_error`, "some aspect of the operation" may have succeeded) and
https://docs.slack.dev/apis/web-api/rate-limits (429 with `Retry-After`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import Field, SecretStr

from auditor.escaping import visible
from auditor.senders.contract import TIMEOUT_S, Address, Key, Receipt, SenderSettings
from auditor.senders.json_post import JsonPost
from auditor.senders.slack import message

UNCERTAIN = frozenset({"fatal_error", "internal_error"})
TEMPORARY = frozenset(
    {
        "message_limit_exceeded",
        "rate_limited",
        "ratelimited",
        "request_timeout",
        "service_unavailable",
        "team_added_to_org",
    }
)
HINTS = {
    "channel_not_found": "check the channel's name, and invite the bot to it if it is private",
    "not_in_channel": "invite the bot to the channel",
    "is_archived": "the channel is archived; name another one",
    "missing_scope": "give the bot the scope chat:write",
    "token_revoked": "install the app again, and put its new token into the map",
    "invalid_auth": "check the token in the map",
}


def judged(body: bytes) -> Receipt:
    """What a response with status 200 means. Pure."""
    try:
        document = json.loads(body)
        accepted = document["ok"]
        error = "" if accepted else str(document.get("error") or "no error named")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return Receipt(outcome="ambiguous", error="the response is not one of Slack's")
    if accepted is True:
        return Receipt(outcome="sent")
    hint = f": {HINTS[error]}" if error in HINTS else ""
    text = f"Slack: {visible(error)[:100]}{hint}"
    if error in UNCERTAIN:
        return Receipt(outcome="ambiguous", error=text)
    return Receipt(outcome="refused" if error in TEMPORARY else "rejected", error=text)


class SlackBotSettings(SenderSettings):
    """A bot that posts where each flow's `slack_channel` says.

    Attributes:
        token: of a bot with the scope `chat:write`, a secret.
        channel: for messages about flows without `slack_channel`, and about systems.
        url: of Slack's Web API.
    """

    title = "Slack's bot"
    address_word = "url"
    needs = ("token",)
    links = True

    token: Key
    channel: str = Field(min_length=1)
    url: Address = Field(default=SecretStr("https://slack.com/api"), validate_default=True)


class SlackBotSender:
    """Posts with the token of a bot."""

    def __init__(
        self, settings: SlackBotSettings, *, dashboard: str | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._dashboard = dashboard
        self._channel = settings.channel
        token = settings.token.get_secret_value()
        self._post = JsonPost(
            settings.url.get_secret_value().rstrip("/"),
            timeout_s=timeout_s,
            headers={"Authorization": f"Bearer {token}"},
            secrets=[token],
            judge=judged,
        )

    def send(self, notice: Mapping[str, Any], *, possible_repeat: bool) -> Receipt:
        built = message(notice, dashboard=self._dashboard, possible_repeat=possible_repeat)
        channel = str(notice.get("channel") or self._channel)
        return self._post.send({**built, "channel": channel}, path="/chat.postMessage")

    def close(self) -> None:
        self._post.cut_off()

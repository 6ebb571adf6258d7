"""What Slack says of a person who has pressed a button, and an answer that only this person sees.

Sources: https://docs.slack.dev/reference/methods/users.info (scope `users:read`), /auth.test (no scope) and
/chat.postEphemeral (scope `chat:write`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from auditor.escaping import mrkdwn, slack_notification
from auditor.senders.contract import TIMEOUT_S, Receipt
from auditor.senders.json_post import JsonPost
from auditor.senders.slack_bot import SlackBotSettings, judged

MOST_BYTES = 256 * 1024
ANSWER_LIMIT = 1000

_HINTS = {"not_in_channel": "invite the bot to the channel", "missing_scope": "give the bot the scope chat:write"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A member of a workspace.

    Attributes:
        name: what the person is called there; "" if Slack does not say.
        zone: UTC if Slack does not say.
    """

    name: str = ""
    zone: tzinfo = UTC


class SlackPeople:
    """Asks with the token of the bot; never raises."""

    def __init__(self, settings: SlackBotSettings, *, timeout_s: float = TIMEOUT_S) -> None:
        token = settings.token.get_secret_value()
        self._post = JsonPost(
            settings.url.get_secret_value().rstrip("/"),
            timeout_s=timeout_s,
            headers={"Authorization": f"Bearer {token}"},
            secrets=[token],
            judge=partial(judged, hints=_HINTS),
        )
        self._own: frozenset[str] = frozenset()

    def own_teams(self) -> frozenset[str]:
        """The identities of the bot's workspace and of the organisation that it belongs to; empty if Slack does not
        say."""
        if not self._own:
            said = self._ask("/auth.test")
            self._own = frozenset(str(said[name]) for name in ("team_id", "enterprise_id") if said.get(name))
        return self._own

    def person(self, user: str) -> Person:
        """What is known of a person by an identity."""
        found = self._ask("/users.info", user=user).get("user")
        if not isinstance(found, Mapping):
            return Person()
        profile = found.get("profile")
        profile = profile if isinstance(profile, Mapping) else {}
        names = (profile.get("display_name"), profile.get("real_name"), found.get("real_name"), found.get("name"))
        name = next((each.strip() for each in names if isinstance(each, str) and each.strip()), "")
        return Person(name=name, zone=_zone(found.get("tz")))

    def answer(self, channel: str, user: str, text: str) -> Receipt:
        """Say something in a channel that only one person sees."""
        section = {
            "type": "section",
            "text": {"type": "mrkdwn", "text": mrkdwn(text, ANSWER_LIMIT), "verbatim": True},
        }
        said = {"text": slack_notification(text, ANSWER_LIMIT), "blocks": [section]}
        return self._post.send({**said, "channel": channel, "user": user}, path="/chat.postEphemeral")

    def close(self) -> None:
        """Cut off a request under way, from another thread."""
        self._post.cut_off()

    def _ask(self, method: str, **values: str) -> Mapping[str, Any]:
        """The response of a method; empty if it failed."""
        return self._post.send_form(values, path=method, most_bytes=MOST_BYTES).reply


def _zone(name: object) -> tzinfo:
    try:
        return ZoneInfo(name) if isinstance(name, str) and name else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC

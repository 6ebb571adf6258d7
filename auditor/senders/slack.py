"""Slack: a notice as one Block Kit message on an incoming webhook.

Limits: https://docs.slack.dev/reference/block-kit/blocks (50 blocks; section text 3000, field 2000, ten fields,
button text 75 and URL 3000 characters). `text` is what notifications show, as the blocks take its place in the
channel. `verbatim` keeps Slack from making links of its own:
https://docs.slack.dev/reference/block-kit/composition-objects/text-object.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from auditor.escaping import mrkdwn, slack_notification
from auditor.senders.contract import TIMEOUT_S, Address, Receipt, SenderSettings
from auditor.senders.json_post import JsonPost
from auditor.senders.notice_text import links
from probes.durations import format_duration

TITLE_LIMIT = 2500
FIELD_LIMIT = 500
DETAIL_LIMIT = 1000
FALLBACK_LIMIT = 2000
URL_LIMIT = 3000

_SIGNS = {
    "opened": ":red_circle: *OPEN*",
    "grown": ":red_circle: *GROWN*",
    "reopened": ":red_circle: *REOPENED*",
    "resolved": ":white_check_mark: *RESOLVED*",
    "test": ":test_tube: *TEST*",
}


def message(notice: Mapping[str, Any], *, dashboard: str | None, possible_repeat: bool) -> dict[str, Any]:
    """Build the message of a notice. Pure."""
    transition = str(notice["transition"])
    sign = _SIGNS.get(transition, ":information_source:")
    repeat = " (possible duplicate: the previous attempt may have been delivered)" if possible_repeat else ""
    fallback = f"[{transition.upper()}] {notice['summary']} (incident {notice['incident']}){repeat}"
    fields = [("Now", notice["count"]), ("Peak", notice["peak"])]
    if notice.get("flow"):
        route = f"{notice['source']} → {notice['target']}"
        fields += [("Flow", f"{notice['flow']} ({route})"), ("Window", format_duration(notice["window_s"]))]
    if notice.get("team"):
        fields.append(("Team", notice["team"]))
    opened_at = datetime.fromisoformat(str(notice["opened_at"]))
    times = f"Opened <!date^{int(opened_at.timestamp())}^{{date_short_pretty}} {{time}}|{opened_at:%Y-%m-%d %H:%MZ}>"
    if transition == "resolved":
        lasted_s = (datetime.fromisoformat(str(notice["at"])) - opened_at).total_seconds()
        times += f"  |  resolved after {format_duration(lasted_s)}"
    title = f"{sign}  {mrkdwn(notice['summary'], TITLE_LIMIT)}{repeat}"
    blocks: list[dict[str, Any]] = [
        {"type": "section", "text": _text(title)},
        {
            "type": "section",
            "fields": [_text(f"*{name}*\n{mrkdwn(value, FIELD_LIMIT)}") for name, value in fields],
        },
    ]
    if notice.get("detail"):
        blocks.append({"type": "section", "text": _text(mrkdwn(notice["detail"], DETAIL_LIMIT))})
    context = f"{times}  |  incident {notice['incident']}"
    blocks.append({"type": "context", "elements": [_text(context)]})
    elements = [
        {
            "type": "button",
            "text": {"type": "plain_text", "text": name},
            "url": url,
            "action_id": name.lower(),
        }
        for name, url in links(dashboard, notice, URL_LIMIT)
    ]
    if elements:
        blocks.append({"type": "actions", "elements": elements})
    return {
        "text": slack_notification(fallback, FALLBACK_LIMIT),
        "blocks": blocks,
        "unfurl_links": False,
        "unfurl_media": False,
    }


def _text(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text, "verbatim": True}


class SlackSettings(SenderSettings):
    """Where Slack hears of incidents: an incoming webhook, whose address is a secret."""

    title = "Slack"
    address_word = "webhook"
    links = True
    ignores_channel = "an incoming webhook posts to the one channel it was made for"

    webhook: Address


class SlackSender:
    """Posts to an incoming webhook."""

    def __init__(
        self, settings: SlackSettings, *, dashboard: str | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._dashboard = dashboard
        self._post = JsonPost(settings.webhook.get_secret_value(), timeout_s=timeout_s)

    def send(self, notice: Mapping[str, Any], *, possible_repeat: bool) -> Receipt:
        return self._post.send(message(notice, dashboard=self._dashboard, possible_repeat=possible_repeat))

    def close(self) -> None:
        self._post.cut_off()

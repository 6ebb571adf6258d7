"""Slack: a notice as one Block Kit message on an incoming webhook.

Limits: https://docs.slack.dev/reference/block-kit/blocks (section text 3000, field 2000, ten fields, button
text 75 and URL 3000 characters); escaping: https://docs.slack.dev/messaging/formatting-message-text.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import httpx

from auditor.alerts.contract import Receipt, post_json
from probes.durations import format_duration

TEXT_LIMIT = 3000
FIELD_LIMIT = 2000
FALLBACK_LIMIT = 4000

_COLOURS = {"opened": "#D92D20", "reopened": "#D92D20", "resolved": "#36A64F"}
_SIGNS = {
    "opened": ":red_circle: OPEN",
    "reopened": ":red_circle: REOPENED",
    "resolved": ":white_check_mark: RESOLVED",
}


def escape(text: object, limit: int = TEXT_LIMIT) -> str:
    """Make text from anywhere harmless in mrkdwn: no mentions, links or formatting, and not too long."""
    plain = str(text).replace("`", "'").replace("*", "∗").replace("_", "\u200b_")
    escaped = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if len(escaped) <= limit:
        return escaped or "–"
    cut = escaped[: limit - 1]
    partial = cut.rfind("&")
    if partial > len(cut) - 5:  # do not cut an entity in two
        cut = cut[:partial]
    return cut + "…"


def message(notice: Mapping[str, Any], *, dashboard: str | None, possible_repeat: bool) -> dict[str, Any]:
    """Build the message of a notice. Pure."""
    transition = str(notice["transition"])
    sign = _SIGNS.get(transition, ":information_source:")
    repeat = " (possible repeat: the last try may have arrived)" if possible_repeat else ""
    fallback = f"[{transition.upper()}] {notice['summary']} (incident {notice['incident']}){repeat}"
    fields = [("Now", notice["count"]), ("At most", notice["peak"])]
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
    title = f"{sign}  *{escape(notice['summary'], 2500)}*{repeat}"
    blocks: list[dict[str, Any]] = [
        {"type": "section", "text": {"type": "mrkdwn", "text": title}},
        {
            "type": "section",
            "fields": [
                {"type": "mrkdwn", "text": f"*{name}*\n{escape(value, FIELD_LIMIT - 50)}"} for name, value in fields
            ],
        },
    ]
    if notice.get("detail"):
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": escape(notice["detail"], 1000)}})
    context = f"{times}  |  incident {notice['incident']}"
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": context}]})
    buttons = [("Open", _link(dashboard, notice)), ("Runbook", str(notice.get("runbook") or ""))]
    elements = [
        {
            "type": "button",
            "text": {"type": "plain_text", "text": name},
            "url": url[:3000],
            "action_id": name.lower(),
        }
        for name, url in buttons
        if url.startswith(("http://", "https://"))
    ]
    if elements:
        blocks.append({"type": "actions", "elements": elements})
    return {
        "text": escape(fallback, FALLBACK_LIMIT),
        "attachments": [{"color": _COLOURS.get(transition, "#888888"), "blocks": blocks}],
        "unfurl_links": False,
        "unfurl_media": False,
    }


def _link(dashboard: str | None, notice: Mapping[str, Any]) -> str:
    if not dashboard:
        return ""
    page = f"drift?flow={notice['flow']}" if notice.get("flow") else "sla"
    return f"{dashboard.rstrip('/')}/{page}"


class SlackSender:
    """Posts to an incoming webhook, whose address is a secret."""

    name = "slack"

    def __init__(self, webhook: str, *, dashboard: str | None) -> None:
        self._webhook = webhook
        self._dashboard = dashboard
        self._client = httpx.Client()

    def send(self, notice: Mapping[str, Any], *, possible_repeat: bool) -> Receipt:
        payload = message(notice, dashboard=self._dashboard, possible_repeat=possible_repeat)
        return post_json(self._client, self._webhook, payload)

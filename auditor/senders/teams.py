"""Microsoft Teams: a notice as an Adaptive Card, through the webhook of a workflow.

Source: "Create incoming webhooks with Workflows for Microsoft Teams", https://support.microsoft.com, and
https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using (28 KB a message);
https://adaptivecards.io/explorer/TextRun.html (a TextRun has no Markdown, unlike a TextBlock or a Fact).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auditor.senders.contract import TIMEOUT_S, Address, Receipt, SenderSettings
from auditor.senders.json_post import JsonPost
from auditor.senders.notice_text import REPEAT, clipped, facts, links

TITLE_LIMIT = 500
FACT_LIMIT = 150
DETAIL_LIMIT = 500


_COLOURS = {"resolved": "good", "test": "default"}


def card(notice: Mapping[str, Any], *, dashboard: str | None, possible_repeat: bool) -> dict[str, Any]:
    """Build the message of a notice. Pure."""
    transition = str(notice["transition"])
    sign = {"type": "TextRun", "text": f"{transition.upper()}  ", "weight": "bolder"}
    sign["color"] = _COLOURS.get(transition, "attention")
    body = [_text(sign, _run(clipped(notice["summary"], TITLE_LIMIT)))]
    if possible_repeat:
        body.append(_text({**_run(REPEAT), "isSubtle": True}))
    body += [
        _text({**_run(f"{name}: "), "weight": "bolder"}, _run(clipped(text, FACT_LIMIT)))
        for name, text in facts(notice)
    ]
    if notice.get("detail"):
        body.append(_text(_run(clipped(notice["detail"], DETAIL_LIMIT))))
    content = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
        "actions": [{"type": "Action.OpenUrl", "title": name, "url": url} for name, url in links(dashboard, notice)],
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": content}
    return {"type": "message", "attachments": [attachment]}


def _run(text: str) -> dict[str, Any]:
    return {"type": "TextRun", "text": text}


def _text(*runs: dict[str, Any]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": list(runs)}


class TeamsSettings(SenderSettings):
    """A channel or chat of Microsoft Teams: the webhook of a workflow, whose address is a secret."""

    title = "Microsoft Teams"
    address_word = "webhook"
    links = True
    folds = True
    ignores_channel = "the workflow behind the webhook decides where it posts"

    webhook: Address


class TeamsSender:
    """Posts to the webhook of a workflow."""

    def __init__(
        self, settings: TeamsSettings, *, dashboard: str | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._dashboard = dashboard
        self._post = JsonPost(settings.webhook.get_secret_value(), timeout_s=timeout_s)

    def send(self, notice: Mapping[str, Any], *, possible_repeat: bool) -> Receipt:
        return self._post.send(card(notice, dashboard=self._dashboard, possible_repeat=possible_repeat))

    def close(self) -> None:
        self._post.cut_off()

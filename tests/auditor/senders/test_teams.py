"""Cards for Microsoft Teams: within its limit, and texts from outside are never Markdown."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from auditor.senders.teams import card
from tests.auditor.senders.receivers import NOTICE, opened, receiver
from tests.http_api import Response


def parts(node: Any) -> list[dict[str, Any]]:
    """Every element of a card."""
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    return [
        *([node] if isinstance(node, dict) and "type" in node else []),
        *(p for each in inner for p in parts(each)),
    ]


@given(st.text(min_size=1), st.text(max_size=3000))
def test_any_text_is_plain_and_within_the_limit(flow: str, text: str) -> None:
    """https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using"""
    notice = {**NOTICE, **dict.fromkeys(("summary", "team", "detail", "source"), text * 50), "flow": flow * 500}
    built = card(notice, dashboard="http://x", possible_repeat=True)
    assert len(json.dumps(built)) < 28 * 1024
    kinds = {each["type"] for each in parts(built)}
    assert kinds <= {"message", "AdaptiveCard", "RichTextBlock", "TextRun", "Action.OpenUrl"}


def test_it_is_a_message_with_one_card() -> None:
    with receiver(lambda _: Response(document="", status=202)) as api:
        assert opened("teams", api.url, dashboard="http://d").send(NOTICE, possible_repeat=False).outcome == "sent"
    sent = json.loads(api.asked[0].body)
    (attachment,) = sent["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert [each["title"] for each in attachment["content"]["actions"]] == ["Open", "Runbook"]
    assert NOTICE["summary"] in api.asked[0].body.decode()

"""Messages to Slack: within its limits, and no text from a system is anything but text."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.escaping import mrkdwn, slack_notification
from auditor.senders.slack import message
from tests.auditor.senders.receivers import NOTICE, FakeSlack, opened


def check_limits(payload: dict[str, Any]) -> None:
    """https://docs.slack.dev/reference/block-kit/blocks"""
    assert 0 < len(payload["text"]) <= 4000
    blocks = [*payload["blocks"], *(block for each in payload["attachments"] for block in each["blocks"])]
    assert 0 < len(blocks) <= 50
    for block in blocks:
        if block["type"] == "section":
            texts = [block["text"]] if "text" in block else []
            assert all(0 < len(text["text"]) <= 3000 for text in texts)
            assert len(block.get("fields", [])) <= 10
            assert all(0 < len(text["text"]) <= 2000 for text in block.get("fields", []))
        elif block["type"] == "context":
            assert 0 < len(block["elements"]) <= 10
        elif block["type"] == "actions":
            assert 0 < len(block["elements"]) <= 25
            assert all(len(each["url"]) <= 3000 and len(each["text"]["text"]) <= 75 for each in block["elements"])
    assert sum(map(len, texts_of(blocks))) <= 12_000


def texts_of(blocks: Sequence[dict[str, Any]]) -> list[str]:
    """Every text and address in blocks."""
    found = []
    for block in blocks:
        parts = [block.get("text"), *block.get("fields", ()), *block.get("elements", ())]
        for part in filter(None, parts):
            text = part["text"]
            found += [text if isinstance(text, str) else text["text"], part.get("url", "")]
    return found


def test_a_message_says_what_where_and_how_many() -> None:
    payload = message(NOTICE, dashboard="http://127.0.0.1:8501/", possible_repeat=False)
    check_limits(payload)
    text = json.dumps(payload)
    for word in ("OPEN", "crm", "billing", "http://127.0.0.1:8501/drift?flow=to_billing", "wiki.example", "<!date^"):
        assert word in text
    resolved = message({**NOTICE, "transition": "resolved"}, dashboard=None, possible_repeat=False)
    assert "resolved after 5 min" in json.dumps(resolved)
    assert "RESOLVED" in json.dumps(resolved)


@given(st.text(max_size=5000), st.text(max_size=5000))
def test_any_text_from_a_system_stays_within_limits_and_harmless(summary: str, team: str) -> None:
    hostile = f"<!channel> <@U1> <https://evil|x> & {summary}"
    payload = message(
        {**NOTICE, "summary": hostile, "team": team, "detail": summary}, dashboard=None, possible_repeat=True
    )
    check_limits(payload)
    shown = payload["text"] + json.dumps(payload["blocks"], ensure_ascii=False)
    assert re.findall(r"<(?!!date\^\d+\^)[^>]", shown) == []
    assert all(block["text"]["verbatim"] for block in payload["blocks"] if "text" in block)


@pytest.mark.parametrize("escape", [mrkdwn, slack_notification])
@given(text=st.text(max_size=100), limit=st.integers(10, 80))
def test_escaping_never_cuts_an_entity_in_two(escape: Callable[[object, int], str], text: str, limit: int) -> None:
    cut = escape(text + "&" * 20, limit)
    assert len(cut) <= limit
    assert re.sub(r"&(amp|lt|gt);", "", cut).count("&") == 0
    assert cut.count("`") % 2 == 0


def test_a_truncated_text_says_how_much_is_left_out() -> None:
    shown = mrkdwn("x" * 1_000_000, 500)
    found = re.fullmatch(r"(x+)… \(([\d,]+) more characters\)", shown)
    assert found
    assert len(found[1]) + int(found[2].replace(",", "")) == 1_000_000
    assert 495 < len(shown) <= 500
    assert mrkdwn("x" * 500, 500) == "x" * 500


@given(st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="`")))
def test_what_a_reader_copies_is_the_text_itself(text: str) -> None:
    shown = html.unescape(mrkdwn(text, 3000))
    assert shown.replace("`", "") == (text or "–")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a & b < c > d", "a &amp; b &lt; c &gt; d"),
        ("<!channel> <!here> <@U012> <#C012> <!subteam^S1>", None),
        ("@here @channel #general", "@\u2060here @\u2060channel #\u2060general"),
        ("*bold* _it_ ~gone~ `code` ```block```", "∗bold∗ ˍitˍ ∼gone∼ ˋcodeˋ ˋˋˋblockˋˋˋ"),
        ("to_billing past_due", "to_billing past_due"),
        ("https://evil.example/x", "https:\u2060//evil.\u2060example/x"),
        ("www.evil.example evil.example a@b.example", None),
        (":tada: :+1:", ":\u2060tada: :\u2060+1:"),
        ("> quoted", "\u2060&gt; quoted"),
        ("two\nlines\u202e", "two␊lines⟨U+202E⟩"),
        ("1.25 at 12:30", "1.25 at 12:\u206030"),
        ("", "–"),
    ],
)
def test_a_notification_shows_any_text_as_text(text: str, shown: str | None) -> None:
    told = slack_notification(text, 500)
    assert shown is None or told == shown
    for alive in (r"<", r"(?<!\w)[*_~`]", r"[*_~`](?!\w)", r":[\w+-]+:", r"@\w", r"#\w", r"://", r"\w\.[a-z]"):
        assert re.search(alive, re.sub("&(amp|lt|gt);", "", told)) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a & b < c > d", "a &amp; b &lt; c &gt; d"),
        ("<!channel> @here", "&lt;!channel&gt; @here"),
        ("*two words* _it_ ~gone~", "`*two` `words*` `_it_` `~gone~`"),
        ("_daily_sync: past_due", "`_daily_sync:` past_due"),
        ("`code`", "ˋcodeˋ"),
        ("https://x.example/y", "https://x.example/y"),
        (":tada: at 12:30", "`:tada:` at 12:30"),
        ("> quoted", "`&gt;` quoted"),
        ("two\nlines\u202e", "two␊lines⟨U+202E⟩"),
        ("", "–"),
    ],
)
def test_a_block_shows_any_text_as_text(text: str, shown: str) -> None:
    assert mrkdwn(text, 500) == shown


@given(
    st.dictionaries(st.sampled_from(["summary", "team", "detail", "source", "target", "flow", "runbook"]), st.text())
)
def test_every_word_of_a_notice_stays_within_limits(words: dict[str, str]) -> None:
    long = {name: (text or "<&>") * (6000 // max(1, len(text))) for name, text in words.items()}
    for notice in ({**NOTICE, **words}, {**NOTICE, **long}):
        check_limits(message(notice, dashboard="http://127.0.0.1:8501", possible_repeat=True))


def test_half_a_character_is_shown_by_its_number() -> None:
    slack = FakeSlack()
    opened("slack", slack.url).send({**NOTICE, "summary": "half: \ud800"}, possible_repeat=False)
    slack.close()
    assert "⟨U+D800⟩" in slack.got[0]["text"]


@pytest.mark.parametrize("name", ["to_billing", "crm.to-billing_v2", "a__b"])
def test_a_flow_is_copied_without_characters_that_nobody_sees(name: str) -> None:
    payload = message({**NOTICE, "flow": name, "summary": f"{name}: late"}, dashboard=None, possible_repeat=False)
    shown = "".join(texts_of([*payload["blocks"], *payload["attachments"][0]["blocks"]]))
    assert shown.count(name) == 2
    assert re.search("[\u200b-\u200f\u2060-\u2064\ufeff]", shown) is None


FULL = {
    **NOTICE,
    "severity": "critical",
    "cause": "stopped_consumer",
    "evidence": "the queue stands still and 37 changes are late",
    "advice": "restart the consumer of to_billing",
    "records": [{"key": "sub_<41>", "lag_s": 806.4}, {"key": "sub_77", "lag_s": 720.0}],
    "consumers": [{"name": "dunning", "role": "decision-system"}],
    "breaches": ["to_billing: 37 records did not arrive", "to_billing, queue q: no consumer"],
    "dashboard_path": "/incidents?id=7&from=2026-03-01T11:00:00Z",
}


def test_a_message_says_how_bad_it_is_why_and_what_to_do() -> None:
    payload = message(FULL, dashboard="http://127.0.0.1:8501/", possible_repeat=False)
    check_limits(payload)
    shown = json.dumps(payload, ensure_ascii=False)
    for part in (
        ":red_circle:",
        "CRITICAL · OPEN",
        "#D92D20",
        "`sub_&lt;41&gt;` (lag 13 min)",
        "13 min, window 4 s",
        "dunning (decision system)",
        "stopped consumer",
        "37 records did not arrive\\nto_billing, queue q: no consumer",
        "restart the consumer of to_billing",
        "http://127.0.0.1:8501/incidents?id=7&from=2026-03-01T11:00:00Z",
    ):
        assert part in shown
    resolved = json.dumps(message({**FULL, "transition": "resolved"}, dashboard=None, possible_repeat=False))
    assert "restart the consumer" not in resolved
    assert "#12B76A" in resolved


def test_the_worst_records_link_to_the_systems_that_hold_them() -> None:
    links = {"crm": "https://crm.example/c/41?tab=1&x=2", "<!here>": "https://x.example/|evil>", "no": "javascript:x"}
    records = [{"key": "41", "lag_s": None, "links": links}, {"key": "<42>"}]
    payload = message({**FULL, "records": records}, dashboard=None, possible_repeat=False)
    check_limits(payload)
    (shown,) = [each for each in texts_of(payload["attachments"][0]["blocks"]) if each.startswith("*Worst*")]
    assert shown.splitlines()[1:] == [
        "41  <https://crm.example/c/41?tab=1&amp;x=2|crm>  <https://x.example/%7Cevil%3E|&lt;!here&gt;>",
        "&lt;42&gt;",
    ]


def test_links_that_do_not_fit_into_a_message_are_left_out() -> None:
    links = {"crm": f"https://crm.example/{'x' * 1500}", "billing": "https://billing.example/1"}
    records = [{"key": str(number), "links": links} for number in range(6)]
    payload = message({**FULL, "records": records}, dashboard=None, possible_repeat=False)
    check_limits(payload)
    (shown,) = [each for each in texts_of(payload["attachments"][0]["blocks"]) if each.startswith("*Worst*")]
    lines = shown.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [str(number) for number in range(6)]
    assert [line.count("|") for line in lines] == [2, 0, 0, 0, 0, 0]


def test_a_webhook_that_refuses_blocks_gets_the_text() -> None:
    slack = FakeSlack()
    slack.answers = [(400, "invalid_blocks", {})]
    receipt = opened("slack", slack.url).send(NOTICE, possible_repeat=False)
    slack.close()
    assert receipt.outcome == "sent"
    assert "blocks" not in slack.got[0]

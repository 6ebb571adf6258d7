"""Slack: a notice as one Block Kit message on an incoming webhook.

Limits: https://docs.slack.dev/reference/block-kit/blocks (50 blocks; section text 3000, field 2000, ten fields,
button text 75 and URL 3000 characters). `msg_blocks_too_long` comes at about 13,200 characters in sum
(https://github.com/slackapi/bolt-js/issues/2509), so the limits below stay under 12,000. `text` is what notifications
show, as the blocks take its place in the channel; only an attachment has a colour bar. `verbatim` keeps Slack from
making links of its own: https://docs.slack.dev/reference/block-kit/composition-objects/text-object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from auditor.escaping import mrkdwn, slack_notification
from auditor.senders.contract import TIMEOUT_S, Address, Receipt, SenderSettings
from auditor.senders.json_post import JsonPost
from auditor.senders.notice_text import (
    REPEAT,
    acting_text,
    counts_now,
    lag_text,
    links,
    record_lines,
    record_links,
    since,
    words_of,
    worst_records,
)
from auditor.senders.slack_buttons import buttons
from checks.routes import SEVERITIES, severity_of
from probes.durations import measured

TITLE_LIMIT = 1500
FIELD_LIMIT = 250
TEXT_LIMIT = 500
DETAIL_LIMIT = 800
TABLE_LIMIT = 2800
RECORDS_LIMIT = 2000
FALLBACK_LIMIT = 2000
URL_LIMIT = 2000
LINES = 6
"""Most breaches and records that are listed."""

TABLE_ROWS = 20

_SEVERE = (
    (":red_circle:", "#D92D20"),
    (":large_orange_circle:", "#F79009"),
    (":large_yellow_circle:", "#EAAA08"),
)
_SIGNS = {
    **dict(zip(SEVERITIES, _SEVERE, strict=True)),
    "acknowledged": (":eyes:", "#2E90FA"),
    "resolved": (":white_check_mark:", "#12B76A"),
    "test": (":test_tube:", "#667085"),
}
"""By severity, or by what has happened: an emoji and a colour."""

_WORDS = {"opened": "OPEN", "reminder": "STILL OPEN", "unacknowledged": "OPEN"}
"""What is written for a transition, where it is not the transition itself."""

_LINK_ENDS = str.maketrans({"&": "&amp;", "<": "%3C", ">": "%3E", "|": "%7C"})

BAD_BLOCKS = frozenset({"invalid_blocks", "invalid_blocks_format", "invalid_attachments", "msg_blocks_too_long"})
"""Errors after which the text alone is tried."""


def message(
    notice: Mapping[str, Any], *, dashboard: str | None, possible_repeat: bool, acts: bool = False
) -> dict[str, Any]:
    """Build the message of a notice. Pure.

    Args:
        acts: with buttons for what people do about the incident; somebody must listen to them.
    """
    transition = str(notice["transition"])
    blocks = [] if transition == "digest" else [_fields(notice)]
    blocks += _paragraphs(notice)
    blocks.append({"type": "context", "elements": [_text(_context(notice))]})
    elements = buttons(notice) if acts else []
    elements += [
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
    _, colour = _sign(notice)
    return {
        **_titled(notice, possible_repeat),
        "attachments": [{"color": colour, "blocks": blocks}],
        "unfurl_links": False,
        "unfurl_media": False,
    }


def reply(notice: Mapping[str, Any], *, dashboard: str | None, possible_repeat: bool) -> dict[str, Any]:
    """Build the message of a notice for the thread of its incident. Pure."""
    del dashboard  # the thread's first message carries the links
    blocks = [*_paragraphs(notice, advice=False), {"type": "context", "elements": [_text(_context(notice))]}]
    _, colour = _sign(notice)
    again = notice["transition"] == "reopened" and severity_of(notice) == "critical"
    return {
        **_titled(notice, possible_repeat),
        "attachments": [{"color": colour, "blocks": blocks}],
        "unfurl_links": False,
        "unfurl_media": False,
        **({"reply_broadcast": True} if again else {}),
    }


def text_alone(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The same message without blocks, for a receiver that refuses them. Pure."""
    return {name: value for name, value in payload.items() if name not in {"blocks", "attachments"}}


def _titled(notice: Mapping[str, Any], possible_repeat: bool) -> dict[str, Any]:
    transition = str(notice["transition"])
    emoji, _ = _sign(notice)
    severity = severity_of(notice).upper()
    word = _WORDS.get(transition, transition.upper())
    status = word if transition in {"resolved", "test", "digest"} else f"{severity} · {word}"
    repeat = f" ({REPEAT})" if possible_repeat else ""
    title = f"{emoji}  *{mrkdwn(status, 100)}*  {mrkdwn(notice['summary'], TITLE_LIMIT)}{repeat}"
    fallback = f"[{status}] {notice['summary']} (incident {notice['incident']}){repeat}"
    return {
        "text": slack_notification(fallback, FALLBACK_LIMIT),
        "blocks": [{"type": "section", "text": _text(title)}],
    }


def _sign(notice: Mapping[str, Any]) -> tuple[str, str]:
    transition = str(notice["transition"])
    return _SIGNS[transition if transition in _SIGNS else severity_of(notice)]


def _fields(notice: Mapping[str, Any]) -> dict[str, Any]:
    now = counts_now(notice)
    named: list[tuple[str, object]] = [
        ("Now", f"{notice['count']} (peak {notice['peak']})" if now else ""),
        ("Peak", "" if now else str(notice["peak"])),
    ]
    if notice.get("flow"):
        between = f" ({notice['source']} → {notice['target']})" if notice.get("source") else ""
        named.append(("Flow", f"{notice['flow']}{between}"))
    named += [
        ("Lag", lag_text(notice)),
        ("Acts on it", acting_text(notice)),
        ("Team", notice.get("team") or ""),
        ("Likely cause", words_of(notice.get("cause"))),
    ]
    fields = [_text(f"*{name}*\n{mrkdwn(value, FIELD_LIMIT)}") for name, value in named if value]
    begun = f"*Since*\n{_instant(since(notice).isoformat())}"
    return {"type": "section", "fields": [fields[0], _text(begun), *fields[1:]]}


def _paragraphs(notice: Mapping[str, Any], *, advice: bool = True) -> list[dict[str, Any]]:
    parts = []
    if notice.get("rows"):
        parts.append(_table(notice["rows"]))
    breaches = [each for each in notice.get("breaches") or () if isinstance(each, str)]
    if len(breaches) > 1:
        parts.append("*All of it*\n" + "\n".join(mrkdwn(line, FIELD_LIMIT) for line in breaches[:LINES]))
    if worst := record_lines(notice):
        parts.append("*Worst*\n" + "\n".join(_linked(worst[:LINES], worst_records(notice))))
    if notice.get("act"):
        parts.append(mrkdwn(notice["act"], DETAIL_LIMIT))
    if notice.get("detail"):
        parts.append(mrkdwn(notice["detail"], DETAIL_LIMIT))
    if notice.get("evidence"):
        parts.append(f"*Why these are one*  {mrkdwn(notice['evidence'], TEXT_LIMIT)}")
    if advice and notice.get("advice") and notice["transition"] != "resolved":
        parts.append(f"*What to do*  {mrkdwn(notice['advice'], TEXT_LIMIT)}")
    return [{"type": "section", "text": _text(part)} for part in parts]


def _linked(lines: Sequence[str], records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The lines of records, each with its links into the systems as far as there is room for them."""
    shown = [mrkdwn(line, FIELD_LIMIT) for line in lines]
    room = RECORDS_LIMIT - sum(len(line) + 1 for line in shown) - len("*Worst*\n")
    for line, record in zip(shown, records, strict=False):
        links = "".join(
            f"  <{url.translate(_LINK_ENDS)}|{slack_notification(system, 60)}>"
            for system, url in record_links(record, URL_LIMIT)
        )
        fits = len(links) <= room
        room -= len(links) if fits else 0
        yield line + links if fits else line


def _table(rows: Sequence[Sequence[object]]) -> str:
    """The counts of a digest as preformatted text: severity, number, what, where."""
    lines: list[str] = []
    for number, row in enumerate(rows):
        severity, count, what, where = row
        line = f"{mrkdwn(severity, 20):<9}{count!s:>6}  {_plain(what)}  {_plain(where)}"
        if number >= TABLE_ROWS or sum(map(len, lines)) + len(line) > TABLE_LIMIT - 100:
            lines.append(f"… and {len(rows) - number:,} more rows")
            break
        lines.append(line)
    return "```\n" + "\n".join(lines) + "\n```"


def _plain(text: object) -> str:
    """A text inside a preformatted block, which knows entities and nothing else."""
    return mrkdwn(text, 100).replace("`", "")


def _context(notice: Mapping[str, Any]) -> str:
    parts = []
    if notice["transition"] == "resolved":
        lasted = datetime.fromisoformat(str(notice["at"])) - since(notice)
        parts.append(f"resolved after {measured(lasted.total_seconds())}")
    parts += [f"as of {_instant(str(notice['at']))}", f"incident {mrkdwn(notice['incident'], 40)}"]
    return "  |  ".join(parts)


def _instant(written: str) -> str:
    """An instant in the zone of whoever reads it."""
    at = datetime.fromisoformat(written)
    return f"<!date^{int(at.timestamp())}^{{date_short_pretty}} {{time}}|{at:%Y-%m-%d %H:%MZ}>"


def _text(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text, "verbatim": True}


class SlackSettings(SenderSettings):
    """Where Slack hears of incidents: an incoming webhook, whose address is a secret."""

    title = "Slack"
    address_word = "webhook"
    links = True
    folds = True
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
        payload = message(notice, dashboard=self._dashboard, possible_repeat=possible_repeat)
        receipt = self._post.send(payload)
        if receipt.outcome == "rejected" and any(error in receipt.error for error in BAD_BLOCKS):
            return self._post.send(text_alone(payload))
        return receipt

    def close(self) -> None:
        self._post.cut_off()

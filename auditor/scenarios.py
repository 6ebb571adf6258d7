"""The demo company's stage, as whoever plays scenarios on it sees it: over HTTP."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

TIMEOUT_S = 5.0
ADDRESS = "address"
"""The file in the company's folder with the address of its APIs, while it runs."""


class StageError(Exception):
    """The company does not answer, or does not do what it is asked for; the message is for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A situation that can be played; all texts but the name are sentences for people.

    Attributes:
        situation: what is about to happen.
        lasts_s: how long it stays broken unless it is held.
        person: what a person does about it.
        pattern: what prevents it.
        prevented: what happens then.
        decided_for: the system whose copy counts by the decision that a person has to take before it is mended, ""
            if none has to be taken.
    """

    name: str
    title: str
    situation: str
    person: str
    pattern: str
    prevented: str
    lasts_s: float
    decided_for: str

    def ending(self, *, held: bool) -> str:
        """How long it stays broken where nothing prevents it, in a sentence."""
        if held:
            return "It stays broken until it is mended."
        if self.decided_for:
            return "It stays broken until the conflict is decided."
        return f"It is mended by itself after {self.lasts_s:.0f} s."


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """A scenario that plays or has played.

    Attributes:
        prevented: with its pattern.
        held: it stays broken until it is mended.
        ended_at: None while it plays.
    """

    name: str
    prevented: bool
    held: bool
    begun_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Programme:
    """What can be played, what plays, and what played last."""

    scenarios: Mapping[str, Scenario]
    playing: Performance | None
    last: Performance | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A part of a line of a message.

    Attributes:
        address: where it leads, "" for nowhere.
        strong: it is drawn in bold.
    """

    text: str
    address: str = ""
    strong: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """A paragraph of a message; the spans of a line have a blank between them.

    Attributes:
        preformatted: each character is as wide as the others, and each line is one span.
    """

    lines: Sequence[Sequence[Span]]
    preformatted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message of the auditor in the company's channel.

    Attributes:
        title: its first line.
        fields: pairs of a name and a value.
        paragraphs: what stands below them.
        footer: its last line.
        links: pairs of a name and an address, which Slack draws as buttons.
    """

    received_at: datetime
    title: str
    fields: Sequence[tuple[str, str]]
    paragraphs: Sequence[Paragraph]
    footer: str
    links: Sequence[tuple[str, str]]


class Stage:
    """Plays scenarios at a running demo company.

    Args:
        url: of the company's APIs.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    @classmethod
    def in_folder(cls, folder: Path) -> Stage:
        """The stage of the company that keeps its databases in a folder.

        Raises:
            StageError: none runs there.
        """
        try:
            return cls((folder / ADDRESS).read_text(encoding="utf-8").strip())
        except OSError:
            raise StageError(
                f"no demo runs in {folder.parent}: start one with `auditor demo`, or name its folder with --data"
            ) from None

    def programme(self) -> Programme:
        """What can be played, and what plays.

        Raises:
            StageError: the company does not answer.
        """
        return _programme(self._asked("GET", "scenarios"))

    def messages(self) -> list[Message]:
        """What came into the company's channel, the latest last.

        Raises:
            StageError: the company does not answer.
        """
        return [_message(each) for each in self._asked("GET", "chat")["messages"]]

    def play(self, name: str, *, prevented: bool = False, held: bool = False) -> Programme:
        """Begin a scenario.

        Args:
            prevented: with its pattern.
            held: it stays broken until `mend`.

        Raises:
            StageError: there is none of this name, another one plays, or the company does not answer.
        """
        return _programme(self._asked("POST", "play", {"name": name, "prevented": prevented, "held": held}))

    def mend(self) -> Programme:
        """End the scenario that plays, as a person would who has understood it.

        Raises:
            StageError: the company does not answer.
        """
        return _programme(self._asked("POST", "mend", {}))

    def _asked(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            response = httpx.request(
                method,
                f"{self._url}/{path}",
                json=body,
                timeout=TIMEOUT_S,
                trust_env=False,
                verify=self._url.startswith("https:"),  # to read the certificates takes 25 ms of every call
            )
            answer: dict[str, Any] = response.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError):
            raise StageError(
                f"the demo company does not answer on {self._url}: start it with `auditor demo`"
            ) from None
        if response.is_error:
            raise StageError(str(answer.get("error", response.status_code)))
        return answer


def _programme(answer: Mapping[str, Any]) -> Programme:
    names = ("name", "title", "situation", "person", "pattern", "prevented", "decided_for")
    known = [
        Scenario(**{name: str(each[name]) for name in names}, lasts_s=float(each["lasts_s"]))
        for each in answer["scenarios"]
    ]
    return Programme(
        scenarios={each.name: each for each in known},
        playing=_performance(answer["playing"]),
        last=_performance(answer["last"]),
    )


def _performance(told: Mapping[str, Any] | None) -> Performance | None:
    if told is None:
        return None
    ended = told.get("ended_at")
    return Performance(
        name=str(told["name"]),
        prevented=bool(told["prevented"]),
        held=bool(told["held"]),
        begun_at=_instant(told["begun_at"]),
        ended_at=_instant(ended) if ended else None,
    )


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _message(received: Mapping[str, Any]) -> Message:
    """A message to a Slack webhook, without the marks that Slack draws."""
    message = received["message"]
    blocks = [block for attachment in message.get("attachments", ()) for block in attachment.get("blocks", ())]
    fields = [field["text"].partition("\n")[::2] for block in blocks for field in block.get("fields", ())]
    elements = {
        kind: [each for block in blocks if block.get("type") == kind for each in block["elements"]]
        for kind in ("context", "actions")
    }
    return Message(
        received_at=_instant(received["received_at"]),
        title=_plain(message["text"]),
        fields=[(_plain(name), _plain(value)) for name, value in fields],
        paragraphs=[
            _paragraph(block["text"]["text"])
            for block in blocks
            if block.get("type") == "section" and "text" in block
        ],
        footer=" ".join(_plain(each["text"]) for each in elements["context"]),
        links=[(str(each["text"]["text"]), str(each["url"])) for each in elements["actions"] if "url" in each],
    )


_FENCE = "```"
_MARKED = re.compile(
    r"`(?P<code>[^`]*)`|<!date\^[^|>]*\|(?P<date>[^>]*)>|<(?P<address>[^|>]*)\|(?P<label>[^>]*)>"
    r"|\*(?P<strong>[^*]+)\*"
)
"""What Slack draws: https://docs.slack.dev/messaging/formatting-message-text."""


def _paragraph(mrkdwn: str) -> Paragraph:
    if mrkdwn.startswith(_FENCE):
        lines = mrkdwn.removeprefix(_FENCE).removesuffix(_FENCE).strip("\n").split("\n")
        return Paragraph(lines=[[Span(text=html.unescape(line))] for line in lines], preformatted=True)
    return Paragraph(lines=[_spans(line) for line in mrkdwn.split("\n")])


def _spans(mrkdwn: str) -> list[Span]:
    """The spans of a line; a date in it stands as it is shown to whoever has no Slack."""
    spans, text, at = [], "", 0
    for found in _MARKED.finditer(mrkdwn):
        text, at = text + mrkdwn[at : found.start()], found.end()
        if (inside := found["code"] if found["code"] is not None else found["date"]) is not None:
            text += inside
            continue
        spans.append(Span(text=_shown(text)))
        text = ""
        if found["strong"]:
            spans.append(Span(text=_shown(found["strong"]), strong=True))
        else:
            spans.append(Span(text=_shown(found["label"]), address=html.unescape(found["address"])))
    spans.append(Span(text=_shown(text + mrkdwn[at:])))
    return [each for each in spans if each.text]


def _plain(mrkdwn: str) -> str:
    return " ".join(each.text for line in mrkdwn.split("\n") for each in _spans(line))


def _shown(text: str) -> str:
    """Text between marks; a word joiner is ours, see `escaping.slack_notification`; one of a record is a number."""
    return re.sub(" +", " ", html.unescape(text.replace("\u2060", "")).strip(" "))

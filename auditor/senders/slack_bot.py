"""Slack by the token of a bot: one message per incident, edited as it changes, with its transitions in the thread.

Sources: https://docs.slack.dev/reference/methods/chat.postMessage (status 200 with `ok: false` for most errors; after
`fatal_error` and `internal_error`, "some aspect of the operation" may have succeeded), /chat.update (editing twice
does no harm), /conversations.history and /conversations.replies (by the identity of the channel; newest messages
first, and `include_all_metadata` for what the bot attached), /conversations.list, and
https://docs.slack.dev/apis/web-api/rate-limits (429 with `Retry-After`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, Field, SecretStr

from auditor.escaping import visible
from auditor.senders.contract import TIMEOUT_S, Address, Key, Place, Posting, Receipt, SenderSettings
from auditor.senders.json_post import JsonPost
from auditor.senders.slack import BAD_BLOCKS, message, reply, text_alone

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
NO_CHANNEL = frozenset({"channel_not_found", "not_in_channel", "is_archived"})
"""Errors after which the sender's own channel is tried."""

NO_MESSAGE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", *NO_CHANNEL})
"""Errors after which an incident gets a new message."""

HINTS = {
    "channel_not_found": "check the channel's name, and invite the bot to it if it is private",
    "not_in_channel": "invite the bot to the channel",
    "is_archived": "the channel is archived; name another one",
    "missing_scope": "give the bot the scope chat:write",
    "token_revoked": "install the app again, and put its new token into the map",
    "invalid_auth": "check the token in the map",
}

EVENT = "plumbline_message"
"""The name of the metadata in which a message carries its number."""

PAGE, CHANNELS_PAGE = 50, 1000
MOST_PAGES = 20
MOST_BYTES = 8 * 1024 * 1024

UNREAD_TIMES = 5
"""Only after so many errors in a row is it certain that a channel is missing, or cannot be read."""

FORBIDDEN = frozenset({"missing_scope", "no_permission", "not_allowed_token_type", "access_denied"})
"""Errors of a token that may not read."""

CLOCKS_DIFFER = timedelta(hours=1)
"""How far this machine's clock may be ahead of Slack's while a message is still found."""

_IDENTITY = re.compile(r"[CGD][A-Z0-9]{8,}")

Render = Callable[..., dict[str, Any]]


def judged(body: bytes, *, hints: Mapping[str, str] = HINTS) -> Receipt:
    """What a response with status 200 means. Pure.

    Args:
        hints: by error, what to do about it.
    """
    try:
        document = json.loads(body)
        accepted = document["ok"]
        error = "" if accepted else str(document.get("error") or "no error named")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return Receipt(outcome="ambiguous", error="the response is not one of Slack's")
    if accepted is True:
        return Receipt(outcome="sent", reply=document)
    hint = f": {hints[error]}" if error in hints else ""
    text = f"Slack: {visible(error)[:100]}{hint}"
    if error in UNCERTAIN:
        return Receipt(outcome="ambiguous", error=text)
    return Receipt(outcome="refused" if error in TEMPORARY else "rejected", error=text, reply={"error": error})


APP_LEVEL = "xapp-"
"""How app-level tokens begin."""


def _of_a_bot(token: SecretStr) -> SecretStr:
    if token.get_secret_value().startswith(APP_LEVEL):
        raise ValueError("this is an app-level token, which goes into app_token; a bot's token begins with xoxb-")
    return token


def _of_an_app(token: SecretStr) -> SecretStr:
    text = token.get_secret_value()
    if text and not text.startswith(APP_LEVEL):
        other = "; this is a bot's token, which goes into token" if text.startswith("xoxb-") else ""
        raise ValueError(f"an app-level token begins with {APP_LEVEL}{other}")
    return token


def _is_user(identity: str) -> str:
    if not re.fullmatch(r"[UW][A-Z0-9]{2,30}", identity):
        raise ValueError(
            f"{identity[:40]!r} is no member ID of Slack; copy it from the person's profile, as U012AB3CD"
        )
    return identity


User = Annotated[str, AfterValidator(_is_user)]


class SlackBotSettings(SenderSettings):
    """A bot that posts where each flow's `slack_channel` says.

    Attributes:
        token: of a bot with the scope `chat:write`, a secret.
        channel: for messages about flows without `slack_channel`, and about systems.
        app_token: an app-level token with the scope `connections:write`, a secret, with which the auditor listens to
            the buttons of its messages; empty for no buttons.
        may_act: the member IDs of those who may press them; None for everyone in the bot's workspace.
        url: of Slack's Web API.
    """

    title = "Slack's bot"
    address_word = "url"
    needs = ("token",)
    links = True
    channels = True
    folds = True
    acts = frozenset({"acknowledged", "unacknowledged", "snoozed", "assigned"})

    token: Annotated[Key, AfterValidator(_of_a_bot)]
    channel: str = Field(min_length=1)
    app_token: Annotated[Key, AfterValidator(_of_an_app)] = SecretStr("")
    may_act: Annotated[tuple[User, ...], Field(min_length=1)] | None = None
    url: Address = Field(default=SecretStr("https://slack.com/api"), validate_default=True)

    @property
    def listens(self) -> bool:
        """Whether people may act from Slack at all."""
        return self.is_set and bool(self.app_token.get_secret_value())

    def names(self, user: str) -> bool:
        """Whether `may_act` names a person."""
        return self.may_act is not None and user in self.may_act


class SlackBotSender:
    """Posts with the token of a bot.

    Attributes:
        heard: whether somebody listens to buttons now; without that, messages have none.
    """

    def __init__(
        self, settings: SlackBotSettings, *, dashboard: str | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        self.heard: Callable[[], bool] = lambda: False
        self._dashboard = dashboard
        self._channel = settings.channel
        self._identities: dict[str, str] = {}  # of channels, by their names
        token = settings.token.get_secret_value()
        self._post = JsonPost(
            settings.url.get_secret_value().rstrip("/"),
            timeout_s=timeout_s,
            headers={"Authorization": f"Bearer {token}"},
            secrets=[token],
            judge=judged,
        )

    def send(self, notice: Mapping[str, Any], *, possible_repeat: bool) -> Receipt:
        return self.post(notice, Posting(), possible_repeat=possible_repeat)

    def post(self, notice: Mapping[str, Any], posting: Posting, *, possible_repeat: bool) -> Receipt:
        if posting.place is not None:
            edited = self._edit(notice, posting.place)
            if edited.outcome == "sent":
                return self._once(notice, posting, possible_repeat, posting.place)
            if edited.reply.get("error") not in NO_MESSAGE:
                return edited
        return self._once(notice, posting, possible_repeat, None)

    def _edit(self, notice: Mapping[str, Any], place: Place) -> Receipt:
        """Bring an incident's first message up to date; a try that was not needed does no harm."""
        built = message(notice, dashboard=self._dashboard, possible_repeat=False, acts=self.heard())
        where = {"channel": place.channel, "ts": place.ts}
        edited = self._post.send({**built, **where}, path="/chat.update")
        if edited.reply.get("error") in BAD_BLOCKS:
            edited = self._post.send({**text_alone(built), "attachments": [], **where}, path="/chat.update")
        return replace(edited, outcome="refused") if edited.outcome == "ambiguous" else edited

    def _once(
        self, notice: Mapping[str, Any], posting: Posting, possible_repeat: bool, thread: Place | None
    ) -> Receipt:
        """Post a message, unless an earlier try has."""
        label = possible_repeat
        if possible_repeat and posting.number:
            arrived = self._arrived(notice, posting, thread)
            if isinstance(arrived, Place):
                return Receipt(outcome="sent", place=thread or arrived)
            if arrived is None:
                label = False
            elif arrived.outcome == "refused":
                return arrived
        render: Render = partial(message, acts=self.heard()) if thread is None else reply
        payload = render(notice, dashboard=self._dashboard, possible_repeat=label)
        if posting.number:
            payload["metadata"] = {"event_type": EVENT, "event_payload": {"number": posting.number}}
        if thread is not None:
            return replace(self._say({**payload, "thread_ts": thread.ts}, thread.channel), place=thread)
        channels = self._channels(notice)
        said = self._say(payload, channels[0])
        if said.reply.get("error") in NO_CHANNEL and len(channels) > 1:
            elsewhere = self._say(payload, channels[1])
            reached = elsewhere.outcome == "sent"
            return replace(elsewhere, error=f"{channels[0]}: {said.error}") if reached else elsewhere
        return said

    def _channels(self, notice: Mapping[str, Any]) -> list[str]:
        """Where a notice is posted: in its own channel or, if there is none of that name, in the sender's."""
        return list(dict.fromkeys([str(notice.get("channel") or self._channel), self._channel]))

    def _say(self, payload: Mapping[str, Any], channel: str) -> Receipt:
        said = self._post.send({**payload, "channel": channel}, path="/chat.postMessage")
        if said.reply.get("error") in BAD_BLOCKS:
            said = self._post.send({**text_alone(payload), "channel": channel}, path="/chat.postMessage")
        if said.outcome != "sent":
            return said
        identity, ts = said.reply.get("channel"), said.reply.get("ts")
        if not isinstance(identity, str) or not isinstance(ts, str):
            return said
        self._identities[channel] = identity
        return replace(said, place=Place(channel=identity, ts=ts))

    def _arrived(self, notice: Mapping[str, Any], posting: Posting, thread: Place | None) -> Place | Receipt | None:
        """Where an earlier try has arrived.

        Returns:
            None if certainly nowhere; a receipt if that cannot be read: `refused` for now, `rejected` for good.
        """
        if thread is not None:
            return self._found(thread.channel, posting, thread)
        unreadable = None
        for channel in self._channels(notice):
            identity = self._identity(channel)
            found = self._found(identity, posting, None) if isinstance(identity, str) else identity
            if isinstance(found, Place) or (found is not None and found.outcome == "refused"):
                return found
            unreadable = unreadable or found
        return unreadable

    def _found(self, channel: str, posting: Posting, thread: Place | None) -> Place | Receipt | None:
        """Look for a message by its number, in a channel or in a thread of it."""
        method = "/conversations.history" if thread is None else "/conversations.replies"
        arguments = {"channel": channel, "limit": str(PAGE), "include_all_metadata": "true"}
        if thread is not None:
            arguments["ts"] = thread.ts
        if posting.since_at is not None:
            arguments["oldest"] = f"{(posting.since_at - CLOCKS_DIFFER).timestamp():.6f}"
        unread = None
        for _ in range(UNREAD_TIMES):
            unread = None
            for page in self._pages(method, arguments):
                if isinstance(page, Receipt):
                    unread = page
                    break
                for each in page.get("messages") or ():
                    if _number(each) == posting.number:
                        return Place(channel=channel, ts=str(each.get("ts")))
            if unread is None or unread.outcome == "refused" or unread.reply.get("error") in FORBIDDEN:
                return unread
        return None if unread is not None and unread.reply.get("error") in NO_CHANNEL else unread

    def _identity(self, channel: str) -> str | Receipt | None:
        """The identity of a channel that is named; None if there is none of that name, to which nothing can have
        been posted."""
        name = channel.removeprefix("#")
        if _IDENTITY.fullmatch(name):
            return name
        if channel in self._identities:
            return self._identities[channel]
        arguments = {
            "limit": str(CHANNELS_PAGE),
            "exclude_archived": "true",
            "types": "public_channel,private_channel",
        }
        for page in self._pages("/conversations.list", arguments):
            if isinstance(page, Receipt):
                return page
            for each in page.get("channels") or ():
                if isinstance(each, Mapping) and each.get("name") == name:
                    self._identities[channel] = str(each.get("id"))
                    return self._identities[channel]
        return None

    def _pages(self, method: str, arguments: Mapping[str, str]) -> Iterator[Mapping[str, Any] | Receipt]:
        """The pages of a list; last, instead of a page that cannot be read, a receipt that says why."""
        cursor = ""
        for _ in range(MOST_PAGES):
            more = {"cursor": cursor} if cursor else {}
            read = self._post.send_form({**arguments, **more}, path=method, most_bytes=MOST_BYTES)
            if read.outcome != "sent":
                later = read.outcome in {"ambiguous", "refused"}
                yield replace(read, outcome="refused" if later else "rejected")
                return
            yield read.reply
            metadata = read.reply.get("response_metadata")
            cursor = str(metadata.get("next_cursor") or "") if isinstance(metadata, Mapping) else ""
            if not cursor:
                return
        yield Receipt(outcome="rejected", error="too many messages since then")

    def close(self) -> None:
        self._post.cut_off()


def _number(found: object) -> str:
    """The number that a message carries; "" for none."""
    metadata = found.get("metadata") if isinstance(found, Mapping) else None
    if not isinstance(metadata, Mapping) or metadata.get("event_type") != EVENT:
        return ""
    payload = metadata.get("event_payload")
    return str(payload.get("number", "")) if isinstance(payload, Mapping) else ""

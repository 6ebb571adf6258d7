"""A stand-in for Slack's Web API: users and channels of one workspace over HTTP on 127.0.0.1. It is not Slack.

Written from Slack's documentation as of 2026-11 (docs.slack.dev: "Using the Slack Web API", "Pagination", "Rate
limits", "Using message metadata", methods users.list, users.info, conversations.list, conversations.info,
conversations.history, conversations.replies, chat.postMessage, chat.update, chat.postEphemeral, auth.test,
apps.connections.open, and Block Kit's limits) and its OpenAPI document (1.7.0 of 2021, archived by Slack); answers
are checked against it in `tests/standins/test_slack.py`. It is older than `ratelimited`, `token_revoked`,
`token_expired` and Socket Mode, which stand in the documentation. What is sent over Socket Mode is in
`tests/standins/slack_socket.py`.

Where the documents are silent: what a cursor is made of; the order of a list, which is that of creation here.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from tests.standins.allowance import Allowance
from tests.standins.clock import Clock
from tests.standins.faults import Answer
from tests.standins.service import RefusalError, Request, Service, json_body
from tests.standins.slack_socket import APP, SocketMode

BOT_TOKEN = "xoxb-0000000000-stand-in"
APP_TOKEN = "xapp-1-A012ABCD0A0-0000000000-stand-in"
TEAM = "T012AB3C4"
ERRORS = {401: "invalid_auth", 403: "no_permission", 404: "unknown_method", 409: "fatal_error", 429: "ratelimited"}
SCOPES = {"users": "users:read", "conversations": "channels:read", "chat": "chat:write"}
HISTORY = "channels:history"
TIERS = {"users_list": 20, "conversations_list": 20, "users_info": 100, "conversations_info": 50}
"""Calls in a minute of each method (tiers 2, 2, 4, 3), at least. What was posted is read without a limit here."""


class Slack(Service):
    """One workspace.

    Attributes:
        scopes: what the token may read; `users:read.email` shows addresses.
        methods: the allowance of each method.
        messages: what was posted, with `channel`, `ts` and how often it was edited.
        whispers: what was posted for one person to see.
        socket: the connections of the app whose token is `APP_TOKEN`.
    """

    routes: ClassVar[Sequence[tuple[str, str, str]]] = [
        *((method, f"/api/{name.replace('_', '.')}", name) for name in TIERS for method in ("GET", "POST")),
        ("POST", "/api/chat.postMessage", "chat_postMessage"),
        ("POST", "/api/chat.update", "chat_update"),
        ("POST", "/api/conversations.history", "conversations_history"),
        ("POST", "/api/conversations.replies", "conversations_replies"),
        ("POST", "/api/chat.postEphemeral", "chat_postEphemeral"),
        ("POST", "/api/auth.test", "auth_test"),
        ("POST", "/api/apps.connections.open", "apps_connections_open"),
    ]

    def __init__(self, *, clock: Clock | None = None) -> None:
        super().__init__(clock=clock)
        self.scopes = {*SCOPES.values(), HISTORY, "users:read.email"}
        minute = timedelta(minutes=1)
        self.methods = {name: Allowance(name, most, minute, self.clock) for name, most in TIERS.items()}
        self._revoked = False
        self._users: dict[str, dict[str, Any]] = {}
        self._channels: dict[str, dict[str, Any]] = {}
        self.messages: list[dict[str, Any]] = []
        self.whispers: list[dict[str, Any]] = []
        self.socket = SocketMode()

    def close(self) -> None:
        """Stop it."""
        self.socket.close()
        super().close()

    # -- what a test keeps in it

    def create_user(self, name: str, *, email: str | None = None, **given: Any) -> str:
        """A member; answers the id."""
        with self.changing():
            made_id = f"W{len(self._users):08d}X"
            shown = {"real_name": name, "display_name": name}
            profile: dict[str, Any] = {
                **shown,
                **{f"{each}_normalized": name for each in shown},
                **dict.fromkeys(("title", "phone", "skype", "status_text", "status_emoji"), ""),
                "avatar_hash": "ge3b51ca72de",
                "email": email,
                "fields": {},
                "team": TEAM,
            }
            roles = ("admin", "owner", "primary_owner", "restricted", "ultra_restricted", "bot", "app_user")
            self._users[made_id] = {
                "id": made_id,
                "team_id": TEAM,
                "name": name,
                "real_name": name,
                "deleted": False,
                "color": "9f69e7",
                "tz": "Europe/Zurich",
                "tz_label": "Central European Time",
                "tz_offset": 3600,
                "profile": profile,
                "updated": self._now(),
                **{f"is_{each}": False for each in roles},
                **given,
            }
            return made_id

    def create_channel(self, name: str, **given: Any) -> str:
        """A public channel; answers its id."""
        with self.changing():
            made_id = f"C{len(self._channels):08d}X"
            nothing = {"value": "", "creator": "", "last_set": 0}
            flags = ("archived", "general", "group", "im", "mpim", "private", "shared", "ext_shared", "org_shared")
            self._channels[made_id] = {
                "id": made_id,
                "name": name,
                "name_normalized": name,
                "created": self._now(),
                "creator": "W00000000X",
                "is_channel": True,
                "is_member": True,
                "is_pending_ext_shared": False,
                **{f"is_{each}": False for each in flags},
                "pending_shared": [],
                "previous_names": [],
                "topic": nothing,
                "purpose": nothing,
                "num_members": 1,
                "unlinked": 0,
                **given,
            }
            return made_id

    def update_user(self, user_id: str, **changed: Any) -> None:
        """Change members of a user, or of the profile."""
        with self.changing():
            user = self._users[user_id]
            user["profile"] |= {name: value for name, value in changed.items() if name in user["profile"]}
            own = {
                name: value for name, value in changed.items() if name not in user["profile"] or name == "real_name"
            }
            user |= {**own, "updated": self._now()}

    def deactivate(self, user_id: str) -> None:
        """Deactivate a member, who stays in the list."""
        self.update_user(user_id, deleted=True)

    def archive(self, channel_id: str) -> None:
        """Archive a channel, which stays in the list unless archived ones are excluded."""
        with self.changing():
            self._channels[channel_id]["is_archived"] = True

    def revoke(self) -> None:
        """Make the token worthless."""
        self._revoked = True

    def _now(self) -> int:
        return int(self.clock.now().timestamp())

    # -- letting in

    def refusal(self, status: int, retry_after: str | None) -> Answer:
        """An error as Slack tells it: status 200 with `ok: false`, but for 429 and what is no answer of a method."""
        told = {"ok": False, "error": ERRORS.get(status, "internal_error")}
        if status == 429:
            headers = {} if retry_after is None else {"Retry-After": retry_after or "30"}
            return Answer(status=429, document=told, headers=headers)
        headers = {"Retry-After": retry_after} if retry_after else {}
        return Answer(status=status if status >= 500 else 200, document=told, headers=headers)

    def admit(self, operation: str, request: Request) -> Mapping[str, str]:
        """Look at the token, the scope and the limit of the method."""
        word, _, told = request.headers.get("authorization", "").partition(" ")
        token = told if word.lower() == "bearer" else request.form.get("token")
        if not token:
            raise _refused("not_authed")
        if operation == "apps_connections_open":
            if token != APP_TOKEN:
                raise _refused("not_allowed_token_type" if token == BOT_TOKEN else "invalid_auth")
            if self._revoked:
                raise _refused("token_revoked")
            return {}
        if token != BOT_TOKEN or self._revoked:
            raise _refused("token_revoked" if token == BOT_TOKEN else "invalid_auth")
        reads = operation in {"conversations_history", "conversations_replies"}
        needed = HISTORY if reads else SCOPES.get(operation.partition("_")[0])
        if needed and needed not in self.scopes:
            raise _refused("missing_scope", needed=needed, provided=",".join(sorted(self.scopes)))
        allowance = self.methods.get(operation)
        if allowance and not allowance.take():
            raise RefusalError(self.refusal(429, str(allowance.wait_s)))
        return {"X-OAuth-Scopes": ",".join(sorted(self.scopes))}

    # -- reading

    def users_list(self, request: Request) -> Any:
        """List members, deactivated ones, too."""
        found, cursor = self._page(request, "user", [*self._users.values()])
        members = [self._shown(each) for each in found]
        metadata = {"response_metadata": {"next_cursor": cursor}}
        return {"ok": True, "members": members, "cache_ts": self._now(), **metadata}

    def users_info(self, request: Request) -> Any:
        """Read one member."""
        user = self._users.get(_argument(request, "user") or "")
        if user is None:
            raise _refused("user_not_found")
        return {"ok": True, "user": self._shown(user)}

    def conversations_list(self, request: Request) -> Any:
        """List channels."""
        leave_out = _argument(request, "exclude_archived") == "true"
        channels = [each for each in self._channels.values() if not (leave_out and each["is_archived"])]
        found, cursor = self._page(request, "team", channels)
        return {"ok": True, "channels": found, "response_metadata": {"next_cursor": cursor}}

    def conversations_info(self, request: Request) -> Any:
        """Read one channel."""
        channel = self._channels.get(_argument(request, "channel") or "")
        if channel is None:
            raise _refused("channel_not_found")
        return {"ok": True, "channel": channel}

    # -- posting

    def chat_postMessage(self, request: Request) -> Any:  # noqa: N802  Slack's own name
        """Post a message to a channel, by its id or its name."""
        told = json_body(request) or {}
        channel = self._open_channel(told)
        if not told.get("text") and not told.get("blocks"):
            raise _refused("no_text")
        if len(told.get("text", "")) > 40_000:
            raise _refused("msg_too_long")
        _check_blocks(told)
        if "thread_ts" in told and self._message(channel["id"], told["thread_ts"]) is None:
            raise _refused("thread_not_found")
        stamp = f"{self._now()}.{len(self.messages):06d}"
        self.messages.append({**told, "channel": channel["id"], "ts": stamp, "edits": 0})
        said = {"bot_id": "B19LU7CSY", "type": "message", "text": told.get("text", ""), "user": "W00000000X"}
        return {"ok": True, "channel": channel["id"], "ts": stamp, "message": {**said, "team": TEAM, "ts": stamp}}

    def _open_channel(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """The channel that a message is for, by its id or its name."""
        named = str(told.get("channel", "")).removeprefix("#")
        channel = next((each for each in self._channels.values() if named in {each["id"], each["name"]}), None)
        if channel is None:
            raise _refused("channel_not_found")
        if channel["is_archived"]:
            raise _refused("is_archived")
        if not channel["is_member"]:
            raise _refused("not_in_channel")
        return channel

    def _message(self, channel_id: str, stamp: str) -> dict[str, Any] | None:
        return next((each for each in self.messages if (each["channel"], each["ts"]) == (channel_id, stamp)), None)

    def delete(self, stamp: str) -> None:
        """Delete a message, as a person does."""
        with self.changing():
            self.messages[:] = [each for each in self.messages if each["ts"] != stamp]

    def chat_update(self, request: Request) -> Any:
        """Edit a message; what is left out stays."""
        told = json_body(request) or {}
        found = self._message(str(told.get("channel")), str(told.get("ts")))
        if found is None:
            raise _refused("message_not_found" if told.get("channel") in self._channels else "channel_not_found")
        _check_blocks(told)
        found |= {**{name: value for name, value in told.items() if name != "thread_ts"}, "edits": found["edits"] + 1}
        return {"ok": True, "channel": found["channel"], "ts": found["ts"], "text": found.get("text", "")}

    def chat_postEphemeral(self, request: Request) -> Any:  # noqa: N802  Slack's own name
        """Post a message for one person to see."""
        told = json_body(request) or {}
        channel = self._open_channel(told)
        if not told.get("text") and not told.get("blocks"):
            raise _refused("no_text")
        if told.get("user") not in self._users:
            raise _refused("user_not_in_channel")
        _check_blocks(told)
        stamp = f"{self._now()}.{len(self.whispers):06d}"
        self.whispers.append({**told, "channel": channel["id"]})
        return {"ok": True, "message_ts": stamp}

    # -- what people press

    def pressed(self, message: Mapping[str, Any], action: str, *, by: str, choice: str = "") -> dict[str, Any]:
        """What Slack reports when a person presses a button of a message, or chooses from its menu.

        Args:
            message: as it is in `messages`; a person may see an older one.
            action: the button's or menu's `action_id`.
            by: a member's id.
            choice: the beginning of the value of what is chosen.
        """
        attachments = enumerate(message.get("attachments") or (), start=1)
        found = [
            (at, element)
            for at, each in attachments
            for block in each.get("blocks", ())
            for element in block.get("elements", ())
            if element.get("action_id") == action
        ]
        assert len(found) == 1, f"the message has {len(found)} elements {action}"
        at, element = found[0]
        kept = {name: element[name] for name in ("text", "value", "style") if name in element}
        if element["type"] == "overflow":
            kept = {"selected_option": next(each for each in element["options"] if each["value"].startswith(choice))}
        user, channel = self._users[by], self._channels[message["channel"]]
        with self.changing():
            stamp = f"{self._now()}.{len(self.calls):06d}"
        return {
            "type": "block_actions",
            "user": {"id": by, "username": user["name"], "name": user["name"], "team_id": user["team_id"]},
            "api_app_id": APP,
            "token": "Shh_its_a_seekrit",
            "container": {
                "type": "message_attachment",
                "message_ts": message["ts"],
                "attachment_id": at,
                "channel_id": channel["id"],
                "is_ephemeral": False,
                "is_app_unfurl": False,
            },
            "trigger_id": "12321423423.333649436676.d8c1bb837935619ccad0f624c448ffb3",
            "team": {"id": TEAM, "domain": "stand-in"},
            "enterprise": None,
            "is_enterprise_install": False,
            "channel": {"id": channel["id"], "name": channel["name"]},
            "message": {name: message[name] for name in ("text", "attachments", "ts") if name in message},
            "state": {"values": {}},
            "response_url": f"https://hooks.slack.com/actions/{TEAM}/1232321423432/D09sSasdasdAS9091209",
            "actions": [
                {"action_id": action, "block_id": "=qXel", **kept, "type": element["type"], "action_ts": stamp}
            ],
        }

    def press(self, message: Mapping[str, Any], action: str, *, by: str, choice: str = "") -> str:
        """Let a person press a button of a message, see `pressed`; answers the envelope."""
        return self.socket.send(self.pressed(message, action, by=by, choice=choice))

    # -- the app itself

    def auth_test(self, _: Request) -> Any:
        """Say whose token it is."""
        said = {
            "url": "https://stand-in.slack.com/",
            "team": "Stand-in",
            "user": "plumbline",
            "user_id": "W00000000X",
        }
        return {"ok": True, **said, "team_id": TEAM, "bot_id": "B19LU7CSY", "is_enterprise_install": False}

    def apps_connections_open(self, _: Request) -> Any:
        """Give out an address for Socket Mode."""
        return {"ok": True, "url": self.socket.address()}

    # -- reading what was posted

    def conversations_history(self, request: Request) -> Any:
        """List a channel's messages, the newest first, without replies in threads."""
        channel = request.form.get("channel", "")
        return self._posted(request, [each for each in self.messages if "thread_ts" not in each], channel)

    def conversations_replies(self, request: Request) -> Any:
        """List a thread, the oldest first."""
        channel, root = request.form.get("channel", ""), request.form.get("ts", "")
        if self._message(channel, root) is None:
            raise _refused("thread_not_found")
        thread = [each for each in self.messages if root in {each["ts"], each.get("thread_ts")}]
        return self._posted(request, thread[::-1], channel)

    def _posted(self, request: Request, messages: Sequence[dict[str, Any]], channel: str) -> Any:
        if channel not in self._channels:
            raise _refused("channel_not_found")
        oldest = float(request.form.get("oldest") or 0)
        listed = [each for each in messages if each["channel"] == channel and float(each["ts"]) > oldest]
        found, cursor = self._page(request, "next_ts", listed[::-1])
        shows = request.form.get("include_all_metadata") == "true"
        shown = [each if shows else {k: v for k, v in each.items() if k != "metadata"} for each in found]
        return {"ok": True, "messages": shown, "response_metadata": {"next_cursor": cursor}}

    def _shown(self, user: Mapping[str, Any]) -> dict[str, Any]:
        profile = {name: value for name, value in user["profile"].items() if name != "email"}
        seen = user["profile"] if "users:read.email" in self.scopes else profile
        return {**user, "profile": seen}

    def _page(
        self, request: Request, word: str, found: Sequence[dict[str, Any]]
    ) -> tuple[Sequence[dict[str, Any]], str]:
        """One page and the cursor of the next, which is empty behind the last."""
        size = int(_argument(request, "limit") or 0) or len(found)
        if size > 1_000:
            raise _refused("limit_required" if word == "user" else "invalid_limit")
        cursor = _argument(request, "cursor")
        start = 0
        if cursor:
            try:
                told, _, at = base64.b64decode(cursor, validate=True).decode().partition(":")
                start = int(at) if told == word else -1
            except (ValueError, binascii.Error):
                start = -1
            if start < 0:
                raise _refused("invalid_cursor")
        start = max(0, start + request.page * size)
        more = start + size < len(found)
        next_cursor = base64.b64encode(f"{word}:{start + size}".encode()).decode() if more else ""
        return found[start : start + size], next_cursor


def _argument(request: Request, name: str) -> str | None:
    """An argument of a method, from the query or from a form."""
    return request.value(name) if request.method == "GET" else request.form.get(name, request.value(name))


def _check_blocks(told: Mapping[str, Any]) -> None:
    attached = [block for each in told.get("attachments") or () for block in each.get("blocks", ())]
    if len(told.get("blocks") or ()) > 50 or len(attached) > 50:
        raise _refused("invalid_blocks")
    if len(json.dumps([told.get("blocks"), attached], ensure_ascii=False)) > 13_200:
        raise _refused("msg_blocks_too_long")
    for block in (*(told.get("blocks") or ()), *attached):
        if block["type"] == "actions" and not _is_actions(block["elements"]):
            raise _refused("invalid_blocks")


def _is_actions(elements: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the elements of an actions block keep to Block Kit's limits."""
    names = [each["action_id"] for each in elements if "action_id" in each]
    return (
        1 <= len(elements) <= 25
        and len(names) == len(set(names))
        and all(len(each) <= 255 for each in names)
        and all(_is_button(each) if each["type"] == "button" else _is_menu(each) for each in elements)
    )


def _is_button(element: Mapping[str, Any]) -> bool:
    text = element["text"]
    fits = len(text["text"]) <= 75 and len(element.get("value", "")) <= 2_000 and len(element.get("url", "")) <= 3_000
    return text["type"] == "plain_text" and fits and element.get("style", "primary") in {"primary", "danger"}


def _is_menu(element: Mapping[str, Any]) -> bool:
    options = element["options"]
    fits = (len(each["text"]["text"]) <= 75 and len(each["value"]) <= 150 for each in options)
    return element["type"] == "overflow" and 1 <= len(options) <= 5 and all(fits)


def _refused(error: str, **more: str) -> RefusalError:
    return RefusalError(Answer(document={"ok": False, "error": error, **more}))

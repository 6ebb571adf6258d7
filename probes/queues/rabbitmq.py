"""Queues in RabbitMQ, read through its management API.

Depth, counters and time-to-live are read without touching a message. RabbitMQ cannot show a message without
delivering it: it is delivered and put back, which marks it as redelivered and, in a quorum queue, counts towards its
delivery limit. Letters are therefore only read if the map says `peek: requeue`, and never in a quorum queue.
Source: rabbitmq.com/docs/management, /dlx, /quorum-queues. The broker writes `x-death` when it dead-letters a
message; from 3.13 on its count does not continue when a client publishes the message again, so attempts are a lower
bound.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from hashlib import blake2b
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import quote

from pydantic import SecretStr, field_validator

from probes.addresses import WEB, check_address, check_segment
from probes.call_deadline import becomes, left, one_call, within
from probes.contract import ProbeError, Reason
from probes.exact_json import TooDeepError, TooManyError, decode, decode_shallow, weight
from probes.queue_contract import Letter, QueueReading
from probes.queues.message import (
    PAYLOAD_LIMIT,
    TEXT_LIMIT,
    Message,
    MessageSettings,
    counted,
    distinct,
    dropped_at,
    figure,
    instant_at,
    kept,
    read_each,
    table,
    whole,
)

LOOK_BYTES = 64 * 1024 * 1024
"""Most bytes that one peek at letters may return; payloads are truncated to stay within it."""

FEWER = 100
"""Letters requested after a peek exceeded `LOOK_BYTES` (headers are never truncated) or was too slow."""

GIVEN_UP = ("rejected", "delivery_limit")
"""Reasons in `x-death` that mean a failed delivery; the others are `expired` and `maxlen`."""


DIGESTED = 4_000
"""Characters of a message's first death that distinguish it from another with the same payload."""

NO_NUMBER = "RabbitMQ tells a number of messages that cannot be true"

NO_FIGURES = (
    "RabbitMQ answers without figures of this queue: its statistics are switched off "
    "(management_agent.disable_metrics_collector or management.disable_stats), or it has just started"
)


class RabbitMqSettings(MessageSettings):
    """A queue in RabbitMQ.

    Attributes:
        url: of the management API, with the login: `https://USER:PASSWORD@HOST:15671`; a secret.
        vhost, queue: which queue.
        peek: `requeue` allows taking messages and putting them back, which marks them as redelivered.
        reason: by default, the broker's reason for dead-lettering.
    """

    kind: Literal["rabbitmq"]
    url: SecretStr
    vhost: str = "/"
    queue: str
    peek: Literal["never", "requeue"] = "never"

    @field_validator("vhost", "queue")
    @classmethod
    def _asked_for(cls, name: str) -> str:
        return check_segment(name)

    @field_validator("url")
    @classmethod
    def _certain(cls, url: SecretStr) -> SecretStr:
        check_address(url.get_secret_value(), schemes=WEB)
        return url


class RabbitMqProbe:
    """Reads one queue. A peek always starts with its oldest message: RabbitMQ has no cursor."""

    page_limit = 10_000

    def __init__(self, settings: RabbitMqSettings, _system: object = None) -> None:
        import httpx

        from probes.bounded_http import BoundedClient

        self._settings = settings
        self.timeout_s = settings.timeout_s
        url = httpx.URL(settings.url.get_secret_value())
        self._path = f"/api/queues/{quote(settings.vhost, safe='')}/{quote(settings.queue, safe='')}"
        self._client = BoundedClient(
            base_url=url.copy_with(username=None, password=None),
            auth=(url.username, url.password),
            timeout_s=settings.timeout_s,
            limit_bytes=LOOK_BYTES,
        )

    @one_call
    def read(self, peek: int, after: str | None = None) -> QueueReading:
        queue = self._ask("GET", self._path)
        if not isinstance(queue, dict):
            raise ProbeError(Reason.DECODE, "RabbitMQ's answer describes no queue")
        notes: list[str] = []
        letters: tuple[Letter, ...] = ()
        depth = figure(queue.get("messages"))
        if depth is None:
            notes.append(NO_FIGURES if queue.get("messages") is None else NO_NUMBER)
        if self._settings.role == "dead" and depth:
            letters = self._letters(queue, min(peek, depth, self.page_limit), notes)
        stats = table(queue.get("message_stats"))
        gone = [figure(stats[name]) for name in ("ack", "deliver_no_ack", "get_no_ack") if name in stats]
        failed_at = letters[0].first_failed_at if letters else None
        retention_s = _retention_s(queue)
        stamped_at = instant_at(whole(queue.get("head_message_timestamp")))
        return QueueReading(
            depth=depth,
            oldest_at=failed_at or stamped_at,
            age_of="" if failed_at or not stamped_at else "since its publisher stamped it",
            # The broker does not count messages that it moves to a dead-letter queue itself as published there.
            arrived=figure(stats.get("publish")) if self._settings.role != "dead" else None,
            taken=sum(each or 0 for each in gone) if gone and None not in gone else None,
            retention_s=retention_s,
            drops_at=dropped_at(failed_at, retention_s),
            letters=letters,
            truncated=depth is None or depth > len(letters),
            notes=tuple(notes),
        )

    def _letters(self, queue: Mapping[str, Any], count: int, notes: list[str]) -> tuple[Letter, ...]:
        if self._settings.peek != "requeue":
            notes.append(
                "letters are not looked at: RabbitMQ would mark them as redelivered (peek: requeue allows it)"
            )
            return ()
        if queue.get("type", "classic") != "classic":
            notes.append(f"letters are not looked at: in a {queue.get('type')} queue each look counts as a delivery")
            return ()
        notes.append("looking marks letters as redelivered")
        for least in dict.fromkeys((count, min(count, FEWER), 1)) if count else ():
            cut = min(PAYLOAD_LIMIT, LOOK_BYTES // 2 // least)
            wanted = {"count": least, "ackmode": "ack_requeue_true", "encoding": "auto", "truncate": cut}
            try:
                with within(left() if least == 1 else left() / 2):  # leaves time to request fewer
                    messages = self._ask("POST", f"{self._path}/get", wanted)
                if not isinstance(messages, list):
                    raise ProbeError(Reason.DECODE, "RabbitMQ's answer is no list of messages")
                return distinct(read_each(messages, self._letter, lambda each: _digest(kept(each, TEXT_LIMIT))))
            except ProbeError as error:
                if error.reason not in {Reason.TOO_LARGE, Reason.TIMEOUT, Reason.OVER_BUDGET}:
                    raise
                notes.append(f"{least} letters could not be looked at together: {error.message}")
        return ()

    def _letter(self, each: Mapping[str, Any]) -> Letter:
        properties = table(each.get("properties"))
        headers = table(properties.get("headers"))
        payload, odd = _payload(each)
        cut = (figure(each.get("payload_bytes")) or 0) > len(payload)
        if properties.get("headers") and not headers:
            odd = "; ".join(part for part in (odd, "its headers are no table, or nested too deeply") if part)
        message = Message({**properties, **headers}, payload, odd=odd, cut=cut)
        # Any client can write these headers, with any value.
        history = headers.get("x-death")
        deaths = [death for death in history if isinstance(death, Mapping)] if isinstance(history, list) else []
        times = [at for death in deaths if (at := instant_at(whole(death.get("time")))) is not None]
        tries = [counted(death.get("count", 1)) for death in deaths if death.get("reason") in GIVEN_UP]
        first = deaths[0] if deaths else {}
        why, where = first.get("reason"), first.get("queue")
        by_broker = f"{why} in {where}" if isinstance(why, str) and isinstance(where, str) else None
        return message.letter(
            self._settings,
            properties.get("message_id") or _digest(payload + kept(deaths[:1], DIGESTED).encode()),
            reason=by_broker,
            attempts=max((count for count in tries if count is not None), default=None),
            first_failed_at=min(times, default=None),
            last_failed_at=max(times, default=None),
        )

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        import httpx

        try:
            response = self._client.ask(method, path, json=body)
        except httpx.TimeoutException:
            raise ProbeError(Reason.TIMEOUT, f"no answer within {self._settings.timeout_s:g} s") from None
        except httpx.HTTPError as error:
            raise ProbeError(Reason.UNREACHABLE, f"RabbitMQ cannot be reached: {type(error).__name__}") from None
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            raise ProbeError(Reason.AUTH, "RabbitMQ refuses the login, or it may not use the management API")
        if response.status_code == HTTPStatus.FORBIDDEN:
            raise ProbeError(Reason.PERMISSION, f"the login may not read {self._settings.queue}")
        if response.status_code == HTTPStatus.NOT_FOUND:
            raise ProbeError(
                Reason.QUERY, f"there is no queue {self._settings.queue} in the virtual host {self._settings.vhost}"
            )
        if response.is_error:
            raise ProbeError(Reason.QUERY, f"RabbitMQ answered {response.status_code}")
        try:
            becomes(weight(response.content))
            try:
                return decode(response.content)
            except TooDeepError:  # the headers of one message among many
                return decode_shallow(response.content)
        except TooManyError as error:
            raise ProbeError(Reason.TOO_LARGE, f"RabbitMQ answered {error}") from None
        except ValueError:
            raise ProbeError(Reason.DECODE, "RabbitMQ's answer is not JSON") from None

    @one_call
    def prove_read_only(self) -> str:
        login = table(self._ask("GET", "/api/whoami"))
        tags = login.get("tags")
        who = f"as {login.get('name')} ({', '.join(tags) if isinstance(tags, list) else tags})"
        if self._settings.peek == "requeue":
            return f"takes letters and puts them back, {who}"
        return f"sends GET requests alone, {who}"

    def close(self) -> None:
        self._client.close()


def _digest(content: str | bytes) -> str:
    return blake2b(
        content if isinstance(content, bytes) else content.encode("utf-8", "replace"), digest_size=16
    ).hexdigest()


def _payload(each: Mapping[str, Any]) -> tuple[bytes, str]:
    """A message's payload, and its unreadable parts."""
    text = each.get("payload")
    if not isinstance(text, str):
        return b"", "" if text is None else "its payload is no text"
    if each.get("payload_encoding") != "base64":
        return text.encode("utf-8", "surrogatepass"), ""
    try:
        return base64.b64decode(text), ""
    except (binascii.Error, ValueError):
        return b"", "its payload is not base64"


def _retention_s(queue: Mapping[str, Any]) -> float | None:
    """The shortest time-to-live that applies: the queue's own argument, or its policy's."""
    limits = [
        table(queue.get("arguments")).get("x-message-ttl"),
        table(queue.get("effective_policy_definition")).get("message-ttl"),
    ]
    limits_ms = [limit for each in limits if (limit := figure(each)) is not None]
    return min(limits_ms) / 1000 if limits_ms else None

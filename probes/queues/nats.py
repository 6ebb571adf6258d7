"""Queues in NATS JetStream: what a consumer has not acknowledged, and what it was given too often.

JetStream has no dead letters. When a message was delivered `max_deliver` times in vain the server publishes one
advisory on `$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.STREAM.CONSUMER` and forgets it: it is only there to be read
where a stream captures these subjects. The advisory carries the message's sequence and not the message, which is
fetched from its own stream. Streams are read by sequence: no consumer is made, nothing is delivered or acknowledged.
Source: docs.nats.io, JetStream advisories and the stream API.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

from pydantic import Field, SecretStr, field_validator

from probes.contract import Letter, PluginSettings, ProbeError, QueueReading, Reason
from probes.durations import Duration
from probes.queues.payload import TEXT_LIMIT, Message, checked

PEEK_LIMIT = 200
"""Letters fetched in one reading: each takes up to two requests."""

ADVISORY = "io.nats.jetstream.advisory.v1.max_deliver"
SUBJECT = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES"

ResultT = TypeVar("ResultT")


class NatsSettings(PluginSettings):
    """A stream in NATS JetStream.

    Attributes:
        url: `nats://...` or `tls://...`, with the login; a secret.
        stream: for role `main` or `retry` the stream of the consumer; for role `dead` the stream that captures the
            advisories, or one to which dead letters are published.
        consumer: whose backlog it is; for role `dead` only its advisories count.
        of: for role `dead` with a consumer, the stream that the consumer reads.
        key: where the record's key stands: `field:NAME` of a header, `field:subject`, or a JSONPath into the payload.
        reason: the same for the error.
        timeout_s: the deadline of one reading.
    """

    kind: Literal["nats"]
    url: SecretStr
    role: Literal["main", "retry", "dead"] = "dead"
    stream: str
    consumer: str | None = None
    of: str | None = None
    key: str | None = None
    reason: str | None = None
    timeout_s: Duration = Field(default=5, alias="timeout", gt=0)

    @field_validator("key", "reason")
    @classmethod
    def _is_place(cls, where: str | None) -> str | None:
        return checked(where)


class NatsProbe:
    """Reads one stream; each reading has a connection of its own."""

    def __init__(self, settings: NatsSettings, _system: object = None) -> None:
        try:
            import nats
            import nats.errors
            import nats.js.errors
        except ModuleNotFoundError as error:
            raise ProbeError(
                Reason.QUERY, "the driver nats-py is not installed", hint="pip install 'plumbline[nats]'"
            ) from error
        self._settings = settings
        self._nats: Any = nats
        self._subject = f"{SUBJECT}.{settings.of or '*'}.{settings.consumer}" if settings.consumer else None

    def read(self, peek: int) -> QueueReading:
        of = self._settings
        if of.role == "dead":
            return asyncio.run(self._connected(lambda js: self._dead(js, min(peek, PEEK_LIMIT))))
        return asyncio.run(self._connected(self._waiting))

    async def _connected(self, read: Callable[[Any], Awaitable[ResultT]]) -> ResultT:
        of, errors = self._settings, self._nats.errors
        try:
            async with asyncio.timeout(of.timeout_s):
                connection = await self._nats.connect(
                    of.url.get_secret_value(),
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0.1,
                    connect_timeout=of.timeout_s,
                    error_cb=_quietly,
                )
                try:
                    return await read(connection.jetstream(timeout=of.timeout_s))
                finally:
                    await connection.close()
        except (errors.AuthorizationError, errors.InvalidUserCredentialsError):
            raise ProbeError(Reason.AUTH, "NATS refuses the login") from None
        except self._nats.js.errors.NotFoundError as error:
            what = f"consumer {of.consumer} of {of.stream}" if "consumer" in str(error) else f"stream {of.stream}"
            raise ProbeError(Reason.QUERY, f"there is no {what}") from None
        except (errors.NoServersError, ConnectionError):
            raise ProbeError(Reason.UNREACHABLE, "NATS cannot be reached") from None
        except (TimeoutError, errors.TimeoutError):
            raise ProbeError(Reason.TIMEOUT, f"no answer within {of.timeout_s:g} s") from None
        except errors.Error as error:
            said = " ".join(str(error).split())[:200]
            refused = "authorization" in said.lower()
            raise ProbeError(Reason.AUTH if refused else Reason.QUERY, said) from None

    # -- what waits

    async def _waiting(self, js: Any) -> QueueReading:
        of = self._settings
        stream = await js.stream_info(of.stream)
        if of.consumer is None:
            return await self._whole(js, stream)
        consumer = await js.consumer_info(of.stream, of.consumer)
        done = consumer.ack_floor.stream_seq if consumer.ack_floor else 0
        depth = (consumer.num_pending or 0) + (consumer.num_ack_pending or 0)
        first = await self._message_at(js, of.stream, max(done + 1, stream.state.first_seq)) if depth else None
        return QueueReading(
            depth=depth,
            oldest_at=_instant(first.time) if first else None,
            age_of="since it was published" if first else "",
            arrived=stream.state.last_seq,
            taken=done,
            retention_s=stream.config.max_age or None,
        )

    async def _whole(self, js: Any, stream: Any) -> QueueReading:
        state = stream.state
        first = await self._message_at(js, self._settings.stream, state.first_seq) if state.messages else None
        return QueueReading(
            depth=state.messages,
            oldest_at=_instant(first.time) if first else None,
            arrived=state.last_seq,
            taken=state.last_seq - state.messages,
            retention_s=stream.config.max_age or None,
        )

    # -- what was given up on

    async def _dead(self, js: Any, peek: int) -> QueueReading:
        of = self._settings
        stream = await js.stream_info(of.stream, subjects_filter=self._subject)
        state = stream.state
        depth = sum((state.subjects or {}).values()) if self._subject else state.messages
        letters: list[Letter] = []
        at = state.first_seq
        while len(letters) < peek and at <= state.last_seq and len(letters) < depth:
            found = await self._message_at(js, of.stream, at, self._subject)
            if found is None:
                break
            letters.append(await self._letter(js, found))
            at = found.seq + 1
        return QueueReading(
            depth=depth,
            oldest_at=letters[0].first_failed_at if letters else None,
            arrived=None if self._subject else state.last_seq,
            taken=None if self._subject else state.last_seq - state.messages,
            retention_s=stream.config.max_age or None,
            letters=tuple(letters),
            truncated=depth > len(letters),
        )

    async def _message_at(self, js: Any, stream: str, sequence: int, subject: str | None = None) -> Any:
        """The first message at or after a sequence; None where there is none any more."""
        try:
            return await js.get_msg(stream, seq=sequence, subject=subject or ">", next=True)
        except self._nats.js.errors.NotFoundError:
            return None

    async def _letter(self, js: Any, found: Any) -> Letter:
        advisory = _advisory(found.data)
        if advisory is None:
            message = self._read_into(found)
            return Letter(
                letter_id=str(found.seq),
                key=message.find(self._settings.key),
                reason=message.find(self._settings.reason),
                first_failed_at=_instant(found.time),
                last_failed_at=_instant(found.time),
            )
        stream, sequence = str(advisory["stream"]), int(advisory["stream_seq"])
        try:
            original = await js.get_msg(stream, seq=sequence)
        except self._nats.js.errors.NotFoundError:
            original = None
        told = self._read_into(original) if original is not None else None
        deliveries = int(advisory["deliveries"])
        reason = told.find(self._settings.reason) if told else f"its message is gone from {stream}"
        given_up_at = _instant(found.time)
        return Letter(
            letter_id=f"{stream}/{advisory['consumer']}/{sequence}"[:TEXT_LIMIT],
            key=told.find(self._settings.key) if told else None,
            reason=reason or f"delivered {deliveries} times to {advisory['consumer']}",
            attempts=deliveries,
            first_failed_at=given_up_at,
            last_failed_at=given_up_at,
        )

    def _read_into(self, found: Any) -> Message:
        return Message({"subject": found.subject, **(found.headers or {})}, found.data)

    def close(self) -> None:
        """Nothing is kept open between two readings."""


async def _quietly(_: Exception) -> None:
    """Errors are told by the call that meets them."""


def _advisory(data: bytes | None) -> dict[str, Any] | None:
    """The server's own notice that a message was delivered in vain, or None for any other message."""
    try:
        document = json.loads(data or b"")
    except (ValueError, RecursionError):
        return None
    known = isinstance(document, dict) and document.get("type") == ADVISORY
    return document if known and {"stream", "consumer", "stream_seq", "deliveries"} <= document.keys() else None


def _instant(raw: Any) -> datetime | None:
    if isinstance(raw, datetime):
        return raw.astimezone(UTC)
    try:
        return datetime.fromisoformat(str(raw)[:26].rstrip("Z")).replace(tzinfo=UTC) if raw else None
    except ValueError:
        return None

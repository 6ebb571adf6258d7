"""Queues in NATS JetStream: what a consumer has not acknowledged, and what it was given too often.

JetStream has no dead letters. When a message was delivered `max_deliver` times in vain the server publishes one
advisory on `$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.STREAM.CONSUMER` and forgets it: it is only there to be read
where a stream captures these subjects. The advisory carries the message's sequence and not the message, which is
fetched from its own stream. Streams are read by sequence: no consumer is made, nothing is delivered or acknowledged.
Source: docs.nats.io, JetStream advisories and the stream API.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

from pydantic import SecretStr, field_validator

from probes.addresses import check_address, login_of
from probes.contract import Letter, ProbeError, QueueReading, Reason
from probes.exact_json import decode
from probes.queues.message import Message, MessageSettings, dropped_at, missing_driver, whole

AT_ONCE = 64
"""Requests under way at once."""

ADVISORY = "io.nats.jetstream.advisory.v1.max_deliver"
SUBJECT = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES"

_NAME = re.compile(r"[^\s.*>/\\]+")
"""Names of streams and consumers. Source: docs.nats.io, JetStream, naming."""

ResultT = TypeVar("ResultT")


class NatsSettings(MessageSettings):
    """A stream in NATS JetStream.

    Attributes:
        url: `nats://...` or `tls://...`, with the login; a secret.
        stream: for role `main` or `retry` the stream of the consumer; for role `dead` the stream that captures the
            advisories, or one to which dead letters are published.
        consumer: whose backlog it is; for role `dead` only its advisories count.
        of: for role `dead` with a consumer, the stream that the consumer reads.
        key: `field:subject` is the message's subject.
        timeout_s: the deadline of one reading.
    """

    kind: Literal["nats"]
    url: SecretStr
    stream: str
    consumer: str | None = None
    of: str | None = None

    @field_validator("url")
    @classmethod
    def _certain(cls, url: SecretStr) -> SecretStr:
        text = url.get_secret_value()
        return SecretStr(check_address(text if "://" in text else f"nats://{text}"))

    def login(self) -> dict[str, str]:
        """Who asks, decoded: the driver itself takes user and password from the URL as they are written."""
        login = login_of(self.url.get_secret_value())
        if not login.password:
            return {"token": login.user} if login.user else {}
        return {"user": login.user, "password": login.password}


class NatsProbe:
    """Reads one stream; each reading has a connection of its own."""

    page_limit = 1_000

    def __init__(self, settings: NatsSettings, _system: object = None) -> None:
        try:
            import nats
            import nats.errors
            import nats.js.errors
        except ModuleNotFoundError as error:
            raise missing_driver("nats-py", "nats") from error
        self._settings = settings
        self._nats: Any = nats
        self._subject = f"{SUBJECT}.{settings.of or '*'}.{settings.consumer}" if settings.consumer else None

    def read(self, peek: int, after: str | None = None) -> QueueReading:
        if self._settings.role == "dead":
            return asyncio.run(self._connected(lambda js: self._dead(js, min(peek, self.page_limit), after)))
        return asyncio.run(self._connected(self._waiting))

    async def _connected(self, read: Callable[[Any], Awaitable[ResultT]]) -> ResultT:
        of, errors = self._settings, self._nats.errors
        try:
            async with asyncio.timeout(of.timeout_s):
                connection = await self._nats.connect(
                    of.url.get_secret_value(),
                    **of.login(),
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
            drops_at=dropped_at(_instant(first.time), stream.config.max_age or None) if first else None,
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
            drops_at=dropped_at(_instant(first.time), stream.config.max_age or None) if first else None,
        )

    # -- what was given up on

    async def _dead(self, js: Any, peek: int, after: str | None) -> QueueReading:
        of = self._settings
        stream = await js.stream_info(of.stream, subjects_filter=self._subject)
        state = stream.state
        depth = sum((state.subjects or {}).values()) if self._subject else state.messages
        first = await self._message_at(js, of.stream, state.first_seq, self._subject) if depth else None
        begin = max(state.first_seq, int(after) + 1 if after else 0)
        letters: list[Letter] = []
        while len(letters) < peek and begin <= state.last_seq:
            # Sequences of other subjects and of deleted messages are skipped by the server, one request each.
            wave = range(begin, min(begin + min(AT_ONCE, peek - len(letters)), state.last_seq + 1))
            met = await asyncio.gather(*(self._message_at(js, of.stream, at, self._subject) for at in wave))
            fresh = {each.seq: each for each in met if each is not None}
            if not fresh:
                begin = state.last_seq + 1
                break
            letters += await asyncio.gather(*(self._letter(js, fresh[at]) for at in sorted(fresh)))
            begin = max(wave[-1], *fresh) + 1
        return QueueReading(
            depth=depth,
            oldest_at=_instant(first.time) if first else None,
            arrived=None if self._subject else state.last_seq,
            taken=None if self._subject else state.last_seq - state.messages,
            retention_s=stream.config.max_age or None,
            drops_at=dropped_at(_instant(first.time), stream.config.max_age or None) if first else None,
            missing=""
            if depth or not self._subject
            else f"there is no message under {self._subject}: none was given up on, or a name is misspelt",
            letters=tuple(letters),
            truncated=begin <= state.last_seq,
            next=str(begin - 1),
            left_mark=f"{state.first_seq}/{state.num_deleted or 0}",
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
            return message.letter(self._settings, str(found.seq), first_failed_at=_instant(found.time))
        stream, sequence = advisory["stream"], advisory["stream_seq"]
        try:
            original = await js.get_msg(stream, seq=sequence)
        except self._nats.js.errors.NotFoundError:
            original = None
        gone = original is None
        told = Message({}, None) if gone else self._read_into(original)
        return told.letter(
            self._settings,
            f"{stream}/{advisory['consumer']}/{sequence}",
            reason=f"its message is gone from {stream}" if gone else f"delivered in vain to {advisory['consumer']}",
            attempts=advisory.get("deliveries"),
            first_failed_at=_instant(found.time),
        )

    def _read_into(self, found: Any) -> Message:
        return Message({"subject": found.subject, **(found.headers or {})}, found.data)

    def prove_read_only(self) -> str:
        asyncio.run(self._connected(lambda js: js.stream_info(self._settings.stream)))
        return "reads by sequence: no consumer is made, nothing is delivered or acknowledged"

    def close(self) -> None:
        """Nothing is kept open between two readings."""


async def _quietly(_: Exception) -> None:
    """Errors are told by the call that meets them."""


def _advisory(data: bytes | None) -> dict[str, Any] | None:
    """The server's own notice that a message was delivered in vain, or None for any other message."""
    try:
        document = decode(data or b"")
    except ValueError:
        return None
    if not isinstance(document, dict) or document.get("type") != ADVISORY:
        return None
    # Whoever may publish to the subject can write an advisory; the server's own are whole.
    names = (document.get("stream"), document.get("consumer"))
    named = all(isinstance(name, str) and _NAME.fullmatch(name) for name in names)
    sequence = whole(document.get("stream_seq"))
    return document if named and sequence is not None and 0 < sequence < 2**64 else None


def _instant(raw: Any) -> datetime | None:
    if isinstance(raw, datetime):
        return raw.astimezone(UTC)
    try:
        return datetime.fromisoformat(str(raw)[:26].rstrip("Z")).replace(tzinfo=UTC) if raw else None
    except ValueError:
        return None

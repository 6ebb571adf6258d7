"""Queues in NATS JetStream: what a consumer has not acknowledged, and what was delivered to it too often.

JetStream has no dead letters. After `max_deliver` failed deliveries of a message the server publishes one advisory on
`$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.STREAM.CONSUMER` and forgets it: it can only be read if a stream captures
these subjects. The advisory carries the message's sequence, not the message, which is fetched from its own stream.
Anyone who may publish to that subject can forge an advisory, so it is followed only to the stream that the map names
(`of`), for the consumer that it names, and among the subjects that this consumer reads. Streams are read by sequence:
no consumer is created, nothing is delivered or acknowledged.
Source: docs.nats.io, JetStream advisories and the stream API.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

from pydantic import SecretStr, field_validator

from probes.addresses import check_address, login_of
from probes.call_deadline import becomes, begins, came, left, one_call
from probes.contract import ProbeError, Reason
from probes.exact_json import decode, weight
from probes.guarded_socket import RECEIVED_LIMIT_BYTES, received_too_much
from probes.queue_contract import Letter, QueueReading
from probes.queues.message import Message, MessageSettings, dropped_at, missing_driver, read_one, table, whole

AT_ONCE = 64
"""Most concurrent requests."""

LOOK_BYTES = 32 * 1024 * 1024
"""Most bytes of messages requested at once, by the server's limit for each; a peek ends beyond this."""

CLOSES_S = 0.5
"""How long a connection may take to close."""

ADVISORY = "io.nats.jetstream.advisory.v1.max_deliver"
SUBJECT = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES"

ANY_SUBJECT = (">",)

ABSENT = 404
"""The API's codes for a missing message, stream or consumer."""

LOOKS_FOR = 0.7
"""The share of a reading's time after which it requests no more letters: the next peek continues from there."""

_NAME = re.compile(r"[^\s.*>/\\]+")
"""Names of streams and consumers. Source: docs.nats.io, JetStream, naming."""

ResultT = TypeVar("ResultT")


SCHEMES = ("nats", "tls", "ws", "wss")


class NatsSettings(MessageSettings):
    """A stream in NATS JetStream.

    Attributes:
        url: `nats://...` or `tls://...`, with the login; a secret.
        stream: for role `main` or `retry` the stream of the consumer; for role `dead` the stream that captures the
            advisories, or one to which dead letters are published.
        consumer: the consumer with the backlog; for role `dead` only its advisories count.
        of: for role `dead`, the stream that the consumers read; a message named by an advisory is fetched only from
            there.
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
        return SecretStr(check_address(text if "://" in text else f"nats://{text}", schemes=SCHEMES))

    def login(self) -> dict[str, str]:
        """The login, decoded: the driver itself takes user and password from the URL undecoded."""
        login = login_of(self.url.get_secret_value())
        if not login.password:
            return {"token": login.user} if login.user else {}
        return {"user": login.user, "password": login.password}


class NatsProbe:
    """Reads one stream; each reading has its own connection."""

    page_limit = 1_000

    def __init__(self, settings: NatsSettings, _system: object = None) -> None:
        try:
            import nats
            import nats.errors
            import nats.js.errors
        except ModuleNotFoundError as error:
            raise missing_driver("nats-py", "nats") from error
        self._settings = settings
        self.timeout_s = settings.timeout_s
        self._nats: Any = nats
        self._subject = f"{SUBJECT}.{settings.of or '*'}.{settings.consumer}" if settings.consumer else None

    @one_call
    def read(self, peek: int, after: str | None = None) -> QueueReading:
        import asyncio

        if self._settings.role == "dead":
            return asyncio.run(self._connected(lambda line: self._dead(line, min(peek, self.page_limit), after)))
        return asyncio.run(self._connected(self._waiting))

    async def _connected(self, read: Callable[[Any], Awaitable[ResultT]]) -> ResultT:
        import asyncio

        settings, errors = self._settings, self._nats.errors
        too_much: list[ProbeError] = []
        # The driver's own tasks also meet connection errors, and are never awaited.
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        try:
            async with asyncio.timeout(left()):
                connection = await self._nats.connect(
                    settings.url.get_secret_value(),
                    **settings.login(),
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0.1,
                    connect_timeout=settings.timeout_s,
                    error_cb=_quietly,
                )
                _count(connection, too_much)
                try:
                    return await read(_Line(connection, settings.timeout_s))
                finally:
                    with contextlib.suppress(TimeoutError):  # it waits until everything is sent
                        await asyncio.wait_for(connection.close(), CLOSES_S)
                    # A private attribute of nats-py (2.16): an incomplete message would stay until the collector
                    # finds the connection, which its own tasks refer to.
                    connection._ps.buf = bytearray()
        except asyncio.CancelledError:
            if too_much:
                raise too_much[0] from None
            raise
        except (errors.AuthorizationError, errors.InvalidUserCredentialsError):
            raise ProbeError(Reason.AUTH, "NATS refuses the login") from None
        except self._nats.js.errors.NotFoundError as error:
            what = (
                f"consumer {settings.consumer} of {settings.stream}"
                if "consumer" in str(error)
                else f"stream {settings.stream}"
            )
            raise ProbeError(Reason.QUERY, f"there is no {what}") from None
        except (errors.NoServersError, ConnectionError):
            raise ProbeError(Reason.UNREACHABLE, "NATS cannot be reached") from None
        except (TimeoutError, errors.TimeoutError):
            raise ProbeError(Reason.TIMEOUT, f"no answer within {settings.timeout_s:g} s") from None
        except errors.Error as error:
            text = " ".join(str(error).split())[:200]
            refused = "authorization" in text.lower()
            raise ProbeError(Reason.AUTH if refused else Reason.QUERY, text) from None

    # -- the backlog

    async def _waiting(self, line: _Line) -> QueueReading:
        settings = self._settings
        stream = await line.js.stream_info(settings.stream)
        if settings.consumer is None:
            return await self._whole(line, stream)
        consumer = await line.js.consumer_info(settings.stream, settings.consumer)
        done = consumer.ack_floor.stream_seq if consumer.ack_floor else 0
        depth = (consumer.num_pending or 0) + (consumer.num_ack_pending or 0)
        first = await line.at_or_after(settings.stream, max(done + 1, stream.state.first_seq)) if depth else None
        return QueueReading(
            depth=depth,
            oldest_at=first.at if first else None,
            age_of="since it was published" if first else "",
            arrived=stream.state.last_seq,
            taken=done,
            retention_s=stream.config.max_age or None,
            drops_at=dropped_at(first.at, stream.config.max_age or None) if first else None,
        )

    async def _whole(self, line: _Line, stream: Any) -> QueueReading:
        state = stream.state
        first = await line.at_or_after(self._settings.stream, state.first_seq) if state.messages else None
        return QueueReading(
            depth=state.messages,
            oldest_at=first.at if first else None,
            arrived=state.last_seq,
            taken=state.last_seq - state.messages,
            retention_s=stream.config.max_age or None,
            drops_at=dropped_at(first.at, stream.config.max_age or None) if first else None,
        )

    # -- dead letters

    async def _dead(self, line: _Line, peek: int, after: str | None) -> QueueReading:
        import asyncio

        settings = self._settings
        until = time.monotonic() + LOOKS_FOR * settings.timeout_s
        stream = await line.js.stream_info(settings.stream, subjects_filter=self._subject)
        state = stream.state
        depth = sum((state.subjects or {}).values()) if self._subject else state.messages
        first = await line.at_or_after(settings.stream, state.first_seq, self._subject) if depth else None
        begin = max(state.first_seq, int(after) + 1 if after else 0)
        letters: list[Letter] = []
        size, at_once = 0, max(1, min(AT_ONCE, LOOK_BYTES // line.max_bytes))
        while (
            len(letters) < peek
            and begin <= state.last_seq
            and size < LOOK_BYTES
            and (not letters or time.monotonic() < until)
        ):
            # Sequences of other subjects and of deleted messages are skipped by the server, one request each.
            begins()
            wave = range(begin, min(begin + min(at_once, peek - len(letters)), state.last_seq + 1))
            met = await asyncio.gather(*(line.at_or_after(settings.stream, at, self._subject) for at in wave))
            fresh = {each.sequence: each for each in met if each is not None}
            if not fresh:
                begin = state.last_seq + 1
                break
            letters += await asyncio.gather(*(self._letter(line, fresh[at]) for at in sorted(fresh)))
            begin = max(wave[-1], *fresh) + 1
            size += sum(len(each.data) for each in fresh.values())
        return QueueReading(
            depth=depth,
            oldest_at=first.at if first else None,
            arrived=None if self._subject else state.last_seq,
            taken=None if self._subject else state.last_seq - state.messages,
            retention_s=stream.config.max_age or None,
            drops_at=dropped_at(first.at, stream.config.max_age or None) if first else None,
            missing=""
            if depth or not self._subject
            else f"there is no message under {self._subject}: none was dead-lettered, or a name is misspelt",
            letters=tuple(letters),
            truncated=begin <= state.last_seq,
            next=str(begin - 1),
            left_mark=f"{state.first_seq}/{state.num_deleted or 0}",
        )

    async def _letter(self, line: _Line, stored: _Stored) -> Letter:
        advisory = _advisory(stored.data)
        if advisory is None:
            return self._read_into(stored, stored.sequence, first_failed_at=stored.at)
        facts: dict[str, Any] = {"attempts": advisory.deliveries, "first_failed_at": stored.at}
        identity = f"{advisory.stream}/{advisory.consumer}/{advisory.sequence}"
        vain = f"delivered in vain to {advisory.consumer}"
        if self._settings.of is None:
            why = f"its message is not fetched: the map does not name the stream {advisory.stream} (of:)"
            return self._read_into(None, identity, reason=vain, note=why, **facts)
        claim = self._unfounded(advisory, stored.subject)
        if claim:
            # A genuine letter may carry the same claims, so identify it by its own sequence.
            return self._read_into(None, f"advisory {stored.sequence}", note=f"{claim}: it is not followed", **facts)
        subjects = await line.subjects_of(advisory.stream, advisory.consumer)
        for subject in subjects:
            original = await line.at_or_after(advisory.stream, advisory.sequence, subject)
            if original is not None and original.sequence == advisory.sequence:
                return self._read_into(original, identity, reason=vain, **facts)
        gone = f"its message is gone from {advisory.stream}"
        if subjects != ANY_SUBJECT:
            gone += f", or is none of those that {advisory.consumer} reads"
        return self._read_into(None, identity, reason=gone, **facts)

    def _unfounded(self, advisory: _Advisory, subject: str) -> str:
        """The claims of an advisory that the map does not support; "" if it may be followed."""
        settings = self._settings
        if advisory.stream != settings.of:
            return f"it names the stream {advisory.stream}, and the map names {settings.of}"
        if settings.consumer is not None and advisory.consumer != settings.consumer:
            return f"it names the consumer {advisory.consumer}, and the map names {settings.consumer}"
        if subject != f"{SUBJECT}.{advisory.stream}.{advisory.consumer}":
            return "it did not come under the subject on which the server tells of this stream and consumer"
        return ""

    def _read_into(self, stored: _Stored | None, identity: object, **words: Any) -> Letter:
        def read(each: _Stored | None) -> Letter:
            if each is None:
                return Message({}, None).letter(self._settings, identity, **words)
            fields = {"subject": each.subject, **each.headers}
            return Message(fields, each.data, odd=each.odd).letter(self._settings, identity, **words)

        return read_one(stored, read, lambda _: identity)

    @one_call
    def prove_read_only(self) -> str:
        import asyncio

        asyncio.run(self._connected(lambda line: line.js.stream_info(self._settings.stream)))
        return "reads by sequence: no consumer is made, nothing is delivered or acknowledged"

    def close(self) -> None:
        """Nothing is open between two readings."""


def _count(connection: Any, too_much: list[ProbeError]) -> None:
    """Count the bytes received on a connection, and cancel this task if they are too many."""
    # A private attribute of nats-py (2.16): it limits messages by the server's own figures.
    import asyncio

    transport, reading = connection._transport, asyncio.current_task()
    read, received = transport.read, 0

    async def counted(size: int) -> bytes:
        nonlocal received
        data: bytes = await read(size)
        received += len(data)
        failure = received_too_much()
        if received <= RECEIVED_LIMIT_BYTES:
            try:
                came(len(data))  # while it waits, the rest of this reading waits, too
            except ProbeError as error:
                failure = error
            else:
                return data
        if not too_much and reading is not None:
            too_much.append(failure)
            reading.cancel()
        raise OSError("more than is ever read")

    transport.read = counted


async def _quietly(_: Exception) -> None:
    """The call that meets an error reports it."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """A stored message; `odd` names its unreadable parts."""

    subject: str
    sequence: int
    at: datetime | None
    headers: Mapping[str, bytes]
    data: bytes
    odd: str


class _Line:
    """A connection, with requests that the driver itself cannot read for every message."""

    def __init__(self, connection: Any, timeout_s: float) -> None:
        self.js = connection.jetstream(timeout=timeout_s)
        self._connection = connection
        self.max_bytes = max(1, whole(connection.max_payload) or 1)
        self._timeout_s = timeout_s
        self._subjects: dict[tuple[str, str], Sequence[str]] = {}

    async def at_or_after(self, stream: str, sequence: int, subject: str | None = None) -> _Stored | None:
        """The first message of a subject at or after a sequence; None if there is none left."""
        answer = await self._ask(f"STREAM.MSG.GET.{stream}", {"seq": sequence, "next_by_subj": subject or ">"})
        return None if answer is None else _stored(table(answer.get("message")))

    async def subjects_of(self, stream: str, consumer: str) -> Sequence[str]:
        """The subjects that a consumer reads; all of them if it no longer exists."""
        if (stream, consumer) not in self._subjects:
            answer = await self._ask(f"CONSUMER.INFO.{stream}.{consumer}", None) or {}
            config = table(answer.get("config"))
            several = config.get("filter_subjects")
            named = [config.get("filter_subject"), *(several if isinstance(several, list) else [])]
            subjects = [each for each in named if isinstance(each, str) and each]
            self._subjects[stream, consumer] = tuple(subjects) or ANY_SUBJECT
        return self._subjects[stream, consumer]

    async def _ask(self, what: str, words: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """One response of JetStream's API, with exact numbers; None if the object does not exist."""
        request = b"" if words is None else json.dumps(words).encode()
        answer = await self._connection.request(f"$JS.API.{what}", request, timeout=self._timeout_s)
        becomes(weight(answer.data))
        try:
            document = decode(answer.data)
        except ValueError:
            raise ProbeError(Reason.DECODE, "NATS's answer is not JSON") from None
        if not isinstance(document, dict):
            raise ProbeError(Reason.DECODE, "NATS's answer is no table")
        error = document.get("error")
        if error is None:
            return document
        if table(error).get("code") == ABSENT:
            return None
        raise ProbeError(
            Reason.QUERY, f"NATS answered {' '.join(str(table(error).get('description')).split())[:200]}"
        )


def _stored(message: Mapping[str, Any]) -> _Stored:
    """A message from an API response.

    Raises:
        ProbeError: `decode` if it cannot be identified.
    """
    sequence = whole(message.get("seq"))
    if sequence is None or not 0 < sequence < 2**64:
        raise ProbeError(Reason.DECODE, "NATS answers with a message without a sequence")
    odd = []
    parts = {}
    for name, words in (("hdrs", "headers"), ("data", "payload")):
        try:
            parts[name] = base64.b64decode(message.get(name) or b"", validate=True)
        except (binascii.Error, ValueError, TypeError):
            parts[name] = b""
            odd.append(f"its {words} are not base64")
    headers: dict[str, bytes] = {}
    version, *lines = parts["hdrs"].split(b"\r\n")
    if version and not version.startswith(b"NATS/1.0"):
        odd.append("its headers are none of NATS/1.0")
        lines = []
    for each in lines:
        title, parted, value = each.partition(b":")
        if parted:
            headers[title.decode("utf-8", "replace").strip()] = value.strip()
    subject = message.get("subject")
    return _Stored(
        subject if isinstance(subject, str) else "",
        sequence,
        _instant(message.get("time")),
        headers,
        parts["data"],
        "; ".join(odd),
    )


@dataclass(frozen=True, slots=True)
class _Advisory:
    """The content of an advisory: which message failed to be delivered, and how often."""

    stream: str
    consumer: str
    sequence: int
    deliveries: Any


def _advisory(data: bytes) -> _Advisory | None:
    """The server's own notice of a failed delivery, or None for any other message."""
    try:
        document = table(decode(data))
    except ValueError:
        return None
    if document.get("type") != ADVISORY:
        return None
    # Anyone who may publish to the subject can forge an advisory; the server's own are complete.
    stream, consumer = document.get("stream"), document.get("consumer")
    if not (isinstance(stream, str) and _NAME.fullmatch(stream)):
        return None
    if not (isinstance(consumer, str) and _NAME.fullmatch(consumer)):
        return None
    sequence = whole(document.get("stream_seq"))
    if sequence is None or not 0 < sequence < 2**64:
        return None
    return _Advisory(stream, consumer, sequence, document.get("deliveries"))


def _instant(raw: object) -> datetime | None:
    if not isinstance(raw, str):
        return None
    try:
        return datetime.fromisoformat(raw[:26].rstrip("Z")).replace(tzinfo=UTC)
    except ValueError:
        return None

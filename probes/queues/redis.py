"""Queues in Redis: a stream with its consumer group, or a stream or list of dead letters.

Redis has no dead letters of its own. Entries delivered to a group `deliveries` times or more without acknowledgement
are dead, and so is everything in a stream or list of dead letters. Only XLEN, XRANGE, XINFO, XPENDING, LLEN, LRANGE
and TYPE are sent: nothing is claimed, acknowledged or counted as delivered.
Source: redis.io/docs/latest/commands, streams; the `lag` of a group is NULL if Redis does not know it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator

from probes.addresses import check_address
from probes.call_deadline import left, one_call
from probes.contract import ProbeError, Reason
from probes.guarded_socket import GuardedSocket
from probes.queue_contract import Letter, QueueReading
from probes.queues.message import Message, MessageSettings, distinct, instant_at, missing_driver, read_each

PENDING_LIMIT = 100_000
"""Most pending entries examined in one reading; beyond that the number of dead ones is unknown."""

PENDING_PAGE = 5_000

LOOKS_FOR = 0.7
"""The share of the remaining time after which it requests no more letters: the next peek continues from there."""

FIRST_ENTRIES = 4
ENOUGH_BYTES = 2_000_000
"""Entries are read four at a time, and four times as many each time as long as they are small together."""

LARGE = 4
"""Entries read at once from a list larger than `LIST_BYTES`: one may have 512 MB."""

ENTRIES = 1_000
"""Entries read at once from a list that fits into memory."""

GROUPS_NAMED = 20
"""Most groups of a stream that are suggested for a misspelt one."""

LIST_LIMIT = 10_000
LIST_BYTES = 64 * 1024 * 1024
"""Most entries of a list to read, and most bytes of them together."""


class RedisSettings(MessageSettings):
    """A stream or list in Redis.

    Attributes:
        url: `redis://...` or `rediss://...`, a secret.
        name: of the stream or list.
        group: the consumer group with the backlog.
        deliveries: the number of deliveries from which an entry of the group is dead.
        oldest: the end of a list that holds its oldest message.
        payload: the field of a stream's entry that holds a JSON document.
    """

    kind: Literal["redis"]
    url: SecretStr
    name: str
    group: str | None = None
    deliveries: int = Field(default=5, ge=1)
    oldest: Literal["head", "tail"] = "tail"
    payload: str = "payload"

    @field_validator("url")
    @classmethod
    def _certain(cls, url: SecretStr) -> SecretStr:
        check_address(url.get_secret_value(), schemes=("redis", "rediss", "unix"))
        return url


class RedisProbe:
    """Reads one stream or list."""

    page_limit = 1_000

    def __init__(self, settings: RedisSettings, _system: object = None) -> None:
        try:
            import redis
            import redis.backoff
            import redis.retry
        except ModuleNotFoundError as error:
            raise missing_driver("redis", "redis") from error
        self._settings = settings
        self._redis = redis
        self.timeout_s = timeout_s = settings.timeout_s
        url = settings.url.get_secret_value()
        self._client: Any = redis.Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            # A connection that the server has dropped meanwhile is reopened once.
            retry=redis.retry.Retry(redis.backoff.NoBackoff(), 1),
        )
        pool = self._client.connection_pool
        pool.connection_class = _guarded(pool.connection_class)

    @one_call
    def read(self, peek: int, after: str | None = None) -> QueueReading:
        try:
            kind = self._client.type(self._settings.name).decode()
            if kind == "none":
                missing = f"there is no key {self._settings.name}: empty, or misspelt"
                return QueueReading(depth=0, oldest_at=None, notes=(missing,), missing=missing)
            if kind == "list":
                return self._list(peek)
            if kind != "stream":
                raise ProbeError(Reason.QUERY, f"{self._settings.name} is a {kind} and no stream or list")
            return self._group(peek, after) if self._settings.group else self._stream(peek, after)
        except self._redis.RedisError as error:
            raise self._explain(error) from None

    # -- its contents

    def _list(self, peek: int) -> QueueReading:
        """A list is read at once: an entry taken meanwhile would shift all others past a second page."""
        settings = self._settings
        depth = int(self._client.llen(settings.name))
        notes = ["a list does not tell how old its messages are"]
        try:
            payloads = self._oldest(depth) if peek and depth else []
        except ProbeError as failure:
            if failure.reason is not Reason.TOO_LARGE:
                raise
            payloads = []
            notes.append(f"letters are not looked at: {failure.message}")
        # A position is not an identity: taking an entry shifts all others.
        letters = distinct(
            read_each(payloads, lambda payload: Message({}, payload).letter(settings, _digest(payload)), _digest)
        )
        return QueueReading(
            depth=depth,
            oldest_at=None,
            letters=self._dead(letters),
            truncated=depth > len(letters),
            notes=tuple(notes),
        )

    def _oldest(self, depth: int) -> list[bytes]:
        """The oldest entries of a list, oldest first, as many as there is memory and time for."""
        count = min(LIST_LIMIT, depth)
        total = self._held()
        if total is not None and total <= LIST_BYTES:
            return self._entries_of_list(0, count)
        # Large entries may be among small ones, so only a few are read at once; if the entry that is read again is a
        # different one, a removal meanwhile has shifted all others.
        entries = self._entries_of_list(0, 1)
        size, until = sum(map(len, entries)), time.monotonic() + LOOKS_FOR * left()
        while entries and len(entries) < count and size < LIST_BYTES and time.monotonic() < until:
            again, *more = self._entries_of_list(len(entries) - 1, LARGE) or [b""]
            if again != entries[-1] or not more:
                break
            entries += more
            size += sum(map(len, more))
        return entries

    def _entries_of_list(self, begin: int, count: int) -> list[bytes]:
        """Entries of a list after the `begin` oldest ones, oldest first."""
        name, last = self._settings.name, begin + count - 1
        if self._settings.oldest == "head":
            return list(self._client.lrange(name, begin, last))
        return list(reversed(self._client.lrange(name, -last - 1, -begin - 1)))

    def _held(self) -> int | None:
        """The total size, with every entry measured; None if the login may not read it."""
        try:
            return int(self._client.memory_usage(self._settings.name, samples=0) or 0)
        except self._redis.ResponseError:
            return None

    def _stream(self, peek: int, after: str | None) -> QueueReading:
        settings = self._settings
        stream = self._client.xinfo_stream(settings.name)
        first = stream.get("first-entry")
        depth, arrived = int(stream["length"]), stream.get("entries-added")
        letters, last, more = self._entries(peek, after)
        return QueueReading(
            depth=depth,
            oldest_at=_added_at(first[0]) if first else None,
            arrived=arrived,
            taken=arrived - depth if arrived is not None else None,
            letters=self._dead(letters),
            truncated=more if peek else depth > 0,
            next=last,
            left_mark=str(arrived - depth) if arrived is not None else None,
        )

    def _entries(self, peek: int, after: str | None) -> tuple[list[Letter], str, bool]:
        """Read up to `peek` entries, few at first and then more if they are small.

        Returns:
            The letters, where to continue, and whether there may be more.
        """
        letters: list[Letter] = []
        last, count = after or "0-0", FIRST_ENTRIES
        until = time.monotonic() + LOOKS_FOR * left()
        total = self._held() if peek else 0
        # Large entries may follow any number of small ones.
        most = peek if total is not None and total <= LIST_BYTES else LARGE
        while len(letters) < peek and (not letters or time.monotonic() < until):
            wanted = min(count, most, peek - len(letters))
            try:
                entries = self._client.xrange(self._settings.name, min=f"({last}", count=wanted)
            except ProbeError as failure:
                if failure.reason is not Reason.TOO_LARGE or not letters:
                    raise
                break
            size = sum(len(value) for _, fields in entries for value in (fields or {}).values())
            met = read_each(entries, self._entry, lambda entry: entry[0])
            letters += met
            last = entries[len(met) - 1][0].decode() if met else last
            if len(met) == len(entries) < wanted:
                return letters, last, False
            count = min(4 * count, peek) if size < ENOUGH_BYTES else FIRST_ENTRIES
        return letters, last, True

    def _entry(self, entry: tuple[bytes, dict[bytes, bytes]]) -> Letter:
        identity, fields = entry
        return self._message(fields).letter(self._settings, identity, first_failed_at=_added_at(identity))

    def _group(self, peek: int, after: str | None) -> QueueReading:
        settings = self._settings
        # Any client can create a group, also with a name that is not UTF-8.
        groups = {each["name"].decode("utf-8", "replace"): each for each in self._client.xinfo_groups(settings.name)}
        if settings.group not in groups:
            names = ", ".join(sorted(groups)[:GROUPS_NAMED]) or "none"
            raise ProbeError(Reason.QUERY, f"{settings.name} has no group {settings.group}", hint=f"known: {names}")
        group = groups[settings.group]
        if settings.role == "dead":
            return self._given_up(peek, after)
        pending, lag, read = int(group["pending"]), group.get("lag"), group.get("entries-read")
        first = self._client.xpending_range(settings.name, settings.group, "-", "+", 1)
        arrived = self._client.xinfo_stream(settings.name).get("entries-added")
        # XGROUP SETID can place a group behind the end of its stream.
        lag = lag if lag is not None and lag >= 0 else None
        return QueueReading(
            depth=None if lag is None else pending + lag,
            oldest_at=_added_at(first[0]["message_id"]) if first else None,
            age_of="of what was delivered and not acknowledged" if first else "",
            arrived=arrived,
            taken=None if read is None or read < pending else read - pending,
            notes=() if lag is not None else ("Redis cannot tell how far the group is behind",),
        )

    def _given_up(self, peek: int, after: str | None) -> QueueReading:
        """Entries delivered to the group `deliveries` times or more and not acknowledged."""
        settings = self._settings
        dead: list[dict[str, Any]] = []
        seen, begin = 0, "-"
        while seen < PENDING_LIMIT:
            page = self._client.xpending_range(settings.name, settings.group, begin, "+", PENDING_PAGE)
            seen += len(page)
            dead += [each for each in page if each["times_delivered"] >= settings.deliveries]
            if len(page) < PENDING_PAGE:
                break
            begin = f"({page[-1]['message_id'].decode()}"
        whole = seen < PENDING_LIMIT
        now = datetime.now(UTC)
        wanted = [each for each in dead if not after or _place(each["message_id"]) > _place(after.encode())][:peek]
        letters = tuple(self._delivered(wanted, now))
        last = wanted[len(letters) - 1]["message_id"].decode() if letters else after
        return QueueReading(
            depth=len(dead) if whole else None,
            oldest_at=_added_at(dead[0]["message_id"]) if dead else None,
            age_of="since it was added to the stream" if dead else "",
            letters=letters,
            truncated=not whole or (bool(dead) and dead[-1]["message_id"].decode() != last),
            next=last,
            notes=() if whole else (f"only the first {PENDING_LIMIT} pending entries were looked through",),
        )

    def _delivered(self, wanted: Sequence[dict[str, Any]], now: datetime) -> Iterator[Letter]:
        """These pending entries as letters, as many as there is time for; read a few at once."""
        settings = self._settings
        until = time.monotonic() + LOOKS_FOR * left()
        total = self._held()
        step = ENTRIES if total is not None and total <= LIST_BYTES else LARGE

        def read(pair: tuple[dict[str, Any], Any]) -> Letter:
            each, entry = pair
            return self._message(entry[0][1] if entry else {}).letter(
                settings,
                each["message_id"],
                reason=None if entry else f"its entry is gone from {settings.name}",
                attempts=each["times_delivered"],
                last_failed_at=instant_at(now.timestamp() - each["time_since_delivered"] / 1000),
            )

        for begin in range(0, len(wanted), step):
            chunk = wanted[begin : begin + step]
            pipeline = self._client.pipeline(transaction=False)
            for each in chunk:
                pipeline.xrange(settings.name, each["message_id"], each["message_id"])
            pairs = list(zip(chunk, pipeline.execute(), strict=True))
            met = read_each(pairs, read, lambda pair: pair[0]["message_id"])
            yield from met
            if len(met) < len(chunk) or time.monotonic() > until:
                return

    # -- one message

    def _message(self, fields: dict[bytes, bytes] | None) -> Message:
        named = {name.decode("utf-8", "replace"): value for name, value in (fields or {}).items()}
        return Message(named, named.get(self._settings.payload))

    def _dead(self, letters: Iterable[Letter]) -> tuple[Letter, ...]:
        return tuple(letters) if self._settings.role == "dead" else ()

    def _explain(self, error: Exception) -> ProbeError:
        redis = self._redis
        kinds: tuple[tuple[type[Exception], Reason, str], ...] = (
            (redis.AuthenticationError, Reason.AUTH, "Redis refuses the login"),
            (redis.exceptions.NoPermissionError, Reason.PERMISSION, "the login may not read this"),
            (redis.TimeoutError, Reason.TIMEOUT, f"no answer within {self._settings.timeout_s:g} s"),
            (redis.ConnectionError, Reason.UNREACHABLE, "Redis cannot be reached"),
        )
        for kind, reason, message in kinds:
            if isinstance(error, kind):
                return ProbeError(reason, message)
        return ProbeError(Reason.QUERY, " ".join(str(error).split())[:200])

    @one_call
    def prove_read_only(self) -> str:
        """Redis itself reports what the login may do, if the login may ask (`ACL DRYRUN`, from Redis 7 on)."""
        sends = "sends commands that read alone"
        try:
            user = self._client.execute_command("ACL", "WHOAMI").decode()
            verdict = self._client.execute_command("ACL", "DRYRUN", user, "DEL", self._settings.name).decode()
        except self._redis.exceptions.ResponseError:
            return f"{sends}; what else the login may do it may not ask"
        except self._redis.RedisError as error:
            raise self._explain(error) from None
        return f"{sends}; {user} may write" if verdict == "OK" else f"{sends}; {user} may not write"

    def close(self) -> None:
        self._client.close()


def _digest(payload: bytes) -> str:
    return blake2b(payload, digest_size=16).hexdigest()


def _place(identity: bytes) -> tuple[int, int]:
    """The position of an entry in its stream."""
    milliseconds, _, sequence = identity.partition(b"-")
    return int(milliseconds), int(sequence or 0)


def _added_at(identity: bytes) -> datetime | None:
    """When an entry was added: the first part of its identity, if Redis generated it."""
    milliseconds, _, _ = identity.partition(b"-")
    return instant_at(int(milliseconds) / 1000)


def _guarded(connection: Any) -> Any:
    """A connection class with sockets that keep the deadline of a call and count received bytes."""

    class Guarded(connection):  # type: ignore[misc]
        def _connect(self) -> Any:
            whole: Any = self
            whole.socket_connect_timeout = left(whole.socket_connect_timeout)
            return GuardedSocket(super()._connect())

    return Guarded

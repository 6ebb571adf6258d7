"""Reading a message: its record's key and its error, from its fields or from its JSON payload.

Every length is bounded here, so that no message, however large, makes a letter large.
"""

from __future__ import annotations

import codecs
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import Any, TypeVar

from jsonpath import JSONPathError
from pydantic import Field, field_validator

from probes.contract import ProbeError, Reason
from probes.durations import Duration
from probes.exact_json import MAX_DIGITS, TOO_LONG, TooDeepError, Undecodable, decode
from probes.json_paths import PathError, compiled, first
from probes.queue_contract import Letter
from probes.settings import QueueSettings

PAYLOAD_LIMIT = 256 * 1024
"""Larger payloads are not parsed: their content stays unknown."""

TEXT_LIMIT = 500
"""Most characters kept of an identity, a reason or a header."""

KEY_LIMIT = 2_000
"""Most characters of a key: a truncated key would be that of another record."""

HEADER_LIMIT = 50
"""Most headers kept of one message."""

PAYLOAD_SHOWN = 4_000
"""Most characters kept of a payload, for people to look at."""

MOST_ATTEMPTS = 2**31 - 1
"""A larger count is invalid: the ledger stores 32 bits."""

MOST_FIGURE = 2**63 - 1
"""The ledger stores a depth, a counter or a time in 64 bits."""

MOST_BITS = 13_288
"""Of a whole number with `MAX_DIGITS` digits; Python refuses to write slightly longer ones as text."""

NESTED_SHOWN = 20
"""Most levels shown of a header with lists or tables."""

READ_S = 5.0
"""How long to parse the received messages of one page: ten thousand ordinary ones take a second of it. The rest is
left to the next peek."""

END_S = 253_370_764_800
"""The year 9999 begins: an instant in it may lie beyond the calendar in another time zone."""

T = TypeVar("T")


class MessageSettings(QueueSettings):
    """Settings of every broker queue.

    Attributes:
        key: the place of the record's key: `field:NAME` of a header or property, or a JSONPath into the payload.
        reason: the same for the error.
        timeout_s: the deadline of one reading, with everything it sends.
    """

    key: str | None = None
    reason: str | None = None
    timeout_s: Duration = Field(default=5, alias="timeout", gt=0)

    @field_validator("key", "reason")
    @classmethod
    def _is_place(cls, where: str | None) -> str | None:
        return checked(where)


def dropped_at(kept_since: datetime | None, retention_s: float | None) -> datetime | None:
    """When a queue drops what it has kept since then; None if it keeps it for good, or if either is unknown.

    A time beyond the calendar means forever, which is often written as the largest possible number.
    """
    if kept_since is None or retention_s is None:
        return None
    try:
        return kept_since + timedelta(seconds=retention_s)
    except (OverflowError, ValueError):
        return None


def instant_at(since_1970_s: object) -> datetime | None:
    """The instant of a number of seconds since 1970; None if it is not a number, or not a possible instant."""
    if isinstance(since_1970_s, bool) or not isinstance(since_1970_s, int | float | Decimal):
        return None
    try:
        return datetime.fromtimestamp(float(since_1970_s), UTC) if 0 <= since_1970_s < END_S else None
    except (ValueError, OverflowError, OSError, InvalidOperation):
        return None


def whole(value: object) -> int | None:
    """A whole number from a broker; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def figure(value: object) -> int | None:
    """A number of messages or a time from an API, as a number or its digits; None for anything else.

    A figure beyond `MOST_FIGURE` is invalid: no queue holds so many, and no ledger stores it.
    """
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(MOST_FIGURE)):
        value = int(value)
    number = whole(value)
    return number if number is not None and 0 <= number <= MOST_FIGURE else None


def table(value: object) -> Mapping[str, Any]:
    """A table from a broker or a message; an empty one for anything else."""
    return value if isinstance(value, Mapping) and not isinstance(value, Undecodable) else {}


def counted(value: object) -> int | None:
    """How often something was tried, as a number or its digits; None if it is not a possible count."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(MOST_ATTEMPTS)):
        value = int(value)
    count = whole(value)
    return count if count is not None and 0 <= count <= MOST_ATTEMPTS else None


def missing_driver(driver: str, extra: str) -> ProbeError:
    """The error of a probe without its driver."""
    return ProbeError(
        Reason.QUERY, f"the driver {driver} is not installed", hint=f"pip install 'plumbline-auditor[{extra}]'"
    )


def distinct(letters: Iterable[Letter]) -> tuple[Letter, ...]:
    """The letters, with unique identities: a queue may hold the same message twice."""
    met: Counter[str] = Counter()
    distinct_letters = []
    for letter in letters:
        met[letter.letter_id] += 1
        again = met[letter.letter_id]
        distinct_letters.append(letter if again == 1 else replace(letter, letter_id=f"{letter.letter_id}#{again}"))
    return tuple(distinct_letters)


def checked(where: str | None) -> str | None:
    """A place to look in a message: `field:NAME`, or a JSONPath `$.path` into its payload.

    Raises:
        ValueError: it is neither of them.
    """
    if where is None or where.startswith("field:"):
        return where
    if not where.startswith("$"):
        raise ValueError(f"say field:NAME or a JSONPath such as $.customer.id, got {where!r}")
    try:
        compiled(where)
    except JSONPathError as error:
        raise ValueError(f"not a JSONPath: {error}") from None
    return where


class Message:
    """One message: its fields (headers, properties) by name, and its payload, decoded on demand.

    Its content is data: `letter` reports unreadable parts, and nothing is raised.

    Args:
        fields: as the broker or its driver returns them; anything but a table counts as no fields.
        payload: None if there is none, or it was not read.
        odd: parts that could not be read before.
        cut: the payload is only the beginning of the message's own.
    """

    def __init__(self, fields: object, payload: bytes | str | None, *, odd: str = "", cut: bool = False) -> None:
        self._unread: list[str] = [odd] if odd else []
        self._cut = cut
        if not isinstance(fields, Mapping):
            self._unread.append(f"its headers are {_kind(fields)} and no table")
            fields = {}
        self._fields: Mapping[Any, Any] = fields
        self._payload = payload
        self._document: Any = None
        self._decoded = False

    def find(self, where: str | None) -> str | None:
        """The value at a place as text, at most `TEXT_LIMIT` characters; None if there is nothing readable."""
        value = self._at(where)
        if value is None or isinstance(value, Mapping | list):  # `Undecodable` among them
            return None
        return kept(value, TEXT_LIMIT)

    def find_key(self, where: str | None) -> str | None:
        """The key at a place, complete or not at all; None if there is none."""
        value = self._at(where)
        if isinstance(value, bytes | bytearray | memoryview) and len(value) <= 4 * KEY_LIMIT:
            try:
                value = bytes(value).decode()
            except UnicodeDecodeError:
                self._unread.append("its key is not UTF-8")
                return None
        if value is None:
            return None
        text = value if isinstance(value, str) else _written(value, KEY_LIMIT + 1)
        if isinstance(value, Undecodable):
            why = f"what stands at {where} is {value.reason}"
        elif isinstance(value, Mapping | list | tuple | set):
            why = f"what stands at {where} is {_kind(value)} and no key"
        elif len(text) > KEY_LIMIT or text == TOO_LONG:
            why = f"its key has more than {KEY_LIMIT:,} characters"
        elif sayable(text) != text:
            why = "its key holds NUL or half of a surrogate pair"
        else:
            return text
        self._unread.append(why)
        return None

    def headers(self) -> dict[str, str]:
        """The fields as text, the first `HEADER_LIMIT` of them."""
        shown = islice(self._fields.items(), HEADER_LIMIT)
        return {kept(name, TEXT_LIMIT): kept(value, TEXT_LIMIT) for name, value in shown}

    def text(self) -> str | None:
        """The payload as text, its first `PAYLOAD_SHOWN` characters; its length if it is not text."""
        payload = self._payload
        if payload is None or isinstance(payload, str):
            return payload if payload is None else kept(payload, PAYLOAD_SHOWN)
        try:
            # A character split by our own cut is not a fault of the payload.
            decoder = codecs.getincrementaldecoder("utf-8")()
            return kept(decoder.decode(payload[:PAYLOAD_SHOWN], final=len(payload) <= PAYLOAD_SHOWN), PAYLOAD_SHOWN)
        except UnicodeDecodeError:
            return f"{len(payload)} bytes that are no text"

    def letter(
        self,
        settings: MessageSettings,
        letter_id: object,
        *,
        reason: str | None = None,
        attempts: object = None,
        first_failed_at: datetime | None = None,
        last_failed_at: datetime | None = None,
        note: str = "",
    ) -> Letter:
        """This message as a letter.

        Args:
            reason: the broker's reason for dead-lettering it, if the message does not contain one.
            attempts: from the broker, or from another writer.
            last_failed_at: the first failure if nothing else is known.
            note: claims of it that the map does not support.
        """
        key, own_reason = self.find_key(settings.key), self.find(settings.reason)
        return Letter(
            letter_id=kept(letter_id, TEXT_LIMIT),
            key=key,
            reason=own_reason or (kept(reason, TEXT_LIMIT) if reason else None),
            attempts=counted(attempts),
            first_failed_at=first_failed_at,
            last_failed_at=last_failed_at or first_failed_at,
            headers=self.headers(),
            payload=self.text(),
            unreadable=self.unreadable,
            note=kept(note, TEXT_LIMIT),
        )

    @property
    def unreadable(self) -> str:
        """Which parts could not be read so far, and why."""
        return "; ".join(dict.fromkeys(self._unread))

    def _at(self, where: str | None) -> Any:
        if where is None:
            return None
        if where.startswith("field:"):
            return self._fields.get(where.removeprefix("field:"))
        if not self._decoded:
            self._decoded = True
            self._document = self._decode()
        if not isinstance(self._document, Mapping | list):
            return None
        try:
            return first(where, self._document)
        except PathError as error:
            self._unread.append(f"its payload is {error}")
            return None

    def _decode(self) -> Any:
        """A JSON payload; None for one that is too large, not UTF-8, not JSON or nested too deeply."""
        payload = self._payload
        if payload is None:
            return None
        if not payload:
            why = "empty"
        elif len(payload) > PAYLOAD_LIMIT:
            why = f"larger than the {PAYLOAD_LIMIT:,} bytes that are read into"
        elif self._cut:
            why = f"larger than the {len(payload):,} bytes that were asked for"
        else:
            try:
                return decode(payload)
            except TooDeepError as error:
                why = str(error)
            except ValueError:
                why = "not JSON"
        self._unread.append(f"its payload is {why}")
        return None


def read_each(messages: Iterable[T], read: Callable[[T], Letter], identity: Callable[[T], object]) -> list[Letter]:
    """These messages as letters, in order; an unreadable one is listed as such.

    Any publisher controls a message's content, so no message may keep its neighbours from being read.

    Args:
        read: makes a letter from a message; what it raises affects only this message.
        identity: the queue's own identity of a message.

    Returns:
        As many letters as could be read within `READ_S`, the first one in any case.
    """
    letters: list[Letter] = []
    until = time.monotonic() + READ_S
    for each in messages:
        letters.append(read_one(each, read, identity))
        if time.monotonic() > until:
            break
    return letters


def read_one(each: T, read: Callable[[T], Letter], identity: Callable[[T], object]) -> Letter:
    """One letter; see `read_each`."""
    try:
        return read(each)
    except ProbeError:
        raise
    except Exception as error:
        try:
            letter_id = kept(identity(each), TEXT_LIMIT)
        except Exception:
            letter_id = NAMELESS
        # The text of the error may quote the message.
        return Letter(letter_id=letter_id, unreadable=f"it could not be read ({type(error).__name__})")


def storable(letter: Letter) -> Letter:
    """The letter in a form that every ledger can store, whatever its probe copied from the broker."""

    def instant(value: object) -> datetime | None:
        return value if isinstance(value, datetime) and value.tzinfo is not None else None

    return replace(
        letter,
        letter_id=kept(letter.letter_id, TEXT_LIMIT),
        reason=None if letter.reason is None else kept(letter.reason, TEXT_LIMIT),
        attempts=counted(letter.attempts),
        first_failed_at=instant(letter.first_failed_at),
        last_failed_at=instant(letter.last_failed_at),
        headers={kept(name, TEXT_LIMIT): kept(value, TEXT_LIMIT) for name, value in letter.headers.items()},
        payload=None if letter.payload is None else kept(letter.payload, PAYLOAD_SHOWN),
        unreadable=kept(letter.unreadable, TEXT_LIMIT),
        note=kept(letter.note, TEXT_LIMIT),
    )


NAMELESS = "without an identity"
"""The identity of a message without a readable one."""


def sayable(text: str) -> str:
    """Text that every database can store: without NUL and without halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def kept(value: Any, limit: int) -> str:
    """A value as text that every database can store, at most `limit` characters of it."""
    return sayable(_written(value, limit))[:limit]


def _written(value: Any, limit: int) -> str:
    """The first characters of a value's text; never formats more of it than needed."""
    if isinstance(value, str):
        return value[:limit]
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value[: 4 * limit]).decode("utf-8", "replace")[:limit]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)[:limit] if value.bit_length() <= MOST_BITS else TOO_LONG
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) <= MAX_DIGITS:
        text = f"{value:f}"
        return (text.rstrip("0").rstrip(".") if "." in text else text)[:limit]  # 17.0 is the key 17
    if isinstance(value, Mapping | list | tuple):
        return _nested(value, limit)
    try:
        return str(value)[:limit]
    except Exception:
        return _kind(value)


def _nested(value: Any, limit: int) -> str:
    """The beginning of lists and tables as Python writes them, of any depth and width."""
    written, length = [], 0
    for piece in _pieces(value, limit, 0):
        written.append(piece)
        length += len(piece)
        if length >= limit:
            break
    return "".join(written)[:limit]


def _pieces(value: Any, limit: int, level: int) -> Iterator[str]:
    if isinstance(value, Undecodable) or level >= NESTED_SHOWN:
        yield "…"
    elif isinstance(value, Mapping):
        yield "{"
        for at, (name, each) in enumerate(value.items()):
            yield f"{', ' if at else ''}{_written(name, limit)!r}: "
            yield from _pieces(each, limit, level + 1)
        yield "}"
    elif isinstance(value, list | tuple):
        yield "["
        for at, each in enumerate(value):
            yield ", " if at else ""
            yield from _pieces(each, limit, level + 1)
        yield "]"
    elif isinstance(value, str):
        yield repr(value[:limit])
    else:
        yield "None" if value is None else _written(value, limit)


def _kind(value: object) -> str:
    """The kind of a value, without its content."""
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple | set):
        return "a list"
    if isinstance(value, str):
        return "a text"
    return "a number" if isinstance(value, int | float | Decimal) else f"a {type(value).__name__}"

"""What a message says of itself: where its record's key and its error stand, in its fields or in its JSON payload.

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
"""Payloads beyond this are not read into: whatever they say stays unknown."""

TEXT_LIMIT = 500
"""Characters kept of an identity, a reason or a header."""

KEY_LIMIT = 2_000
"""Characters of a key: one that were cut would be the key of another record."""

HEADER_LIMIT = 50
"""Headers kept of one message."""

PAYLOAD_SHOWN = 4_000
"""Characters kept of a payload, for people to look at."""

MOST_ATTEMPTS = 2**31 - 1
"""A count beyond this is none: the ledger keeps 32 bits."""

MOST_FIGURE = 2**63 - 1
"""The ledger keeps 64 bits of a depth, a counter or a time."""

MOST_BITS = 13_288
"""Of a whole number with `MAX_DIGITS` digits; Python refuses to write one of a few more as text."""

NESTED_SHOWN = 20
"""Levels shown of a header that holds lists or tables."""

READ_S = 5.0
"""How long the messages of one page are read into, after they have come: ten thousand ordinary ones take a second of
it. What is left then is left to the next look."""

END_S = 253_370_764_800
"""The year 9999 begins: an instant in it may lie beyond the calendar in another time zone."""

T = TypeVar("T")


class MessageSettings(QueueSettings):
    """What every queue of a broker has.

    Attributes:
        key: where the record's key stands: `field:NAME` of a header or property, or a JSONPath into the payload.
        reason: the same for the error.
        timeout_s: the deadline of one reading, with all that it sends.
    """

    key: str | None = None
    reason: str | None = None
    timeout_s: Duration = Field(default=5, alias="timeout", gt=0)

    @field_validator("key", "reason")
    @classmethod
    def _is_place(cls, where: str | None) -> str | None:
        return checked(where)


def dropped_at(kept_since: datetime | None, retention_s: float | None) -> datetime | None:
    """When a queue drops what it has kept since then; None where it keeps it for good, or one of them is unknown.

    A time beyond the calendar is for good: "for ever" is often written as the largest number there is.
    """
    if kept_since is None or retention_s is None:
        return None
    try:
        return kept_since + timedelta(seconds=retention_s)
    except (OverflowError, ValueError):
        return None


def instant_at(since_1970_s: object) -> datetime | None:
    """The instant of a number of seconds since 1970; None for what is no number, or no instant that could be true."""
    if isinstance(since_1970_s, bool) or not isinstance(since_1970_s, int | float | Decimal):
        return None
    try:
        return datetime.fromtimestamp(float(since_1970_s), UTC) if 0 <= since_1970_s < END_S else None
    except (ValueError, OverflowError, OSError, InvalidOperation):
        return None


def whole(told: object) -> int | None:
    """A whole number as a broker tells it; None for anything else."""
    return told if isinstance(told, int) and not isinstance(told, bool) else None


def figure(told: object) -> int | None:
    """A number of messages or a time as an API tells it, as a number or its digits; None for any other.

    One beyond `MOST_FIGURE` is none: no queue holds so many, and no ledger keeps it.
    """
    if isinstance(told, str) and told.isascii() and told.isdigit() and len(told) <= len(str(MOST_FIGURE)):
        told = int(told)
    number = whole(told)
    return number if number is not None and 0 <= number <= MOST_FIGURE else None


def table(told: object) -> Mapping[str, Any]:
    """A table in what a broker or a message tells; an empty one for anything else."""
    return told if isinstance(told, Mapping) and not isinstance(told, Undecodable) else {}


def counted(told: object) -> int | None:
    """How often something was tried, as a number or its digits; None for what is no count that could be true."""
    if isinstance(told, str) and told.isascii() and told.isdigit() and len(told) <= len(str(MOST_ATTEMPTS)):
        told = int(told)
    count = whole(told)
    return count if count is not None and 0 <= count <= MOST_ATTEMPTS else None


def missing_driver(driver: str, extra: str) -> ProbeError:
    """What a probe raises whose driver is not installed."""
    return ProbeError(
        Reason.QUERY, f"the driver {driver} is not installed", hint=f"pip install 'plumbline-auditor[{extra}]'"
    )


def distinct(letters: Iterable[Letter]) -> tuple[Letter, ...]:
    """The letters, each with an identity of its own: a queue may hold the same message twice."""
    met: Counter[str] = Counter()
    found = []
    for letter in letters:
        met[letter.letter_id] += 1
        again = met[letter.letter_id]
        found.append(letter if again == 1 else replace(letter, letter_id=f"{letter.letter_id}#{again}"))
    return tuple(found)


def checked(where: str | None) -> str | None:
    """A place to look in a message: `field:NAME`, or a JSONPath `$.path` into its payload.

    Raises:
        ValueError: it is neither.
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
    """One message: its fields (headers, properties) by name, and its payload, decoded only when it is asked for.

    Whatever it says is data: what cannot be read of it is told by `letter`, and nothing is raised.

    Args:
        fields: as the broker or its driver gives them; what is no table has no fields.
        payload: None where there is none, or it was not looked at.
        odd: what of it could not be read before.
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
        """What stands there as text, at most `TEXT_LIMIT` characters; None where there is nothing to read."""
        found = self._at(where)
        if found is None or isinstance(found, Mapping | list):  # `Undecodable` among them
            return None
        return kept(found, TEXT_LIMIT)

    def find_key(self, where: str | None) -> str | None:
        """The key that stands there, whole or not at all; None where there is none."""
        found = self._at(where)
        if isinstance(found, bytes | bytearray | memoryview) and len(found) <= 4 * KEY_LIMIT:
            try:
                found = bytes(found).decode()
            except UnicodeDecodeError:
                self._unread.append("its key is not UTF-8")
                return None
        if found is None:
            return None
        text = found if isinstance(found, str) else _written(found, KEY_LIMIT + 1)
        if isinstance(found, Undecodable):
            why = f"what stands at {where} is {found.reason}"
        elif isinstance(found, Mapping | list | tuple | set):
            why = f"what stands at {where} is {_kind(found)} and no key"
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
        """The payload as text, its first `PAYLOAD_SHOWN` characters; how long it is where it is no text."""
        payload = self._payload
        if payload is None or isinstance(payload, str):
            return payload if payload is None else kept(payload, PAYLOAD_SHOWN)
        try:
            # A character cut in two where we cut is no fault of the payload.
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
        """The letter that this message is.

        Args:
            reason: why the broker says it was given up on, where the message does not tell itself.
            attempts: as the broker, or whoever else writes it, tells it.
            last_failed_at: the first failure where nothing else is known.
            note: what it claims that the map does not bear out.
        """
        key, told = self.find_key(settings.key), self.find(settings.reason)
        return Letter(
            letter_id=kept(letter_id, TEXT_LIMIT),
            key=key,
            reason=told or (kept(reason, TEXT_LIMIT) if reason else None),
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
        """What of it could not be read so far, and why."""
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


def read_each(found: Iterable[T], read: Callable[[T], Letter], identity: Callable[[T], object]) -> list[Letter]:
    """The letters that these messages are, in order; one that cannot be read is listed as unreadable.

    Whoever may publish writes what stands in a message, so that no message may keep those around it from being read.

    Args:
        read: makes a letter of a message; whatever it raises concerns this message alone.
        identity: the queue's own identity of a message.

    Returns:
        As many letters as could be read within `READ_S`, the first one in any case.
    """
    letters: list[Letter] = []
    until = time.monotonic() + READ_S
    for each in found:
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
            known = kept(identity(each), TEXT_LIMIT)
        except Exception:
            known = NAMELESS
        # The text of the error may quote the message.
        return Letter(letter_id=known, unreadable=f"it could not be read ({type(error).__name__})")


def storable(letter: Letter) -> Letter:
    """The letter as every ledger can keep it, whatever its probe took over from the broker."""

    def instant(told: object) -> datetime | None:
        return told if isinstance(told, datetime) and told.tzinfo is not None else None

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
"""What a message is called of which not even that can be told."""


def sayable(text: str) -> str:
    """Text that every database can keep: without NUL and without halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def kept(value: Any, limit: int) -> str:
    """A value as text that every database can keep, at most `limit` characters of it."""
    return sayable(_written(value, limit))[:limit]


def _written(value: Any, limit: int) -> str:
    """The first characters of a value's text; no more of it is ever written than is needed."""
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
    """What a value is, without anything of it."""
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple | set):
        return "a list"
    if isinstance(value, str):
        return "a text"
    return "a number" if isinstance(value, int | float | Decimal) else f"a {type(value).__name__}"

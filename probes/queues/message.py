"""What a message says of itself: where its record's key and its error stand, in its fields or in its JSON payload.

Every length is bounded here, so that no message, however large, makes a letter large.
"""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from typing import Any

from jsonpath import JSONPathError
from jsonpath import compile as compile_path
from pydantic import Field, field_validator

from probes.contract import Letter, ProbeError, QueueSettings, Reason
from probes.durations import Duration
from probes.exact_json import MAX_DIGITS, decode

PAYLOAD_LIMIT = 256 * 1024
"""Payloads beyond this are not read into: whatever they say stays unknown."""

TEXT_LIMIT = 500
"""Characters kept of a key, a reason or a header."""

HEADER_LIMIT = 50
"""Headers kept of one message."""

PAYLOAD_SHOWN = 4_000
"""Characters kept of a payload, for people to look at."""

MOST_ATTEMPTS = 2**31 - 1
"""A count beyond this is none: the ledger keeps 32 bits."""


class MessageSettings(QueueSettings):
    """What every queue of a broker has.

    Attributes:
        key: where the record's key stands: `field:NAME` of a header or property, or a JSONPath into the payload.
        reason: the same for the error.
        timeout_s: the deadline of one request.
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
    except OverflowError:
        return None


def instant_at(since_1970_s: float | Decimal | None) -> datetime | None:
    """The instant of a number of seconds since 1970; None for no number, and for one beyond the calendar."""
    try:
        return None if since_1970_s is None else datetime.fromtimestamp(float(since_1970_s), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def whole(told: object) -> int | None:
    """A whole number as a broker tells it; None for anything else."""
    return told if isinstance(told, int) and not isinstance(told, bool) else None


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
        compile_path(where)
    except JSONPathError as error:
        raise ValueError(f"not a JSONPath: {error}") from None
    return where


@lru_cache(maxsize=256)
def _path(where: str) -> Any:
    return compile_path(where)


class Message:
    """One message: its fields (headers, properties) by name, and its payload, decoded only when it is asked for."""

    def __init__(self, fields: Mapping[str, Any], payload: bytes | str | None) -> None:
        self._fields = fields
        self._payload = payload
        self._document: Any = None
        self._decoded = False

    def find(self, where: str | None) -> str | None:
        """What stands there as text, at most `TEXT_LIMIT` characters; None where there is nothing to read."""
        if where is None:
            return None
        found = (
            self._fields.get(where.removeprefix("field:")) if where.startswith("field:") else self._in_payload(where)
        )
        if found is None or isinstance(found, Mapping | list):  # `Undecodable` among them
            return None
        return kept(found, TEXT_LIMIT)

    def headers(self) -> dict[str, str]:
        """The fields as text, the first `HEADER_LIMIT` of them."""
        first = islice(self._fields.items(), HEADER_LIMIT)
        return {kept(name, TEXT_LIMIT): kept(value, TEXT_LIMIT) for name, value in first}

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
        letter_id: str,
        *,
        reason: str | None = None,
        attempts: object = None,
        first_failed_at: datetime | None = None,
        last_failed_at: datetime | None = None,
    ) -> Letter:
        """The letter that this message is.

        Args:
            reason: why the broker says it was given up on, where the message does not tell itself.
            attempts: as the broker, or whoever else writes it, tells it.
            last_failed_at: the first failure where nothing else is known.
        """
        return Letter(
            letter_id=kept(letter_id, TEXT_LIMIT),
            key=self.find(settings.key),
            reason=self.find(settings.reason) or (kept(reason, TEXT_LIMIT) if reason else None),
            attempts=counted(attempts),
            first_failed_at=first_failed_at,
            last_failed_at=last_failed_at or first_failed_at,
            headers=self.headers(),
            payload=self.text(),
        )

    def _in_payload(self, where: str) -> Any:
        if not self._decoded:
            self._decoded = True
            self._document = _decode(self._payload)
        if self._document is None:
            return None
        return next(iter(_path(where).findall(self._document)), None)


def _decode(payload: bytes | str | None) -> Any:
    """A JSON payload; None for one that is too large, not UTF-8, not JSON or nested too deeply."""
    if payload is None or len(payload) > PAYLOAD_LIMIT:
        return None
    try:
        return decode(payload)
    except ValueError:
        return None


def kept(value: Any, limit: int) -> str:
    """A value as text that every database can keep: without NUL and without halves of surrogate pairs."""
    if isinstance(value, bytes):
        value = value[: 4 * limit].decode("utf-8", "replace")
    elif isinstance(value, bool):
        value = "true" if value else "false"
    elif isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) <= MAX_DIGITS:
        value = f"{value:f}"
        value = value.rstrip("0").rstrip(".") if "." in value else value  # 17.0 is the key 17
    text = str(value)[:limit]
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")

"""A queue kept in a SQL table: an outbox, a job table, or a dead-letter table.

A letter keeps the identity, key and reason from the table. The age is that of the oldest matching row, by the column
that the map names; without one the age is unknown, never 0. Job tables are read the same way, with `where: {status:
failed}`: nothing in them is ever unpickled.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import model_validator

from probes.call_deadline import one_call
from probes.contract import ProbeError, Reason
from probes.queue_contract import Letter, QueueReading
from probes.queues.message import (
    PAYLOAD_LIMIT,
    TEXT_LIMIT,
    Message,
    checked,
    counted,
    distinct,
    instant_at,
    kept,
    read_each,
)
from probes.records.sql.settings import SqlSettings
from probes.settings import QueueSettings

_UNITS_S = {"s": 1.0, "ms": 1e-3, "us": 1e-6}


class SqlQueueSettings(QueueSettings):
    """A table that holds messages.

    Attributes:
        system: the SQL system of the map that holds the table.
        table: its name, with the schema if needed.
        letter_id: the column that identifies a message.
        key: the column with the key of the record the message is about, or a JSONPath into `payload`.
        payload: the column that holds a JSON document.
        since: the column with the instant the message came into this queue.
        since_unit: s, ms or us if that column is a number.
        reason, attempts: the columns that say why it failed and how often it was tried.
        where: equality conditions that select the rows, for example `{status: failed}`.
    """

    kind: Literal["sql_queue"]
    system: str
    table: str
    letter_id: str = "id"
    key: str | None = None
    payload: str | None = None
    since: str | None = None
    since_unit: Literal["s", "ms", "us"] | None = None
    reason: str | None = None
    attempts: str | None = None
    where: dict[str, str | int | bool] = {}

    @model_validator(mode="after")
    def _key_in_payload(self) -> Self:
        if self.key and self.key.startswith("$"):
            checked(self.key)
            if self.payload is None:
                raise ValueError("key is a JSONPath: say payload: COLUMN to say into what")
        return self


class SqlQueueProbe:
    """Reads one queue table through its own read-only session."""

    page_limit = 1_000

    def __init__(self, settings: SqlQueueSettings, system: SqlSettings) -> None:
        from probes.records.sql.queue_table import QueueTable

        if not isinstance(system, SqlSettings):
            raise ProbeError(Reason.QUERY, f"{settings.system} is no SQL system", hint="name a system of kind: sql")
        self._settings = settings
        self.timeout_s = system.budget.timeout_s
        self._zone = ZoneInfo(system.zone) if system.zone else None
        self._probe = QueueTable(system)

    @one_call
    def read(self, peek: int, after: str | None = None) -> QueueReading:
        from probes.records.sql.key_cursors import cursor_of

        settings = self._settings
        in_payload = settings.key is not None and settings.key.startswith("$")
        columns = [
            settings.letter_id,
            None if in_payload else settings.key,
            settings.reason,
            settings.attempts,
            settings.since,
            settings.payload,
        ]
        wanted = tuple(dict.fromkeys(each for each in columns if each))
        # One character more than is read into, so that what was cut is known to be.
        result = self._probe.queue(
            settings.table, wanted, dict(settings.where), settings.since, after, peek, text_limit=PAYLOAD_LIMIT + 1
        )
        depth, rows = result.depth, result.rows
        letters = read_each(
            rows, lambda row: self._letter(dict(zip(wanted, row, strict=True)), in_payload), lambda row: row[0]
        )
        last = rows[len(letters) - 1][0] if rows else None
        oldest_at = self._instant(result.oldest)
        return QueueReading(
            depth=depth,
            oldest_at=oldest_at,
            notes=()
            if result.oldest is None or oldest_at is not None
            else (
                f"the age of its oldest message is not known: {settings.table}.{settings.since} holds "
                "what is no instant",
            ),
            missing=""
            if depth or not settings.where
            else f"there is no row of {settings.table} with what where: says of {', '.join(settings.where)}: "
            "empty, or misspelt",
            letters=distinct(letters),
            truncated=len(letters) < len(rows) or (depth > len(rows) if after is None else len(rows) == result.asked),
            next=cursor_of(last) if rows else after,
        )

    def _letter(self, row: dict[str, Any], in_payload: bool) -> Letter:
        settings = self._settings

        def told(name: str | None) -> Any:
            return None if name is None else row[name]

        payload = told(settings.payload)
        message = Message({}, payload if payload is None or isinstance(payload, str | bytes) else str(payload))
        reason, since = told(settings.reason), told(settings.since)
        failed_at = self._instant(since) if settings.role == "dead" else None
        key = message.find_key(settings.key) if in_payload else told(settings.key)
        odd = [message.unreadable] if message.unreadable else []
        if settings.role == "dead" and since is not None and failed_at is None:
            odd.append(f"its {settings.since} is no instant")
        return Letter(
            letter_id=_named(row[settings.letter_id]),
            key=key,
            reason=None if reason is None else _said(kept(reason, PAYLOAD_LIMIT + 1)),
            attempts=counted(told(settings.attempts)),
            first_failed_at=failed_at,
            last_failed_at=failed_at,
            payload=message.text(),
            unreadable="; ".join(odd),
        )

    def _instant(self, raw: Any) -> datetime | None:
        """A row's instant; None if it has none.

        Raises:
            ProbeError: `decode` if the map does not say how to read the instants.
        """
        settings = self._settings
        if raw is None:
            return None
        try:
            if isinstance(raw, datetime):
                at = raw
            elif settings.since_unit:
                return instant_at(float(raw) * _UNITS_S[settings.since_unit])
            elif isinstance(raw, int | float | Decimal):
                raise ProbeError(
                    Reason.DECODE,
                    f"{settings.table}.{settings.since} is not an instant",
                    hint="say since_unit: s, ms or us for a number",
                )
            else:
                at = datetime.fromisoformat(str(raw))
        except (ValueError, OverflowError, TypeError):
            return None
        if at.tzinfo is None:
            if self._zone is None:
                raise ProbeError(
                    Reason.DECODE,
                    f"{self._settings.table}.{self._settings.since} carries no time zone",
                    hint=f"say zone: of the system {self._settings.system}",
                )
            at = at.replace(tzinfo=self._zone)
        return at.astimezone(UTC) if 1970 < at.year < 9999 else None  # beyond, other zones leave the calendar

    @one_call
    def prove_read_only(self) -> str:
        return self._probe.prove_read_only(None)

    def close(self) -> None:
        self._probe.close()


def _named(identity: Any) -> str:
    """A row's identity as text; hexadecimal digits for bytes that are not unique text."""
    text = kept(identity, TEXT_LIMIT)
    if isinstance(identity, bytes | bytearray | memoryview) and text.encode() != bytes(identity):
        return f"0x{bytes(identity).hex()}"[:TEXT_LIMIT]
    return text


def _said(reason: str) -> str:
    """The last line of a traceback, which is the error."""
    whole = len(reason) <= PAYLOAD_LIMIT
    if whole and reason.lstrip().startswith("Traceback (most recent call last)"):
        reason = reason.rstrip().rpartition("\n")[2]
    return kept(reason, TEXT_LIMIT)

"""A queue kept in a SQL table: an outbox, a job table, or the table of dead letters beside them.

A letter keeps the identity, key and reason that the table gives it. The age is that of the oldest row that
matches, by the column the map names; where it names none the age is unknown, never 0.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from probes.contract import Letter, PluginSettings, ProbeError, QueueReading, Reason
from probes.records.sql import SqlProbe, SqlSettings

_UNITS_S = {"s": 1.0, "ms": 1e-3, "us": 1e-6}


class SqlQueueSettings(PluginSettings):
    """A table that holds messages.

    Attributes:
        system: the SQL system of the map that the table stands in.
        role: what the messages in it are.
        table: its name, with the schema where needed.
        letter_id: the column that identifies a message.
        key: the column with the key of the record the message is about.
        since: the column with the instant the message came into this queue.
        since_unit: s, ms or us where that column is a number.
        reason, attempts: the columns that say why it failed and how often it was tried.
        where: equality conditions that choose the rows, for example `{status: failed}`.
    """

    kind: Literal["sql_queue"]
    system: str
    role: Literal["main", "retry", "dead"] = "dead"
    table: str
    letter_id: str = "id"
    key: str | None = None
    since: str | None = None
    since_unit: Literal["s", "ms", "us"] | None = None
    reason: str | None = None
    attempts: str | None = None
    where: dict[str, str | int | bool] = {}


class SqlQueueProbe:
    """Reads one queue table through a read-only session of its own."""

    def __init__(self, settings: SqlQueueSettings, system: SqlSettings) -> None:
        if not isinstance(system, SqlSettings):
            raise ProbeError(Reason.QUERY, f"{settings.system} is no SQL system", hint="name a system of kind: sql")
        self._settings = settings
        self._zone = ZoneInfo(system.zone) if system.zone else None
        self._probe = SqlProbe(system)

    def read(self, peek: int) -> QueueReading:
        of = self._settings
        columns = [of.letter_id, of.key, of.reason, of.attempts, of.since]
        wanted = tuple(dict.fromkeys(each for each in columns if each))
        depth, rows = self._probe.queue(of.table, wanted, dict(of.where), of.since or of.letter_id, peek)
        at = {name: position for position, name in enumerate(wanted)}

        def told(row: Any, name: str | None) -> Any:
            return None if name is None else row[at[name]]

        letters = tuple(
            Letter(
                letter_id=str(told(row, of.letter_id)),
                key=told(row, of.key),
                reason=None if told(row, of.reason) is None else str(told(row, of.reason))[:500],
                attempts=told(row, of.attempts),
                first_failed_at=self._instant(told(row, of.since)) if of.role == "dead" else None,
            )
            for row in rows
        )
        oldest_at = self._instant(told(rows[0], of.since)) if rows else None
        return QueueReading(depth=depth, oldest_at=oldest_at, letters=letters, truncated=depth > len(letters))

    def _instant(self, raw: Any) -> datetime | None:
        if raw is None:
            return None
        try:
            if isinstance(raw, datetime):
                at = raw
            elif self._settings.since_unit:
                return datetime.fromtimestamp(float(raw) * _UNITS_S[self._settings.since_unit], UTC)
            else:
                at = datetime.fromisoformat(str(raw))
        except (ValueError, OverflowError):
            raise ProbeError(
                Reason.DECODE,
                f"{self._settings.table}.{self._settings.since} is not an instant",
                hint="say since_unit: s, ms or us for a number",
            ) from None
        if at.tzinfo is None:
            if self._zone is None:
                raise ProbeError(
                    Reason.DECODE,
                    f"{self._settings.table}.{self._settings.since} carries no time zone",
                    hint=f"say zone: of the system {self._settings.system}",
                )
            at = at.replace(tzinfo=self._zone)
        return at.astimezone(UTC)

    def close(self) -> None:
        self._probe.close()

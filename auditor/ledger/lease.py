"""The lease of a ledger: who audits with it, and the token that every write of a daemon needs.

A process that takes the lease draws a new token, and every transaction of a daemon checks its own token inside the
transaction: a process that was paused while another took over can write nothing any more, however late it wakes and
whatever any clock says. Time only decides when the lease may be taken over: the holder changes it at short intervals,
and a waiting process takes it if it has not changed for `LEASE_S` on that process's own monotonic clock. Instants of
different machines are never compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from auditor.escaping import visible
from auditor.ledger import tables as t
from auditor.ledger.database import WRITES_AS, Database
from auditor.ledger.process import Process
from auditor.ledger.transaction import LEASE_S
from auditor.storage.ledger_error import LedgerError
from checks.values import EPOCH


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The current lease.

    Attributes:
        token: of the last holder; a new one is greater than all before it.
        beat: changes whenever the holder shows that it is alive.
        holder: None if the lease is free.
        since_at, until_at: for people; by the clock of the ledger's database if it has one.
    """

    token: int
    beat: int
    holder: Process | None
    since_at: datetime | None
    until_at: datetime | None

    def __str__(self) -> str:
        if self.holder is None or self.since_at is None or self.until_at is None:
            return "nobody"
        who = f"auditor {self.holder.does} on {visible(self.holder.host)}, process {self.holder.number}"
        return (
            f"{who}, data folder {visible(self.holder.folder)}, since {self.since_at:%Y-%m-%d %H:%M:%S} UTC, "
            f"at least until {self.until_at:%H:%M:%S} UTC"
        )

    def as_row(self) -> dict[str, Any] | None:
        """The holder as one row of a table, None if it is free."""
        if self.holder is None:
            return None
        return {
            "does": self.holder.does,
            "host": self.holder.host,
            "process": self.holder.number,
            "folder": self.holder.folder,
            "since_at": self.since_at,
            "until_at": self.until_at,
        }


class LeaseHeldError(LedgerError):
    """Another process audits with this ledger."""


class Leases:
    """Taking, keeping and giving back the lease."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def now(self) -> Lease:
        """Read the current lease."""
        with self._database.read() as connection:
            return _lease(connection.execute(sa.select(t.lease)).one())

    def take(self, seen: Lease, mine: Process) -> int | None:
        """Take the lease if it is still as seen; returns the new token, None if it has changed since.

        Transactions of earlier holders are rolled back: they can no longer commit.

        Raises:
            LedgerError: the lease is locked by sessions that this login may not end.
        """
        with self._database.unnumbered() as connection:
            if not self._database.is_sqlite:
                if not self._unchanged(connection, seen):
                    return None
                connection.execute(_END_SESSIONS, {"under": WRITES_AS, "last": seen.token})
            row = connection.execute(sa.select(t.lease).with_for_update()).one()
            if (row.token, row.beat) != (seen.token, seen.beat):
                return None
            now = self._now(connection)
            values = {
                "token": row.token + 1,
                "beat": row.beat + 1,
                "does": mine.does,
                "host": mine.host,
                "process": mine.number,
                "born": mine.born,
                "folder": mine.folder,
                "since_at": now,
                "until_at": now + timedelta(seconds=LEASE_S),
            }
            connection.execute(sa.update(t.lease).values(values))
            return int(row.token) + 1

    def _unchanged(self, connection: sa.Connection, seen: Lease) -> bool:
        row = connection.execute(sa.select(t.lease.c.token, t.lease.c.beat)).one()
        return (row.token, row.beat) == (seen.token, seen.beat)

    def renew(self, token: int) -> bool:
        """Show that the holder is alive; returns False if it is no longer the holder."""
        with self._database.unnumbered() as connection:
            until_at = self._now(connection) + timedelta(seconds=LEASE_S)
            renewed = sa.update(t.lease).where(t.lease.c.token == token, t.lease.c.since_at.is_not(None))
            return bool(connection.execute(renewed.values(beat=t.lease.c.beat + 1, until_at=until_at)).rowcount)

    def release(self, token: int) -> None:
        """Release the lease; transactions that the holder still has open can no longer commit."""
        column = t.lease.c
        with self._database.unnumbered() as connection:
            connection.execute(
                sa.update(t.lease)
                .where(column.token == token)
                .values(token=column.token + 1, beat=column.beat + 1, since_at=None, until_at=None)
            )

    def confirm(self) -> None:
        """Make sure that the lease is still held before an action that no rollback undoes.

        Raises:
            LeaseLostError: it is no longer held.
        """
        with self._database.unnumbered():
            pass

    def _now(self, connection: sa.Connection) -> datetime:
        if self._database.is_sqlite:
            return datetime.now(UTC)
        microseconds = connection.execute(_POSTGRESQL_NOW).scalar_one()
        return EPOCH + timedelta(microseconds=int(microseconds))


_END_SESSIONS = sa.text(
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid() "
    "AND starts_with(application_name, :under) AND substr(application_name, length(:under) + 1)::bigint <= :last"
)

_POSTGRESQL_NOW = sa.text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")


def _lease(row: Any) -> Lease:
    holder = None
    if row.since_at is not None:
        holder = Process(does=row.does, host=row.host, number=row.process, born=row.born, folder=row.folder)
    return Lease(token=row.token, beat=row.beat, holder=holder, since_at=row.since_at, until_at=row.until_at)

"""How sending the heartbeat went."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatState:
    """The last heartbeats.

    Attributes:
        sent_at: when the last one was accepted; None if none ever was.
        failing_since_at: when the first failed since then; None if the last one was accepted.
        failures: how many have failed since.
        error: why the last of them failed, without the address.
    """

    sent_at: datetime | None
    failing_since_at: datetime | None
    failures: int
    error: str | None

    def __str__(self) -> str:
        sent = "never accepted" if self.sent_at is None else f"last accepted at {self.sent_at:%Y-%m-%d %H:%M:%S} UTC"
        if self.failing_since_at is None:
            return sent
        return f"{sent}, failing since {self.failing_since_at:%Y-%m-%d %H:%M:%S} UTC ({self.error})"


class Heartbeats:
    """The outcome of the last heartbeats."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, at: datetime, error: str) -> None:
        """Record how sending one went.

        Args:
            error: why it was not accepted; "" if it was.
        """
        column = t.heartbeat.c
        accepted = {"sent_at": at, "failing_since_at": None, "failures": 0, "error": None}
        failed = {
            "failing_since_at": sa.func.coalesce(column.failing_since_at, sa.bindparam("at", at, t.Instant)),
            "failures": column.failures + 1,
            "error": error,
        }
        with self._database.unnumbered() as connection:
            connection.execute(sa.update(t.heartbeat).values(failed if error else accepted))

    def state(self) -> HeartbeatState:
        """How the last ones went."""
        with self._database.read() as connection:
            row = connection.execute(sa.select(t.heartbeat)).one()
        return HeartbeatState(
            sent_at=row.sent_at,
            failing_since_at=row.failing_since_at,
            failures=row.failures,
            error=row.error,
        )

"""How the last drill went, and whether somebody has requested another."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillState:
    """The last drills.

    Attributes:
        requested_at: when a drill was requested that has not begun; None if none was.
        begun_at: when the last one began; None if there was none.
        under_way: whether it has not ended yet.
        arrived_at: when the message of a drill was last accepted.
        failing_since_at: when the first drill failed since then; None if the last one arrived.
        error: where the last failed one ended.
    """

    requested_at: datetime | None
    begun_at: datetime | None
    under_way: bool
    arrived_at: datetime | None
    failing_since_at: datetime | None
    error: str | None

    def __str__(self) -> str:
        arrived = "none has arrived yet" if self.arrived_at is None else f"last arrived at {_text(self.arrived_at)}"
        if self.failing_since_at is not None:
            return f"{arrived}, failing since {_text(self.failing_since_at)} ({self.error})"
        if self.under_way and self.begun_at is not None:
            return f"{arrived}, one is under way since {_text(self.begun_at)}"
        return arrived


class Drills:
    """The outcome of the last drills."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def state(self) -> DrillState:
        """How the last ones went."""
        with self._database.read() as connection:
            row = connection.execute(sa.select(t.drill)).one()
        values = row._asdict()
        values.pop("id")
        return DrillState(**values)

    def request(self, at: datetime) -> None:
        """Request a drill of whoever holds the lease."""
        self._set(requested_at=at)

    def begin(self, at: datetime) -> None:
        """Note that a drill begins."""
        self._set(requested_at=None, begun_at=at, under_way=True)

    def arrive(self, at: datetime) -> None:
        """Note that its message was accepted."""
        self._set(under_way=False, arrived_at=at, failing_since_at=None, error=None)

    def fail(self, at: datetime, error: str) -> None:
        """Note that it did not get through.

        Args:
            error: where it ended.
        """
        since = sa.func.coalesce(t.drill.c.failing_since_at, sa.bindparam("at", at, t.Instant))
        self._set(under_way=False, failing_since_at=since, error=error)

    def _set(self, **values: Any) -> None:
        with self._database.unnumbered() as connection:
            connection.execute(sa.update(t.drill).values(values))


def _text(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"

"""Whether the daemon listens to the buttons of messages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class ListeningState:
    """Whether the last daemon that has said so listens.

    Attributes:
        since_at: since when it does, or does not; None if none ever has.
        error: why it does not; None if it does.
    """

    since_at: datetime | None
    error: str | None

    def __str__(self) -> str:
        if self.since_at is None:
            return "not listened to yet"
        since = f"since {self.since_at:%Y-%m-%d %H:%M:%S} UTC"
        return f"do nothing {since} ({self.error})" if self.error else f"listened to {since}"


class Listening:
    """The state of listening to buttons."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, at: datetime, error: str) -> None:
        """Record that it has begun or ended.

        Args:
            error: why it does not listen; "" if it does.
        """
        with self._database.unnumbered() as connection:
            connection.execute(sa.update(t.listening).values(since_at=at, error=error or None))

    def state(self) -> ListeningState:
        """Whether it listens."""
        with self._database.read() as connection:
            row = connection.execute(sa.select(t.listening)).one()
        return ListeningState(since_at=row.since_at, error=row.error)

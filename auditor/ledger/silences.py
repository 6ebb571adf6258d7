"""Silences, and the messages that were not sent because of them. A silence is ended, never deleted."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import Database, can_exist
from auditor.ledger.transaction import Transaction
from checks.silences import Silence


class Silences:
    """When no messages are sent about which incidents."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, transaction: Transaction, silence: Silence) -> int:
        """Add a silence; returns its number."""
        values = {
            "matchers": json.dumps(silence.matchers),
            "from_at": silence.from_at,
            "until_at": silence.until_at,
            "reason": silence.reason,
            "who": silence.who,
            "known_by": silence.known_by,
            "made_at": silence.made_at,
            "maintenance": silence.maintenance,
        }
        inserted = transaction.execute(
            sa.insert(t.silences).values(rev=transaction.revision, **values).returning(t.silences.c.id)
        )
        return int(inserted.scalar_one())

    def end(self, transaction: Transaction, silence_id: int, *, at: datetime, by: str) -> None:
        """End a silence before its time."""
        mine = sa.update(t.silences).where(t.silences.c.id == silence_id)
        transaction.execute(mine.values(rev=transaction.revision, ended_at=at, ended_by=by))

    def find(self, transaction: Transaction, silence_id: int) -> Silence | None:
        """One silence; None if there is none of this number."""
        if not can_exist(silence_id):
            return None
        row = transaction.execute(sa.select(t.silences).where(t.silences.c.id == silence_id)).first()
        return None if row is None else _silence(row)

    def entered(self, silence: Silence) -> bool:
        """Whether the silence of a maintenance window was entered for these hours, even if it was ended since."""
        column = t.silences.c
        same = sa.select(column.id).where(
            column.maintenance == silence.maintenance,
            column.from_at == silence.from_at,
            column.until_at == silence.until_at,
            column.matchers == json.dumps(silence.matchers),
        )
        with self._database.read() as connection:
            return connection.execute(same.limit(1)).first() is not None

    def active(self, transaction: Transaction, at: datetime) -> list[Silence]:
        """The silences that hold at an instant, inside the running transaction, oldest first."""
        return active_silences(transaction, at)

    def listed(self, *, at: datetime | None = None) -> list[Silence]:
        """All silences, latest first; only those that hold at an instant, or begin later, if one is given."""
        column = t.silences.c
        wanted = sa.select(t.silences).order_by(column.id.desc())
        if at is not None:
            wanted = wanted.where(column.until_at > at, column.ended_at.is_(None) | (column.ended_at > at))
        with self._database.read() as connection:
            return [_silence(row) for row in connection.execute(wanted)]


def active_silences(transaction: Transaction, at: datetime) -> list[Silence]:
    """The silences that hold at an instant, oldest first."""
    column = t.silences.c
    holds = (column.until_at > at, column.from_at <= at, column.ended_at.is_(None) | (column.ended_at > at))
    return [_silence(row) for row in transaction.execute(sa.select(t.silences).where(*holds).order_by(column.id))]


def _silence(row: Any) -> Silence:
    return Silence(
        silence_id=row.id,
        matchers={subject: tuple(values) for subject, values in json.loads(row.matchers).items()},
        from_at=row.from_at,
        until_at=row.until_at,
        reason=row.reason,
        who=row.who,
        known_by=row.known_by,
        made_at=row.made_at,
        maintenance=row.maintenance,
        ended_at=row.ended_at,
        ended_by=row.ended_by,
    )

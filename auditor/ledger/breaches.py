"""The breaches that incidents consist of."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import Database
from auditor.ledger.transaction import Transaction
from checks.breach_life import OpenBreach
from checks.breaches import Breach


class Breaches:
    """What does not hold, since when, and in which incident."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def by_fingerprint(self, transaction: Transaction, fingerprints: Sequence[str]) -> dict[str, OpenBreach]:
        """The open breaches with these fingerprints."""
        rows = transaction.execute(_OPEN_OF, {"fingerprints": list(fingerprints)})
        return {row.fingerprint: _open(row) for row in rows}

    def open(self, transaction: Transaction) -> list[OpenBreach]:
        """All open breaches, oldest first."""
        return [_open(row) for row in transaction.execute(_OPEN)]

    def peak_since(self, transaction: Transaction, fingerprint: str, since: datetime) -> int:
        """The largest count of the breaches with this fingerprint that ended since then; 0 for none."""
        column = t.breaches.c
        peak = sa.select(sa.func.max(column.peak)).where(column.fingerprint == fingerprint, column.ended_at >= since)
        return int(transaction.execute(peak).scalar_one() or 0)

    def ended(self, transaction: Transaction, since: datetime) -> list[tuple[OpenBreach, datetime]]:
        """The breaches that ended since then, as they were, and when; the latest first."""
        column = t.breaches.c
        ended = sa.select(t.breaches).where(column.ended_at >= since).order_by(column.ended_at.desc(), column.id)
        return [(_open(row), row.ended_at) for row in transaction.execute(ended)]

    def save(self, transaction: Transaction, breach_id: int, values: Mapping[str, Any]) -> int:
        """Insert (id 0) or update a breach; returns its id."""
        if breach_id == 0:
            inserted = transaction.execute(
                sa.insert(t.breaches).values(rev=transaction.revision, **values).returning(t.breaches.c.id)
            )
            return int(inserted.scalar_one())
        transaction.execute(
            sa.update(t.breaches).where(t.breaches.c.id == breach_id).values(rev=transaction.revision, **values)
        )
        return breach_id

    def assign(self, transaction: Transaction, breach_ids: Collection[int], incident_id: int) -> None:
        """Put breaches into an incident."""
        transaction.execute(
            sa.update(t.breaches)
            .where(t.breaches.c.id.in_(breach_ids))
            .values(rev=transaction.revision, incident_id=incident_id)
        )

    def end_all(self, transaction: Transaction, incident_id: int, at: datetime) -> None:
        """End the open breaches of an incident that somebody has closed."""
        column = t.breaches.c
        transaction.execute(
            sa.update(t.breaches)
            .where(column.incident_id == incident_id, column.ended_at.is_(None))
            .values(rev=transaction.revision, ended_at=at)
        )

    def rows(self, incident_id: int) -> list[dict[str, Any]]:
        """The breaches of an incident, oldest first."""
        column = t.breaches.c
        wanted = sa.select(
            column.id,
            column.breach,
            column.flow,
            column.system,
            column.queue,
            column.opened_at,
            column.ended_at,
            column.count,
            column.peak,
            column.detail,
            column.detail_at,
        )
        with self._database.read() as connection:
            rows = connection.execute(wanted.where(column.incident_id == incident_id).order_by(column.id))
            return [row._asdict() for row in rows]


_OPEN = sa.select(t.breaches).where(t.breaches.c.ended_at.is_(None)).order_by(t.breaches.c.id)
_OPEN_OF = _OPEN.where(t.breaches.c.fingerprint.in_(sa.bindparam("fingerprints", expanding=True)))


def _open(row: Any) -> OpenBreach:
    return OpenBreach(
        breach_id=row.id,
        incident_id=row.incident_id or 0,
        fingerprint=row.fingerprint,
        breach=Breach(row.breach),
        flow=row.flow,
        system=row.system,
        queue=row.queue,
        opened_at=row.opened_at,
        count=row.count,
        peak=row.peak,
        clear_since_at=row.clear_since_at,
        reason=row.reason,
        detail=row.detail,
        detail_at=row.detail_at,
    )

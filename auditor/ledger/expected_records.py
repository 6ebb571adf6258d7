"""Records that are expected to differ until some time, and therefore open no incident."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import Database
from auditor.ledger.statements import IN_LIMIT, chunks
from auditor.ledger.transaction import Transaction
from checks.breaches import BREACH_OF, Breach
from checks.cause import Cause


class ExpectedRecords:
    """The differences that people know of and expect."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def differing(self, transaction: Transaction, flow: str, breach: Breach, limit: int) -> list[str]:
        """The keys of a flow's open divergences that belong to a breach, up to a limit."""
        column = t.divergences.c
        causes = [cause.value for cause, each in BREACH_OF.items() if each is breach]
        wanted = sa.select(column.key).where(
            column.flow == flow, column.closed_at.is_(None), column.state == "open", column.cause.in_(causes)
        )
        return list(transaction.execute(wanted.distinct().order_by(column.key).limit(limit)).scalars())

    def add(
        self,
        transaction: Transaction,
        incident_id: int,
        *,
        flow: str,
        breach: Breach,
        keys: Collection[str],
        since_at: datetime,
        until_at: datetime,
    ) -> None:
        """Expect records of a flow to differ."""
        fixed = {
            "rev": transaction.revision,
            "incident_id": incident_id,
            "flow": flow,
            "breach": breach.value,
            "since_at": since_at,
            "until_at": until_at,
        }
        for part in chunks(list(keys), IN_LIMIT):
            transaction.execute(sa.insert(t.expected_records), [{**fixed, "key": key} for key in part])

    def end(self, transaction: Transaction, incident_id: int, at: datetime) -> None:
        """Expect nothing of an incident any more."""
        column = t.expected_records.c
        mine = sa.update(t.expected_records).where(column.incident_id == incident_id, column.until_at > at)
        transaction.execute(mine.values(rev=transaction.revision, until_at=at))

    def counts(self, transaction: Transaction, flow: str, at: datetime) -> dict[str, int]:
        """By cause, how many of a flow's open divergences are expected."""
        rows = transaction.execute(_EXPECTED, {"flow": flow, "at": at})
        counts: dict[str, int] = {}
        for cause, breach, count in rows:
            if BREACH_OF.get(Cause(cause)) == breach:
                counts[cause] = int(count)
        return counts


def _expected() -> sa.Select[tuple[str, str, int]]:
    column, expected = t.divergences.c, t.expected_records.c
    same = sa.and_(expected.flow == column.flow, expected.key == column.key)
    return (
        sa.select(column.cause, expected.breach, sa.func.count(sa.distinct(column.id)))
        .select_from(t.expected_records.join(t.divergences, same))
        .where(expected.flow == sa.bindparam("flow"), expected.until_at > sa.bindparam("at", type_=t.Instant))
        .where(expected.since_at <= sa.bindparam("at", type_=t.Instant))
        .where(column.closed_at.is_(None), column.state == "open")
        .group_by(column.cause, expected.breach)
    )


_EXPECTED = _expected()

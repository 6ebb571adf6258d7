"""The queries that people save and share. One that is deleted is no longer listed; its row stays."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import Database
from auditor.ledger.transaction import Transaction
from checks.saved_queries import SavedQuery


class SavedQueries:
    """Saved queries by their numbers; names are compared by `checks.saved_queries`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def listed(self) -> list[SavedQuery]:
        """All saved queries, by name."""
        with self._database.read() as connection:
            return _sorted(connection.execute(_present()))

    def present(self, transaction: Transaction) -> list[SavedQuery]:
        """The same inside a running transaction, in which no one else can add or rename one."""
        return _sorted(transaction.execute(_present()))

    def add(
        self,
        transaction: Transaction,
        *,
        name: str,
        description: str,
        sql: str,
        who: str,
        known_by: str,
        at: datetime,
    ) -> int:
        """Add a query; returns its number."""
        values = {"name": name, "description": description, "sql": sql, "who": who, "known_by": known_by}
        inserted = transaction.execute(
            sa.insert(t.saved_queries)
            .values(rev=transaction.revision, made_at=at, **values)
            .returning(t.saved_queries.c.id)
        )
        return int(inserted.scalar_one())

    def change(
        self, transaction: Transaction, query_id: int, *, who: str, known_by: str, at: datetime, **values: str
    ) -> None:
        """Write new values of `name`, `description` and `sql`."""
        self._write(transaction, query_id, who, known_by, at, values)

    def delete(self, transaction: Transaction, query_id: int, *, who: str, known_by: str, at: datetime) -> None:
        """List a query no longer."""
        self._write(transaction, query_id, who, known_by, at, {"deleted_at": at})

    def _write(
        self, transaction: Transaction, query_id: int, who: str, known_by: str, at: datetime, values: dict[str, Any]
    ) -> None:
        by = {"changed_at": at, "changed_by": who, "changed_known_by": known_by}
        mine = sa.update(t.saved_queries).where(t.saved_queries.c.id == query_id)
        transaction.execute(mine.values(rev=transaction.revision, **by, **values))


def _present() -> sa.Select[Any]:
    return sa.select(t.saved_queries).where(t.saved_queries.c.deleted_at.is_(None))


def _sorted(rows: Any) -> list[SavedQuery]:
    found = [
        SavedQuery(
            query_id=row.id,
            name=row.name,
            description=row.description,
            sql=row.sql,
            who=row.who,
            known_by=row.known_by,
            made_at=row.made_at,
            changed_at=row.changed_at,
            changed_by=row.changed_by,
            changed_known_by=row.changed_known_by,
        )
        for row in rows
    ]
    return sorted(found, key=lambda each: (each.name.casefold(), each.query_id))

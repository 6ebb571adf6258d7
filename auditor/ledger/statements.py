"""Statements that every store needs, in the ledger's dialect."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from auditor.ledger import tables as t
from auditor.storage.kept_text import kept

IN_LIMIT = 500
"""Keys in one `IN` list; SQLite before 3.32 takes 999 variables."""


def chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Cut a list into pieces of this size."""
    for at in range(0, len(items), size):
        yield items[at : at + size]


class Statements:
    """Statements in one dialect.

    Args:
        is_sqlite: true for SQLite, false for PostgreSQL.
    """

    def __init__(self, *, is_sqlite: bool) -> None:
        self._is_sqlite = is_sqlite

    def insert(self, table: sa.Table) -> Any:
        """An INSERT of this database's dialect, for `on_conflict_*`."""
        return sqlite.insert(table) if self._is_sqlite else postgresql.insert(table)

    def upsert(self, table: sa.Table, *, keep_if_null: Sequence[str] = ()) -> Any:
        """An INSERT that updates the row of the same primary key.

        Args:
            keep_if_null: columns that a NULL does not overwrite.
        """
        insert = self.insert(table)
        fresh = {
            column.name: sa.func.coalesce(insert.excluded[column.name], column)
            if column.name in keep_if_null
            else insert.excluded[column.name]
            for column in table.c
            if not column.primary_key
        }
        return insert.on_conflict_do_update(index_elements=[*table.primary_key], set_=fresh)

    def accumulate(self, table: sa.Table, keys: Sequence[str]) -> Any:
        """An INSERT that adds its numbers to the row of the same keys, and takes the fresh `rev`."""
        insert = self.insert(table)
        added = {
            column.name: column + insert.excluded[column.name]
            for column in table.c
            if column.name not in {"id", "rev", *keys}
        }
        return insert.on_conflict_do_update(index_elements=list(keys), set_={"rev": insert.excluded.rev, **added})

    def among(self, select: sa.Select[Any], column: Any) -> sa.Select[Any]:
        """The rows of `:flow` whose key is one of `:keys`; see `keys`."""
        if self._is_sqlite:
            keys = sa.func.json_each(sa.bindparam("keys")).table_valued("value")
            among = column.key.in_(sa.select(keys.c.value))
        else:
            among = column.key == sa.any_(sa.bindparam("keys", type_=postgresql.ARRAY(t.Text)))
        return select.where(column.flow == sa.bindparam("flow"), among)

    def keys(self, texts: Sequence[str]) -> Any:
        """The one parameter `:keys` of `among`, however many keys there are."""
        return json.dumps(list(map(kept, texts))) if self._is_sqlite else list(texts)

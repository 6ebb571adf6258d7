"""What the lens and the archive read from the ledger: its rows by revision, and the archive's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import Database
from auditor.ledger.statements import IN_LIMIT, chunks
from auditor.storage.archivable import SETTLED, ArchiveFile, ColumnType


class Exports:
    """The ledger's rows as stored, and the archive's list of files."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def columns(self, source: str) -> list[tuple[str, ColumnType]]:
        """The columns of a table that views may show, each with its type; digests are left out."""
        return [(column.name, _type_of(column)) for column in t.metadata.tables[source].c if _shown(column)]

    def snapshot(
        self, sources: Mapping[str, int], *, files_since: int
    ) -> tuple[dict[str, list[tuple[Any, ...]]], list[ArchiveFile]]:
        """Read the rows written since, in one snapshot.

        Args:
            sources: by table, the highest `rev` already known.
            files_since: the same for the archive's files.

        Returns:
            By table, its rows in the order of `columns`, lowest `rev` first, instants as microseconds since
            1970; and the files that were archived.
        """
        rows = {}
        with self._database.read() as connection:
            for source, rev in sources.items():
                table = t.metadata.tables[source]
                wanted = sa.select(*(_raw(column) for column in table.c if _shown(column))).where(table.c.rev > rev)
                rows[source] = [tuple(row) for row in connection.execute(wanted.order_by(table.c.rev))]
            column = t.archive_files.c
            named = sa.select(column.source, column.path, column.rev, column.day, column.rows)
            files = connection.execute(named.where(column.rev > files_since).order_by(column.rev)).all()
        return rows, [ArchiveFile(**row._asdict()) for row in files]

    def archive_paths(self) -> dict[str, list[str]]:
        """By table, the current files of the archive."""
        paths: dict[str, list[str]] = {}
        with self._database.read() as connection:
            for row in connection.execute(sa.select(t.archive_files).order_by(t.archive_files.c.path)):
                paths.setdefault(row.source, []).append(row.path)
        return paths

    def settled_rows(self, source: str, before: datetime, limit: int) -> list[tuple[Any, ...]]:
        """Rows of a table that will never change again and are older than `before`, oldest first."""
        table = t.metadata.tables[source]
        settled = table.c[SETTLED[source]]
        wanted = sa.select(*(_raw(column) for column in table.c if _shown(column)))
        with self._database.read() as connection:
            rows = connection.execute(wanted.where(settled < before).order_by(settled).limit(limit))
            return [tuple(row) for row in rows]

    def hand_over(self, source: str, ids: Sequence[int], *, path: str, day: str, now: datetime) -> None:
        """Replace rows by the archive file that now holds them, in one transaction."""
        table = t.metadata.tables[source]
        with self._database.write() as transaction:
            transaction.execute(
                sa.insert(t.archive_files).values(
                    rev=transaction.revision, source=source, day=day, path=path, rows=len(ids), archived_at=now
                )
            )
            for chunk in chunks(ids, IN_LIMIT):
                transaction.execute(sa.delete(table).where(table.c.id.in_(chunk)))

    def archive_files(self, source: str) -> list[ArchiveFile]:
        """The current archive files of a table."""
        column = t.archive_files.c
        named = sa.select(column.source, column.path, column.rev, column.day, column.rows)
        with self._database.read() as connection:
            rows = connection.execute(named.where(column.source == source).order_by(column.path)).all()
        return [ArchiveFile(**row._asdict()) for row in rows]

    def exchange_file(self, file: ArchiveFile, path: str, now: datetime) -> None:
        """Replace one archive file by another, in one transaction."""
        with self._database.write() as transaction:
            column = t.archive_files.c
            transaction.execute(sa.delete(t.archive_files).where(column.path == file.path))
            transaction.execute(
                sa.insert(t.archive_files).values(
                    rev=transaction.revision,
                    source=file.source,
                    day=file.day,
                    path=path,
                    rows=file.rows,
                    archived_at=now,
                )
            )

    def forget_files(self, before_day: str) -> list[str]:
        """Strike the archive files of earlier days from the list; returns their paths, to be deleted later."""
        with self._database.unnumbered() as connection:
            struck = connection.execute(
                sa.delete(t.archive_files).where(t.archive_files.c.day < before_day).returning(t.archive_files.c.path)
            )
            return list(struck.scalars())

    def table(self, name: str) -> list[dict[str, Any]]:
        """A small table in full, as mappings: `systems`, `flow_state`."""
        with self._database.read() as connection:
            return [row._asdict() for row in connection.execute(sa.select(t.metadata.tables[name]))]


def _shown(column: sa.Column[Any]) -> bool:
    return not isinstance(column.type, sa.LargeBinary)


def _raw(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """A column in stored form: the archive and the views hold the ledger's own values."""
    if isinstance(column.type, t.Instant):
        return sa.type_coerce(column, sa.BigInteger)
    return sa.type_coerce(column, sa.Text) if isinstance(column.type, t.Text) else column


def _type_of(column: sa.Column[Any]) -> ColumnType:
    if isinstance(column.type, t.Instant):
        return "instant"
    if isinstance(column.type, sa.Boolean):
        return "boolean"
    if isinstance(column.type, sa.Float):
        return "float"
    return "integer" if isinstance(column.type, sa.Integer) else "text"

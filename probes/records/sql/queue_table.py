"""A table of messages in a SQL database, for the queue that is kept in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from probes.call_deadline import one_call
from probes.contract import ProbeError, ReadSpec, Reason, Row
from probes.records.sql import key_cursors
from probes.records.sql.collection import Collection
from probes.records.sql.column_types import UNKNOWN
from probes.records.sql.probe import SqlProbe
from probes.records.sql.sqlite_file import undisturbed

FEWER = 8
"""As many times fewer messages are asked for where those asked for came to too many bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRows:
    """What stands in a table of messages.

    Attributes:
        depth: how many rows match.
        oldest: their lowest `since`.
        rows: some of them, lowest identity first.
        asked: how many of them were asked for, in the end.
    """

    depth: int
    oldest: Any
    rows: Sequence[Row] = ()
    asked: int = 0


class QueueTable(SqlProbe):
    """Reads tables of messages in one SQL database."""

    @one_call
    @undisturbed
    def queue(
        self,
        table: str,
        columns: tuple[str, ...],
        where: dict[str, Any],
        since: str | None,
        after: str | None,
        limit: int,
        *,
        text_limit: int,
    ) -> QueueRows:
        """Count the rows that match and read some of them.

        Args:
            columns: the first of them identifies a row.
            since: the column whose lowest value is wanted too.
            after: read rows with identities behind this cursor; None for the first.
            text_limit: characters beyond which the database cuts a text.
        """
        spec = ReadSpec(
            data_type=table,
            collection=table,
            key=columns[0],
            changed_at=None,
            fields=tuple(dict.fromkeys((*columns, *where, *([since] if since else [])))),
        )
        collection = self._collection(spec)
        source = collection.table
        chosen = [source.c[name] == value for name, value in where.items()]
        figures = sa.select(sa.func.count(), sa.func.min(source.c[since]) if since else sa.null())
        try:
            depth, oldest = self._one(figures.select_from(source).where(*chosen), {})
        except ProbeError as failure:
            if failure.reason is not Reason.DECODE or since is None:
                raise
            # An instant that the driver has no value for, such as PostgreSQL's infinity.
            figures = sa.select(sa.func.count(), sa.cast(sa.func.min(source.c[since]), sa.Text))
            depth, oldest = self._one(figures.select_from(source).where(*chosen), {})
        if not limit:
            return QueueRows(depth=int(depth), oldest=oldest)
        identity = collection.lookup.column
        parameters: dict[str, Any] = {}
        if after is not None:
            behind, parameters = key_cursors.behind(after, collection.key, collection.lookup)
            chosen.append(behind)
        names: tuple[str | None, ...] = columns
        while True:
            try:
                rows = self._rows(
                    collection,
                    lambda read, names=names, limit=limit: (  # type: ignore[misc]
                        sa.select(*self._cut(collection, names, read, text_limit))
                        .where(*chosen)
                        .order_by(identity)
                        .limit(limit)
                    ),
                    parameters,
                    names=names,
                )
                break
            except ProbeError as failure:
                if failure.reason is not Reason.TOO_LARGE or None in names:
                    raise
                # Few of them, and where one alone is too large, of that one nothing but who it is.
                names = names if limit > 1 else (columns[0], *(name if name == since else None for name in names[1:]))
                limit = max(1, limit // FEWER)
        return QueueRows(depth=int(depth), oldest=oldest, rows=rows, asked=limit)

    def _cut(
        self,
        collection: Collection,
        names: Sequence[str | None],
        read: Sequence[sa.ColumnElement[Any]],
        text_limit: int,
    ) -> list[sa.ColumnElement[Any]]:
        """Columns of texts, the identity's aside, cut by the database."""
        return [
            read[0],
            *(
                column
                if name is None
                else self._dialect.cut(
                    collection.table.c[name], collection.natives.get(name, UNKNOWN), column, text_limit
                )
                for name, column in zip(names[1:], read[1:], strict=True)
            ),
        ]

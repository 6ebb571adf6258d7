"""The queries that people save and share."""

from __future__ import annotations

import sqlalchemy as sa

from auditor.ledger.tables.columns import Instant, Text, identity, metadata, rev

saved_queries = sa.Table(
    "saved_queries",
    metadata,
    identity(),
    rev(),
    sa.Column("name", Text, nullable=False),
    sa.Column("description", Text, nullable=False),
    sa.Column("sql", Text, nullable=False),
    sa.Column("who", Text, nullable=False),
    sa.Column("known_by", Text, nullable=False),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("changed_at", Instant),
    sa.Column("changed_by", Text),
    sa.Column("changed_known_by", Text),
    sa.Column("deleted_at", Instant),
    sqlite_autoincrement=True,
)

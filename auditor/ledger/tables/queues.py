"""Backlogs and dead letters."""

from __future__ import annotations

import sqlalchemy as sa

from auditor.ledger.tables.columns import Instant, Text, identity, metadata, rev

backlogs = sa.Table(
    "backlogs",
    metadata,
    identity(),
    rev(),
    sa.Column("flow", Text, nullable=False),
    sa.Column("queue", Text, nullable=False),
    sa.Column("role", Text, nullable=False),
    sa.Column("read_at", Instant, nullable=False),
    sa.Column("depth", sa.BigInteger),
    sa.Column("oldest_at", Instant),
    sa.Column("oldest_age_s", sa.Float),
    sa.Column("age_of", Text),
    sa.Column("arrived", sa.BigInteger),
    sa.Column("taken", sa.BigInteger),
    sa.Column("retention_s", sa.Float),
    sa.Column("drops_at", Instant),
    sa.Column("looked_at", sa.BigInteger),
    sa.Column("notes", Text),
    sa.Column("reason", Text),
    sa.Column("message", Text),
    sqlite_autoincrement=True,
)

dead_letters = sa.Table(
    "dead_letters",
    metadata,
    identity(),
    rev(),
    sa.Column("flow", Text, nullable=False),
    sa.Column("queue", Text, nullable=False),
    sa.Column("letter_id", Text, nullable=False),
    sa.Column("key", Text),
    sa.Column("reason", Text),
    sa.Column("signature", Text),
    sa.Column("attempts", sa.Integer),
    sa.Column("first_failed_at", Instant),
    sa.Column("last_failed_at", Instant),
    sa.Column("headers", Text),
    sa.Column("payload", Text),
    sa.Column("unreadable", Text),
    sa.Column("note", Text),
    sa.Column("first_seen_at", Instant, nullable=False),
    sa.Column("last_seen_at", Instant, nullable=False),
    sa.Column("gone_at", Instant),
    sqlite_autoincrement=True,
)
sa.Index("dead_letters_identity", dead_letters.c.flow, dead_letters.c.queue, dead_letters.c.letter_id)

"""Conflicts, and what people decided."""

from __future__ import annotations

import sqlalchemy as sa

from auditor.ledger.tables.columns import Identity, Instant, Text, identity, metadata, rev

conflicts = sa.Table(
    "conflicts",
    metadata,
    identity(),
    rev(),
    sa.Column("flow", Text, nullable=False),
    sa.Column("data_type", Text, nullable=False),
    sa.Column("key", Text, nullable=False),
    sa.Column("divergence_id", sa.BigInteger, nullable=False),
    sa.Column("cause", Text, nullable=False),
    sa.Column("why", Text, nullable=False),
    sa.Column("opened_at", Instant, nullable=False),
    sa.Column("state", Text, nullable=False),
    sa.Column("assignee", Text),
    sa.Column("until_at", Instant),
    sa.Column("choice", Text),
    sa.Column("expected", sa.LargeBinary),
    sa.Column("due_at", Instant),
    sa.Column("closed_at", Instant),
    sa.Column("came_back_of", sa.BigInteger),
    sa.Column("acknowledged_at", Instant),
    sa.Column("acknowledged_by", Text),
    sqlite_autoincrement=True,
)
_undecided = conflicts.c.closed_at.is_(None)
sa.Index(
    "conflicts_live",
    conflicts.c.flow,
    conflicts.c.key,
    unique=True,
    sqlite_where=_undecided,
    postgresql_where=_undecided,
)

decisions = sa.Table(
    "decisions",
    metadata,
    identity(),
    rev(),
    sa.Column("conflict_id", Identity, sa.ForeignKey("conflicts.id"), nullable=False),
    sa.Column("act", Text, nullable=False),
    sa.Column("who", Text, nullable=False),
    sa.Column("known_by", Text),
    sa.Column("acted_at", Instant, nullable=False),
    sa.Column("choice", Text),
    sa.Column("assignee", Text),
    sa.Column("until_at", Instant),
    sa.Column("text", Text, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("decisions_of", decisions.c.conflict_id)

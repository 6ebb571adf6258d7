"""Records that people have asked the daemon to read next."""

from __future__ import annotations

import sqlalchemy as sa

from auditor.ledger.tables.columns import Instant, Text, metadata

rechecks = sa.Table(
    "rechecks",
    metadata,
    sa.Column("flow", Text, primary_key=True),
    sa.Column("key", Text, primary_key=True),
    sa.Column("who", Text, nullable=False),
    sa.Column("known_by", Text, nullable=False),
    sa.Column("asked_at", Instant, nullable=False),
    sa.Column("read_at", Instant),
    sa.Column("outcome", Text),
    sa.Column("detail", Text, nullable=False),
)

"""The ledger itself: revision, installation, lease, heartbeat, buttons, drill, loads of the map, archive files."""

from __future__ import annotations

import sqlalchemy as sa

from auditor.ledger.tables.columns import Instant, Text, identity, metadata, rev

revision = sa.Table(
    "revision",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("value", sa.BigInteger, nullable=False),
)

installation = sa.Table(
    "installation",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("ledger", Text, nullable=False),
    sa.Column("key_check", sa.LargeBinary),
)

lease = sa.Table(
    "lease",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("token", sa.BigInteger, nullable=False),
    sa.Column("beat", sa.BigInteger, nullable=False),
    sa.Column("does", Text),
    sa.Column("host", Text),
    sa.Column("process", sa.BigInteger),
    sa.Column("born", Text),
    sa.Column("folder", Text),
    sa.Column("since_at", Instant),
    sa.Column("until_at", Instant),
)

heartbeat = sa.Table(
    "heartbeat",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("sent_at", Instant),
    sa.Column("failing_since_at", Instant),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("error", Text),
)

listening = sa.Table(
    "listening",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("since_at", Instant),
    sa.Column("error", Text),
)

drill = sa.Table(
    "drill",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("requested_at", Instant),
    sa.Column("begun_at", Instant),
    sa.Column("under_way", sa.Boolean, nullable=False),
    sa.Column("arrived_at", Instant),
    sa.Column("failing_since_at", Instant),
    sa.Column("error", Text),
)

map_loads = sa.Table(
    "map_loads",
    metadata,
    identity(),
    sa.Column("asked_at", Instant),
    sa.Column("at", Instant),
    sa.Column("cause", Text, nullable=False),
    sa.Column("outcome", Text),
    sa.Column("location", Text),
    sa.Column("digest", Text),
    sa.Column("changes", Text),
    sa.Column("mistakes", Text),
    sa.Column("document", Text),
    sqlite_autoincrement=True,
)

archive_files = sa.Table(
    "archive_files",
    metadata,
    identity(),
    rev(),
    sa.Column("source", Text, nullable=False),
    sa.Column("day", Text, nullable=False),
    sa.Column("path", Text, nullable=False, unique=True),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("archived_at", Instant, nullable=False),
    sqlite_autoincrement=True,
)

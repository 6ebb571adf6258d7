"""The state of each flow's audits, and the audits that were run."""

from __future__ import annotations

import sqlalchemy as sa

from auditor.ledger.tables.columns import Instant, Text, identity, metadata, rev

flow_state = sa.Table(
    "flow_state",
    metadata,
    sa.Column("flow", Text, primary_key=True),
    sa.Column("watermark_at", Instant),
    sa.Column("version_low", sa.BigInteger),
    sa.Column("version_middle", sa.BigInteger),
    sa.Column("version_high", sa.BigInteger),
    sa.Column("version_turned_at", Instant),
    sa.Column("polled_at", Instant),
    sa.Column("announced_to", Text),
    sa.Column("commit_delay_s", sa.Float),
    sa.Column("known_from_at", Instant),
    sa.Column("verified_through_at", Instant),
    sa.Column("owner_after", Text),
    sa.Column("target_after", Text),
    sa.Column("rank_after", sa.BigInteger),
    sa.Column("walk", Text),
    sa.Column("sweep_begun_at", Instant),
    sa.Column("sweep_read", sa.BigInteger),
    sa.Column("sweep_divergent", sa.BigInteger),
    sa.Column("sweep_undecided", sa.BigInteger),
    sa.Column("sweeps", sa.Integer, nullable=False, default=0),
    sa.Column("swept_at", Instant),
    sa.Column("swept_from_at", Instant),
    sa.Column("swept_read", sa.BigInteger),
    sa.Column("swept_divergent", sa.BigInteger),
    sa.Column("swept_undecided", sa.BigInteger),
    sa.Column("sweep_unlisted", sa.BigInteger),
    sa.Column("swept_unlisted", sa.BigInteger),
    sa.Column("audited_at", Instant),
    sa.Column("series", Text),
)

probe_runs = sa.Table(
    "probe_runs",
    metadata,
    identity(),
    rev(),
    sa.Column("flow", Text, nullable=False),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("finished_at", Instant, nullable=False),
    sa.Column("read", sa.Integer, nullable=False),
    sa.Column("agreed", sa.Integer, nullable=False),
    sa.Column("in_flight", sa.Integer, nullable=False),
    sa.Column("suspected", sa.Integer, nullable=False),
    sa.Column("divergent", sa.Integer, nullable=False),
    sa.Column("inconclusive", sa.Integer, nullable=False),
    sa.Column("cannot_verify", sa.Integer, nullable=False),
    sa.Column("shed", sa.Integer, nullable=False),
    sa.Column("deadlines", sa.Integer),
    sa.Column("in_turn", sa.Boolean),
    sa.Column("changes", sa.Integer, nullable=False),
    sa.Column("source_ms", sa.Float),
    sa.Column("target_ms", sa.Float),
    sa.Column("verified_through_at", Instant),
    sa.Column("system", Text),
    sa.Column("reason", Text),
    sa.Column("message", Text),
    sqlite_autoincrement=True,
)

"""What is counted and measured: lags, samples, noise, the health of systems and their clocks."""

from __future__ import annotations

import sqlalchemy as sa

from auditor.ledger.tables.columns import Instant, Text, identity, metadata, rev

systems = sa.Table(
    "systems",
    metadata,
    sa.Column("name", Text, primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("failing_since_at", Instant),
    sa.Column("last_ok_at", Instant),
    sa.Column("latency_s", sa.Float),
    sa.Column("reason", Text),
    sa.Column("message", Text),
    sa.Column("clock_lower_s", sa.Float),
    sa.Column("clock_upper_s", sa.Float),
    sa.Column("clock_at", Instant),
    sa.Column("clock_stepped_at", Instant),
    sa.Column("clock_trusted_from_at", Instant),
)

clock_steps = sa.Table(
    "clock_steps",
    metadata,
    identity(),
    rev(),
    sa.Column("system", Text, nullable=False),
    sa.Column("stepped_at", Instant, nullable=False),
    sa.Column("before_lower_s", sa.Float, nullable=False),
    sa.Column("before_upper_s", sa.Float, nullable=False),
    sa.Column("after_lower_s", sa.Float, nullable=False),
    sa.Column("after_upper_s", sa.Float, nullable=False),
    sqlite_autoincrement=True,
)

lag_cells = sa.Table(
    "lag_cells",
    metadata,
    identity(),
    rev(),
    sa.Column("flow", Text, nullable=False),
    sa.Column("hour_at", Instant, nullable=False),
    sa.Column("verdict", Text, nullable=False),
    sa.Column("lower_cell", sa.Integer, nullable=False),
    sa.Column("upper_cell", sa.Integer, nullable=False),
    sa.Column("changes", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("flow", "hour_at", "verdict", "lower_cell", "upper_cell", name="lag_cells_once"),
    sqlite_autoincrement=True,
)

window_counts = sa.Table(
    "window_counts",
    metadata,
    identity(),
    rev(),
    sa.Column("flow", Text, nullable=False),
    sa.Column("slot_at", Instant, nullable=False),
    sa.Column("met", sa.BigInteger, nullable=False),
    sa.Column("missed", sa.BigInteger, nullable=False),
    sa.Column("undecided", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("flow", "slot_at", name="window_counts_once"),
    sqlite_autoincrement=True,
)

bursts = sa.Table(
    "bursts",
    metadata,
    identity(),
    rev(),
    sa.Column("flow", Text, nullable=False),
    sa.Column("begun_at", Instant, nullable=False),
    sa.Column("after_at", Instant, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("false_ratio", sa.Float, nullable=False),
    sa.Column("draws", sa.Boolean, nullable=False),
    sa.Column("changes_met", sa.Integer, nullable=False),
    sa.Column("changes_missed", sa.Integer, nullable=False),
    sa.Column("changes_undecided", sa.Integer, nullable=False),
    sa.Column("records_met", sa.Integer, nullable=False),
    sa.Column("records_missed", sa.Integer, nullable=False),
    sa.Column("records_undecided", sa.Integer, nullable=False),
    sa.Column("waiting", sa.Integer, nullable=False),
    sa.Column("left_out", sa.Integer, nullable=False),
    sa.Column("ended_at", Instant),
    sa.Column("ending", Text),
    sa.UniqueConstraint("flow", "begun_at", name="bursts_once"),
    sqlite_autoincrement=True,
)

samples = sa.Table(
    "samples",
    metadata,
    identity(),
    rev(),
    sa.Column("flow", Text, nullable=False),
    sa.Column("hour_at", Instant, nullable=False),
    sa.Column("policy", Text, nullable=False),
    sa.Column("read", sa.BigInteger, nullable=False),
    sa.Column("divergent", sa.BigInteger, nullable=False),
    sa.Column("undecided", sa.BigInteger, nullable=False),
    sa.Column("weight", sa.Float, nullable=False),
    sa.Column("weight_divergent", sa.Float, nullable=False),
    sa.Column("weight_undecided", sa.Float, nullable=False),
    sa.Column("square", sa.Float, nullable=False),
    sa.Column("square_divergent", sa.Float, nullable=False),
    sa.Column("square_undecided", sa.Float, nullable=False),
    sa.UniqueConstraint("flow", "hour_at", "policy", name="samples_once"),
    sqlite_autoincrement=True,
)

noise = sa.Table(
    "noise",
    metadata,
    identity(),
    rev(),
    sa.Column("flow", Text, nullable=False),
    sa.Column("system", Text, nullable=False),
    sa.Column("field", Text, nullable=False),
    sa.Column("hour_at", Instant, nullable=False),
    sa.Column("reread", sa.BigInteger, nullable=False),
    sa.Column("differed", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("flow", "system", "field", "hour_at", name="noise_once"),
    sqlite_autoincrement=True,
)

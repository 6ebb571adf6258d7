"""Timing and sampling: lag cells, sample cohorts, clock steps, what is verified."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "clock_steps",
        sa.Column("id", IDENTITY, autoincrement=True, nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("stepped_at", sa.BigInteger(), nullable=False),
        sa.Column("before_lower_s", sa.Float(), nullable=False),
        sa.Column("before_upper_s", sa.Float(), nullable=False),
        sa.Column("after_lower_s", sa.Float(), nullable=False),
        sa.Column("after_upper_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("clock_steps", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_clock_steps_rev"), ["rev"], unique=False)

    op.create_table(
        "lag_cells",
        sa.Column("id", IDENTITY, autoincrement=True, nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.Column("flow", sa.Text(), nullable=False),
        sa.Column("hour_at", sa.BigInteger(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("lower_cell", sa.Integer(), nullable=False),
        sa.Column("upper_cell", sa.Integer(), nullable=False),
        sa.Column("changes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("flow", "hour_at", "verdict", "lower_cell", "upper_cell", name="lag_cells_once"),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("lag_cells", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_lag_cells_rev"), ["rev"], unique=False)

    op.create_table(
        "samples",
        sa.Column("id", IDENTITY, autoincrement=True, nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.Column("flow", sa.Text(), nullable=False),
        sa.Column("hour_at", sa.BigInteger(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("read", sa.BigInteger(), nullable=False),
        sa.Column("divergent", sa.BigInteger(), nullable=False),
        sa.Column("undecided", sa.BigInteger(), nullable=False),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.Column("weight_divergent", sa.Float(), nullable=False),
        sa.Column("weight_undecided", sa.Float(), nullable=False),
        sa.Column("square", sa.Float(), nullable=False),
        sa.Column("square_divergent", sa.Float(), nullable=False),
        sa.Column("square_undecided", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("flow", "hour_at", "policy", name="samples_once"),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("samples", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_samples_rev"), ["rev"], unique=False)

    with op.batch_alter_table("changes", schema=None) as batch_op:
        batch_op.add_column(sa.Column("behind", sa.LargeBinary(), nullable=True))
        batch_op.add_column(sa.Column("clamped", sa.Boolean(), nullable=True))

    with op.batch_alter_table("divergences", schema=None) as batch_op:
        batch_op.add_column(sa.Column("versions_behind", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("first_missed_at", sa.BigInteger(), nullable=True))

    with op.batch_alter_table("flow_state", schema=None) as batch_op:
        batch_op.add_column(sa.Column("version_low", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("version_middle", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("version_high", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("version_turned_at", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("commit_delay_s", sa.Float(), nullable=True))
        batch_op.add_column(sa.Column("verified_through_at", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("rank_after", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("walk", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("sweep_read", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("sweep_divergent", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("sweep_undecided", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("swept_from_at", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("swept_read", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("swept_divergent", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("swept_undecided", sa.BigInteger(), nullable=True))

    with op.batch_alter_table("probe_runs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("deadlines", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("in_turn", sa.Boolean(), nullable=True))

    with op.batch_alter_table("systems", schema=None) as batch_op:
        batch_op.add_column(sa.Column("clock_trusted_from_at", sa.BigInteger(), nullable=True))

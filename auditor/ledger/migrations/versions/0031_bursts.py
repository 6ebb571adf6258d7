"""Bursts: the fresh trials that confirm a missed change."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    identity = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "bursts",
        sa.Column("id", identity, autoincrement=True, nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.Column("flow", sa.Text(), nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.Column("after_at", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("false_ratio", sa.Float(), nullable=False),
        sa.Column("draws", sa.Boolean(), nullable=False),
        sa.Column("changes_met", sa.Integer(), nullable=False),
        sa.Column("changes_missed", sa.Integer(), nullable=False),
        sa.Column("changes_undecided", sa.Integer(), nullable=False),
        sa.Column("records_met", sa.Integer(), nullable=False),
        sa.Column("records_missed", sa.Integer(), nullable=False),
        sa.Column("records_undecided", sa.Integer(), nullable=False),
        sa.Column("waiting", sa.Integer(), nullable=False),
        sa.Column("left_out", sa.Integer(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("ending", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("flow", "begun_at", name="bursts_once"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_bursts_rev", "bursts", ["rev"])

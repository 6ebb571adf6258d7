"""How many changes met or missed their window, by five minutes; before this version, by hour."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    identity = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "window_counts",
        sa.Column("id", identity, autoincrement=True, nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.Column("flow", sa.Text(), nullable=False),
        sa.Column("slot_at", sa.BigInteger(), nullable=False),
        sa.Column("met", sa.BigInteger(), nullable=False),
        sa.Column("missed", sa.BigInteger(), nullable=False),
        sa.Column("undecided", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("flow", "slot_at", name="window_counts_once"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_window_counts_rev", "window_counts", ["rev"])
    op.execute(
        """
        INSERT INTO window_counts (rev, flow, slot_at, met, missed, undecided)
        SELECT
            max(rev), flow, hour_at,
            sum(CASE WHEN verdict = 'met' THEN changes ELSE 0 END),
            sum(CASE WHEN verdict IN ('breach', 'breach_then_converged') THEN changes ELSE 0 END),
            sum(CASE WHEN verdict = 'undecided' THEN changes ELSE 0 END)
        FROM lag_cells
        WHERE verdict <> 'superseded'
        GROUP BY flow, hour_at
        """
    )

"""Single unverified subjects; incidents that end after a time and report growth."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "unverified",
        sa.Column("id", IDENTITY, autoincrement=True, nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.Column("flow", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("first_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("readings", sa.Integer(), nullable=False),
        sa.Column("verified_to_at", sa.BigInteger(), nullable=True),
        sa.Column("cleared_at", sa.BigInteger(), nullable=True),
        sa.Column("next_check_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    live = sa.text("cleared_at IS NULL")
    with op.batch_alter_table("unverified", schema=None) as batch_op:
        batch_op.create_index(
            "unverified_live", ["flow", "subject", "name"], unique=True, sqlite_where=live, postgresql_where=live
        )
        batch_op.create_index("unverified_cleared", ["cleared_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_unverified_rev"), ["rev"], unique=False)

    op.add_column("flow_state", sa.Column("sweep_unlisted", sa.BigInteger(), nullable=True))
    op.add_column("flow_state", sa.Column("swept_unlisted", sa.BigInteger(), nullable=True))

    op.add_column("incidents", sa.Column("told", sa.Integer(), nullable=True))
    op.add_column("incidents", sa.Column("growth", sa.Integer(), nullable=True))
    op.add_column("incidents", sa.Column("clear_since_at", sa.BigInteger(), nullable=True))
    op.execute("UPDATE incidents SET told = count")
    # It counted audits; an open incident starts its clear period anew. Not in a batch: alerts refer to this table.
    op.execute("ALTER TABLE incidents DROP COLUMN clean")

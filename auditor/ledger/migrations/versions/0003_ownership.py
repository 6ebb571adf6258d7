"""Ownership: field digests, unique keys, conflicts and decisions, noise."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "conflicts",
        sa.Column("id", IDENTITY, autoincrement=True, nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.Column("flow", sa.Text(), nullable=False),
        sa.Column("data_type", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("divergence_id", sa.BigInteger(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("assignee", sa.Text(), nullable=True),
        sa.Column("until_at", sa.BigInteger(), nullable=True),
        sa.Column("choice", sa.Text(), nullable=True),
        sa.Column("expected", sa.LargeBinary(), nullable=True),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("came_back_of", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("conflicts", schema=None) as batch_op:
        batch_op.create_index(
            "conflicts_live",
            ["flow", "key"],
            unique=True,
            sqlite_where=sa.text("closed_at IS NULL"),
            postgresql_where=sa.text("closed_at IS NULL"),
        )
        batch_op.create_index(batch_op.f("ix_conflicts_rev"), ["rev"], unique=False)

    op.create_table(
        "identities",
        sa.Column("flow", sa.Text(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("called", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("flow", "system", "called", "key"),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("identities", schema=None) as batch_op:
        batch_op.create_index("identities_holders", ["flow", "system", "called", "digest"], unique=False)

    op.create_table(
        "noise",
        sa.Column("id", IDENTITY, autoincrement=True, nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.Column("flow", sa.Text(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("hour_at", sa.BigInteger(), nullable=False),
        sa.Column("reread", sa.BigInteger(), nullable=False),
        sa.Column("differed", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("flow", "system", "field", "hour_at", name="noise_once"),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("noise", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_noise_rev"), ["rev"], unique=False)

    op.create_table(
        "decisions",
        sa.Column("id", IDENTITY, autoincrement=True, nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.Column("conflict_id", IDENTITY, nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("acted_at", sa.BigInteger(), nullable=False),
        sa.Column("choice", sa.Text(), nullable=True),
        sa.Column("assignee", sa.Text(), nullable=True),
        sa.Column("until_at", sa.BigInteger(), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["conflict_id"],
            ["conflicts.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("decisions", schema=None) as batch_op:
        batch_op.create_index("decisions_of", ["conflict_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_decisions_rev"), ["rev"], unique=False)

    with op.batch_alter_table("baselines", schema=None) as batch_op:
        batch_op.add_column(sa.Column("owner_marks", sa.LargeBinary(), nullable=True))
        batch_op.add_column(sa.Column("target_marks", sa.LargeBinary(), nullable=True))

    with op.batch_alter_table("divergences", schema=None) as batch_op:
        batch_op.add_column(sa.Column("shown", sa.LargeBinary(), nullable=True))
        batch_op.add_column(sa.Column("steady_at", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("permitted", sa.Boolean(), nullable=True))
        batch_op.add_column(sa.Column("winner", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("resolution", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("owner_from_at", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("owner_to_at", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("target_from_at", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("target_to_at", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("witnesses", sa.Text(), nullable=True))

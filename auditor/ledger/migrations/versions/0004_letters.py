"""Queues over time, and what dead letters have in common."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    with op.batch_alter_table("backlogs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("age_of", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("arrived", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("taken", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("retention_s", sa.Float(), nullable=True))
        batch_op.add_column(sa.Column("notes", sa.Text(), nullable=True))

    with op.batch_alter_table("dead_letters", schema=None) as batch_op:
        batch_op.add_column(sa.Column("signature", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("last_failed_at", sa.BigInteger(), nullable=True))

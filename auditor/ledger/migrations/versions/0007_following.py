"""The owner's operation and stamp, since when a change is missed, and lost sight."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    with op.batch_alter_table("flow_state", schema=None) as batch_op:
        batch_op.add_column(sa.Column("known_from_at", sa.BigInteger(), nullable=True))

    with op.batch_alter_table("baselines", schema=None) as batch_op:
        batch_op.add_column(sa.Column("mark", sa.BigInteger(), nullable=True))

    with op.batch_alter_table("changes", schema=None) as batch_op:
        batch_op.add_column(sa.Column("operation", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("mark", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("stamped_at", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("missed_at", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("unseen_before", sa.Boolean(), nullable=True))
        batch_op.add_column(sa.Column("lost_sight", sa.Boolean(), nullable=True))

    with op.batch_alter_table("divergences", schema=None) as batch_op:
        batch_op.add_column(sa.Column("suspected_at", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("operation", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("stamped_at", sa.BigInteger(), nullable=True))

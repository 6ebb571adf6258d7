"""The headers of dead letters, and how many letters of a queue were read."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    with op.batch_alter_table("backlogs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("drops_at", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("looked_at", sa.BigInteger(), nullable=True))

    with op.batch_alter_table("dead_letters", schema=None) as batch_op:
        batch_op.add_column(sa.Column("headers", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("payload", sa.Text(), nullable=True))

"""How many records of an audit were read at the owner by another flow's audit."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    with op.batch_alter_table("probe_runs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("shared", sa.Integer(), nullable=True))

"""Whether somebody listens to the buttons of messages."""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"


def upgrade() -> None:
    listening = op.create_table(
        "listening",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("since_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
    )
    op.bulk_insert(listening, [{"id": 1}])


def downgrade() -> None:
    op.drop_table("listening")

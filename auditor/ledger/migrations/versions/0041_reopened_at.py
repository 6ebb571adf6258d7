"""When an incident was opened again."""

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"


def upgrade() -> None:
    op.add_column("incidents", sa.Column("reopened_at", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("incidents", "reopened_at")

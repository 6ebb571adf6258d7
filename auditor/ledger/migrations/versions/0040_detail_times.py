"""When the evidence of a breach was read."""

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"


def upgrade() -> None:
    op.add_column("breaches", sa.Column("detail_at", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("breaches", "detail_at")

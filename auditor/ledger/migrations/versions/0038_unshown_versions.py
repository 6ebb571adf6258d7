"""Versions that the owner left for the agreed one again before its target had shown them."""

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"


def upgrade() -> None:
    op.add_column("baselines", sa.Column("unshown", sa.LargeBinary(), nullable=True))
    op.add_column("baselines", sa.Column("unshown_until_at", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("baselines", "unshown_until_at")
    op.drop_column("baselines", "unshown")

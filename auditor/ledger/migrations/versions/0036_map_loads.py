"""Which map the daemon loaded when, what it changed, and which ones it refused."""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"


def upgrade() -> None:
    identity = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "map_loads",
        sa.Column("id", identity, autoincrement=True, nullable=False),
        sa.Column("asked_at", sa.BigInteger()),
        sa.Column("at", sa.BigInteger()),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text()),
        sa.Column("location", sa.Text()),
        sa.Column("digest", sa.Text()),
        sa.Column("changes", sa.Text()),
        sa.Column("mistakes", sa.Text()),
        sa.Column("document", sa.Text()),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    op.drop_table("map_loads")

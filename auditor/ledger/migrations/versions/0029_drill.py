"""Drills: how the last one went, and messages that belong to no incident."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0022"


def upgrade() -> None:
    drill = op.create_table(
        "drill",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=True),
        sa.Column("begun_at", sa.BigInteger(), nullable=True),
        sa.Column("under_way", sa.Boolean(), nullable=False),
        sa.Column("arrived_at", sa.BigInteger(), nullable=True),
        sa.Column("failing_since_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
    )
    op.bulk_insert(drill, [{"id": 1, "under_way": False}])
    with op.batch_alter_table("alerts", table_kwargs={"sqlite_autoincrement": True}) as alerts:
        alerts.alter_column("incident_id", existing_type=sa.BigInteger(), nullable=True)

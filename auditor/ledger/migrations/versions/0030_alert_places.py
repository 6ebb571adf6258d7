"""Where receivers show an incident, the channel and severity of a message, and which digest delivered it."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"

identity = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    with op.batch_alter_table("alerts", table_kwargs={"sqlite_autoincrement": True}) as batch_op:
        batch_op.add_column(sa.Column("channel", sa.Text(), server_default="", nullable=False))
        batch_op.add_column(sa.Column("severity", sa.Text(), server_default="high", nullable=False))
        batch_op.add_column(sa.Column("digest_id", identity, nullable=True))
        batch_op.drop_constraint("alerts_once", type_="unique")
        batch_op.create_unique_constraint("alerts_once", ["incident_id", "transition", "sender", "channel"])
    op.create_index("alerts_waiting", "alerts", ["sender", "state", "next_try_at"])
    op.create_table(
        "alert_places",
        sa.Column("incident_id", identity, autoincrement=False, nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("ts", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"]),
        sa.PrimaryKeyConstraint("incident_id", "sender", "channel"),
    )

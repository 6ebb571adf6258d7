"""Incidents become root causes: what was one until now is a breach, and an incident of its own."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"

_SEVERE = (
    "not_arriving",
    "foreign_write",
    "write_conflict",
    "duplicate",
    "lost_update",
    "transformation",
    "regression",
    "objective",
    "dead_letters",
    "expiring",
    "stalled",
    "unreachable",
)


def upgrade() -> None:
    identity = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    for column in (
        sa.Column("cause", sa.Text(), nullable=False, server_default=""),
        sa.Column("severity", sa.Text(), nullable=False, server_default="low"),
        sa.Column("evidence", sa.Text(), nullable=False, server_default=""),
        sa.Column("tell_at", sa.BigInteger()),
        sa.Column("told_messages", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("explained", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("apart", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("merged_into", identity),
    ):
        op.add_column("incidents", column)
    incidents = sa.table("incidents", *map(sa.column, ("cause", "breach", "severity")))
    severe = incidents.c.breach.in_(_SEVERE)
    op.execute(sa.update(incidents).values(cause=incidents.c.breach, severity=sa.case((severe, "high"), else_="low")))
    op.create_table(
        "breaches",
        sa.Column("id", identity, autoincrement=True, nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.Column("incident_id", identity, sa.ForeignKey("incidents.id")),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("flow", sa.Text()),
        sa.Column("system", sa.Text()),
        sa.Column("queue", sa.Text()),
        sa.Column("breach", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("peak", sa.Integer(), nullable=False),
        sa.Column("clear_since_at", sa.BigInteger()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    for column in ("rev", "incident_id", "fingerprint", "ended_at"):
        op.create_index(f"ix_breaches_{column}", "breaches", [column])
    op.execute(
        """
        INSERT INTO breaches (
            rev, incident_id, fingerprint, flow, system, queue, breach, opened_at, ended_at, count, peak,
            clear_since_at, reason, detail
        )
        SELECT
            rev, id, fingerprint, flow, system,
            CASE
                WHEN flow IS NULL OR length(fingerprint) <= length('flow/' || flow || '/' || breach) THEN NULL
                ELSE substr(fingerprint, length('flow/' || flow || '/' || breach || '/') + 1)
            END,
            breach, opened_at, CASE WHEN state = 'resolved' THEN coalesce(resolved_at, opened_at) END, count, peak,
            clear_since_at, '', ''
        FROM incidents
        ORDER BY id
        """
    )

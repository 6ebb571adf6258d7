"""What people do about incidents: events, silences, and records that are expected to differ."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"

_HANDLING = ("acknowledged_at", "acknowledged_by", "snoozed_until_at", "assignee", "expected_until_at")


def upgrade() -> None:
    identity = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    for name in _HANDLING:
        kind = sa.BigInteger() if name.endswith("_at") else sa.Text()
        op.add_column("incidents", sa.Column(name, kind))
    op.add_column("alerts", sa.Column("silence_id", identity))
    op.add_column("conflicts", sa.Column("acknowledged_at", sa.BigInteger()))
    op.add_column("conflicts", sa.Column("acknowledged_by", sa.Text()))
    op.create_table(
        "incident_events",
        sa.Column("id", identity, autoincrement=True, nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.Column("incident_id", identity, sa.ForeignKey("incidents.id"), nullable=False),
        sa.Column("verb", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("known_by", sa.Text()),
        sa.Column("acted_at", sa.BigInteger(), nullable=False),
        sa.Column("assignee", sa.Text()),
        sa.Column("until_at", sa.BigInteger()),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_incident_events_rev", "incident_events", ["rev"])
    op.create_index("incident_events_of", "incident_events", ["incident_id"])
    op.create_table(
        "silences",
        sa.Column("id", identity, autoincrement=True, nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.Column("matchers", sa.Text(), nullable=False),
        sa.Column("from_at", sa.BigInteger(), nullable=False),
        sa.Column("until_at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("known_by", sa.Text()),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("window", sa.Text()),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("ended_by", sa.Text()),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_silences_rev", "silences", ["rev"])
    op.create_index("ix_silences_until_at", "silences", ["until_at"])
    op.create_table(
        "expected_records",
        sa.Column("id", identity, autoincrement=True, nullable=False),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.Column("incident_id", identity, sa.ForeignKey("incidents.id"), nullable=False),
        sa.Column("flow", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("breach", sa.Text(), nullable=False),
        sa.Column("since_at", sa.BigInteger(), nullable=False),
        sa.Column("until_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_expected_records_rev", "expected_records", ["rev"])
    op.create_index("ix_expected_records_incident_id", "expected_records", ["incident_id"])
    op.create_index("expected_records_of", "expected_records", ["flow", "until_at"])
    op.execute(
        """
        INSERT INTO incident_events (rev, incident_id, verb, who, acted_at, text)
        SELECT rev, id, 'opened', 'auditor', opened_at, summary FROM incidents ORDER BY id
        """
    )
    op.execute(
        """
        INSERT INTO incident_events (rev, incident_id, verb, who, acted_at, text)
        SELECT rev, id, 'resolved', 'auditor', coalesce(resolved_at, opened_at), '' FROM incidents
        WHERE state = 'resolved' ORDER BY id
        """
    )


def downgrade() -> None:
    op.execute("UPDATE incidents SET state = 'open' WHERE state IN ('acknowledged', 'snoozed')")
    op.execute("UPDATE alerts SET state = 'withdrawn' WHERE state = 'silenced'")
    for table in ("expected_records", "silences", "incident_events"):
        op.drop_table(table)
    for name in ("acknowledged_at", "acknowledged_by"):
        op.drop_column("conflicts", name)
    op.drop_column("alerts", "silence_id")
    for name in _HANDLING:
        op.drop_column("incidents", name)

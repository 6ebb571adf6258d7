"""What people do about incidents: their events, silences, and records that are expected to differ."""

from __future__ import annotations

import sqlalchemy as sa

from auditor.ledger.tables.columns import Identity, Instant, Text, identity, metadata, rev

incident_events = sa.Table(
    "incident_events",
    metadata,
    identity(),
    rev(),
    sa.Column("incident_id", Identity, sa.ForeignKey("incidents.id"), nullable=False),
    sa.Column("verb", Text, nullable=False),
    sa.Column("who", Text, nullable=False),
    sa.Column("known_by", Text),
    sa.Column("acted_at", Instant, nullable=False),
    sa.Column("assignee", Text),
    sa.Column("until_at", Instant),
    sa.Column("text", Text, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("incident_events_of", incident_events.c.incident_id)

silences = sa.Table(
    "silences",
    metadata,
    identity(),
    rev(),
    sa.Column("matchers", Text, nullable=False),
    sa.Column("from_at", Instant, nullable=False),
    sa.Column("until_at", Instant, nullable=False, index=True),
    sa.Column("reason", Text, nullable=False),
    sa.Column("who", Text, nullable=False),
    sa.Column("known_by", Text),
    sa.Column("made_at", Instant, nullable=False),
    sa.Column("maintenance", Text),
    sa.Column("ended_at", Instant),
    sa.Column("ended_by", Text),
    sqlite_autoincrement=True,
)

expected_records = sa.Table(
    "expected_records",
    metadata,
    identity(),
    rev(),
    sa.Column("incident_id", Identity, sa.ForeignKey("incidents.id"), nullable=False, index=True),
    sa.Column("flow", Text, nullable=False),
    sa.Column("key", Text, nullable=False),
    sa.Column("breach", Text, nullable=False),
    sa.Column("since_at", Instant, nullable=False),
    sa.Column("until_at", Instant, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("expected_records_of", expected_records.c.flow, expected_records.c.until_at)

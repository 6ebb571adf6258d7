"""Incidents, and the messages about them."""

from __future__ import annotations

import sqlalchemy as sa

from auditor.ledger.tables.columns import Identity, Instant, Text, identity, metadata, rev

incidents = sa.Table(
    "incidents",
    metadata,
    identity(),
    rev(),
    sa.Column("fingerprint", Text, nullable=False, index=True),
    sa.Column("flow", Text),
    sa.Column("system", Text),
    sa.Column("breach", Text, nullable=False),
    sa.Column("state", Text, nullable=False),
    sa.Column("opened_at", Instant, nullable=False),
    sa.Column("resolved_at", Instant),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("peak", sa.Integer, nullable=False),
    sa.Column("told", sa.Integer),
    sa.Column("growth", sa.Integer),
    sa.Column("clear_since_at", Instant),
    sa.Column("reopened", sa.Integer, nullable=False),
    sa.Column("summary", Text, nullable=False),
    sa.Column("cause", Text, nullable=False),
    sa.Column("severity", Text, nullable=False),
    sa.Column("evidence", Text, nullable=False),
    sa.Column("tell_at", Instant),
    sa.Column("told_messages", sa.Integer, nullable=False),
    sa.Column("explained", sa.Boolean, nullable=False),
    sa.Column("apart", sa.Boolean, nullable=False),
    sa.Column("merged_into", Identity),
    sa.Column("acknowledged_at", Instant),
    sa.Column("acknowledged_by", Text),
    sa.Column("snoozed_until_at", Instant),
    sa.Column("assignee", Text),
    sa.Column("expected_until_at", Instant),
    sqlite_autoincrement=True,
)

breaches = sa.Table(
    "breaches",
    metadata,
    identity(),
    rev(),
    sa.Column("incident_id", Identity, sa.ForeignKey("incidents.id"), index=True),
    sa.Column("fingerprint", Text, nullable=False, index=True),
    sa.Column("flow", Text),
    sa.Column("system", Text),
    sa.Column("queue", Text),
    sa.Column("breach", Text, nullable=False),
    sa.Column("opened_at", Instant, nullable=False),
    sa.Column("ended_at", Instant, index=True),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("peak", sa.Integer, nullable=False),
    sa.Column("clear_since_at", Instant),
    sa.Column("reason", Text, nullable=False),
    sa.Column("detail", Text, nullable=False),
    sa.Column("detail_at", Instant),
    sqlite_autoincrement=True,
)

alerts = sa.Table(
    "alerts",
    metadata,
    identity(),
    rev(),
    sa.Column("incident_id", Identity, sa.ForeignKey("incidents.id")),
    sa.Column("transition", Text, nullable=False),
    sa.Column("sender", Text, nullable=False),
    sa.Column("channel", Text, nullable=False, server_default=""),
    sa.Column("severity", Text, nullable=False, server_default="high"),
    sa.Column("digest_id", Identity),
    sa.Column("state", Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("next_try_at", Instant),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("sent_at", Instant),
    sa.Column("possible_repeat", sa.Boolean, nullable=False),
    sa.Column("error", Text),
    sa.Column("notice", Text, nullable=False),
    sa.Column("silence_id", Identity),
    sa.UniqueConstraint("incident_id", "transition", "sender", "channel", name="alerts_once"),
    sa.Index("alerts_waiting", "sender", "state", "next_try_at"),
    sqlite_autoincrement=True,
)

alert_places = sa.Table(
    "alert_places",
    metadata,
    sa.Column("incident_id", Identity, sa.ForeignKey("incidents.id"), primary_key=True, autoincrement=False),
    sa.Column("sender", Text, primary_key=True),
    sa.Column("channel", Text, primary_key=True),
    sa.Column("place", Text, nullable=False),
    sa.Column("ts", Text, nullable=False),
)

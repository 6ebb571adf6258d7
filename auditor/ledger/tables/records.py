"""What is known about records: agreed versions, unique keys, changes, divergences, and what cannot be verified."""

from __future__ import annotations

import sqlalchemy as sa

from auditor.ledger.tables.columns import Instant, Text, identity, metadata, rev

baselines = sa.Table(
    "baselines",
    metadata,
    sa.Column("flow", Text, primary_key=True),
    sa.Column("key", Text, primary_key=True),
    sa.Column("owner", sa.LargeBinary, nullable=False),
    sa.Column("target", sa.LargeBinary, nullable=False),
    sa.Column("owner_digests", sa.LargeBinary),
    sa.Column("target_digests", sa.LargeBinary),
    sa.Column("ring", sa.LargeBinary, nullable=False),
    sa.Column("agreed_at", Instant, nullable=False),
    sa.Column("mark", sa.BigInteger),
    sa.Column("unshown", sa.LargeBinary),
    sa.Column("unshown_until_at", Instant),
    sqlite_with_rowid=False,
)

identities = sa.Table(
    "identities",
    metadata,
    sa.Column("flow", Text, primary_key=True),
    sa.Column("system", Text, primary_key=True),
    sa.Column("called", Text, primary_key=True),
    sa.Column("key", Text, primary_key=True),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
sa.Index("identities_holders", identities.c.flow, identities.c.system, identities.c.called, identities.c.digest)

changes = sa.Table(
    "changes",
    metadata,
    identity(),
    rev(),
    sa.Column("flow", Text, nullable=False),
    sa.Column("key", Text, nullable=False),
    sa.Column("operation", Text),
    sa.Column("fingerprint", sa.LargeBinary, nullable=False),
    sa.Column("mark", sa.BigInteger),
    sa.Column("stamped_at", Instant),
    sa.Column("committed_from_at", Instant, nullable=False),
    sa.Column("committed_to_at", Instant, nullable=False),
    sa.Column("enrolled_at", Instant, nullable=False),
    sa.Column("window_s", sa.Float, nullable=False),
    sa.Column("probes", sa.Integer, nullable=False),
    sa.Column("missed_at", Instant),
    sa.Column("differed_at", Instant),
    sa.Column("behind", sa.LargeBinary),
    sa.Column("shown_at", Instant),
    sa.Column("superseded", sa.Boolean, nullable=False),
    sa.Column("unseen_before", sa.Boolean),
    sa.Column("lost_sight", sa.Boolean),
    sa.Column("verdict", Text, nullable=False),
    sa.Column("lag_lower_s", sa.Float, nullable=False),
    sa.Column("lag_upper_s", sa.Float),
    sa.Column("clamped", sa.Boolean),
    sa.Column("settled_at", Instant),
    sa.Column("next_probe_at", Instant),
    sqlite_autoincrement=True,
)
_pending = changes.c.settled_at.is_(None)
sa.Index(
    "changes_pending",
    changes.c.flow,
    changes.c.key,
    sqlite_where=_pending,
    postgresql_where=_pending,
)
sa.Index(
    "changes_due",
    changes.c.flow,
    changes.c.next_probe_at,
    sqlite_where=_pending,
    postgresql_where=_pending,
)
sa.Index("changes_settled", changes.c.settled_at)

divergences = sa.Table(
    "divergences",
    metadata,
    identity(),
    rev(),
    sa.Column("flow", Text, nullable=False),
    sa.Column("data_type", Text, nullable=False),
    sa.Column("key", Text, nullable=False),
    sa.Column("kind", Text, nullable=False),
    sa.Column("cause", Text, nullable=False),
    sa.Column("state", Text, nullable=False),
    sa.Column("first_seen_at", Instant, nullable=False),
    sa.Column("last_seen_at", Instant, nullable=False),
    sa.Column("suspected_at", Instant),
    sa.Column("opened_at", Instant),
    sa.Column("closed_at", Instant),
    sa.Column("readings", sa.Integer, nullable=False),
    sa.Column("version", sa.LargeBinary, nullable=False),
    sa.Column("shown", sa.LargeBinary),
    sa.Column("steady_at", Instant),
    sa.Column("permitted", sa.Boolean),
    sa.Column("winner", Text),
    sa.Column("resolution", Text),
    sa.Column("owner_from_at", Instant),
    sa.Column("owner_to_at", Instant),
    sa.Column("target_from_at", Instant),
    sa.Column("target_to_at", Instant),
    sa.Column("witnesses", Text),
    sa.Column("versions_behind", sa.Integer),
    sa.Column("first_missed_at", Instant),
    sa.Column("operation", Text),
    sa.Column("stamped_at", Instant),
    sa.Column("fields", Text, nullable=False),
    sa.Column("differences", Text, nullable=False),
    sa.Column("detail", Text, nullable=False),
    sa.Column("next_check_at", Instant),
    sqlite_autoincrement=True,
)
_live = divergences.c.closed_at.is_(None)
sa.Index(
    "divergences_live",
    divergences.c.flow,
    divergences.c.key,
    unique=True,
    sqlite_where=_live,
    postgresql_where=_live,
)
sa.Index("divergences_closed", divergences.c.closed_at)

unverified = sa.Table(
    "unverified",
    metadata,
    identity(),
    rev(),
    sa.Column("flow", Text, nullable=False),
    sa.Column("subject", Text, nullable=False),
    sa.Column("name", Text, nullable=False),
    sa.Column("records", sa.BigInteger, nullable=False),
    sa.Column("reason", Text, nullable=False),
    sa.Column("first_seen_at", Instant, nullable=False),
    sa.Column("last_seen_at", Instant, nullable=False),
    sa.Column("readings", sa.Integer, nullable=False),
    sa.Column("verified_to_at", Instant),
    sa.Column("cleared_at", Instant),
    sa.Column("next_check_at", Instant),
    sqlite_autoincrement=True,
)
_unknown = unverified.c.cleared_at.is_(None)
sa.Index(
    "unverified_live",
    unverified.c.flow,
    unverified.c.subject,
    unverified.c.name,
    unique=True,
    sqlite_where=_unknown,
    postgresql_where=_unknown,
)
sa.Index("unverified_cleared", unverified.c.cleared_at)

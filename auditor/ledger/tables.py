"""The ledger's tables.

Every table that a view shows carries `rev`, the number of the transaction that last wrote the row. Numbers
are drawn inside the transaction, one writer at a time, so a reader that remembers the highest it saw never
misses a row. Instants are microseconds since 1970 UTC.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from auditor.storage.kept_text import kept, restored
from checks.values import EPOCH, MICROSECOND


class Instant(sa.types.TypeDecorator[datetime]):
    """An aware UTC datetime, kept as whole microseconds so that every database orders it alike."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        return None if value is None else (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: int | None, dialect: Any) -> datetime | None:
        return None if value is None else EPOCH + timedelta(microseconds=value)


class Text(sa.types.TypeDecorator[str]):
    """Any text, exactly: what a database does not take is kept as `auditor.storage.kept_text` writes it."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        return None if value is None else kept(value)

    def process_result_value(self, value: str | None, dialect: Any) -> str | None:
        return None if value is None else restored(value)


Identity = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
metadata = sa.MetaData()


def _identity() -> sa.Column[int]:
    return sa.Column("id", Identity, primary_key=True, autoincrement=True)


def _rev() -> sa.Column[int]:
    return sa.Column("rev", sa.BigInteger, nullable=False, index=True)


revision = sa.Table(
    "revision",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("value", sa.BigInteger, nullable=False),
)

installation = sa.Table(
    "installation",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("ledger", Text, nullable=False),
    sa.Column("key_check", sa.LargeBinary),
)

lease = sa.Table(
    "lease",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("token", sa.BigInteger, nullable=False),
    sa.Column("beat", sa.BigInteger, nullable=False),
    sa.Column("does", Text),
    sa.Column("host", Text),
    sa.Column("process", sa.BigInteger),
    sa.Column("born", Text),
    sa.Column("folder", Text),
    sa.Column("since_at", Instant),
    sa.Column("until_at", Instant),
)

flow_state = sa.Table(
    "flow_state",
    metadata,
    sa.Column("flow", Text, primary_key=True),
    sa.Column("watermark_at", Instant),
    sa.Column("version_low", sa.BigInteger),
    sa.Column("version_middle", sa.BigInteger),
    sa.Column("version_high", sa.BigInteger),
    sa.Column("version_turned_at", Instant),
    sa.Column("polled_at", Instant),
    sa.Column("commit_delay_s", sa.Float),
    sa.Column("known_from_at", Instant),
    sa.Column("verified_through_at", Instant),
    sa.Column("owner_after", Text),
    sa.Column("target_after", Text),
    sa.Column("rank_after", sa.BigInteger),
    sa.Column("walk", Text),
    sa.Column("sweep_begun_at", Instant),
    sa.Column("sweep_read", sa.BigInteger),
    sa.Column("sweep_divergent", sa.BigInteger),
    sa.Column("sweep_undecided", sa.BigInteger),
    sa.Column("sweeps", sa.Integer, nullable=False, default=0),
    sa.Column("swept_at", Instant),
    sa.Column("swept_from_at", Instant),
    sa.Column("swept_read", sa.BigInteger),
    sa.Column("swept_divergent", sa.BigInteger),
    sa.Column("swept_undecided", sa.BigInteger),
    sa.Column("sweep_unlisted", sa.BigInteger),
    sa.Column("swept_unlisted", sa.BigInteger),
    sa.Column("audited_at", Instant),
    sa.Column("series", Text),
)

probe_runs = sa.Table(
    "probe_runs",
    metadata,
    _identity(),
    _rev(),
    sa.Column("flow", Text, nullable=False),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("finished_at", Instant, nullable=False),
    sa.Column("read", sa.Integer, nullable=False),
    sa.Column("agreed", sa.Integer, nullable=False),
    sa.Column("in_flight", sa.Integer, nullable=False),
    sa.Column("suspected", sa.Integer, nullable=False),
    sa.Column("divergent", sa.Integer, nullable=False),
    sa.Column("inconclusive", sa.Integer, nullable=False),
    sa.Column("cannot_verify", sa.Integer, nullable=False),
    sa.Column("shed", sa.Integer, nullable=False),
    sa.Column("deadlines", sa.Integer),
    sa.Column("in_turn", sa.Boolean),
    sa.Column("changes", sa.Integer, nullable=False),
    sa.Column("source_ms", sa.Float),
    sa.Column("target_ms", sa.Float),
    sa.Column("verified_through_at", Instant),
    sa.Column("system", Text),
    sa.Column("reason", Text),
    sa.Column("message", Text),
    sqlite_autoincrement=True,
)

baselines = sa.Table(
    "baselines",
    metadata,
    sa.Column("flow", Text, primary_key=True),
    sa.Column("key", Text, primary_key=True),
    sa.Column("owner", sa.LargeBinary, nullable=False),
    sa.Column("target", sa.LargeBinary, nullable=False),
    sa.Column("owner_marks", sa.LargeBinary),
    sa.Column("target_marks", sa.LargeBinary),
    sa.Column("ring", sa.LargeBinary, nullable=False),
    sa.Column("agreed_at", Instant, nullable=False),
    sa.Column("mark", sa.BigInteger),
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
    _identity(),
    _rev(),
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
    _identity(),
    _rev(),
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
    _identity(),
    _rev(),
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

backlogs = sa.Table(
    "backlogs",
    metadata,
    _identity(),
    _rev(),
    sa.Column("flow", Text, nullable=False),
    sa.Column("queue", Text, nullable=False),
    sa.Column("role", Text, nullable=False),
    sa.Column("read_at", Instant, nullable=False),
    sa.Column("depth", sa.BigInteger),
    sa.Column("oldest_at", Instant),
    sa.Column("oldest_age_s", sa.Float),
    sa.Column("age_of", Text),
    sa.Column("arrived", sa.BigInteger),
    sa.Column("taken", sa.BigInteger),
    sa.Column("retention_s", sa.Float),
    sa.Column("drops_at", Instant),
    sa.Column("looked_at", sa.BigInteger),
    sa.Column("notes", Text),
    sa.Column("reason", Text),
    sa.Column("message", Text),
    sqlite_autoincrement=True,
)

dead_letters = sa.Table(
    "dead_letters",
    metadata,
    _identity(),
    _rev(),
    sa.Column("flow", Text, nullable=False),
    sa.Column("queue", Text, nullable=False),
    sa.Column("letter_id", Text, nullable=False),
    sa.Column("key", Text),
    sa.Column("reason", Text),
    sa.Column("signature", Text),
    sa.Column("attempts", sa.Integer),
    sa.Column("first_failed_at", Instant),
    sa.Column("last_failed_at", Instant),
    sa.Column("headers", Text),
    sa.Column("payload", Text),
    sa.Column("unreadable", Text),
    sa.Column("note", Text),
    sa.Column("first_seen_at", Instant, nullable=False),
    sa.Column("last_seen_at", Instant, nullable=False),
    sa.Column("gone_at", Instant),
    sqlite_autoincrement=True,
)
sa.Index("dead_letters_identity", dead_letters.c.flow, dead_letters.c.queue, dead_letters.c.letter_id)

incidents = sa.Table(
    "incidents",
    metadata,
    _identity(),
    _rev(),
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
    sqlite_autoincrement=True,
)

alerts = sa.Table(
    "alerts",
    metadata,
    _identity(),
    _rev(),
    sa.Column("incident_id", Identity, sa.ForeignKey("incidents.id"), nullable=False),
    sa.Column("transition", Text, nullable=False),
    sa.Column("sender", Text, nullable=False),
    sa.Column("state", Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("next_try_at", Instant),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("sent_at", Instant),
    sa.Column("possible_repeat", sa.Boolean, nullable=False),
    sa.Column("error", Text),
    sa.Column("notice", Text, nullable=False),
    sa.UniqueConstraint("incident_id", "transition", "sender", name="alerts_once"),
    sqlite_autoincrement=True,
)

systems = sa.Table(
    "systems",
    metadata,
    sa.Column("name", Text, primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("failing_since_at", Instant),
    sa.Column("last_ok_at", Instant),
    sa.Column("latency_s", sa.Float),
    sa.Column("reason", Text),
    sa.Column("message", Text),
    sa.Column("clock_lower_s", sa.Float),
    sa.Column("clock_upper_s", sa.Float),
    sa.Column("clock_at", Instant),
    sa.Column("clock_stepped_at", Instant),
    sa.Column("clock_trusted_from_at", Instant),
)

clock_steps = sa.Table(
    "clock_steps",
    metadata,
    _identity(),
    _rev(),
    sa.Column("system", Text, nullable=False),
    sa.Column("stepped_at", Instant, nullable=False),
    sa.Column("before_lower_s", sa.Float, nullable=False),
    sa.Column("before_upper_s", sa.Float, nullable=False),
    sa.Column("after_lower_s", sa.Float, nullable=False),
    sa.Column("after_upper_s", sa.Float, nullable=False),
    sqlite_autoincrement=True,
)

lag_cells = sa.Table(
    "lag_cells",
    metadata,
    _identity(),
    _rev(),
    sa.Column("flow", Text, nullable=False),
    sa.Column("hour_at", Instant, nullable=False),
    sa.Column("verdict", Text, nullable=False),
    sa.Column("lower_cell", sa.Integer, nullable=False),
    sa.Column("upper_cell", sa.Integer, nullable=False),
    sa.Column("changes", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("flow", "hour_at", "verdict", "lower_cell", "upper_cell", name="lag_cells_once"),
    sqlite_autoincrement=True,
)

samples = sa.Table(
    "samples",
    metadata,
    _identity(),
    _rev(),
    sa.Column("flow", Text, nullable=False),
    sa.Column("hour_at", Instant, nullable=False),
    sa.Column("policy", Text, nullable=False),
    sa.Column("read", sa.BigInteger, nullable=False),
    sa.Column("divergent", sa.BigInteger, nullable=False),
    sa.Column("undecided", sa.BigInteger, nullable=False),
    sa.Column("weight", sa.Float, nullable=False),
    sa.Column("weight_divergent", sa.Float, nullable=False),
    sa.Column("weight_undecided", sa.Float, nullable=False),
    sa.Column("square", sa.Float, nullable=False),
    sa.Column("square_divergent", sa.Float, nullable=False),
    sa.Column("square_undecided", sa.Float, nullable=False),
    sa.UniqueConstraint("flow", "hour_at", "policy", name="samples_once"),
    sqlite_autoincrement=True,
)

conflicts = sa.Table(
    "conflicts",
    metadata,
    _identity(),
    _rev(),
    sa.Column("flow", Text, nullable=False),
    sa.Column("data_type", Text, nullable=False),
    sa.Column("key", Text, nullable=False),
    sa.Column("divergence_id", sa.BigInteger, nullable=False),
    sa.Column("cause", Text, nullable=False),
    sa.Column("why", Text, nullable=False),
    sa.Column("opened_at", Instant, nullable=False),
    sa.Column("state", Text, nullable=False),
    sa.Column("assignee", Text),
    sa.Column("until_at", Instant),
    sa.Column("choice", Text),
    sa.Column("expected", sa.LargeBinary),
    sa.Column("due_at", Instant),
    sa.Column("closed_at", Instant),
    sa.Column("came_back_of", sa.BigInteger),
    sqlite_autoincrement=True,
)
_undecided = conflicts.c.closed_at.is_(None)
sa.Index(
    "conflicts_live",
    conflicts.c.flow,
    conflicts.c.key,
    unique=True,
    sqlite_where=_undecided,
    postgresql_where=_undecided,
)

decisions = sa.Table(
    "decisions",
    metadata,
    _identity(),
    _rev(),
    sa.Column("conflict_id", Identity, sa.ForeignKey("conflicts.id"), nullable=False),
    sa.Column("act", Text, nullable=False),
    sa.Column("who", Text, nullable=False),
    sa.Column("known_by", Text),
    sa.Column("acted_at", Instant, nullable=False),
    sa.Column("choice", Text),
    sa.Column("assignee", Text),
    sa.Column("until_at", Instant),
    sa.Column("text", Text, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("decisions_of", decisions.c.conflict_id)

noise = sa.Table(
    "noise",
    metadata,
    _identity(),
    _rev(),
    sa.Column("flow", Text, nullable=False),
    sa.Column("system", Text, nullable=False),
    sa.Column("field", Text, nullable=False),
    sa.Column("hour_at", Instant, nullable=False),
    sa.Column("reread", sa.BigInteger, nullable=False),
    sa.Column("differed", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("flow", "system", "field", "hour_at", name="noise_once"),
    sqlite_autoincrement=True,
)

archive_files = sa.Table(
    "archive_files",
    metadata,
    _identity(),
    _rev(),
    sa.Column("source", Text, nullable=False),
    sa.Column("day", Text, nullable=False),
    sa.Column("path", Text, nullable=False, unique=True),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("archived_at", Instant, nullable=False),
    sqlite_autoincrement=True,
)

"""What readers ask of the ledger: the lens, the archive, the status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import IN_LIMIT, Store, chunks
from auditor.storage.archivable import SETTLED, ArchiveFile, ColumnType
from checks.convergence import Verdict
from checks.judgement import DivergenceState
from checks.values import EPOCH, MICROSECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedRuns:
    """Audits of a flow that failed one after the other.

    Attributes:
        system, reason: of the last of them.
        since_at: when the first began.
        last_at: when the last ended.
    """

    system: str
    reason: str
    since_at: datetime
    last_at: datetime


PROBED_WITHIN_US = 2_000_000
"""A change whose window has just run out is being probed; it is not overdue for so long."""

_CHANGE = t.changes.c

_INCIDENT_COLUMNS = (
    "id",
    "state",
    "breach",
    "flow",
    "system",
    "count",
    "peak",
    "reopened",
    "opened_at",
    "resolved_at",
    "summary",
)


class Shelves(Store):
    """The ledger's rows as readers take them, and the archive's list of files."""

    def columns(self, source: str) -> list[tuple[str, ColumnType]]:
        """The columns of a table that views may show, each with its type; digests are left out."""
        return [(column.name, _type_of(column)) for column in t.metadata.tables[source].c if _shown(column)]

    def snapshot(
        self, sources: Mapping[str, int], *, files_since: int
    ) -> tuple[dict[str, list[tuple[Any, ...]]], list[ArchiveFile]]:
        """Read, as of one instant, what has been written since.

        Args:
            sources: by table, the highest `rev` already known.
            files_since: the same for the archive's files.

        Returns:
            By table, its rows in the order of `columns`, lowest `rev` first, instants as microseconds since
            1970; and the files that were archived.
        """
        rows = {}
        with self.read() as connection:
            for source, rev in sources.items():
                table = t.metadata.tables[source]
                wanted = sa.select(*(_raw(column) for column in table.c if _shown(column))).where(table.c.rev > rev)
                rows[source] = [tuple(row) for row in connection.execute(wanted.order_by(table.c.rev))]
            column = t.archive_files.c
            named = sa.select(column.source, column.path, column.rev, column.day, column.rows)
            files = connection.execute(named.where(column.rev > files_since).order_by(column.rev)).all()
        return rows, [ArchiveFile(**row._asdict()) for row in files]

    def archive_paths(self) -> dict[str, list[str]]:
        """By table, the archive's files that count."""
        paths: dict[str, list[str]] = {}
        with self.read() as connection:
            for row in connection.execute(sa.select(t.archive_files).order_by(t.archive_files.c.path)):
                paths.setdefault(row.source, []).append(row.path)
        return paths

    def settled_rows(self, source: str, before: datetime, limit: int) -> list[tuple[Any, ...]]:
        """Rows of a table that will never change again and are older than `before`, oldest first."""
        table = t.metadata.tables[source]
        settled = table.c[SETTLED[source]]
        wanted = sa.select(*(_raw(column) for column in table.c if _shown(column)))
        with self.read() as connection:
            found = connection.execute(wanted.where(settled < before).order_by(settled).limit(limit))
            return [tuple(row) for row in found]

    def hand_over(self, source: str, ids: Sequence[int], *, path: str, day: str, now: datetime) -> None:
        """Exchange rows for the archive file that now holds them, in one transaction."""
        table = t.metadata.tables[source]
        with self.write() as connection:
            rev = self.next_revision(connection)
            connection.execute(
                sa.insert(t.archive_files).values(
                    rev=rev, source=source, day=day, path=path, rows=len(ids), archived_at=now
                )
            )
            for chunk in chunks(ids, IN_LIMIT):
                connection.execute(sa.delete(table).where(table.c.id.in_(chunk)))

    def archive_files(self, source: str) -> list[ArchiveFile]:
        """The archive's files of a table that count."""
        column = t.archive_files.c
        named = sa.select(column.source, column.path, column.rev, column.day, column.rows)
        with self.read() as connection:
            found = connection.execute(named.where(column.source == source).order_by(column.path)).all()
        return [ArchiveFile(**row._asdict()) for row in found]

    def exchange_file(self, file: ArchiveFile, path: str, now: datetime) -> None:
        """Let another file stand for one of the archive, in one transaction."""
        with self.write() as connection:
            rev = self.next_revision(connection)
            column = t.archive_files.c
            connection.execute(sa.delete(t.archive_files).where(column.path == file.path))
            connection.execute(
                sa.insert(t.archive_files).values(
                    rev=rev, source=file.source, day=file.day, path=path, rows=file.rows, archived_at=now
                )
            )

    def forget_files(self, before_day: str) -> list[str]:
        """Strike the archive's files of days before this one; answers their paths, to be deleted later."""
        with self.write() as connection:
            struck = connection.execute(
                sa.delete(t.archive_files).where(t.archive_files.c.day < before_day).returning(t.archive_files.c.path)
            )
            return list(struck.scalars())

    def table(self, name: str) -> list[dict[str, Any]]:
        """A small table whole, as mappings: `systems`, `flow_state`."""
        with self.read() as connection:
            return [row._asdict() for row in connection.execute(sa.select(t.metadata.tables[name]))]

    def open_records(self) -> list[dict[str, Any]]:
        """Every open divergence whole, oldest first; for repair proposals."""
        column = t.divergences.c
        wanted = sa.select(t.divergences).where(
            column.closed_at.is_(None), column.state == DivergenceState.OPEN.value
        )
        with self.read() as connection:
            return [row._asdict() for row in connection.execute(wanted.order_by(column.opened_at, column.id))]

    def failed_runs(self, flow: str, after: datetime | None) -> FailedRuns | None:
        """The audits of a flow that have failed since it was last audited, None where there are none."""
        column = t.probe_runs.c
        failed = (column.flow == flow) & column.reason.is_not(None) & column.system.is_not(None)
        if after is not None:
            failed &= column.started_at > after
        wanted = sa.select(column.system, column.reason, column.finished_at).where(failed)
        with self.read() as connection:
            last = connection.execute(wanted.order_by(column.id.desc()).limit(1)).first()
            if last is None:
                return None
            since_at = connection.execute(sa.select(sa.func.min(column.started_at)).where(failed)).scalar_one()
        return FailedRuns(system=last.system, reason=last.reason, since_at=since_at, last_at=last.finished_at)

    def live_counts(self) -> dict[str, dict[str, int]]:
        """Per flow, how many divergences are open by cause; for the status."""
        column = t.divergences.c
        counted = (
            sa.select(column.flow, column.cause, sa.func.count())
            .where(column.closed_at.is_(None), column.state == DivergenceState.OPEN.value)
            .group_by(column.flow, column.cause)
        )
        found: dict[str, dict[str, int]] = {}
        with self.read() as connection:
            for flow, cause, count in connection.execute(counted):
                found.setdefault(flow, {})[cause] = count
        return found

    def divergent_rows(self, flow: str, causes: Sequence[str], limit: int) -> list[dict[str, Any]]:
        """Open divergences of a flow, longest first: key, kind, cause, fields, detail, since_at."""
        column = t.divergences.c
        wanted = sa.select(
            column.key,
            column.kind,
            column.cause,
            column.fields,
            column.detail,
            sa.func.coalesce(column.first_seen_at, column.opened_at).label("since_at"),
        ).where(
            column.flow == flow,
            column.closed_at.is_(None),
            column.state == DivergenceState.OPEN.value,
            column.cause.in_(causes) if causes else sa.true(),
        )
        with self.read() as connection:
            rows = connection.execute(wanted.order_by(column.first_seen_at, column.id).limit(limit))
            return [row._asdict() for row in rows]

    def undecided_rows(self, flow: str, limit: int) -> list[dict[str, Any]]:
        """Records of a flow that are undecided, longest first: key, why, since_at; each once."""
        divergence = t.divergences.c
        suspected = sa.select(
            divergence.key, (sa.literal("suspected: ") + divergence.cause).label("why"), divergence.first_seen_at
        ).where(
            divergence.flow == flow,
            divergence.closed_at.is_(None),
            divergence.state == DivergenceState.SUSPECTED.value,
        )
        on_the_way = sa.select(
            _CHANGE.key, sa.literal("a change on its way"), _CHANGE.committed_to_at.label("first_seen_at")
        ).where(_CHANGE.flow == flow, _CHANGE.settled_at.is_(None), _CHANGE.verdict == Verdict.PENDING.value)
        both = sa.union_all(suspected, on_the_way).subquery()
        wanted = (
            sa.select(both.c.key, sa.func.max(both.c.why).label("why"), sa.func.min(both.c.first_seen_at))
            .group_by(both.c.key)
            .order_by(sa.func.min(both.c.first_seen_at))
            .limit(limit)
        )
        with self.read() as connection:
            return [{"key": row[0], "why": row[1], "since_at": row[2]} for row in connection.execute(wanted)]

    def incident_rows(self, *, live_only: bool, limit: int) -> list[dict[str, Any]]:
        """Incidents, those that are open first, latest first.

        Each with its last message: of several receivers, the one that fared worst.
        """
        incident, alert = t.incidents.c, t.alerts.c
        fared = sa.case({"failed": 0, "pending": 1, "sending": 2}, value=alert.state, else_=3)
        place = sa.func.row_number().over(partition_by=alert.incident_id, order_by=(fared, alert.id.desc()))
        newest = sa.select(sa.func.max(alert.id)).group_by(alert.incident_id, alert.sender)
        ranked = sa.select(alert.id, place.label("place")).where(alert.id.in_(newest)).subquery()
        last = sa.select(ranked.c.id).where(ranked.c.place == 1)
        wanted = (
            sa.select(
                *(incident[name] for name in _INCIDENT_COLUMNS),
                alert.transition.label("told"),
                alert.state.label("message"),
            )
            .select_from(t.incidents.outerjoin(t.alerts, (alert.incident_id == incident.id) & alert.id.in_(last)))
            .where(incident.state != "resolved" if live_only else sa.true())
            .order_by(incident.state == "resolved", incident.id.desc())
            .limit(limit)
        )
        with self.read() as connection:
            return [row._asdict() for row in connection.execute(wanted)]

    def undecided(self, flow: str) -> int:
        """How many records of a flow are suspected of differing, or have a change whose window still runs."""
        return self._count_undecided(flow, _CHANGE.verdict == Verdict.PENDING.value)

    def overdue(self, flow: str, now: datetime) -> int:
        """How many of the undecided should be decided by now: suspected ones, and those whose window has run out."""
        window_us = sa.cast(_CHANGE.window_s * 1_000_000, sa.BigInteger)
        ends_us = sa.type_coerce(_CHANGE.committed_to_at, sa.BigInteger) + window_us + PROBED_WITHIN_US
        past = ends_us < (now - EPOCH) // MICROSECOND
        return self._count_undecided(flow, (_CHANGE.verdict == Verdict.PENDING.value) & past)

    def _count_undecided(self, flow: str, pending: sa.ColumnElement[bool]) -> int:
        divergence = t.divergences.c
        suspected = sa.select(divergence.key).where(
            divergence.flow == flow,
            divergence.closed_at.is_(None),
            divergence.state == DivergenceState.SUSPECTED.value,
        )
        on_the_way = sa.select(_CHANGE.key).where(_CHANGE.flow == flow, _CHANGE.settled_at.is_(None), pending)
        with self.read() as connection:
            both = sa.union(suspected, on_the_way).subquery()
            return int(connection.execute(sa.select(sa.func.count()).select_from(both)).scalar_one())


def _shown(column: sa.Column[Any]) -> bool:
    return not isinstance(column.type, sa.LargeBinary)


def _raw(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """A column as it is kept: the archive and the views hold what the ledger holds."""
    if isinstance(column.type, t.Instant):
        return sa.type_coerce(column, sa.BigInteger)
    return sa.type_coerce(column, sa.Text) if isinstance(column.type, t.Text) else column


def _type_of(column: sa.Column[Any]) -> ColumnType:
    if isinstance(column.type, t.Instant):
        return "instant"
    if isinstance(column.type, sa.Boolean):
        return "boolean"
    if isinstance(column.type, sa.Float):
        return "float"
    return "integer" if isinstance(column.type, sa.Integer) else "text"

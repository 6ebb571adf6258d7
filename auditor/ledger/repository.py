"""The ledger's verbs: what the auditor and its faces ask of the system of record, and tell it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import postgresql, sqlite

from auditor.ledger import tables as t
from auditor.reading import Health
from checks.causes import Baseline, Cause, Kind
from checks.clocks import ClockBounds
from checks.convergence import Change, Verdict
from checks.fields import FINGERPRINT_BYTES, Difference, Shape
from checks.judgement import Divergence, DivergenceState, History
from checks.values import EPOCH
from probes.contract import Key, Letter

IN_LIMIT = 500
"""Keys in one `IN` list; SQLite before 3.32 takes 999 variables."""


Transaction = sa.Connection
"""What `Ledger.write` yields: everything done with it is committed together or not at all."""


class LedgerError(Exception):
    """The ledger cannot be used; the text says why and what to do."""


ColumnType = Literal["instant", "boolean", "float", "integer", "text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveFile:
    """A Parquet file that holds rows of a table."""

    source: str
    path: str
    rev: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowState:
    """Where a flow's audits stand.

    Attributes:
        watermark_at: the latest changed-at stamp seen at the owner, in the owner's clock.
        polled_at: when the owner was last asked for changes (local), the request's start.
        owner_after, target_after: the keys behind which the next sample page begins.
        sweeps: completed passes over both systems.
        swept_at: end of the last one.
        series: the rules and the digest key under which its fingerprints were made.
    """

    watermark_at: datetime | None = None
    polled_at: datetime | None = None
    owner_after: Key | None = None
    target_after: Key | None = None
    sweep_begun_at: datetime | None = None
    sweeps: int = 0
    swept_at: datetime | None = None
    audited_at: datetime | None = None
    series: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """A breach's life, as the ledger holds it."""

    incident_id: int
    fingerprint: str
    flow: str | None
    system: str | None
    breach: str
    state: str
    opened_at: datetime
    resolved_at: datetime | None
    count: int
    peak: int
    clean: int
    reopened: int
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingAlert:
    """One message waiting in the outbox."""

    alert_id: int
    incident_id: int
    transition: str
    sender: str
    tries: int
    possible_repeat: bool
    notice: Mapping[str, Any]


class Ledger:
    """The ledger behind a database URL; safe to share between threads.

    Args:
        url: `sqlite:///FILE` or `postgresql://...`.
    """

    def __init__(self, url: str) -> None:
        parsed = sa.make_url(url)
        self._sqlite = parsed.get_backend_name() == "sqlite"
        if self._sqlite:
            if not parsed.database or parsed.database == ":memory:":
                raise LedgerError("the ledger needs a file, so that several processes can share it")
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.engine = sa.create_engine(parsed, connect_args={"timeout": 30}, pool_size=10)
            sa.event.listen(self.engine, "connect", _prepare_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)
        elif parsed.get_backend_name() == "postgresql":
            try:
                self.engine = sa.create_engine(parsed.set(drivername="postgresql+psycopg"), pool_size=10)
            except ModuleNotFoundError as error:
                raise LedgerError(
                    "the driver psycopg is not installed; pip install 'plumbline[postgresql]'"
                ) from error
        else:
            raise LedgerError("the ledger is a sqlite:/// or a postgresql:// URL")

        self._save_flow_state = self._upsert(t.flow_state)
        self._save_health = self._upsert(t.systems, keep_if_null=("last_ok_at", "latency_s", *_CLOCK_COLUMNS))
        self._save_baselines = self._upsert(t.baselines)
        self._writer = self.engine.execution_options(plumbline_write=True)
        baseline, change, divergence = t.baselines.c, t.changes.c, t.divergences.c
        columns = (baseline.key, baseline.owner, baseline.target, baseline.ring)
        agreed_at_us = sa.type_coerce(baseline.agreed_at, sa.BigInteger)
        self._baselines = self._among(sa.select(*columns, agreed_at_us), baseline)
        self._changes = self._among(sa.select(t.changes).order_by(change.committed_to_at, change.id), change).where(
            change.settled_at.is_(None)
        )
        self._divergences = self._among(sa.select(t.divergences), divergence).where(divergence.closed_at.is_(None))

    def _upsert(self, table: sa.Table, *, keep_if_null: Sequence[str] = ()) -> Any:
        """An INSERT that updates the row of the same primary key.

        Args:
            keep_if_null: columns that a NULL does not overwrite.
        """
        insert = sqlite.insert(table) if self._sqlite else postgresql.insert(table)
        fresh = {
            column.name: sa.func.coalesce(insert.excluded[column.name], column)
            if column.name in keep_if_null
            else insert.excluded[column.name]
            for column in table.c
            if not column.primary_key
        }
        return insert.on_conflict_do_update(index_elements=[*table.primary_key], set_=fresh)

    def _among(self, select: sa.Select[Any], column: Any) -> sa.Select[Any]:
        """The rows of `:flow` whose key is one of `:keys`, told as one parameter however many they are."""
        if self._sqlite:
            keys = sa.func.json_each(sa.bindparam("keys")).table_valued("value")
            among = column.key.in_(sa.select(keys.c.value))
        else:
            among = column.key == sa.any_(sa.bindparam("keys", type_=postgresql.ARRAY(sa.Text)))
        return select.where(column.flow == sa.bindparam("flow"), among)

    def migrate(self) -> None:
        """Bring the schema to this version's; safe to run again and from several processes."""
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self.write() as connection:
            if not self._sqlite:
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(7305128)"))
            head = ScriptDirectory.from_config(config).get_current_head()
            here = MigrationContext.configure(connection).get_current_revision()
            if here == head:
                return
            known = {each.revision for each in ScriptDirectory.from_config(config).walk_revisions()}
            if here is not None and here not in known:
                raise LedgerError("the ledger was written by a newer version of the auditor; upgrade it")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def close(self) -> None:
        """Release every connection."""
        self.engine.dispose()

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that writes; all of it is committed or none."""
        with self._writer.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that only reads."""
        with self.engine.connect() as connection:
            yield connection

    def next_revision(self, connection: sa.Connection) -> int:
        """Draw the number of this transaction; writers queue up here."""
        return int(connection.execute(_NEXT_REVISION).scalar_one())

    def insert(self, table: sa.Table) -> Any:
        """An INSERT of this database's dialect, for `on_conflict_*`."""
        return sqlite.insert(table) if self._sqlite else postgresql.insert(table)

    # -- what an audit needs to know

    def flow_state(self, flow: str, to_key: Callable[[str], Key]) -> FlowState:
        """Where a flow's audits stand; the initial state for a flow never audited."""
        with self.read() as connection:
            row = connection.execute(_FLOW_STATE, {"flow": flow}).first()
        if row is None:
            return FlowState()
        known = row._asdict()
        known.pop("flow")
        for cursor in ("owner_after", "target_after"):
            known[cursor] = None if known[cursor] is None else to_key(known[cursor])
        return FlowState(**known)

    def due(self, flow: str, now: datetime, limit: int) -> list[str]:
        """Keys whose pending change or live divergence is due to be looked at, longest due first."""
        with self.read() as connection:
            return list(connection.execute(_DUE, {"flow": flow, "now": now, "limit": limit}).scalars())

    def histories(
        self, flow: str, keys: Sequence[Key], *, agreed: Mapping[Key, bytes] | None = None
    ) -> tuple[dict[Key, History], set[Key]]:
        """The baseline, pending changes and live divergence of each key that has any of them.

        Args:
            agreed: for keys whose copies agree, the fingerprint they share.

        Returns:
            The histories, and the keys of `agreed` that are known to agree on just that and have nothing
            pending; those have no history here, because nothing follows from reading them again.
        """
        text_of = {str(key): key for key in keys}
        shared = agreed or {}
        settled: set[Key] = set()
        known: dict[Key, Baseline] = {}
        pending: dict[Key, list[Change]] = {}
        live: dict[Key, Divergence] = {}
        with self.read() as connection:
            asked = {"flow": flow, "keys": json.dumps(list(text_of)) if self._sqlite else list(text_of)}
            for row in connection.execute(self._changes, asked):
                key = text_of[row.key]
                pending.setdefault(key, []).append(_change(row, key))
            for row in connection.execute(self._divergences, asked):
                key = text_of[row.key]
                live[key] = _divergence(row, key)
            for text, owner, target, ring, agreed_at_us in connection.execute(self._baselines, asked):
                key = text_of[text]
                if owner == target and shared.get(key) == owner and key not in pending and key not in live:
                    settled.add(key)
                else:
                    known[key] = _baseline(owner, target, ring, agreed_at_us)
        histories = {
            key: History(baseline=known.get(key), changes=tuple(pending.get(key, ())), divergence=live.get(key))
            for key in {*known, *pending, *live}
        }
        return histories, settled

    def clocks(self) -> dict[str, ClockBounds]:
        """The last known clock bounds of every system, to begin with after a restart."""
        with self.read() as connection:
            rows = connection.execute(sa.select(t.systems).where(t.systems.c.clock_at.is_not(None)))
            return {
                row.name: ClockBounds(lower_s=row.clock_lower_s, upper_s=row.clock_upper_s, measured_at=row.clock_at)
                for row in rows
            }

    # -- what an audit tells, inside its one transaction

    def begin_series(self, flow: str, series: str, now: datetime) -> None:
        """Forget what was fingerprinted under other rules or another key; does nothing for the same series.

        Baselines go, and changes on their way are settled as undecided, because the versions they wait for
        cannot be recognised any more. Live divergences stay and are judged afresh.
        """
        with self.read() as connection:
            row = connection.execute(_FLOW_STATE, {"flow": flow}).first()
        if row is not None and row.series == series:
            return
        change = t.changes.c
        with self.write() as connection:
            rev = self.next_revision(connection)
            connection.execute(sa.delete(t.baselines).where(t.baselines.c.flow == flow))
            connection.execute(
                sa.update(t.changes)
                .where(change.flow == flow, change.settled_at.is_(None))
                .values(
                    rev=rev,
                    settled_at=now,
                    next_probe_at=None,
                    verdict=sa.case(
                        (change.verdict == Verdict.PENDING.value, Verdict.UNDECIDED.value), else_=change.verdict
                    ),
                )
            )
            known = row._asdict() if row is not None else {column.name: None for column in t.flow_state.c}
            fresh = {**known, "flow": flow, "series": series, "sweeps": known["sweeps"] or 0}
            fresh |= {"owner_after": None, "target_after": None, "sweep_begun_at": None}
            connection.execute(self._save_flow_state, fresh)

    def save_flow_state(self, connection: sa.Connection, flow: str, state: FlowState) -> None:
        """Write where a flow's audits stand."""
        values = asdict(state)
        for cursor in ("owner_after", "target_after"):
            values[cursor] = None if values[cursor] is None else str(values[cursor])
        connection.execute(self._save_flow_state, {"flow": flow, **values})

    def save_run(self, connection: sa.Connection, rev: int, run: Mapping[str, Any]) -> None:
        """Append one row to `probe_runs`."""
        connection.execute(sa.insert(t.probe_runs), [{"rev": rev, **run}])

    def save_baselines(
        self,
        connection: sa.Connection,
        flow: str,
        baselines: Mapping[Key, Baseline],
        forgotten: Iterable[Key],
        at: datetime,
    ) -> None:
        """Advance and forget baselines."""
        rows = [
            {
                "flow": flow,
                "key": str(key),
                "owner": each.owner,
                "target": each.target,
                "ring": b"".join(each.ring),
                "agreed_at": at,
            }
            for key, each in baselines.items()
        ]
        if rows:
            connection.execute(self._save_baselines, rows)
        for chunk in _chunks([str(key) for key in forgotten], IN_LIMIT):
            connection.execute(sa.delete(t.baselines).where(t.baselines.c.flow == flow, t.baselines.c.key.in_(chunk)))

    def save_changes(
        self,
        connection: sa.Connection,
        rev: int,
        flow: str,
        changes: Sequence[tuple[Change, datetime | None]],
    ) -> None:
        """Insert enrolled changes and update followed ones, each with when to probe it next."""
        rows = []
        for change, probe_at in changes:
            values = {name: getattr(change, name) for name in _CHANGE_COLUMNS}
            values |= {"key": str(change.key), "verdict": change.verdict.value, "next_probe_at": probe_at}
            values |= {"lag_lower_s": change.lag_lower_s, "lag_upper_s": change.lag_upper_s}
            rows.append({"rev": rev, "flow": flow, "b_id": change.change_id, **values})
        new = [{k: v for k, v in row.items() if k != "b_id"} for row in rows if not row["b_id"]]
        if new:
            connection.execute(sa.insert(t.changes), new)
        old = [row for row in rows if row["b_id"]]
        if old:
            moved: dict[str, Any] = {
                name: sa.bindparam(name) for name in old[0] if name not in {"b_id", "flow", "key"}
            }
            connection.execute(sa.update(t.changes).where(t.changes.c.id == sa.bindparam("b_id")).values(moved), old)

    def save_divergences(
        self,
        connection: sa.Connection,
        rev: int,
        flow: str,
        data_type: str,
        divergences: Sequence[Divergence],
    ) -> None:
        """Insert new divergences and update known ones."""
        rows = []
        for each in divergences:
            told = [asdict(difference) for difference in each.differences]
            rows.append(
                {
                    "b_id": each.divergence_id,
                    "rev": rev,
                    "flow": flow,
                    "data_type": data_type,
                    "key": str(each.key),
                    "kind": each.kind.value,
                    "cause": each.cause.value,
                    "state": each.state.value,
                    "first_seen_at": each.first_seen_at,
                    "last_seen_at": each.last_seen_at,
                    "opened_at": each.opened_at,
                    "closed_at": each.closed_at,
                    "readings": each.readings,
                    "version": each.version,
                    "fields": ", ".join(difference.field for difference in each.differences),
                    "differences": json.dumps(told),
                    "detail": each.detail,
                    "next_check_at": each.next_check_at,
                }
            )
        new = [{k: v for k, v in row.items() if k != "b_id"} for row in rows if not row["b_id"]]
        if new:
            connection.execute(sa.insert(t.divergences), new)
        old = [row for row in rows if row["b_id"]]
        if old:
            moved: dict[str, Any] = {
                name: sa.bindparam(name) for name in old[0] if name not in {"b_id", "flow", "key"}
            }
            connection.execute(
                sa.update(t.divergences).where(t.divergences.c.id == sa.bindparam("b_id")).values(moved), old
            )

    def open_divergences(self, connection: sa.Connection, flow: str) -> dict[str, int]:
        """How many divergences of each cause are open in a flow, inside the running transaction."""
        return dict(connection.execute(_OPEN_BY_CAUSE, {"flow": flow}).all())

    def save_health(self, connection: sa.Connection, name: str, health: Health, clock: ClockBounds | None) -> None:
        """Write how a system has been answering and its clock bounds."""
        connection.execute(
            self._save_health,
            {
                "name": name,
                "failures": health.failures,
                "failing_since_at": health.failing_since,
                "last_ok_at": health.last_ok_at,
                "latency_s": health.latency_s,
                "reason": health.reason,
                "message": health.message,
                "clock_lower_s": clock.lower_s if clock else None,
                "clock_upper_s": clock.upper_s if clock else None,
                "clock_at": clock.measured_at if clock else None,
                "clock_stepped_at": clock.measured_at if clock and clock.stepped else None,
            },
        )

    def save_backlog(self, connection: sa.Connection, rev: int, backlog: Mapping[str, Any]) -> None:
        """Append one row to `backlogs`."""
        connection.execute(sa.insert(t.backlogs), [{"rev": rev, **backlog}])

    def save_letters(
        self,
        connection: sa.Connection,
        rev: int,
        flow: str,
        queue: str,
        letters: Sequence[Letter],
        at: datetime,
        *,
        complete: bool,
    ) -> None:
        """Write the dead letters seen now.

        Args:
            complete: every letter of the queue was seen, so those not among them are gone.
        """
        column = t.dead_letters.c
        mine = (column.flow == flow) & (column.queue == queue) & column.gone_at.is_(None)
        waiting = connection.execute(sa.select(column.letter_id, column.id).where(mine))
        there = {row.letter_id: row.id for row in waiting}
        seen = {letter.letter_id for letter in letters}
        new = [
            {
                "rev": rev,
                "flow": flow,
                "queue": queue,
                "letter_id": letter.letter_id,
                "key": None if letter.key is None else str(letter.key),
                "reason": letter.reason,
                "attempts": letter.attempts,
                "first_failed_at": letter.first_failed_at,
                "first_seen_at": at,
                "last_seen_at": at,
            }
            for letter in letters
            if letter.letter_id not in there
        ]
        if new:
            connection.execute(sa.insert(t.dead_letters), new)
        if complete:
            gone = [identity for letter_id, identity in there.items() if letter_id not in seen]
            for chunk in _chunks(gone, IN_LIMIT):
                connection.execute(sa.update(t.dead_letters).where(column.id.in_(chunk)).values(rev=rev, gone_at=at))

    # -- incidents and alerts

    def recent_incidents(
        self, connection: sa.Connection, fingerprints: Sequence[str], resolved_since: datetime
    ) -> dict[str, Incident]:
        """By fingerprint, the incidents that are live or were resolved since then; the latest of each."""
        asked = {"fingerprints": list(fingerprints), "resolved_since": resolved_since}
        rows = connection.execute(_RECENT_INCIDENTS, asked)
        return {row.fingerprint: _incident(row) for row in rows}

    def save_incident(self, connection: sa.Connection, rev: int, incident_id: int, values: Mapping[str, Any]) -> int:
        """Insert (id 0) or update an incident; answers its id."""
        if incident_id == 0:
            inserted = connection.execute(
                sa.insert(t.incidents).values(rev=rev, **values).returning(t.incidents.c.id)
            )
            return int(inserted.scalar_one())
        connection.execute(sa.update(t.incidents).where(t.incidents.c.id == incident_id).values(rev=rev, **values))
        return incident_id

    def queue_alert(
        self,
        connection: sa.Connection,
        rev: int,
        *,
        incident_id: int,
        transition: str,
        sender: str,
        notice: Mapping[str, Any],
        at: datetime,
    ) -> None:
        """Put a message into the outbox; the same transition of an incident is never queued twice."""
        values = {
            "rev": rev,
            "incident_id": incident_id,
            "transition": transition,
            "sender": sender,
            "state": "pending",
            "created_at": at,
            "next_try_at": at,
            "tries": 0,
            "possible_repeat": False,
            "notice": json.dumps(notice),
        }
        connection.execute(self.insert(t.alerts).values(values).on_conflict_do_nothing())

    def claim_alert(self, now: datetime) -> PendingAlert | None:
        """Take the next message that is due and mark it as being sent."""
        column = t.alerts.c
        due = sa.exists().where(column.state == "pending", column.next_try_at <= now)
        with self.read() as connection:
            if not connection.execute(sa.select(due)).scalar():
                return None
        with self.write() as connection:
            rev = self.next_revision(connection)
            row = connection.execute(
                sa.select(t.alerts)
                .where(column.state == "pending", column.next_try_at <= now)
                .order_by(column.id)
                .limit(1)
            ).first()
            if row is None:
                connection.rollback()
                return None
            connection.execute(
                sa.update(t.alerts).where(column.id == row.id).values(rev=rev, state="sending", tries=row.tries + 1)
            )
        return PendingAlert(
            alert_id=row.id,
            incident_id=row.incident_id,
            transition=row.transition,
            sender=row.sender,
            tries=row.tries + 1,
            possible_repeat=row.possible_repeat,
            notice=json.loads(row.notice),
        )

    def settle_alert(self, alert_id: int, **values: Any) -> None:
        """Write how sending a message ended."""
        with self.write() as connection:
            rev = self.next_revision(connection)
            connection.execute(sa.update(t.alerts).where(t.alerts.c.id == alert_id).values(rev=rev, **values))

    def recover_alerts(self, now: datetime) -> int:
        """Messages that were being sent when the sender died: they may have arrived, so they are marked.

        Returns:
            How many there were.
        """
        column = t.alerts.c
        with self.write() as connection:
            rev = self.next_revision(connection)
            moved = connection.execute(
                sa.update(t.alerts)
                .where(column.state == "sending")
                .values(rev=rev, state="pending", possible_repeat=True, next_try_at=now)
            )
            return int(moved.rowcount)

    # -- for readers: the lens, the archive, the status

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
            files = connection.execute(
                sa.select(column.source, column.path, column.rev).where(column.rev > files_since).order_by(column.rev)
            ).all()
        return rows, [ArchiveFile(source=row.source, path=row.path, rev=row.rev) for row in files]

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
            for chunk in _chunks(ids, IN_LIMIT):
                connection.execute(sa.delete(table).where(table.c.id.in_(chunk)))

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

    def undecided(self, flow: str) -> int:
        """How many records of a flow are suspected of differing, or have a change whose window still runs."""
        divergence, change = t.divergences.c, t.changes.c
        suspected = sa.select(divergence.key).where(
            divergence.flow == flow,
            divergence.closed_at.is_(None),
            divergence.state == DivergenceState.SUSPECTED.value,
        )
        on_the_way = sa.select(change.key).where(
            change.flow == flow, change.settled_at.is_(None), change.verdict == Verdict.PENDING.value
        )
        with self.read() as connection:
            both = sa.union(suspected, on_the_way).subquery()
            return int(connection.execute(sa.select(sa.func.count()).select_from(both)).scalar_one())


SETTLED = {
    "probe_runs": "finished_at",
    "changes": "settled_at",
    "divergences": "closed_at",
    "backlogs": "read_at",
    "dead_letters": "gone_at",
}
"""By table, the instant from which on a row never changes again; what is not listed is never archived."""


def _shown(column: sa.Column[Any]) -> bool:
    return not isinstance(column.type, sa.LargeBinary)


def _raw(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    return sa.type_coerce(column, sa.BigInteger) if isinstance(column.type, t.Instant) else column


def _type_of(column: sa.Column[Any]) -> ColumnType:
    if isinstance(column.type, t.Instant):
        return "instant"
    if isinstance(column.type, sa.Boolean):
        return "boolean"
    if isinstance(column.type, sa.Float):
        return "float"
    return "integer" if isinstance(column.type, sa.Integer) else "text"


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("plumbline_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


_CLOCK_COLUMNS = ("clock_lower_s", "clock_upper_s", "clock_at", "clock_stepped_at")

_NEXT_REVISION = sa.update(t.revision).values(value=t.revision.c.value + 1).returning(t.revision.c.value)
_FLOW_STATE = sa.select(t.flow_state).where(t.flow_state.c.flow == sa.bindparam("flow"))
_OPEN_BY_CAUSE = (
    sa.select(t.divergences.c.cause, sa.func.count())
    .where(
        t.divergences.c.flow == sa.bindparam("flow"),
        t.divergences.c.closed_at.is_(None),
        t.divergences.c.state == DivergenceState.OPEN.value,
    )
    .group_by(t.divergences.c.cause)
)
_RECENT_INCIDENTS = (
    sa.select(t.incidents)
    .where(
        t.incidents.c.fingerprint.in_(sa.bindparam("fingerprints", expanding=True)),
        (t.incidents.c.state != "resolved")
        | (t.incidents.c.resolved_at >= sa.bindparam("resolved_since", type_=t.Instant)),
    )
    .order_by(t.incidents.c.id)
)


def _due() -> sa.Select[Any]:
    change, divergence = t.changes.c, t.divergences.c
    now = sa.bindparam("now", type_=t.Instant)
    due = sa.union_all(
        sa.select(change.key, change.next_probe_at.label("due_at")).where(
            change.flow == sa.bindparam("flow"), change.settled_at.is_(None), change.next_probe_at <= now
        ),
        sa.select(divergence.key, divergence.next_check_at.label("due_at")).where(
            divergence.flow == sa.bindparam("flow"), divergence.closed_at.is_(None), divergence.next_check_at <= now
        ),
    ).subquery()
    longest = sa.func.min(due.c.due_at)
    return sa.select(due.c.key).group_by(due.c.key).order_by(longest).limit(sa.bindparam("limit"))


_DUE = _due()

_CHANGE_COLUMNS = (
    "fingerprint",
    "committed_from_at",
    "committed_to_at",
    "window_s",
    "enrolled_at",
    "probes",
    "differed_at",
    "shown_at",
    "superseded",
    "settled_at",
)


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]


def _baseline(owner: bytes, target: bytes, ring: bytes, agreed_at_us: int) -> Baseline:
    starts = range(0, len(ring), FINGERPRINT_BYTES)
    return Baseline(
        owner=owner,
        target=target,
        ring=tuple(ring[at : at + FINGERPRINT_BYTES] for at in starts) if ring else (),
        agreed_at=EPOCH + timedelta(microseconds=agreed_at_us),
    )


def _change(row: Any, key: Key) -> Change:
    return Change(
        change_id=row.id,
        key=key,
        verdict=Verdict(row.verdict),
        **{name: getattr(row, name) for name in _CHANGE_COLUMNS},
    )


def _divergence(row: Any, key: Key) -> Divergence:
    return Divergence(
        divergence_id=row.id,
        key=key,
        kind=Kind(row.kind),
        cause=Cause(row.cause),
        state=DivergenceState(row.state),
        first_seen_at=row.first_seen_at,
        last_seen_at=row.last_seen_at,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        readings=row.readings,
        version=row.version,
        differences=tuple(
            Difference(**{**each, "shape": Shape(each["shape"])}) for each in json.loads(row.differences)
        ),
        detail=row.detail,
        next_check_at=row.next_check_at,
    )


def _incident(row: Any) -> Incident:
    known = row._asdict()
    known.pop("rev")
    return Incident(incident_id=known.pop("id"), **known)

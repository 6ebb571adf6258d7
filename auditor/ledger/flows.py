"""What an audit asks of the ledger before it reads, and tells it afterwards in one transaction."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import IN_LIMIT, Store, Transaction, chunks
from auditor.storage.kept_text import kept, restored
from checks.causes import Baseline, Cause, Kind
from checks.convergence import Change, Operation, Verdict
from checks.fields import Difference, Shape
from checks.judgement import Divergence, DivergenceState, History
from checks.records import FINGERPRINT_BYTES
from checks.values import EPOCH
from probes.contract import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowState:
    """Where a flow's audits stand.

    Attributes:
        watermark_at: the latest changed-at stamp seen at the owner, in the owner's clock.
        version_low, version_middle, version_high: the highest version seen at least one overlap ago, when
            `version_middle` was last taken (`version_turned_at`), and at all.
        polled_at: when the owner was last asked for changes and answered all of them (local), the
            request's start.
        commit_delay_s: the longest time after its stamp that a change was seen to be committed.
        known_from_at: every record that the owner held then has been read since, under the present series.
        verified_through_at: every change of the owner up to then has its verdict.
        walk: how the sweep goes, by `rank` or by `key`.
        owner_after, target_after: where the next page begins, in the probes' own words, where it goes by key.
        rank_after: the rank at which the next slice begins, where it goes by rank.
        sweep_read, sweep_divergent, sweep_undecided: records of the sweep under way.
        sweeps: completed passes over both systems.
        swept_from_at, swept_at: begin and end of the last one.
        swept_read, swept_divergent, swept_undecided: its records.
        sweep_unlisted, swept_unlisted: records of either that could not be verified and that the list of these
            (`Unverified`) had no room for.
        series: the rules and the digest key under which its fingerprints were made.
    """

    watermark_at: datetime | None = None
    version_low: int | None = None
    version_middle: int | None = None
    version_high: int | None = None
    version_turned_at: datetime | None = None
    polled_at: datetime | None = None
    commit_delay_s: float | None = None
    known_from_at: datetime | None = None
    verified_through_at: datetime | None = None
    walk: str | None = None
    owner_after: str | None = None
    target_after: str | None = None
    rank_after: int | None = None
    sweep_begun_at: datetime | None = None
    sweep_read: int | None = None
    sweep_divergent: int | None = None
    sweep_undecided: int | None = None
    sweeps: int = 0
    swept_at: datetime | None = None
    swept_from_at: datetime | None = None
    swept_read: int | None = None
    swept_divergent: int | None = None
    swept_undecided: int | None = None
    sweep_unlisted: int | None = None
    swept_unlisted: int | None = None
    audited_at: datetime | None = None
    series: str | None = None


class Following(Store):
    """Where every flow stands, and what is being followed in it."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._save_flow_state = self.upsert(t.flow_state)
        self._save_baselines = self.upsert(t.baselines)
        baseline, change, divergence = t.baselines.c, t.changes.c, t.divergences.c
        columns = (
            baseline.key,
            baseline.owner,
            baseline.target,
            baseline.owner_marks,
            baseline.target_marks,
            baseline.ring,
            baseline.mark,
        )
        agreed_at_us = sa.type_coerce(baseline.agreed_at, sa.BigInteger)
        self._baselines = self.among(sa.select(*columns, agreed_at_us), baseline)
        self._changes = self.among(sa.select(t.changes).order_by(change.committed_to_at, change.id), change).where(
            change.settled_at.is_(None)
        )
        identity = t.identities.c
        self._save_identities = self.upsert(t.identities)
        self._identities = self.among(sa.select(identity.key, identity.digest), identity).where(
            identity.system == sa.bindparam("system"), identity.called == sa.bindparam("called")
        )
        self._divergences = self.among(sa.select(t.divergences), divergence).where(divergence.closed_at.is_(None))

    def flow_state(self, flow: str) -> FlowState:
        """Where a flow's audits stand; the initial state for a flow never audited."""
        with self.read() as connection:
            row = connection.execute(_FLOW_STATE, {"flow": flow}).first()
        if row is None:
            return FlowState()
        known = row._asdict()
        known.pop("flow")
        return FlowState(**known)

    def due(self, flow: str, now: datetime, limit: int) -> tuple[list[str], list[str]]:
        """Keys that are due to be looked at.

        Args:
            limit: most of the second kind.

        Returns:
            Keys with an undecided change whose window has run out, all of them; and those whose pending
            change or live divergence is due besides, longest due first.
        """
        asked = {"flow": flow, "now": now, "limit": limit}
        with self.read() as connection:
            deadlines = dict.fromkeys(connection.execute(_DEADLINES, asked).scalars())
            others = connection.execute(_DUE, asked).scalars()
            return list(deadlines), [key for key in others if key not in deadlines]

    def next_deadline(self, flow: str) -> datetime | None:
        """When a probe about the end of an undecided change's window is due next, before it or after."""
        with self.read() as connection:
            found: datetime | None = connection.execute(_NEXT_DEADLINE, {"flow": flow}).scalar_one()
        return found

    def undecided_since(self, connection: Transaction, flow: str) -> datetime | None:
        """The earliest that a change without a verdict may have been committed."""
        found: datetime | None = connection.execute(_UNDECIDED_SINCE, {"flow": flow}).scalar_one()
        return found

    def any_verdict(self, connection: Transaction, flow: str) -> bool:
        """Whether anything was ever said of a record of this flow: it agreed, it differs, or a change arrived."""
        return any(
            connection.execute(sa.select(sa.exists().where(table.c.flow == flow))).scalar()
            for table in (t.baselines, t.divergences, t.changes)
        )

    def arrived_at(self, flow: str, since: datetime) -> datetime | None:
        """When a change of a flow last arrived at its target, None where none did since then."""
        column = t.changes.c
        latest = sa.select(sa.func.max(column.shown_at)).where(column.flow == flow, column.settled_at >= since)
        with self.read() as connection:
            found: datetime | None = connection.execute(latest).scalar_one()
        return found

    def suspected_since(self, connection: Transaction, flow: str, after: datetime) -> datetime | None:
        """When the first record may have been written that is suspected of differing and not known to be older."""
        column = t.divergences.c
        written = sa.select(sa.func.min(column.owner_from_at)).where(
            column.flow == flow,
            column.closed_at.is_(None),
            column.state == DivergenceState.SUSPECTED.value,
            column.owner_to_at > after,
        )
        found: datetime | None = connection.execute(written).scalar_one()
        return found

    def suspects(self, flow: str, *, since: datetime, limit: int) -> tuple[list[str], list[str]]:
        """Keys that differed, and keys that changed since then, latest first; for the sampling policies."""
        divergence, change = t.divergences.c, t.changes.c
        differed = (
            sa.select(divergence.key)
            .where(divergence.flow == flow, divergence.opened_at >= since)
            .order_by(divergence.id.desc())
        )
        changed = (
            sa.select(change.key).where(change.flow == flow, change.enrolled_at >= since).order_by(change.id.desc())
        )
        with self.read() as connection:
            return (
                list(dict.fromkeys(connection.execute(differed.limit(limit)).scalars())),
                list(dict.fromkeys(connection.execute(changed.limit(limit)).scalars())),
            )

    def known_keys(self, flow: str, after: str, limit: int) -> list[str]:
        """Keys on which both sides of a flow agreed once, the next `limit` behind one of them."""
        baseline = t.baselines.c
        known = sa.select(baseline.key).where(baseline.flow == flow, baseline.key > after)
        with self.read() as connection:
            return list(connection.execute(known.order_by(baseline.key).limit(limit)).scalars())

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
            asked = {"flow": flow, "keys": self._list(list(text_of))}
            for row in connection.execute(self._changes, asked):
                key = text_of[row.key]
                pending.setdefault(key, []).append(_change(row, key))
            for row in connection.execute(self._divergences, asked):
                key = text_of[row.key]
                live[key] = _divergence(row, key)
            # As the driver gives them: there are as many as records read, and nothing to convert.
            for text, owner, target, *rest in connection.execute(self._baselines, asked).cursor.fetchall():
                key = text_of[restored(text)]
                if owner == target and shared.get(key) == owner and key not in pending and key not in live:
                    settled.add(key)
                else:
                    known[key] = _baseline(owner, target, *rest)
        histories = {
            key: History(baseline=known.get(key), changes=tuple(pending.get(key, ())), divergence=live.get(key))
            for key in {*known, *pending, *live}
        }
        return histories, settled

    def save_identities(
        self,
        connection: Transaction,
        flow: str,
        system: str,
        called: str,
        identities: Mapping[Key, bytes],
        gone: Iterable[Key],
    ) -> None:
        """Remember which records of a system have which unique key, and forget those that have none any more."""
        mine = {"flow": flow, "system": system, "called": called}
        column = t.identities.c
        here = (column.flow == flow) & (column.system == system) & (column.called == called)
        asked = {**mine, "keys": self._list([str(key) for key in (*identities, *gone)])}
        held: dict[str, bytes] = dict(connection.execute(self._identities, asked).all())
        rows = [
            {**mine, "key": str(key), "digest": digest}
            for key, digest in identities.items()
            if held.get(str(key)) != digest
        ]
        if rows:
            connection.execute(self._save_identities, rows)
        for chunk in chunks([str(key) for key in gone if str(key) in held], IN_LIMIT):
            connection.execute(sa.delete(t.identities).where(here, column.key.in_(chunk)))

    def holders(self, flow: str, system: str, called: str, digests: Iterable[bytes]) -> dict[bytes, list[str]]:
        """By digest of a unique key, the records of a system that have it."""
        column = t.identities.c
        here = (column.flow == flow) & (column.system == system) & (column.called == called)
        found: dict[bytes, list[str]] = {}
        with self.read() as connection:
            for chunk in chunks(list(digests), IN_LIMIT):
                rows = connection.execute(
                    sa.select(column.digest, column.key).where(here, column.digest.in_(chunk)).order_by(column.key)
                )
                for digest, key in rows:
                    found.setdefault(digest, []).append(key)
        return found

    def _list(self, texts: Sequence[str]) -> Any:
        """Many keys as the one parameter that `among` takes."""
        return json.dumps(list(map(kept, texts))) if self.is_sqlite else list(texts)

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
            connection.execute(sa.delete(t.identities).where(t.identities.c.flow == flow))
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
            fresh |= dict.fromkeys(_SWEEP_COLUMNS)
            connection.execute(self._save_flow_state, fresh)
            connection.execute(
                sa.update(t.unverified)
                .where(t.unverified.c.flow == flow, t.unverified.c.next_check_at.is_not(None))
                .values(next_check_at=now)
            )
            # Their versions are of the old series, too, and say nothing about whether the owner moves.
            connection.execute(
                sa.update(t.divergences)
                .where(t.divergences.c.flow == flow, t.divergences.c.closed_at.is_(None))
                .values(rev=rev, steady_at=None)
            )

    def save_flow_state(self, connection: Transaction, flow: str, state: FlowState) -> None:
        """Write where a flow's audits stand."""
        connection.execute(self._save_flow_state, {"flow": flow, **asdict(state)})

    def save_run(self, connection: Transaction, rev: int, run: Mapping[str, Any]) -> None:
        """Append one row to `probe_runs`."""
        connection.execute(sa.insert(t.probe_runs), [{"rev": rev, **run}])

    def save_baselines(
        self,
        connection: Transaction,
        flow: str,
        baselines: Mapping[Key, Baseline],
        forgotten: Iterable[Key],
        at: datetime,
    ) -> None:
        """Advance and forget baselines.

        Args:
            at: when the owner was read, for those that do not tell.
        """
        rows = [
            {
                "flow": flow,
                "key": str(key),
                "owner": each.owner,
                "target": each.target,
                "owner_marks": each.owner_marks,
                "target_marks": each.target_marks,
                "ring": b"".join(each.ring),
                "agreed_at": each.agreed_at or at,
                "mark": each.mark,
            }
            for key, each in baselines.items()
        ]
        if rows:
            connection.execute(self._save_baselines, rows)
        for chunk in chunks([str(key) for key in forgotten], IN_LIMIT):
            connection.execute(sa.delete(t.baselines).where(t.baselines.c.flow == flow, t.baselines.c.key.in_(chunk)))

    def save_changes(
        self,
        connection: Transaction,
        rev: int,
        flow: str,
        changes: Sequence[tuple[Change, datetime | None]],
    ) -> None:
        """Insert enrolled changes and update followed ones, each with when to probe it next."""
        rows = []
        for change, probe_at in changes:
            values = {name: getattr(change, name) for name in _CHANGE_COLUMNS}
            values |= {"key": str(change.key), "verdict": change.verdict.value, "next_probe_at": probe_at}
            values |= {"operation": change.operation.value}
            values |= {"lag_lower_s": change.lag_lower_s, "lag_upper_s": change.lag_upper_s}
            rows.append({"rev": rev, "flow": flow, "id": change.change_id, **values})
        _insert_or_update(connection, t.changes, rows)

    def save_divergences(
        self,
        connection: Transaction,
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
                    "id": each.divergence_id,
                    "rev": rev,
                    "flow": flow,
                    "data_type": data_type,
                    "key": str(each.key),
                    "kind": each.kind.value,
                    "cause": each.cause.value,
                    "state": each.state.value,
                    "first_seen_at": each.first_seen_at,
                    "last_seen_at": each.last_seen_at,
                    "suspected_at": each.suspected_at,
                    "opened_at": each.opened_at,
                    "closed_at": each.closed_at,
                    "readings": each.readings,
                    "version": each.version,
                    "shown": each.shown,
                    "steady_at": each.steady_at,
                    "permitted": each.permitted,
                    "winner": each.winner,
                    "resolution": each.resolution,
                    "owner_from_at": each.owner_written[0] if each.owner_written else None,
                    "owner_to_at": each.owner_written[1] if each.owner_written else None,
                    "target_from_at": each.target_written[0] if each.target_written else None,
                    "target_to_at": each.target_written[1] if each.target_written else None,
                    "witnesses": each.witnesses,
                    "versions_behind": each.versions_behind,
                    "first_missed_at": each.first_missed_at,
                    "operation": each.operation,
                    "stamped_at": each.stamped_at,
                    "fields": ", ".join(
                        difference.field
                        for difference in each.differences
                        if difference.shape is not Shape.UNREADABLE
                    ),
                    "differences": json.dumps(told, ensure_ascii=False),
                    "detail": each.detail,
                    "next_check_at": each.next_check_at,
                }
            )
        _insert_or_update(connection, t.divergences, rows)

    def open_divergences(self, connection: Transaction, flow: str) -> dict[str, int]:
        """How many divergences of each cause are open in a flow, inside the running transaction."""
        return dict(connection.execute(_OPEN_BY_CAUSE, {"flow": flow}).all())


_SWEEP_COLUMNS = (
    "walk",
    "owner_after",
    "target_after",
    "rank_after",
    "sweep_begun_at",
    "sweep_read",
    "sweep_divergent",
    "sweep_undecided",
    "sweep_unlisted",
    "known_from_at",
)
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


def _run_out() -> tuple[sa.Select[Any], sa.Select[Any], sa.Select[Any]]:
    """Keys whose window has run out, when the next one does, and since when anything is undecided."""
    change = t.changes.c
    undecided = (
        (change.flow == sa.bindparam("flow"))
        & change.settled_at.is_(None)
        & (change.verdict == Verdict.PENDING.value)
        & change.next_probe_at.is_not(None)
    )
    window_us = sa.cast(change.window_s * 1_000_000, sa.BigInteger)
    ends_us = sa.type_coerce(change.committed_to_at, sa.BigInteger) + window_us
    now = sa.bindparam("now", type_=t.Instant)
    past = (change.next_probe_at <= now) & (ends_us <= sa.type_coerce(now, sa.BigInteger))
    closing = sa.type_coerce(change.next_probe_at, sa.BigInteger) >= (
        sa.type_coerce(change.committed_to_at, sa.BigInteger) + window_us / 2
    )
    return (
        sa.select(change.key).where(undecided, past).order_by(change.next_probe_at),
        sa.select(sa.func.min(change.next_probe_at)).where(undecided, closing),
        sa.select(sa.func.min(change.committed_from_at)).where(undecided),
    )


_DUE = _due()
_DEADLINES, _NEXT_DEADLINE, _UNDECIDED_SINCE = _run_out()

_CHANGE_COLUMNS = (
    "fingerprint",
    "mark",
    "stamped_at",
    "committed_from_at",
    "committed_to_at",
    "window_s",
    "enrolled_at",
    "probes",
    "missed_at",
    "differed_at",
    "behind",
    "shown_at",
    "superseded",
    "unseen_before",
    "lost_sight",
    "clamped",
    "settled_at",
)
_COMPUTED = frozenset({"clamped", "unseen_before", "lost_sight"})


def _insert_or_update(connection: Transaction, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert the rows whose id is 0, update the others; all have the same columns, flow and key never move."""
    new = [{name: value for name, value in row.items() if name != "id"} for row in rows if not row["id"]]
    if new:
        connection.execute(sa.insert(table), new)
    old = [{f"b_{name}": value for name, value in row.items()} for row in rows if row["id"]]
    if old:
        moved: dict[str, Any] = {
            name: sa.bindparam(f"b_{name}") for name in rows[0] if name not in {"id", "flow", "key"}
        }
        connection.execute(sa.update(table).where(table.c.id == sa.bindparam("b_id")).values(moved), old)


def _baseline(
    owner: bytes,
    target: bytes,
    owner_marks: bytes | None,
    target_marks: bytes | None,
    ring: bytes,
    mark: int | None,
    agreed_at_us: int,
) -> Baseline:
    starts = range(0, len(ring), FINGERPRINT_BYTES)
    return Baseline(
        owner=owner,
        target=target,
        owner_marks=owner_marks or b"",
        target_marks=target_marks or b"",
        ring=tuple(ring[at : at + FINGERPRINT_BYTES] for at in starts) if ring else (),
        agreed_at=EPOCH + timedelta(microseconds=agreed_at_us),
        mark=mark,
    )


def _change(row: Any, key: Key) -> Change:
    return Change(
        change_id=row.id,
        key=key,
        verdict=Verdict(row.verdict),
        operation=Operation(row.operation or Operation.UPDATE),
        unseen_before=bool(row.unseen_before),
        lost_sight=bool(row.lost_sight),
        **{name: getattr(row, name) for name in _CHANGE_COLUMNS if name not in _COMPUTED},
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
        suspected_at=row.suspected_at,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        readings=row.readings,
        version=row.version,
        shown=row.shown or b"",
        steady_at=row.steady_at,
        permitted=bool(row.permitted),
        winner=row.winner or "",
        resolution=row.resolution or "",
        owner_written=(row.owner_from_at, row.owner_to_at) if row.owner_from_at else None,
        target_written=(row.target_from_at, row.target_to_at) if row.target_from_at else None,
        witnesses=row.witnesses or "",
        versions_behind=row.versions_behind or 0,
        first_missed_at=row.first_missed_at,
        operation=row.operation or "",
        stamped_at=row.stamped_at,
        differences=tuple(
            Difference(**{**each, "shape": Shape(each["shape"])}) for each in json.loads(row.differences)
        ),
        detail=row.detail,
        next_check_at=row.next_check_at,
    )

"""Followed records: their baselines, changes and divergences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import Database
from auditor.ledger.record_rows import (
    baseline_of,
    baseline_row,
    change_of,
    change_row,
    divergence_of,
    divergence_row,
    insert_or_update,
)
from auditor.ledger.statements import IN_LIMIT, chunks
from auditor.ledger.transaction import Transaction
from auditor.storage.kept_text import restored
from checks.cause import OF_TIMING, Cause, Kind
from checks.causes import Baseline
from checks.convergence import Change, Verdict
from checks.record_history import Divergence, DivergenceState, History
from probes.contract import Key


class Records:
    """What is known about every record, and when it is due to be read again."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._save_baselines = database.statements.upsert(t.baselines)
        among = database.statements.among
        baseline, change, divergence = t.baselines.c, t.changes.c, t.divergences.c
        columns = (
            baseline.key,
            baseline.owner,
            baseline.target,
            baseline.owner_digests,
            baseline.target_digests,
            baseline.ring,
            baseline.mark,
            baseline.unshown,
            sa.type_coerce(baseline.unshown_until_at, sa.BigInteger),
        )
        agreed_at_us = sa.type_coerce(baseline.agreed_at, sa.BigInteger)
        self._baselines = among(sa.select(*columns, agreed_at_us), baseline)
        self._changes = among(sa.select(t.changes).order_by(change.committed_to_at, change.id), change).where(
            change.settled_at.is_(None)
        )
        self._known = [among(sa.select(each.c.key), each.c) for each in (t.baselines, t.changes, t.divergences)]
        self._divergences = among(sa.select(t.divergences), divergence).where(divergence.closed_at.is_(None))

    def due(self, flow: str, now: datetime, limit: int) -> tuple[list[str], list[str]]:
        """Keys that are due to be read.

        Args:
            limit: the most keys of the second list.

        Returns:
            All keys with an undecided change whose window has ended; and further keys whose pending change or open
            divergence is due, longest due first.
        """
        parameters = {"flow": flow, "now": now, "limit": limit}
        with self._database.read() as connection:
            deadlines = dict.fromkeys(connection.execute(_DEADLINES, parameters).scalars())
            others = connection.execute(_DUE, parameters).scalars()
            return list(deadlines), [key for key in others if key not in deadlines]

    def next_deadline(self, flow: str) -> datetime | None:
        """When the next probe near the end of an undecided change's window is due, before or after the end."""
        with self._database.read() as connection:
            due_at: datetime | None = connection.execute(_NEXT_DEADLINE, {"flow": flow}).scalar_one()
        return due_at

    def undecided_since(self, transaction: Transaction, flow: str) -> datetime | None:
        """The earliest possible commit of a change without a verdict."""
        since_at: datetime | None = transaction.execute(_UNDECIDED_SINCE, {"flow": flow}).scalar_one()
        return since_at

    def overdue(self, flow: str) -> list[tuple[str, datetime]]:
        """The two records whose changes have been overdue longest: their keys, and when the oldest was committed.

        A change that a system has overwritten never arrives; it says nothing about how far the others are.
        """
        with self._database.read() as connection:
            return [(row.key, row.at) for row in connection.execute(_OVERDUE, {"flow": flow})]

    def any_verdict(self, transaction: Transaction, flow: str) -> bool:
        """Whether any record of this flow was ever judged: it agreed, it differs, or a change arrived."""
        return any(
            transaction.execute(sa.select(sa.exists().where(table.c.flow == flow))).scalar()
            for table in (t.baselines, t.divergences, t.changes)
        )

    def arrived_at(self, flow: str, since: datetime) -> datetime | None:
        """When a change of a flow last arrived at its target, None if none did since then.

        While others are late, only one counts that the target was seen to lack before: another may have been taken
        back, and be there without having arrived.
        """
        column = t.changes.c
        latest = sa.select(sa.func.max(column.shown_at)).where(column.flow == flow, column.settled_at >= since)
        if self.any_late(flow):
            latest = latest.where(column.differed_at.is_not(None), ~column.superseded)
        with self._database.read() as connection:
            arrived_at: datetime | None = connection.execute(latest).scalar_one()
        return arrived_at

    def suspected_since(self, transaction: Transaction, flow: str, after: datetime) -> datetime | None:
        """The earliest possible write of a record that is suspected of differing and not known to be older."""
        column = t.divergences.c
        written = sa.select(sa.func.min(column.owner_from_at)).where(
            column.flow == flow,
            column.closed_at.is_(None),
            column.state == DivergenceState.SUSPECTED.value,
            column.owner_to_at > after,
        )
        since_at: datetime | None = transaction.execute(written).scalar_one()
        return since_at

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
        with self._database.read() as connection:
            return (
                list(dict.fromkeys(connection.execute(differed.limit(limit)).scalars())),
                list(dict.fromkeys(connection.execute(changed.limit(limit)).scalars())),
            )

    def known_keys(self, flow: str, after: str, limit: int) -> list[str]:
        """Keys on which both sides of a flow have agreed, the next `limit` after one of them."""
        baseline = t.baselines.c
        select = sa.select(baseline.key).where(baseline.flow == flow, baseline.key > after)
        with self._database.read() as connection:
            return list(connection.execute(select.order_by(baseline.key).limit(limit)).scalars())

    def known(self, flow: str, keys: Sequence[Key]) -> set[Key]:
        """Those of these keys that an audit has recorded anything of, also if that is over."""
        if not keys:
            return set()
        text_of = {str(key): key for key in keys}
        parameters = {"flow": flow, "keys": self._database.statements.keys(list(text_of))}
        with self._database.read() as connection:
            return {text_of[text] for each in self._known for text in connection.execute(each, parameters).scalars()}

    def histories(
        self, flow: str, keys: Sequence[Key], *, agreed: Mapping[Key, bytes] | None = None
    ) -> tuple[dict[Key, History], set[Key]]:
        """The baseline, pending changes and live divergence of each key that has any of them.

        Args:
            agreed: for keys whose copies agree, the fingerprint they share.

        Returns:
            The histories, and the keys of `agreed` that are known to agree on exactly that and have nothing pending;
            those have no history here, because nothing follows from reading them again.
        """
        text_of = {str(key): key for key in keys}
        shared = agreed or {}
        settled: set[Key] = set()
        baselines: dict[Key, Baseline] = {}
        pending: dict[Key, list[Change]] = {}
        live: dict[Key, Divergence] = {}
        with self._database.read() as connection:
            parameters = {"flow": flow, "keys": self._database.statements.keys(list(text_of))}
            for row in connection.execute(self._changes, parameters):
                key = text_of[row.key]
                pending.setdefault(key, []).append(change_of(row, key))
            for row in connection.execute(self._divergences, parameters):
                key = text_of[row.key]
                live[key] = divergence_of(row, key)
            # As the driver returns them: there is one per record read, and nothing to convert.
            for text, owner, target, *rest in connection.execute(self._baselines, parameters).cursor.fetchall():
                key = text_of[restored(text)]
                if owner == target and shared.get(key) == owner and key not in pending and key not in live:
                    settled.add(key)
                else:
                    baselines[key] = baseline_of(owner, target, *rest)
        histories = {
            key: History(baseline=baselines.get(key), changes=tuple(pending.get(key, ())), divergence=live.get(key))
            for key in {*baselines, *pending, *live}
        }
        return histories, settled

    def save_baselines(
        self,
        transaction: Transaction,
        flow: str,
        baselines: Mapping[Key, Baseline],
        forgotten: Iterable[Key],
        at: datetime,
    ) -> None:
        """Advance and forget baselines.

        Args:
            at: when the owner was read, for baselines without a time of agreement.
        """
        rows = [{"flow": flow, "key": str(key), **baseline_row(each, at)} for key, each in baselines.items()]
        if rows:
            transaction.execute(self._save_baselines, rows)
        for chunk in chunks([str(key) for key in forgotten], IN_LIMIT):
            transaction.execute(
                sa.delete(t.baselines).where(t.baselines.c.flow == flow, t.baselines.c.key.in_(chunk))
            )

    def save_changes(
        self,
        transaction: Transaction,
        flow: str,
        changes: Sequence[tuple[Change, datetime | None]],
    ) -> None:
        """Insert enrolled changes and update followed ones, each with the time of its next probe."""
        rows = [
            {"rev": transaction.revision, "flow": flow, **change_row(change), "next_probe_at": probe_at}
            for change, probe_at in changes
        ]
        insert_or_update(transaction, t.changes, rows)

    def save_divergences(
        self,
        transaction: Transaction,
        flow: str,
        data_type: str,
        divergences: Sequence[Divergence],
    ) -> None:
        """Insert new divergences and update known ones."""
        written = {"rev": transaction.revision, "flow": flow, "data_type": data_type}
        insert_or_update(transaction, t.divergences, [{**written, **divergence_row(each)} for each in divergences])

    def open_divergences(self, transaction: Transaction, flow: str) -> dict[str, int]:
        """The number of open divergences of a flow by cause, inside the running transaction."""
        return {cause: int(count) for cause, count in transaction.execute(_OPEN_BY_CAUSE, {"flow": flow})}

    def open_differences(self, transaction: Transaction, flow: str, cause: str, limit: int) -> list[str]:
        """The differing fields of open divergences of a cause as JSON, latest first."""
        column = t.divergences.c
        wanted = sa.select(column.differences).where(*_open_of(flow), column.cause == cause)
        return [row.differences for row in transaction.execute(wanted.order_by(column.id.desc()).limit(limit))]

    def late_deletions(self, transaction: Transaction, flow: str) -> int:
        """How many records of a flow are gone at the owner, late or for good, and still in the copy."""
        column = t.divergences.c
        wanted = sa.select(sa.func.count()).where(
            *_open_of(flow), column.cause.in_((Cause.LATE.value, Cause.LOST.value)), column.kind == Kind.ORPHAN.value
        )
        return int(transaction.execute(wanted).scalar_one())

    def concurrent_writes(self, transaction: Transaction, flow: str) -> int:
        """How many records of a flow were changed on both sides, by systems that may write there."""
        column = t.divergences.c
        wanted = sa.select(sa.func.count()).where(
            *_open_of(flow), column.cause == Cause.WRITE_CONFLICT.value, column.permitted.is_(True)
        )
        return int(transaction.execute(wanted).scalar_one())

    def arrived_beside(self, transaction: Transaction, flow: str) -> int:
        """How many changes have arrived that were made after the first one of those that are late or lost."""
        column, change = t.divergences.c, t.changes.c
        first = sa.select(sa.func.min(column.first_missed_at)).where(
            *_open_of(flow), column.cause.in_((Cause.LATE.value, Cause.LOST.value))
        )
        first_at = transaction.execute(first).scalar_one()
        if first_at is None:
            return 0
        arrived = sa.select(sa.func.count()).where(
            change.flow == flow, change.shown_at.is_not(None), change.committed_from_at >= first_at
        )
        return int(transaction.execute(arrived).scalar_one())

    def any_late(self, flow: str) -> bool:
        """Whether any change of a flow is late at present."""
        late = sa.select(sa.literal(1)).where(
            *_open_of(flow), t.divergences.c.cause.in_((Cause.LATE.value, Cause.LOST.value))
        )
        with self._database.read() as connection:
            return connection.execute(late.limit(1)).first() is not None


def _open_of(flow: str) -> tuple[sa.ColumnElement[bool], ...]:
    column = t.divergences.c
    return column.flow == flow, column.closed_at.is_(None), column.state == DivergenceState.OPEN.value


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
    """Statements for keys with an ended window, the next window's end, and the oldest undecided change."""
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


_OLDEST = 1_000
"""So many overdue changes are looked at; a flow that stands still may have hundreds of thousands."""


def _overdue() -> sa.Select[Any]:
    change, divergence = t.changes.c, t.divergences.c
    oldest = (
        sa.select(change.flow, change.key, change.committed_to_at)
        .where(
            change.flow == sa.bindparam("flow"),
            change.settled_at.is_(None),
            change.verdict == Verdict.BREACH.value,
        )
        .order_by(change.committed_to_at)
        .limit(_OLDEST)
        .subquery()
    )
    overwritten = sa.exists().where(
        divergence.flow == oldest.c.flow,
        divergence.key == oldest.c.key,
        divergence.closed_at.is_(None),
        divergence.cause.not_in([each.value for each in OF_TIMING]),
    )
    since = sa.func.min(oldest.c.committed_to_at)
    return (
        sa.select(oldest.c.key, since.label("at")).where(~overwritten).group_by(oldest.c.key).order_by(since).limit(2)
    )


_DUE = _due()
_OVERDUE = _overdue()
_DEADLINES, _NEXT_DEADLINE, _UNDECIDED_SINCE = _run_out()

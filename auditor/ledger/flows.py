"""The state of every flow's audits, and the audits that were run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import Database
from auditor.ledger.flow_state import SWEEP_COLUMNS, FlowState, state_of, state_row
from auditor.ledger.transaction import Transaction
from checks.convergence import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedRuns:
    """Consecutive failed audits of a flow.

    Attributes:
        system, reason: of the last of them.
        since_at: when the first began.
        last_at: when the last ended.
    """

    system: str
    reason: str
    since_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What audits have done.

    Attributes:
        read: records that they compared.
        shared: those whose reading at the owner was made by the audit of another flow.
        shed: keys that they left out because a budget was spent.
        begun_at: when the first of them began.
        ended_at: when the last complete one ended, None if all failed.
    """

    read: int
    shared: int
    shed: int
    begun_at: datetime
    ended_at: datetime | None


class Flows:
    """The state of every flow, and its runs."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._save_state = database.statements.upsert(t.flow_state)

    def state(self, flow: str) -> FlowState:
        """The state of a flow's audits; the initial state for a flow never audited."""
        with self._database.read() as connection:
            row = connection.execute(_FLOW_STATE, {"flow": flow}).first()
        if row is None:
            return FlowState()
        return state_of(row._asdict())

    def begin_series(self, flow: str, series: str, now: datetime) -> None:
        """Forget fingerprints made under other rules or another key; does nothing for the same series.

        Baselines are deleted, and changes on their way are settled as undecided, because the versions they wait for
        can no longer be recognised. Open divergences stay and are judged afresh.
        """
        with self._database.read() as connection:
            row = connection.execute(_FLOW_STATE, {"flow": flow}).first()
        if row is not None and row.series == series:
            return
        change = t.changes.c
        with self._database.write() as transaction:
            transaction.execute(sa.delete(t.baselines).where(t.baselines.c.flow == flow))
            transaction.execute(sa.delete(t.identities).where(t.identities.c.flow == flow))
            transaction.execute(
                sa.update(t.changes)
                .where(change.flow == flow, change.settled_at.is_(None))
                .values(
                    rev=transaction.revision,
                    settled_at=now,
                    next_probe_at=None,
                    verdict=sa.case(
                        (change.verdict == Verdict.PENDING.value, Verdict.UNDECIDED.value), else_=change.verdict
                    ),
                )
            )
            present = row._asdict() if row is not None else {column.name: None for column in t.flow_state.c}
            fresh = {**present, "flow": flow, "series": series, "sweeps": present["sweeps"] or 0}
            fresh |= dict.fromkeys((*SWEEP_COLUMNS.values(), "known_from_at"))
            transaction.execute(self._save_state, fresh)
            transaction.execute(
                sa.update(t.unverified)
                .where(t.unverified.c.flow == flow, t.unverified.c.next_check_at.is_not(None))
                .values(next_check_at=now)
            )
            # Their versions are of the old series, too, and cannot show whether the owner has changed.
            transaction.execute(
                sa.update(t.divergences)
                .where(t.divergences.c.flow == flow, t.divergences.c.closed_at.is_(None))
                .values(rev=transaction.revision, steady_at=None)
            )

    def save_state(self, transaction: Transaction, flow: str, state: FlowState) -> None:
        """Write the state of a flow's audits."""
        transaction.execute(self._save_state, {"flow": flow, **state_row(state)})

    def save_run(self, transaction: Transaction, run: Mapping[str, Any]) -> None:
        """Append one row to `probe_runs`."""
        transaction.execute(sa.insert(t.probe_runs), [{"rev": transaction.revision, **run}])

    def work_since(self, at: datetime) -> dict[str, Work]:
        """What audits that began since then have read and left out, by flow."""
        column = t.probe_runs.c
        shared = sa.func.coalesce(sa.func.sum(column.shared), 0)
        ended_at = sa.func.max(sa.case((column.reason.is_(None), column.finished_at)))
        wanted = sa.select(
            column.flow,
            sa.func.sum(column.read),
            shared,
            sa.func.sum(column.shed),
            sa.func.min(column.started_at),
            ended_at,
        )
        with self._database.read() as connection:
            rows = connection.execute(wanted.where(column.started_at >= at).group_by(column.flow))
            return {
                flow: Work(read=int(read), shared=int(shared), shed=int(shed), begun_at=begun_at, ended_at=ended_at)
                for flow, read, shared, shed, begun_at, ended_at in rows
            }

    def last_run(self, flow: str) -> tuple[str, datetime | None]:
        """A mark of the last audit that was recorded as it happened, complete or failed, and when it ended.

        Of an audit whose row is in the archive, the mark is "", and the instant that of the last complete one.
        """
        column = t.probe_runs.c
        recorded = (column.flow == flow) & (column.reason.is_(None) | column.system.is_not(None))
        last = sa.select(column.id, column.finished_at).where(recorded).order_by(column.id.desc()).limit(1)
        with self._database.read() as connection:
            row = connection.execute(last).first()
        return (str(row.id), row.finished_at) if row is not None else ("", self.state(flow).audited_at)

    def failed_runs(self, flow: str | None = None) -> dict[str, FailedRuns]:
        """The failed audits since the last complete one, by flow; of one flow, or of all that have any."""
        run, state = t.probe_runs.c, t.flow_state.c
        failed = run.reason.is_not(None) & run.system.is_not(None)
        if flow is not None:
            failed &= run.flow == flow
        since = (
            sa.select(sa.func.max(run.id).label("last"), sa.func.min(run.started_at).label("since_at"))
            .select_from(t.probe_runs.outerjoin(t.flow_state, run.flow == state.flow))
            .where(failed, state.audited_at.is_(None) | (run.started_at > state.audited_at))
            .group_by(run.flow)
            .subquery()
        )
        wanted = sa.select(run.flow, run.system, run.reason, since.c.since_at, run.finished_at)
        with self._database.read() as connection:
            rows = connection.execute(wanted.join(since, run.id == since.c.last))
            return {
                each.flow: FailedRuns(
                    system=each.system, reason=each.reason, since_at=each.since_at, last_at=each.finished_at
                )
                for each in rows
            }


_FLOW_STATE = sa.select(t.flow_state).where(t.flow_state.c.flow == sa.bindparam("flow"))

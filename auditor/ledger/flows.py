"""Where every flow's audits stand, and the audits that were run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import Database
from auditor.ledger.transaction import Transaction
from checks.convergence import Verdict


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


class Flows:
    """The state of every flow, and its runs."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._save_state = database.statements.upsert(t.flow_state)

    def state(self, flow: str) -> FlowState:
        """Where a flow's audits stand; the initial state for a flow never audited."""
        with self._database.read() as connection:
            row = connection.execute(_FLOW_STATE, {"flow": flow}).first()
        if row is None:
            return FlowState()
        known = row._asdict()
        known.pop("flow")
        return FlowState(**known)

    def begin_series(self, flow: str, series: str, now: datetime) -> None:
        """Forget what was fingerprinted under other rules or another key; does nothing for the same series.

        Baselines go, and changes on their way are settled as undecided, because the versions they wait for
        cannot be recognised any more. Live divergences stay and are judged afresh.
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
            known = row._asdict() if row is not None else {column.name: None for column in t.flow_state.c}
            fresh = {**known, "flow": flow, "series": series, "sweeps": known["sweeps"] or 0}
            fresh |= dict.fromkeys(_SWEEP_COLUMNS)
            transaction.execute(self._save_state, fresh)
            transaction.execute(
                sa.update(t.unverified)
                .where(t.unverified.c.flow == flow, t.unverified.c.next_check_at.is_not(None))
                .values(next_check_at=now)
            )
            # Their versions are of the old series, too, and say nothing about whether the owner moves.
            transaction.execute(
                sa.update(t.divergences)
                .where(t.divergences.c.flow == flow, t.divergences.c.closed_at.is_(None))
                .values(rev=transaction.revision, steady_at=None)
            )

    def save_state(self, transaction: Transaction, flow: str, state: FlowState) -> None:
        """Write where a flow's audits stand."""
        transaction.execute(self._save_state, {"flow": flow, **asdict(state)})

    def save_run(self, transaction: Transaction, run: Mapping[str, Any]) -> None:
        """Append one row to `probe_runs`."""
        transaction.execute(sa.insert(t.probe_runs), [{"rev": transaction.revision, **run}])

    def failed_runs(self, flow: str, after: datetime | None) -> FailedRuns | None:
        """The audits of a flow that have failed since it was last audited, None where there are none."""
        column = t.probe_runs.c
        failed = (column.flow == flow) & column.reason.is_not(None) & column.system.is_not(None)
        if after is not None:
            failed &= column.started_at > after
        wanted = sa.select(column.system, column.reason, column.finished_at).where(failed)
        with self._database.read() as connection:
            last = connection.execute(wanted.order_by(column.id.desc()).limit(1)).first()
            if last is None:
                return None
            since_at = connection.execute(sa.select(sa.func.min(column.started_at)).where(failed)).scalar_one()
        return FailedRuns(system=last.system, reason=last.reason, since_at=since_at, last_at=last.finished_at)


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

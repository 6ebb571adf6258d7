"""Bursts: the fresh trials that confirm a missed change, and the records drawn for them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import Database
from auditor.ledger.transaction import Transaction
from checks.bursts import Burst, Ending
from checks.objectives import WindowCounts


class Bursts:
    """The bursts of every flow."""

    def __init__(self, database: Database) -> None:
        self._database = database
        insert = database.statements.insert(t.bursts)
        keys = ("flow", "begun_at")
        fresh = {each.name: insert.excluded[each.name] for each in t.bursts.c if each.name not in {"id", *keys}}
        self._save = insert.on_conflict_do_update(index_elements=list(keys), set_=fresh)

    def save(self, transaction: Transaction, flow: str, burst: Burst) -> None:
        """Insert a burst, or update it."""
        row = {
            "rev": transaction.revision,
            "flow": flow,
            "begun_at": burst.begun_at,
            "after_at": burst.after_at,
            "size": burst.size,
            "false_ratio": burst.false_ratio,
            "draws": burst.draws,
            "changes_met": burst.changes.met,
            "changes_missed": burst.changes.missed,
            "changes_undecided": burst.changes.undecided,
            "records_met": burst.records.met,
            "records_missed": burst.records.missed,
            "records_undecided": burst.records.undecided,
            "waiting": burst.waiting,
            "left_out": burst.left_out,
            "ended_at": burst.ended_at,
            "ending": burst.ending,
        }
        transaction.execute(self._save, [row])

    def latest(self, flow: str) -> Burst | None:
        """The latest burst of a flow."""
        column = t.bursts.c
        wanted = sa.select(t.bursts).where(column.flow == flow).order_by(column.begun_at.desc()).limit(1)
        with self._database.read() as connection:
            row = connection.execute(wanted).one_or_none()
        return None if row is None else _burst(row)

    def draw(self, flow: str, number: int, *, since: datetime) -> list[str]:
        """Keys of records drawn at random from those that have agreed and have nothing pending.

        Records that changed since an instant come first. Every baseline of the flow is read to draw from them.
        """
        baseline, change, divergence = t.baselines.c, t.changes.c, t.divergences.c
        pending = sa.union(
            sa.select(change.key).where(change.flow == flow, change.settled_at.is_(None)),
            sa.select(divergence.key).where(divergence.flow == flow, divergence.closed_at.is_(None)),
        )
        changed = sa.select(change.key).where(change.flow == flow, change.enrolled_at >= since)
        lately = sa.case((baseline.key.in_(changed), 0), else_=1)
        wanted = (
            sa.select(baseline.key)
            .where(baseline.flow == flow, baseline.key.not_in(pending))
            .order_by(lately, sa.func.random())
            .limit(number)
        )
        with self._database.read() as connection:
            return list(connection.execute(wanted).scalars())


def _burst(row: Any) -> Burst:
    return Burst(
        begun_at=row.begun_at,
        after_at=row.after_at,
        size=row.size,
        false_ratio=row.false_ratio,
        draws=row.draws,
        changes=WindowCounts(row.changes_met, row.changes_missed, row.changes_undecided),
        records=WindowCounts(row.records_met, row.records_missed, row.records_undecided),
        waiting=row.waiting,
        left_out=row.left_out,
        ended_at=row.ended_at,
        ending=None if row.ending is None else Ending(row.ending),
    )

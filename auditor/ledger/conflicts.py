"""Conflicts waiting for a decision, and every act about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import Database, can_exist
from auditor.ledger.transaction import Transaction
from checks.cause import Cause
from checks.escalation import BY_RULE, Act, Conflict, ConflictMove, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One act as recorded.

    Attributes:
        known_by: how the auditor identified the actor; None for its own acts and those of older versions.
    """

    act: Act
    who: str
    acted_at: datetime
    text: str
    known_by: str | None = None
    choice: str | None = None
    assignee: str | None = None
    until_at: datetime | None = None


class Conflicts:
    """The queue of conflicts. Acts are append-only; a conflict's own row holds its state after them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def live(self, transaction: Transaction, flow: str) -> list[tuple[Conflict, bytes | None]]:
        """The open conflicts of a flow, each with the fingerprint its copies agree on.

        The fingerprint is None while they differ, and empty if both are gone.
        """
        column, divergence, baseline = t.conflicts.c, t.divergences.c, t.baselines.c
        differs = (
            sa.exists()
            .where(divergence.flow == column.flow, divergence.key == column.key, divergence.closed_at.is_(None))
            .label("differs")
        )
        same_record = sa.and_(baseline.flow == column.flow, baseline.key == column.key)
        rows = transaction.execute(
            sa.select(t.conflicts, differs, baseline.owner.label("agreed"))
            .select_from(t.conflicts.outerjoin(t.baselines, same_record))
            .where(column.flow == flow, column.closed_at.is_(None))
        )
        return [(_conflict(row), None if row.differs else row.agreed or b"") for row in rows]

    def flows(self) -> set[str]:
        """The flows with open conflicts."""
        column = t.conflicts.c
        with self._database.read() as connection:
            named = sa.select(column.flow).where(column.closed_at.is_(None)).distinct()
            return set(connection.execute(named).scalars())

    def decided_before(self, transaction: Transaction, flow: str, key: str) -> int | None:
        """The latest decided and closed conflict of a record."""
        column = t.conflicts.c
        number: int | None = transaction.execute(
            sa.select(sa.func.max(column.id)).where(
                column.flow == flow, column.key == key, column.choice.is_not(None), column.closed_at.is_not(None)
            )
        ).scalar_one()
        return number

    def open(self, transaction: Transaction, values: Mapping[str, Any], text: str) -> int:
        """Add a conflict to the queue; returns its number."""
        inserted = transaction.execute(
            sa.insert(t.conflicts).values(rev=transaction.revision, **values).returning(t.conflicts.c.id)
        )
        identity = int(inserted.scalar_one())
        act = Act.CAME_BACK if values.get("came_back_of") else Act.OPENED
        self._write_down(
            transaction, identity, Decision(act=act, who=BY_RULE, acted_at=values["opened_at"], text=text)
        )
        return identity

    def move(self, transaction: Transaction, conflict: Conflict, move: ConflictMove, now: datetime) -> None:
        """Record what the auditor observed about a conflict."""
        values: dict[str, Any] = {"rev": transaction.revision, "state": move.state.value}
        if move.closes:
            values["closed_at"] = now
        transaction.execute(sa.update(t.conflicts).where(t.conflicts.c.id == conflict.conflict_id).values(**values))
        self._write_down(
            transaction,
            conflict.conflict_id,
            Decision(act=move.act, who=BY_RULE, acted_at=now, text=move.text),
        )

    def act_on(self, conflict: Conflict, decision: Decision, moved: Mapping[str, Any]) -> bool:
        """Record what a person did, and the conflict's state after it.

        Returns:
            False if the conflict changed meanwhile; then nothing is written.
        """
        column = t.conflicts.c
        with self._database.write() as transaction:
            still = (column.id == conflict.conflict_id) & (column.state == conflict.state.value)
            touched = transaction.execute(
                sa.update(t.conflicts).where(still).values(rev=transaction.revision, **moved)
            ).rowcount
            if touched:
                self._write_down(transaction, conflict.conflict_id, decision)
            return bool(touched)

    def _write_down(self, transaction: Transaction, conflict_id: int, decision: Decision) -> None:
        transaction.execute(
            sa.insert(t.decisions).values(
                rev=transaction.revision,
                conflict_id=conflict_id,
                act=decision.act.value,
                who=decision.who,
                known_by=decision.known_by,
                acted_at=decision.acted_at,
                choice=decision.choice,
                assignee=decision.assignee,
                until_at=decision.until_at,
                text=decision.text,
            )
        )

    def waiting(self, transaction: Transaction, flow: str) -> int:
        """How many conflicts of a flow wait for people: undecided, or decided but overdue."""
        column = t.conflicts.c
        waiting = (State.OPEN.value, State.OVERDUE.value)
        counted = sa.select(sa.func.count()).where(
            column.flow == flow, column.closed_at.is_(None), column.state.in_(waiting)
        )
        return int(transaction.execute(counted).scalar_one())

    def wake(self, transaction: Transaction, flow: str, now: datetime) -> None:
        """Reopen conflicts that were deferred until now."""
        column = t.conflicts.c
        transaction.execute(
            sa.update(t.conflicts)
            .where(column.flow == flow, column.state == State.DEFERRED.value, column.until_at <= now)
            .values(rev=transaction.revision, state=State.OPEN.value, until_at=None)
        )

    def listed(self, *, live_only: bool = True) -> list[Conflict]:
        """All conflicts, latest first."""
        column = t.conflicts.c
        wanted = sa.select(t.conflicts).order_by(column.id.desc())
        with self._database.read() as connection:
            rows = connection.execute(wanted.where(column.closed_at.is_(None)) if live_only else wanted)
            return [_conflict(row) for row in rows]

    def find(self, conflict_id: int) -> tuple[Conflict, list[Decision], dict[str, Any]] | None:
        """One conflict with its acts, oldest first, and the divergence it is about (empty once archived)."""
        if not can_exist(conflict_id):
            return None
        with self._database.read() as connection:
            row = connection.execute(sa.select(t.conflicts).where(t.conflicts.c.id == conflict_id)).first()
            if row is None:
                return None
            acts = connection.execute(
                sa.select(t.decisions).where(t.decisions.c.conflict_id == conflict_id).order_by(t.decisions.c.id)
            )
            decisions = [
                Decision(
                    act=Act(act.act),
                    who=act.who,
                    known_by=act.known_by,
                    acted_at=act.acted_at,
                    text=act.text,
                    choice=act.choice,
                    assignee=act.assignee,
                    until_at=act.until_at,
                )
                for act in acts
            ]
            about = connection.execute(
                sa.select(t.divergences).where(t.divergences.c.id == row.divergence_id)
            ).first()
            return _conflict(row), decisions, about._asdict() if about else {}


def _conflict(row: Any) -> Conflict:
    return Conflict(
        conflict_id=row.id,
        flow=row.flow,
        data_type=row.data_type,
        key=row.key,
        divergence_id=row.divergence_id,
        cause=Cause(row.cause),
        why=row.why,
        opened_at=row.opened_at,
        state=State(row.state),
        assignee=row.assignee,
        until_at=row.until_at,
        choice=row.choice,
        expected=row.expected,
        due_at=row.due_at,
        closed_at=row.closed_at,
        came_back_of=row.came_back_of,
        acknowledged_at=row.acknowledged_at,
        acknowledged_by=row.acknowledged_by,
    )

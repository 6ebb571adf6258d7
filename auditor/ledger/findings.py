"""The differing and undecided records of every flow, counted and listed for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import Database
from auditor.ledger.transaction import Transaction
from checks.convergence import Verdict
from checks.record_history import DivergenceState
from checks.values import EPOCH, MICROSECOND

PROBED_WITHIN_US = 2_000_000
"""Grace period: a change whose window has just ended is still being probed and not overdue."""


_CHANGE = t.changes.c


class Findings:
    """The open findings of every flow."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open_by_cause(self) -> dict[str, dict[str, int]]:
        """The number of open divergences by flow and cause; for the status."""
        column = t.divergences.c
        counted = (
            sa.select(column.flow, column.cause, sa.func.count())
            .where(column.closed_at.is_(None), column.state == DivergenceState.OPEN.value)
            .group_by(column.flow, column.cause)
        )
        by_flow: dict[str, dict[str, int]] = {}
        with self._database.read() as connection:
            for flow, cause, count in connection.execute(counted):
                by_flow.setdefault(flow, {})[cause] = count
        return by_flow

    def divergent(self, flow: str, causes: Sequence[str], limit: int) -> list[dict[str, Any]]:
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
        with self._database.read() as connection:
            rows = connection.execute(wanted.order_by(column.first_seen_at, column.id).limit(limit))
            return [row._asdict() for row in rows]

    def longest(
        self, transaction: Transaction, causes: Mapping[str, Sequence[str]], limit: int
    ) -> list[tuple[str, str, datetime | None]]:
        """The open divergences that were seen first: flow, key, and when its first late change was committed.

        Args:
            causes: by flow, those that count.
        """
        column = t.divergences.c
        either = [(column.flow == flow) & column.cause.in_(found) for flow, found in causes.items()]
        if not either:
            return []
        wanted = (
            sa.select(column.flow, column.key, column.first_missed_at)
            .where(column.closed_at.is_(None), column.state == DivergenceState.OPEN.value, sa.or_(*either))
            .order_by(column.first_seen_at, column.id)
            .limit(limit)
        )
        return [(row[0], row[1], row[2]) for row in transaction.execute(wanted)]

    def open_records(self) -> list[dict[str, Any]]:
        """Every open divergence in full, oldest first; for repair proposals."""
        column = t.divergences.c
        wanted = sa.select(t.divergences).where(
            column.closed_at.is_(None), column.state == DivergenceState.OPEN.value
        )
        with self._database.read() as connection:
            return [row._asdict() for row in connection.execute(wanted.order_by(column.opened_at, column.id))]

    def pending(self, flow: str, limit: int) -> list[dict[str, Any]]:
        """Pending records of a flow, longest first: key, why, since_at; each once."""
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
        with self._database.read() as connection:
            return [{"key": row[0], "why": row[1], "since_at": row[2]} for row in connection.execute(wanted)]

    def pending_count(self, flow: str) -> int:
        """How many records of a flow are suspected of differing, or have a change within its window."""
        return self._count_pending(_CHANGE.verdict == Verdict.PENDING.value, flow).get(flow, 0)

    def pending_counts(self, changed_by: datetime | None = None) -> dict[str, int]:
        """The same for every flow that has any.

        Args:
            changed_by: leave out changes committed after this instant, which is not known of a suspicion.
        """
        pending = _CHANGE.verdict == Verdict.PENDING.value
        return self._count_pending(
            pending if changed_by is None else pending & (_CHANGE.committed_to_at <= changed_by)
        )

    def overdue_counts(self, now: datetime) -> dict[str, int]:
        """By flow, how many pending records are due for a verdict: suspected, or with a window that has ended."""
        window_us = sa.cast(_CHANGE.window_s * 1_000_000, sa.BigInteger)
        ends_us = sa.type_coerce(_CHANGE.committed_to_at, sa.BigInteger) + window_us + PROBED_WITHIN_US
        past = ends_us < (now - EPOCH) // MICROSECOND
        return self._count_pending((_CHANGE.verdict == Verdict.PENDING.value) & past)

    def _count_pending(self, pending: sa.ColumnElement[bool], flow: str | None = None) -> dict[str, int]:
        """By flow, how many records are suspected or have such a change; of one flow, or of all."""
        divergence = t.divergences.c
        suspected = sa.select(divergence.flow, divergence.key).where(
            divergence.closed_at.is_(None), divergence.state == DivergenceState.SUSPECTED.value
        )
        on_the_way = sa.select(_CHANGE.flow, _CHANGE.key).where(_CHANGE.settled_at.is_(None), pending)
        if flow is not None:
            suspected, on_the_way = suspected.where(divergence.flow == flow), on_the_way.where(_CHANGE.flow == flow)
        both = sa.union(suspected, on_the_way).subquery()
        counted = sa.select(both.c.flow, sa.func.count()).group_by(both.c.flow)
        with self._database.read() as connection:
            return {flow: int(count) for flow, count in connection.execute(counted)}

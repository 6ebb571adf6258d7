"""The list of what could not be verified: records, rows without a key, queues."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import Database
from auditor.ledger.statements import IN_LIMIT, chunks
from auditor.ledger.transaction import Transaction

LISTED = 1_000
"""The most listed records of one flow; further ones are only counted."""


REASON_LIMIT = 300


RECORD, ROWS, QUEUE = "record", "rows", "queue"
"""What a row is about: one record, a system's rows without a readable key, or a queue."""


SOONEST_AGAIN_S = 30.0


LATEST_AGAIN_S = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """What cannot be verified of a flow now.

    Attributes:
        listed: rows of the list.
        records: the records behind those rows; a queue counts as one.
        lasting: those of `records` that have been unverified for the flow's window.
        queues: those of `records` that are queues; each has its own incident.
        lasting_queues: those of `lasting` that are queues.
        since_at: since when the first of them could not be verified.
        verified_to_at: the time up to which the changes of all of them are settled.
        reason: the most frequent reason.
    """

    listed: int = 0
    records: int = 0
    lasting: int = 0
    queues: int = 0
    lasting_queues: int = 0
    since_at: datetime | None = None
    verified_to_at: datetime | None = None
    reason: str = ""


NO_DOUBT = Doubt()


class UnverifiedList:
    """The list of what could not be verified, kept until it can be."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, flow: str, now: datetime, limit: int) -> list[str]:
        """Keys of listed records that are due to be read again, longest due first."""
        column = t.unverified.c
        due = sa.select(column.name).where(_live(flow), column.subject == RECORD, column.next_check_at <= now)
        with self._database.read() as connection:
            return list(connection.execute(due.order_by(column.next_check_at).limit(limit)).scalars())

    def note_records(
        self,
        transaction: Transaction,
        flow: str,
        *,
        found: Mapping[str, str],
        verified: Callable[[], Collection[str]],
        at: datetime,
        verified_to_at: datetime | None,
    ) -> set[str]:
        """List the records that could not be verified, and remove those that were.

        Args:
            found: by key, why.
            verified: returns the keys of verified records; only called if any record is listed.
            at: when they were read.
            verified_to_at: for a record that is new here, the time up to which its changes are settled.

        Returns:
            Those of `found` that the list had no room for.
        """
        column = t.unverified.c
        live = {
            row.name: row
            for row in transaction.execute(sa.select(t.unverified).where(_live(flow), column.subject == RECORD))
        }
        struck = live.keys() & verified() if live else set()
        again = [
            {
                "b_id": live[key].id,
                "rev": transaction.revision,
                "reason": reason[:REASON_LIMIT],
                "last_seen_at": at,
                "readings": live[key].readings + 1,
                "next_check_at": _next_check_at(live[key].first_seen_at, at),
            }
            for key, reason in found.items()
            if key in live
        ]
        if again:
            changed: dict[str, Any] = {name: sa.bindparam(name) for name in again[0] if name != "b_id"}
            transaction.execute(
                sa.update(t.unverified).where(column.id == sa.bindparam("b_id")).values(changed), again
            )
        self._strike(transaction, [live[key].id for key in struck], at)
        new = [key for key in found if key not in live]
        room = max(0, LISTED - len(live) + len(struck))
        if new[:room]:
            transaction.execute(
                sa.insert(t.unverified),
                [
                    {
                        **_row(transaction.revision, flow, RECORD, key, found[key], 1, at, verified_to_at),
                        "next_check_at": _next_check_at(at, at),
                    }
                    for key in new[:room]
                ],
            )
        return set(new[room:])

    def note(
        self,
        transaction: Transaction,
        flow: str,
        subject: str,
        name: str,
        *,
        reason: str,
        at: datetime,
        records: int = 1,
        verified_to_at: datetime | None = None,
    ) -> datetime | None:
        """List a queue, or rows without a key, as unverified; without a reason, remove it.

        Returns:
            Since when it could not be verified, None if it can.
        """
        column = t.unverified.c
        row = transaction.execute(
            sa.select(t.unverified).where(_live(flow), column.subject == subject, column.name == name)
        ).first()
        if not reason:
            self._strike(transaction, [row.id] if row else [], at)
            return None
        if row is None:
            values = _row(transaction.revision, flow, subject, name, reason, records, at, verified_to_at)
            transaction.execute(sa.insert(t.unverified), [{**values, "next_check_at": None}])
            return at
        transaction.execute(
            sa.update(t.unverified)
            .where(column.id == row.id)
            .values(
                rev=transaction.revision,
                reason=reason[:REASON_LIMIT],
                records=records,
                last_seen_at=at,
                readings=row.readings + 1,
            )
        )
        since_at: datetime = row.first_seen_at
        return since_at

    def _strike(self, transaction: Transaction, ids: Iterable[int], at: datetime) -> None:
        for chunk in chunks(list(ids), IN_LIMIT):
            transaction.execute(
                sa.update(t.unverified)
                .where(t.unverified.c.id.in_(chunk))
                .values(rev=transaction.revision, cleared_at=at, next_check_at=None)
            )

    def doubt(self, transaction: Transaction, flow: str, *, now: datetime, window_s: float) -> Doubt:
        """What cannot be verified of a flow now.

        Args:
            window_s: the age at which it counts as lasting.
        """
        return _doubt(transaction.execute(_LIVE, {"flow": flow}).all(), now, window_s)

    def doubts(self, windows: Mapping[str, float], now: datetime) -> dict[str, Doubt]:
        """The same for several flows, each with its window."""
        with self._database.read() as connection:
            return {
                flow: _doubt(connection.execute(_LIVE, {"flow": flow}).all(), now, window_s)
                for flow, window_s in windows.items()
            }

    def forget_queues(self, flow: str, kept: Collection[str], at: datetime) -> None:
        """Remove queues that the map no longer names, because they are not read any more."""
        column = t.unverified.c
        gone = sa.select(column.id).where(_live(flow), column.subject == QUEUE, column.name.not_in(list(kept)))
        with self._database.read() as connection:
            ids = list(connection.execute(gone).scalars())
        if ids:
            with self._database.write() as transaction:
                self._strike(transaction, ids, at)

    def recheck(self, transaction: Transaction, flow: str, at: datetime) -> None:
        """Make every listed record of a flow due immediately."""
        column = t.unverified.c
        transaction.execute(
            sa.update(t.unverified).where(_live(flow), column.subject == RECORD).values(next_check_at=at)
        )

    def count(self, flow: str, *, queues: bool = True) -> int:
        """How many records and queues of a flow cannot be verified, including those beyond the list."""
        state = t.flow_state.c
        beyond = sa.select(state.sweep_unlisted, state.swept_unlisted).where(state.flow == flow)
        with self._database.read() as connection:
            column = t.unverified.c
            rows = sa.select(sa.func.coalesce(sa.func.sum(column.records), 0)).where(_live(flow))
            if not queues:
                rows = rows.where(column.subject != QUEUE)
            listed = int(connection.execute(rows).scalar_one())
            row = connection.execute(beyond).first()
        return listed + (max(row.sweep_unlisted or 0, row.swept_unlisted or 0) if row else 0)

    def why(self, flow: str, subject: str, name: str) -> str | None:
        """Why a record or a row without a key cannot be verified now, None if it is not listed."""
        column = t.unverified.c
        wanted = sa.select(column.reason).where(_live(flow), column.subject == subject, column.name == name)
        with self._database.read() as connection:
            reason: str | None = connection.execute(wanted.limit(1)).scalar()
        return reason

    def rows(self, flow: str, limit: int) -> list[dict[str, Any]]:
        """What cannot be verified of a flow now, longest first: subject, name, reason, since_at, records."""
        column = t.unverified.c
        wanted = sa.select(
            column.subject, column.name, column.reason, column.records, column.first_seen_at.label("since_at")
        ).where(_live(flow))
        with self._database.read() as connection:
            rows = connection.execute(wanted.order_by(column.first_seen_at, column.id).limit(limit))
            return [row._asdict() for row in rows]


def _live(flow: str) -> sa.ColumnElement[bool]:
    column = t.unverified.c
    return sa.and_(column.flow == flow, column.cleared_at.is_(None))


_LIVE = sa.select(
    t.unverified.c.reason,
    t.unverified.c.records,
    t.unverified.c.first_seen_at,
    t.unverified.c.verified_to_at,
    t.unverified.c.subject,
    t.unverified.c.name,
).where(t.unverified.c.flow == sa.bindparam("flow"), t.unverified.c.cleared_at.is_(None))


def _doubt(rows: Iterable[Any], now: datetime, window_s: float) -> Doubt:
    listed = list(rows)
    if not listed:
        return NO_DOUBT
    before_at = now - timedelta(seconds=window_s)
    by_reason: dict[str, int] = {}
    for row in listed:
        reason = f"queue {row.name}: {row.reason}" if row.subject == QUEUE else row.reason
        by_reason[reason] = by_reason.get(reason, 0) + row.records
    # A flow's changes are not read from its queues, so queues neither hold back nor advance its watermark.
    settled = [row.verified_to_at for row in listed if row.subject != QUEUE and row.verified_to_at is not None]
    return Doubt(
        listed=len(listed),
        records=sum(row.records for row in listed),
        lasting=sum(row.records for row in listed if row.first_seen_at <= before_at),
        queues=sum(row.subject == QUEUE for row in listed),
        lasting_queues=sum(row.subject == QUEUE for row in listed if row.first_seen_at <= before_at),
        since_at=min(row.first_seen_at for row in listed),
        verified_to_at=min(settled, default=None),
        reason=max(by_reason, key=lambda reason: by_reason[reason]),
    )


def _row(
    rev: int,
    flow: str,
    subject: str,
    name: str,
    reason: str,
    records: int,
    at: datetime,
    verified_to_at: datetime | None,
) -> dict[str, Any]:
    return {
        "rev": rev,
        "flow": flow,
        "subject": subject,
        "name": name,
        "records": records,
        "reason": reason[:REASON_LIMIT],
        "first_seen_at": at,
        "last_seen_at": at,
        "readings": 1,
        "verified_to_at": verified_to_at,
        "cleared_at": None,
    }


def _next_check_at(first_seen_at: datetime, at: datetime) -> datetime:
    """After half its age again, so that unreadable records do not crowd out the rest."""
    age_s = (at - first_seen_at).total_seconds()
    return at + timedelta(seconds=min(max(SOONEST_AGAIN_S, age_s / 2), LATEST_AGAIN_S))

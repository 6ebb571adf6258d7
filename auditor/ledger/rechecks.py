"""Records that people have asked the daemon to read next, and what it found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import Database
from auditor.ledger.transaction import Transaction
from checks.rechecks import KEPT, STALE, Recheck, Result, check_room, result_of

_COLUMN = t.rechecks.c


class Rechecks:
    """The requests of all flows; there is at most one of each record and flow."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(self, wanted: Collection[tuple[str, str]], *, who: str, known_by: str, at: datetime) -> None:
        """Request readings from the daemon that holds the lease; a record that waits already is requested anew.

        Args:
            wanted: flows and keys, each key in its canonical form.

        Raises:
            RefusedError: more would wait than may.
        """
        rows = [
            {"flow": flow, "key": key, "who": who, "known_by": known_by, "asked_at": at, "detail": ""}
            for flow, key in dict.fromkeys(wanted)
        ]
        upsert = self._database.statements.upsert(t.rechecks)
        others = sa.select(_COLUMN.flow, _COLUMN.key).where(_waits(at))
        with self._database.unnumbered() as connection:
            connection.execute(_forgotten(at))
            waiting = {(flow, key) for flow, key in connection.execute(others)}
            check_room(len(rows), len(waiting - {*wanted}))
            if rows:
                connection.execute(upsert, [{**row, "read_at": None, "outcome": None} for row in rows])

    def waiting(self, now: datetime) -> Mapping[str, list[str]]:
        """By flow, the keys that have not been read yet, in the order in which they were asked for."""
        wanted = (
            sa.select(_COLUMN.flow, _COLUMN.key)
            .where(_waits(now))
            .order_by(_COLUMN.asked_at, _COLUMN.flow, _COLUMN.key)
        )
        found: dict[str, list[str]] = defaultdict(list)
        with self._database.read() as connection:
            for flow, key in connection.execute(wanted):
                found[flow].append(key)
        return found

    def answer(
        self,
        transaction: Transaction,
        flow: str,
        found: Mapping[str, tuple[Result, str]],
        *,
        begun_at: datetime,
        at: datetime,
    ) -> None:
        """Record what an audit found; records that were asked for anew since it began keep waiting.

        Args:
            found: by key, the result of the reading and a detail.
            begun_at, at: when the audit began, and when it ended.
        """
        if not found:
            return
        answered = (
            sa.update(t.rechecks)
            .where(
                _COLUMN.flow == flow,
                _COLUMN.key == sa.bindparam("of_key", type_=t.Text),
                _COLUMN.read_at.is_(None),
                _COLUMN.asked_at <= begun_at,
            )
            .values(read_at=at, outcome=sa.bindparam("found", type_=t.Text), detail=sa.bindparam("why", type_=t.Text))
        )
        rows = [{"of_key": key, "found": str(result), "why": detail} for key, (result, detail) in found.items()]
        transaction.execute(answered, rows)

    def listed(self, wanted: Collection[tuple[str, str]] | None = None) -> list[Recheck]:
        """The requests that are on file, latest first.

        Args:
            wanted: only those of these flows and keys.
        """
        query = sa.select(t.rechecks).order_by(_COLUMN.asked_at.desc(), _COLUMN.flow, _COLUMN.key)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [
            Recheck(
                flow=row.flow,
                key=row.key,
                who=row.who,
                known_by=row.known_by,
                asked_at=row.asked_at,
                read_at=row.read_at,
                outcome=None if row.outcome is None else result_of(row.outcome),
                detail=row.detail,
            )
            for row in rows
            if wanted is None or (row.flow, row.key) in wanted
        ]

    def forget(self, now: datetime) -> None:
        """Delete what was read, or asked for in vain, long enough ago."""
        with self._database.unnumbered() as connection:
            connection.execute(_forgotten(now))


def _waits(now: datetime) -> sa.ColumnElement[bool]:
    return _COLUMN.read_at.is_(None) & (_COLUMN.asked_at > now - STALE)


def _forgotten(now: datetime) -> sa.Delete:
    return sa.delete(t.rechecks).where(
        sa.or_(
            _COLUMN.read_at <= now - KEPT,
            sa.and_(_COLUMN.read_at.is_(None), _COLUMN.asked_at <= now - STALE - KEPT),
        )
    )

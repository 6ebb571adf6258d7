"""The calls of the last 24 hours, reserved before they are sent and settled afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import Database
from auditor.systems.allowance import DAY_S, SLOT_S, Reserved

_LIVES = timedelta(seconds=DAY_S + SLOT_S)
"""A minute's calls count until the last one that may have been sent in it is a day old."""

_ONE_AT_A_TIME = sa.text("SELECT pg_advisory_xact_lock(7305129)")


class Spending:
    """The calls that each process has sent to each system; see `auditor.systems.allowance.DayBook`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        insert = database.statements.insert(t.sent_calls)
        self._add = insert.on_conflict_do_update(
            index_elements=[*t.sent_calls.primary_key], set_={"calls": t.sent_calls.c.calls + insert.excluded.calls}
        )

    def reserve(
        self, system: str, holder: str, slot_at: datetime, *, calls: int, limit: int, sent: Mapping[datetime, int]
    ) -> Reserved:
        """See `DayBook.reserve`."""
        column = t.sent_calls.c
        of_system = column.system == system
        with self._database.unnumbered() as connection:
            if not self._database.is_sqlite:  # in SQLite a transaction that writes is alone
                connection.execute(_ONE_AT_A_TIME)
            for earlier, number in sent.items():
                own = sa.update(t.sent_calls).where(of_system, column.slot_at == earlier, column.holder == holder)
                connection.execute(own.values(calls=number))
            connection.execute(sa.delete(t.sent_calls).where(of_system, column.slot_at <= slot_at - _LIVES))
            held = sa.select(sa.func.sum(column.calls), sa.func.min(column.slot_at)).where(of_system)
            before, oldest_at = connection.execute(held.where(column.calls > 0)).one()
            before = int(before or 0)
            granted = max(0, min(calls, limit - before))
            if granted:
                row = {"system": system, "slot_at": slot_at, "holder": holder, "calls": granted}
                connection.execute(self._add, row)
        return Reserved(
            calls=granted, counted=before + granted, free_at=None if oldest_at is None else oldest_at + _LIVES
        )

    def counted(self, now: datetime) -> dict[str, int]:
        """Calls of the last 24 hours, by system."""
        return {name: found.counted for name, found in self.used(now).items()}

    def used(self, now: datetime) -> dict[str, Reserved]:
        """Calls of the last 24 hours, by system, and when the first of them stop counting."""
        column = t.sent_calls.c
        wanted = sa.select(column.system, sa.func.sum(column.calls), sa.func.min(column.slot_at)).where(
            column.slot_at > now - _LIVES, column.calls > 0
        )
        with self._database.read() as connection:
            return {
                name: Reserved(calls=0, counted=int(calls), free_at=oldest_at + _LIVES)
                for name, calls, oldest_at in connection.execute(wanted.group_by(column.system))
            }

"""The backlogs of queues, and their dead letters."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import Database
from auditor.ledger.statements import IN_LIMIT, chunks
from auditor.ledger.transaction import Transaction
from checks.letters import signature
from probes.queue_contract import Letter


class Queues:
    """The backlogs and the dead letters of every queue."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save_backlog(self, transaction: Transaction, backlog: Mapping[str, Any]) -> None:
        """Append one row to `backlogs`."""
        transaction.execute(sa.insert(t.backlogs), [{"rev": transaction.revision, **backlog}])

    def last_reading(self, flow: str, queue: str) -> Mapping[str, Any] | None:
        """The last row of a queue in `backlogs`, None if it was not read within a day."""
        column = t.backlogs.c
        last = sa.select(t.backlogs).where(column.flow == flow, column.queue == queue)
        with self._database.read() as connection:
            row = connection.execute(last.order_by(column.id.desc()).limit(1)).first()
        return None if row is None else row._asdict()

    def save_letters(
        self, transaction: Transaction, flow: str, queue: str, letters: Sequence[Letter], at: datetime
    ) -> None:
        """Write the dead letters seen now; known ones are left unchanged."""
        column = t.dead_letters.c
        known: set[str] = set()
        for chunk in chunks([letter.letter_id for letter in letters], IN_LIMIT):
            mine = (column.flow == flow) & (column.queue == queue) & column.gone_at.is_(None)
            letter_ids = transaction.execute(sa.select(column.letter_id).where(mine & column.letter_id.in_(chunk)))
            known.update(letter_ids.scalars())
        new = [
            {
                "rev": transaction.revision,
                "flow": flow,
                "queue": queue,
                "letter_id": letter.letter_id,
                "key": None if letter.key is None else str(letter.key),
                "reason": letter.reason,
                "signature": signature(letter.reason),
                "attempts": letter.attempts,
                "first_failed_at": letter.first_failed_at,
                "last_failed_at": letter.last_failed_at,
                "headers": json.dumps(dict(letter.headers), ensure_ascii=False) if letter.headers else None,
                "payload": letter.payload,
                "unreadable": letter.unreadable or None,
                "note": letter.note or None,
                "first_seen_at": at,
                "last_seen_at": at,
            }
            for letter in letters
            if letter.letter_id not in known
        ]
        if new:
            transaction.execute(sa.insert(t.dead_letters), new)

    def end_letters(
        self, transaction: Transaction, flow: str, queue: str, there: Container[str], at: datetime
    ) -> None:
        """Record that all letters of a queue except these are gone."""
        column = t.dead_letters.c
        mine = (column.flow == flow) & (column.queue == queue) & column.gone_at.is_(None)
        waiting = transaction.execute(sa.select(column.letter_id, column.id).where(mine))
        gone = [row.id for row in waiting if row.letter_id not in there]
        for chunk in chunks(gone, IN_LIMIT):
            transaction.execute(
                sa.update(t.dead_letters).where(column.id.in_(chunk)).values(rev=transaction.revision, gone_at=at)
            )

    def letter_reasons(self, transaction: Transaction, flow: str, queue: str) -> list[tuple[str | None, int]]:
        """Why a queue's letters failed: each signature with its number of letters, most frequent first."""
        column, count = t.dead_letters.c, sa.func.count()
        mine = (column.flow == flow) & (column.queue == queue) & column.gone_at.is_(None)
        select = sa.select(column.signature, count).where(mine).group_by(column.signature).order_by(count.desc())
        return [(each, int(letters)) for each, letters in transaction.execute(select)]

    def unreadable_letters(self, transaction: Transaction, flow: str, queue: str) -> list[tuple[str, int]]:
        """Why letters of a queue could not be read in full: each reason with its number, most frequent first."""
        column, count = t.dead_letters.c, sa.func.count()
        mine = (column.flow == flow) & (column.queue == queue) & column.gone_at.is_(None)
        select = sa.select(column.unreadable, count).where(mine & column.unreadable.is_not(None))
        rows = transaction.execute(select.group_by(column.unreadable).order_by(count.desc(), column.unreadable))
        return [(why, int(letters)) for why, letters in rows]

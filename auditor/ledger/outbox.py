"""The incident messages waiting to be sent, and the outcome of sending them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import Database
from auditor.ledger.transaction import Transaction
from probes.wording import counted

DUE_LIMIT = 100
"""Messages examined per query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingAlert:
    """One message waiting in the outbox; one without an incident belongs to a drill."""

    alert_id: int
    incident_id: int | None
    transition: str
    sender: str
    tries: int
    possible_repeat: bool
    notice: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Undelivered:
    """Messages that one sender could not deliver, since its last success.

    Attributes:
        since_at: when the first of them was queued.
        error: why the last of them was not delivered, without the address.
        given_up: how many of them are not retried.
    """

    sender: str
    messages: int
    since_at: datetime
    error: str
    given_up: int

    @property
    def advice(self) -> str:
        """What to do about it."""
        if self.given_up:
            return f"check the address under alerts.{self.sender} of the map; given-up messages are not sent again"
        return "they are retried automatically"

    def __str__(self) -> str:
        since = f"{self.since_at:%Y-%m-%d %H:%M:%S} UTC"
        return f"{counted(self.messages, 'message')} not delivered since {since} ({self.error}): {self.advice}"


class Outbox:
    """The messages to every sender."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def queue(
        self,
        transaction: Transaction,
        *,
        incident_id: int,
        transition: str,
        sender: str,
        notice: Mapping[str, Any],
        at: datetime,
        fingerprint: str = "",
    ) -> None:
        """Put a message into the outbox; a transition of an incident is never queued twice.

        A message that went out while the ledger was unable to record it is recorded as sent.

        Args:
            fingerprint: the incident's fingerprint.
        """
        about = (fingerprint, transition)
        watch = self._database.watch if fingerprint else None
        sent_at = watch.sent_at(sender, about) if watch is not None else None
        if watch is not None and sent_at is None:
            watch.queued(transaction, sender, about, notice)
        values = {
            "rev": transaction.revision,
            "incident_id": incident_id,
            "transition": transition,
            "sender": sender,
            "state": "pending" if sent_at is None else "sent",
            "created_at": at,
            "next_try_at": at if sent_at is None else None,
            "sent_at": sent_at,
            "tries": 0 if sent_at is None else 1,
            "possible_repeat": False,
            "notice": json.dumps(notice),
        }
        transaction.execute(self._database.statements.insert(t.alerts).values(values).on_conflict_do_nothing())

    def queue_drill(self, sender: str, notice: Mapping[str, Any], at: datetime) -> None:
        """Put a message of a drill into the outbox."""
        with self._database.write() as transaction:
            transaction.execute(
                sa.insert(t.alerts).values(
                    rev=transaction.revision,
                    incident_id=None,
                    transition=str(notice["transition"]),
                    sender=sender,
                    state="pending",
                    created_at=at,
                    next_try_at=at,
                    tries=0,
                    possible_repeat=False,
                    notice=json.dumps(notice),
                )
            )

    def drill_messages(self) -> list[tuple[str, str | None]]:
        """The state of each message of the last drill, and why it was not delivered, in the order of the messages."""
        column = t.alerts.c
        with self._database.read() as connection:
            of_drill = sa.select(column.state, column.error).where(column.incident_id.is_(None)).order_by(column.id)
            return [(state, error) for state, error in connection.execute(of_drill)]

    def forget_drill(self) -> None:
        """Delete the messages of the last drill: what has not left yet is not sent any more."""
        with self._database.unnumbered() as connection:
            connection.execute(sa.delete(t.alerts).where(t.alerts.c.incident_id.is_(None)))

    def waiting_senders(self) -> list[str]:
        """The senders with waiting messages."""
        column = t.alerts.c
        with self._database.read() as connection:
            return list(connection.scalars(sa.select(column.sender).where(column.state == "pending").distinct()))

    def counts(self) -> dict[tuple[str, str], int]:
        """The number of messages about incidents, by sender and state."""
        column = t.alerts.c
        about_incidents = sa.select(column.sender, column.state, sa.func.count()).where(
            column.incident_id.is_not(None)
        )
        wanted = about_incidents.group_by(column.sender, column.state)
        with self._database.read() as connection:
            return {(sender, state): int(count) for sender, state, count in connection.execute(wanted)}

    def due(self, now: datetime, *, to: str) -> list[PendingAlert]:
        """The due messages for a receiver; marks nothing."""
        column = t.alerts.c
        due = sa.select(t.alerts).where(column.state == "pending", column.next_try_at <= now, column.sender == to)
        with self._database.read() as connection:
            return [_pending(row, row.tries) for row in connection.execute(due.order_by(column.id).limit(DUE_LIMIT))]

    def claim(self, now: datetime, *, to: str | None = None) -> PendingAlert | None:
        """Claim the next due message, of one sender or of any, and mark it as sending."""
        column = t.alerts.c
        wanted = [column.state == "pending", column.next_try_at <= now, *([column.sender == to] if to else [])]
        due = sa.exists().where(*wanted)
        with self._database.read() as connection:
            if not connection.execute(sa.select(due)).scalar():
                return None
        with self._database.write() as transaction:
            row = transaction.execute(sa.select(t.alerts).where(*wanted).order_by(column.id).limit(1)).first()
            if row is None:
                transaction.connection.rollback()
                return None
            transaction.execute(
                sa.update(t.alerts)
                .where(column.id == row.id)
                .values(rev=transaction.revision, state="sending", tries=row.tries + 1)
            )
        return _pending(row, row.tries + 1)

    def settle(self, alert_id: int, **values: Any) -> None:
        """Record the outcome of sending a message."""
        with self._database.write() as transaction:
            transaction.execute(
                sa.update(t.alerts).where(t.alerts.c.id == alert_id).values(rev=transaction.revision, **values)
            )

    def undelivered(self) -> list[Undelivered]:
        """By sender, the messages not delivered since its last success; empty if all were."""
        column = t.alerts.c
        undelivered = []
        with self._database.read() as connection:
            for (sender,) in connection.execute(sa.select(column.sender).distinct().order_by(column.sender)).all():
                last = sa.select(sa.func.coalesce(sa.func.max(column.id), 0)).where(
                    column.sender == sender, column.state == "sent"
                )
                lost = connection.execute(
                    sa.select(t.alerts)
                    .where(column.sender == sender, column.error.is_not(None), column.state != "sent")
                    .where(column.incident_id.is_not(None))
                    .where(column.id > last.scalar_subquery())
                    .order_by(column.id)
                ).all()
                if lost:
                    undelivered.append(
                        Undelivered(
                            sender=sender,
                            messages=len(lost),
                            since_at=lost[0].created_at,
                            error=lost[-1].error,
                            given_up=sum(row.state == "failed" for row in lost),
                        )
                    )
        return undelivered

    def recover(self, now: datetime) -> int:
        """Mark messages that were being sent when the process died: they may have been delivered.

        Returns:
            The number of such messages.
        """
        column = t.alerts.c
        with self._database.write() as transaction:
            marked = transaction.execute(
                sa.update(t.alerts)
                .where(column.state == "sending")
                .values(rev=transaction.revision, state="pending", possible_repeat=True, next_try_at=now)
            )
            return int(marked.rowcount)


def _pending(row: Any, tries: int) -> PendingAlert:
    return PendingAlert(
        alert_id=row.id,
        incident_id=row.incident_id,
        transition=row.transition,
        sender=row.sender,
        tries=tries,
        possible_repeat=row.possible_repeat,
        notice=json.loads(row.notice),
    )

"""Incidents, and the messages about them that wait to be sent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import Store, Transaction
from probes.wording import counted

DUE_LIMIT = 100
"""Messages looked at together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """A breach's life, as the ledger holds it.

    Attributes:
        told: the count that people were told when it opened or came back.
        growth: how many times that count they have been told since (0, 2, 10, 100).
        clear_since_at: since when nothing of it is left, None while something is.
    """

    incident_id: int
    fingerprint: str
    flow: str | None
    system: str | None
    breach: str
    state: str
    opened_at: datetime
    resolved_at: datetime | None
    count: int
    peak: int
    told: int | None
    growth: int | None
    clear_since_at: datetime | None
    reopened: int
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingAlert:
    """One message waiting in the outbox."""

    alert_id: int
    incident_id: int
    transition: str
    sender: str
    tries: int
    possible_repeat: bool
    notice: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Undelivered:
    """Messages that one sender could not deliver.

    Attributes:
        since_at: when the first of them was queued.
        error: why the last of them was not delivered, without the address.
        given_up: of them, those that are not tried again.
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
            return f"check the address under alerts.{self.sender} of the map; what was given up is not sent again"
        return "they are tried again by themselves"

    def __str__(self) -> str:
        since = f"{self.since_at:%Y-%m-%d %H:%M:%S} UTC"
        return f"{counted(self.messages, 'message')} not delivered since {since} ({self.error}): {self.advice}"


class Outbox(Store):
    """The lives of incidents and of their messages."""

    def recent_incidents(
        self, connection: Transaction, fingerprints: Sequence[str], resolved_since: datetime
    ) -> dict[str, Incident]:
        """By fingerprint, the incidents that are live or were resolved since then; the latest of each."""
        asked = {"fingerprints": list(fingerprints), "resolved_since": resolved_since}
        rows = connection.execute(_RECENT_INCIDENTS, asked)
        return {row.fingerprint: _incident(row) for row in rows}

    def live_incidents(self, connection: Transaction) -> list[Incident]:
        """All incidents that are not over, oldest first."""
        column = t.incidents.c
        live = sa.select(t.incidents).where(column.state != "resolved").order_by(column.id)
        return [_incident(row) for row in connection.execute(live)]

    def last_notice(self, connection: Transaction, incident_id: int) -> dict[str, Any] | None:
        """What people were last told of an incident, None where they were told nothing."""
        column = t.alerts.c
        latest = sa.select(column.notice).where(column.incident_id == incident_id).order_by(column.id.desc()).limit(1)
        told = connection.execute(latest).scalar()
        return None if told is None else dict(json.loads(told))

    def save_incident(self, connection: Transaction, rev: int, incident_id: int, values: Mapping[str, Any]) -> int:
        """Insert (id 0) or update an incident; answers its id."""
        if incident_id == 0:
            inserted = connection.execute(
                sa.insert(t.incidents).values(rev=rev, **values).returning(t.incidents.c.id)
            )
            return int(inserted.scalar_one())
        connection.execute(sa.update(t.incidents).where(t.incidents.c.id == incident_id).values(rev=rev, **values))
        return incident_id

    def queue_alert(
        self,
        connection: Transaction,
        rev: int,
        *,
        incident_id: int,
        transition: str,
        sender: str,
        notice: Mapping[str, Any],
        at: datetime,
        fingerprint: str = "",
    ) -> None:
        """Put a message into the outbox; the same transition of an incident is never queued twice.

        One that went out while the ledger could not record it is written down as sent.

        Args:
            fingerprint: of the incident.
        """
        about = (fingerprint, transition)
        sent_at = self.watch.sent_at(sender, about) if self.watch is not None and fingerprint else None
        if self.watch is not None and fingerprint and sent_at is None:
            self.watch.queued(connection, sender, about, notice)
        values = {
            "rev": rev,
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
        connection.execute(self.insert(t.alerts).values(values).on_conflict_do_nothing())

    def waiting_senders(self) -> list[str]:
        """The senders by which messages are still to go."""
        column = t.alerts.c
        with self.read() as connection:
            return list(connection.scalars(sa.select(column.sender).where(column.state == "pending").distinct()))

    def due_alerts(self, now: datetime, *, to: str) -> list[PendingAlert]:
        """The messages to a receiver that are due, as they stand; nothing is marked."""
        column = t.alerts.c
        due = sa.select(t.alerts).where(column.state == "pending", column.next_try_at <= now, column.sender == to)
        with self.read() as connection:
            return [_pending(row, row.tries) for row in connection.execute(due.order_by(column.id).limit(DUE_LIMIT))]

    def claim_alert(self, now: datetime, *, to: str | None = None) -> PendingAlert | None:
        """Take the next message that is due, by one sender or by any, and mark it as being sent."""
        column = t.alerts.c
        wanted = [column.state == "pending", column.next_try_at <= now, *([column.sender == to] if to else [])]
        due = sa.exists().where(*wanted)
        with self.read() as connection:
            if not connection.execute(sa.select(due)).scalar():
                return None
        with self.write() as connection:
            rev = self.next_revision(connection)
            row = connection.execute(sa.select(t.alerts).where(*wanted).order_by(column.id).limit(1)).first()
            if row is None:
                connection.rollback()
                return None
            connection.execute(
                sa.update(t.alerts).where(column.id == row.id).values(rev=rev, state="sending", tries=row.tries + 1)
            )
        return _pending(row, row.tries + 1)

    def settle_alert(self, alert_id: int, **values: Any) -> None:
        """Write how sending a message ended."""
        with self.write() as connection:
            rev = self.next_revision(connection)
            connection.execute(sa.update(t.alerts).where(t.alerts.c.id == alert_id).values(rev=rev, **values))

    def undelivered(self) -> list[Undelivered]:
        """By sender, the messages that could not be delivered since one was; nothing where all arrived."""
        column = t.alerts.c
        found = []
        with self.read() as connection:
            for (sender,) in connection.execute(sa.select(column.sender).distinct().order_by(column.sender)).all():
                last = sa.select(sa.func.coalesce(sa.func.max(column.id), 0)).where(
                    column.sender == sender, column.state == "sent"
                )
                lost = connection.execute(
                    sa.select(t.alerts)
                    .where(column.sender == sender, column.error.is_not(None), column.state != "sent")
                    .where(column.id > last.scalar_subquery())
                    .order_by(column.id)
                ).all()
                if lost:
                    found.append(
                        Undelivered(
                            sender=sender,
                            messages=len(lost),
                            since_at=lost[0].created_at,
                            error=lost[-1].error,
                            given_up=sum(row.state == "failed" for row in lost),
                        )
                    )
        return found

    def recover_alerts(self, now: datetime) -> int:
        """Messages that were being sent when the sender died: they may have arrived, so they are marked.

        Returns:
            How many there were.
        """
        column = t.alerts.c
        with self.write() as connection:
            rev = self.next_revision(connection)
            moved = connection.execute(
                sa.update(t.alerts)
                .where(column.state == "sending")
                .values(rev=rev, state="pending", possible_repeat=True, next_try_at=now)
            )
            return int(moved.rowcount)


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


_RECENT_INCIDENTS = (
    sa.select(t.incidents)
    .where(
        t.incidents.c.fingerprint.in_(sa.bindparam("fingerprints", expanding=True)),
        (t.incidents.c.state != "resolved")
        | (t.incidents.c.resolved_at >= sa.bindparam("resolved_since", type_=t.Instant)),
    )
    .order_by(t.incidents.c.id)
)


def _incident(row: Any) -> Incident:
    known = row._asdict()
    known.pop("rev")
    return Incident(incident_id=known.pop("id"), **known)

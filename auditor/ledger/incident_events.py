"""The timeline of incidents: every event, and the state that it leads to."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import Database, can_exist
from auditor.ledger.transaction import Transaction
from checks.handling import UNATTENDED_SINCE, Event, Handling, State, Verb, after


class IncidentEvents:
    """What happened to incidents and what people did. Events are append-only; the incident's row holds its state."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def handling(self, transaction: Transaction, incident_id: int) -> Handling | None:
        """How an incident is handled now; None if there is no such incident."""
        if not can_exist(incident_id):
            return None
        row = transaction.execute(_HANDLING.where(t.incidents.c.id == incident_id)).first()
        return None if row is None else Handling(**row._asdict())

    def record(self, transaction: Transaction, incident_id: int, event: Event) -> Handling:
        """Add an event to the timeline of an existing incident; returns the state that it leads to."""
        before = self.handling(transaction, incident_id)
        assert before is not None
        now = after(before, event)
        transaction.execute(
            sa.insert(t.incident_events).values(
                rev=transaction.revision,
                incident_id=incident_id,
                verb=event.verb.value,
                who=event.who,
                known_by=event.known_by,
                acted_at=event.acted_at,
                assignee=event.assignee,
                until_at=event.until_at,
                text=event.text,
            )
        )
        changed = {name: getattr(now, name) for name in _COLUMNS if getattr(now, name) != getattr(before, name)}
        if changed:
            mine = sa.update(t.incidents).where(t.incidents.c.id == incident_id)
            transaction.execute(mine.values(rev=transaction.revision, **changed))
        return now

    def of(self, incident_id: int) -> list[Event]:
        """The timeline of an incident, oldest first."""
        column = t.incident_events.c
        wanted = sa.select(t.incident_events).where(column.incident_id == incident_id).order_by(column.id)
        with self._database.read() as connection:
            return [_event(row) for row in connection.execute(wanted)]

    def snoozes_over(self, now: datetime) -> list[int]:
        """The incidents whose snooze has ended and that were not reported since."""
        column = t.incidents.c
        over = sa.select(column.id).where(column.state == State.SNOOZED.value, column.snoozed_until_at <= now)
        with self._database.read() as connection:
            return list(connection.scalars(over.order_by(column.id)))

    def unattended_since(self) -> dict[int, datetime]:
        """By open incident, since when it waits for somebody to acknowledge it."""
        column, incident = t.incident_events.c, t.incidents.c
        latest = (
            sa.select(column.incident_id, sa.func.max(column.acted_at, type_=t.Instant).label("at"))
            .join(t.incidents, incident.id == column.incident_id)
            .where(incident.state == State.OPEN.value, column.verb.in_([each.value for each in UNATTENDED_SINCE]))
            .group_by(column.incident_id)
        )
        with self._database.read() as connection:
            return {row.incident_id: row.at for row in connection.execute(latest)}


_COLUMNS = (
    "state",
    "acknowledged_at",
    "acknowledged_by",
    "snoozed_until_at",
    "assignee",
    "expected_until_at",
)
_HANDLING = sa.select(*(t.incidents.c[name] for name in _COLUMNS))


def _event(row: Any) -> Event:
    return Event(
        verb=Verb(row.verb),
        acted_at=row.acted_at,
        who=row.who,
        known_by=row.known_by,
        assignee=row.assignee,
        until_at=row.until_at,
        text=row.text,
    )

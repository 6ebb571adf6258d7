"""The lives of incidents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import Database, can_exist
from auditor.ledger.transaction import Transaction
from checks.incidents import Incident
from checks.severity import Severity

_INCIDENT_COLUMNS = (
    "id",
    "state",
    "severity",
    "cause",
    "breach",
    "flow",
    "system",
    "count",
    "peak",
    "reopened",
    "opened_at",
    "reopened_at",
    "resolved_at",
    "assignee",
    "acknowledged_at",
    "acknowledged_by",
    "snoozed_until_at",
    "expected_until_at",
    "summary",
)


class Incidents:
    """What is wrong, since when, and what was reported about it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def live(self, transaction: Transaction) -> list[Incident]:
        """All open incidents, oldest first."""
        column = t.incidents.c
        live = sa.select(t.incidents).where(column.state != "resolved").order_by(column.id)
        return [_incident(row) for row in transaction.execute(live)]

    def recent(self, transaction: Transaction, resolved_since: datetime) -> dict[str, Incident]:
        """Incidents that were resolved since then, or have no open breach; the latest of each fingerprint.

        They are found by their own fingerprint and by those of their breaches.

        Those that were merged into another one do not count.
        """
        column, breach = t.incidents.c, t.breaches.c
        wanted = (
            sa.select(t.incidents, breach.fingerprint.label("of_breach"))
            .select_from(t.incidents.outerjoin(t.breaches, breach.incident_id == column.id))
            .where((column.resolved_at >= resolved_since) | column.clear_since_at.is_not(None))
            .where(column.merged_into.is_(None))
            .order_by(column.id)
        )
        recent: dict[str, Incident] = {}
        of_breaches: dict[str, Incident] = {}
        for row in transaction.execute(wanted):
            incident = _incident(row)
            recent[incident.fingerprint] = incident
            if row.of_breach is not None:
                of_breaches[row.of_breach] = incident
        return of_breaches | recent

    def last_notice(self, transaction: Transaction, incident_id: int) -> dict[str, Any] | None:
        """The last notice sent about an incident, None if there was none."""
        column = t.alerts.c
        latest = sa.select(column.notice).where(column.incident_id == incident_id).order_by(column.id.desc()).limit(1)
        notice = transaction.execute(latest).scalar()
        return None if notice is None else dict(json.loads(notice))

    def live_notices(self) -> dict[int, dict[str, Any] | None]:
        """By number of each open incident, the last notice sent about it; None if there was none yet."""
        incident, alert = t.incidents.c, t.alerts.c
        latest = sa.select(sa.func.max(alert.id)).where(alert.incident_id == incident.id).correlate(t.incidents)
        last = sa.select(t.alerts.c.notice).where(alert.id == latest.scalar_subquery()).correlate(t.incidents)
        live = sa.select(incident.id, last.scalar_subquery().label("notice")).where(incident.state != "resolved")
        with self._database.read() as connection:
            rows = connection.execute(live.order_by(incident.id)).all()
        return {row.id: None if row.notice is None else dict(json.loads(row.notice)) for row in rows}

    def present_notice(self, transaction: Transaction, incident_id: int) -> dict[str, Any] | None:
        """The last notice about an incident with its present size; None if there was none."""
        notice = self.last_notice(transaction, incident_id)
        column = t.incidents.c
        wanted = sa.select(column.count, column.peak, column.severity, column.summary, column.evidence, column.cause)
        row = transaction.execute(wanted.where(column.id == incident_id)).first()
        return None if notice is None or row is None else {**notice, **row._asdict()}

    def save(self, transaction: Transaction, incident_id: int, values: Mapping[str, Any]) -> int:
        """Insert (id 0) or update an incident; returns its id."""
        if incident_id == 0:
            inserted = transaction.execute(
                sa.insert(t.incidents).values(rev=transaction.revision, **values).returning(t.incidents.c.id)
            )
            return int(inserted.scalar_one())
        transaction.execute(
            sa.update(t.incidents).where(t.incidents.c.id == incident_id).values(rev=transaction.revision, **values)
        )
        return incident_id

    def find(self, incident_id: int) -> dict[str, Any] | None:
        """One incident with its evidence and its last notice; None if there is none of this number."""
        if not can_exist(incident_id):
            return None
        column, alert = t.incidents.c, t.alerts.c
        wanted = sa.select(
            *(column[name] for name in (*_INCIDENT_COLUMNS, "evidence", "fingerprint", "apart", "merged_into"))
        )
        last = sa.select(alert.notice).where(alert.incident_id == incident_id).order_by(alert.id.desc()).limit(1)
        with self._database.read() as connection:
            row = connection.execute(wanted.where(column.id == incident_id)).first()
            notice = connection.execute(last).scalar()
        return None if row is None else {**row._asdict(), "notice": json.loads(notice) if notice else {}}

    def similar(self, incident_id: int, limit: int) -> list[dict[str, Any]]:
        """Earlier incidents of the same cause, latest first, each with the last comment on it."""
        column, event = t.incidents.c, t.incident_events.c
        this = t.incidents.alias("this")
        comment = (
            sa.select(event.text)
            .where(event.incident_id == column.id, event.verb.in_(("comment", "resolve", "expect")), event.text != "")
            .order_by(event.id.desc())
            .limit(1)
            .scalar_subquery()
        )
        wanted = (
            sa.select(
                *(column[name] for name in ("id", "severity", "peak", "opened_at", "reopened_at", "resolved_at")),
                column.summary,
                comment.label("comment"),
            )
            .join(this, this.c.fingerprint == column.fingerprint)
            .where(this.c.id == incident_id, column.id != incident_id)
            .order_by(column.id.desc())
            .limit(limit)
        )
        with self._database.read() as connection:
            return [row._asdict() for row in connection.execute(wanted)]

    def rows(self, *, live_only: bool, limit: int) -> list[dict[str, Any]]:
        """Incidents, open ones first, then latest first.

        Each with its last message: of several receivers, the one with the worst outcome.
        """
        incident, alert = t.incidents.c, t.alerts.c
        fared = sa.case({"failed": 0, "pending": 1, "sending": 2}, value=alert.state, else_=3)
        place = sa.func.row_number().over(partition_by=alert.incident_id, order_by=(fared, alert.id.desc()))
        newest = sa.select(sa.func.max(alert.id)).group_by(alert.incident_id, alert.sender)
        ranked = sa.select(alert.id, place.label("place")).where(alert.id.in_(newest)).subquery()
        last = sa.select(ranked.c.id).where(ranked.c.place == 1)
        wanted = (
            sa.select(
                *(incident[name] for name in _INCIDENT_COLUMNS),
                alert.transition.label("told"),
                alert.state.label("message"),
            )
            .select_from(t.incidents.outerjoin(t.alerts, (alert.incident_id == incident.id) & alert.id.in_(last)))
            .where(incident.state != "resolved" if live_only else sa.true())
            .order_by(incident.state == "resolved", incident.id.desc())
            .limit(limit)
        )
        with self._database.read() as connection:
            return [row._asdict() for row in connection.execute(wanted)]


_FIELDS = {each.name for each in fields(Incident)}


def _incident(row: Any) -> Incident:
    values = {name: value for name, value in row._asdict().items() if name in _FIELDS}
    return Incident(incident_id=row.id, **{**values, "severity": Severity(row.severity)})

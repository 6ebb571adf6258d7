"""The incident messages waiting to be sent, and the outcome of sending them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import Database
from auditor.ledger.silences import active_silences
from auditor.ledger.statements import IN_LIMIT, chunks
from auditor.ledger.transaction import Transaction
from auditor.senders.contract import Place
from auditor.senders.registry import posts_in_channels
from checks.handling import Verb
from checks.routes import SEVERITIES, Recipient, Routing, severity_of
from checks.silences import Silence, first_hiding
from probes.wording import counted

DUE_LIMIT = 100
"""Messages examined per query."""

FOLDED_AT_ONCE = 20_000
"""Most messages in one digest; further ones go into the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingAlert:
    """One message waiting in the outbox, or several that are sent as one; one without an incident belongs to a drill.

    Attributes:
        channel: where it is posted; "" for the sender's own.
        place: where its incident already is.
        folded: the notices of all messages that are sent as one, empty for a single message.
    """

    alert_id: int
    incident_id: int | None
    transition: str
    sender: str
    channel: str
    tries: int
    possible_repeat: bool
    created_at: datetime
    notice: Mapping[str, Any]
    place: Place | None = None
    folded: Sequence[Mapping[str, Any]] = ()

    @property
    def number(self) -> str:
        """Its identity, also among messages of other ledgers."""
        return f"{self.alert_id}.{self.created_at.timestamp():.6f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Undelivered:
    """Messages that one sender could not deliver, since its last success.

    Attributes:
        since_at: when the first of them was queued.
        error: why the last of them was not delivered, without the address.
        rejected: how many of them the receiver refuses; they are tried again for a day.
        given_up: how many of them are not tried again.
    """

    sender: str
    messages: int
    since_at: datetime
    error: str
    rejected: int
    given_up: int

    @property
    def fails(self) -> bool:
        """Whether time alone does not deliver them."""
        return bool(self.rejected or self.given_up)

    @property
    def advice(self) -> str:
        """What to do about it."""
        check = f"check the address under alerts.{self.sender} of the map"
        if self.rejected:
            return f"{check}; messages are tried again every 15 minutes for a day"
        if self.given_up:
            return f"{check}; what was given up is not sent any more"
        return "they are retried automatically"

    def __str__(self) -> str:
        since = f"{self.since_at:%Y-%m-%d %H:%M:%S} UTC"
        return f"{counted(self.messages, 'message')} not delivered since {since} ({self.error}): {self.advice}"


class Outbox:
    """The messages to every sender.

    Attributes:
        routing: which senders get which messages; None for all that are queued.
    """

    routing: Routing | None = None

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
        due_at: datetime | None = None,
        fingerprint: str = "",
    ) -> None:
        """Put a message into the outbox, if the routes name its sender; a transition of an incident is never queued
        twice.

        A message that went out while the ledger was unable to record it is recorded as sent. One that a silence hides
        is recorded as silenced; that an incident is over is still reported to those who know of it.

        Args:
            due_at: when it may be sent; by default at once.
            fingerprint: the incident's fingerprint.
        """
        over = notice.get("transition") == "resolved"
        silence = None if over else first_hiding(active_silences(transaction, at), notice, at)
        for recipient in self._recipients(transaction, incident_id, sender, notice, at):
            self.queue_to(
                transaction,
                recipient,
                incident_id=incident_id,
                transition=transition,
                notice=notice,
                at=at,
                due_at=due_at,
                fingerprint=fingerprint,
                silence=silence,
            )

    def _recipients(
        self, transaction: Transaction, incident_id: int, sender: str, notice: Mapping[str, Any], at: datetime
    ) -> list[Recipient]:
        """In which channels a sender posts a notice.

        Those that the routes name and, for an incident that goes on, those that have heard of it. That it is over is
        reported to the latter alone.
        """
        if self.routing is None:
            return [Recipient(sender, _channel(sender, "", notice))]
        routed = [
            Recipient(each.sender, _channel(each.sender, each.channel, notice))
            for each in self.routing.recipients(notice, at)
            if each.sender == sender
        ]
        if notice["transition"] == "opened":
            return list(dict.fromkeys(routed))
        heard = self.heard(transaction, incident_id)
        mine = [each for each in heard if each.sender == sender]
        over = notice["transition"] == "resolved" and heard
        return sorted({*mine, *(() if over else routed)})

    def heard(self, transaction: Transaction, incident_id: int) -> list[Recipient]:
        """Who got or will get a message about an incident."""
        column = t.alerts.c
        informed = sa.select(column.sender, column.channel).where(column.incident_id == incident_id, _reaches(column))
        return [Recipient(row.sender, row.channel) for row in transaction.execute(informed.distinct())]

    def queue_to(
        self,
        transaction: Transaction,
        recipient: Recipient,
        *,
        incident_id: int,
        transition: str,
        notice: Mapping[str, Any],
        at: datetime,
        due_at: datetime | None = None,
        fingerprint: str = "",
        silence: Silence | None = None,
    ) -> None:
        """Put a message to one recipient into the outbox, whatever the routes say; see `queue`.

        Args:
            silence: because of which it is not sent.
        """
        about = (fingerprint, transition)
        watch = self._database.watch if fingerprint and silence is None else None
        sent_at = watch.sent_at(recipient.sender, about) if watch is not None else None
        if watch is not None and sent_at is None:
            watch.queued(transaction, recipient.sender, about, addressed(notice, recipient.channel))
        values = {
            "rev": transaction.revision,
            "incident_id": incident_id,
            "transition": transition,
            "sender": recipient.sender,
            "channel": recipient.channel,
            "severity": severity_of(notice),
            "state": "pending" if sent_at is None else "sent",
            "created_at": at,
            "next_try_at": (due_at or at) if sent_at is None else None,
            "sent_at": sent_at,
            "tries": 0 if sent_at is None else 1,
            "possible_repeat": False,
            "notice": json.dumps(notice),
        }
        if silence is not None:
            values |= {"state": "silenced", "next_try_at": None, "silence_id": silence.silence_id}
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

    def rewrite(
        self, transaction: Transaction, incident_id: int, notice: Mapping[str, Any], *, due_at: datetime | None = None
    ) -> None:
        """Bring an incident's messages that nobody has tried to send up to date; each keeps what it reports.

        Args:
            due_at: when they are due now; None if that stays as it is.
        """
        column = t.alerts.c
        for row in transaction.execute(sa.select(column.id, column.notice).where(_untried(incident_id))).all():
            queued = json.loads(row.notice)
            transition, act = queued["transition"], queued.get("act", "")
            if transition == "resolved":
                continue
            present = json.dumps({**notice, "transition": transition, "act": act})
            values = {"rev": transaction.revision, "severity": severity_of(notice), "notice": present}
            due = {"next_try_at": due_at} if due_at is not None else {}
            transaction.execute(sa.update(t.alerts).where(column.id == row.id).values({**values, **due}))

    def withdraw(self, transaction: Transaction, incident_id: int) -> None:
        """Take back an incident's messages that nobody has tried to send yet."""
        transaction.execute(
            sa.update(t.alerts)
            .where(_untried(incident_id))
            .values(rev=transaction.revision, state="withdrawn", next_try_at=None)
        )

    def silence(self, transaction: Transaction, incident_id: int, silence_id: int) -> None:
        """Do not send an incident's messages that nobody has tried to send yet."""
        transaction.execute(
            sa.update(t.alerts)
            .where(_untried(incident_id))
            .values(rev=transaction.revision, state="silenced", next_try_at=None, silence_id=silence_id)
        )

    def silenced(self) -> dict[int, int]:
        """By incident that is not over, the last silence because of which a message about it was not sent.

        Incidents about which a later message was sent, or will be, are left out, and those whose silence is known to
        have ended.
        """
        column, incident, later = t.alerts.c, t.incidents.c, t.alerts.alias("later")
        event = t.incident_events.c
        ended = sa.exists().where(
            event.incident_id == column.incident_id,
            event.verb == Verb.SILENCE_ENDED.value,
            event.acted_at >= column.created_at,
        )
        heard_since = sa.exists().where(
            later.c.incident_id == column.incident_id, later.c.id > column.id, _reaches(later.c)
        )
        hidden = (
            sa.select(column.incident_id, sa.func.max(column.silence_id).label("silence_id"))
            .join(t.incidents, incident.id == column.incident_id)
            .where(column.silence_id.is_not(None), column.state == "silenced")
            .where(incident.state != "resolved", ~heard_since, ~ended)
            .group_by(column.incident_id)
        )
        with self._database.read() as connection:
            return {row.incident_id: int(row.silence_id) for row in connection.execute(hidden)}

    def informed(self, transaction: Transaction, incident_id: int) -> list[str]:
        """The senders that got or will get a message about an incident."""
        column = t.alerts.c
        wanted = sa.select(column.sender).where(column.incident_id == incident_id, _reaches(column))
        return sorted(transaction.execute(wanted.distinct()).scalars())

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

    def crowded(self, now: datetime, to: str, above: int) -> set[str]:
        """The channels of a sender in which more messages than this wait; incidents with a place do not count."""
        column = t.alerts.c
        waiting = sa.select(column.channel).where(
            column.sender == to,
            column.state == "pending",
            column.digest_id.is_(None),
            column.next_try_at <= now,
            ~sa.exists().where(_of_place(t.alert_places.c, column)),
        )
        with self._database.read() as connection:
            return set(connection.scalars(waiting.group_by(column.channel).having(sa.func.count() > above)))

    def claim(
        self,
        now: datetime,
        *,
        to: str | None = None,
        held: Collection[str] = (),
        gathering: Collection[str] = (),
        fold_above: int | None = None,
    ) -> PendingAlert | None:
        """Claim the next due message, of one sender or of any, and mark it as sending. Severe ones come first.

        Messages of one incident to one channel keep their order. Those that were sent as one before, and may have
        arrived, are sent as one again.

        Args:
            held: channels in which nothing may be posted now.
            gathering: channels in which only incidents that already have a place go on.
            fold_above: if more messages than this wait for a channel, all of them are claimed as one; None for never.
        """
        with self._database.read() as connection:
            found = connection.execute(_next(now, to, held, gathering)).first()
        if found is None:
            return None
        with self._database.write() as transaction:
            column = t.alerts.c
            row = transaction.execute(sa.select(t.alerts).where(column.id == found.id, _due(column, now))).first()
            if row is None:
                transaction.connection.rollback()
                return None
            place = _place(transaction.execute(sa.select(t.alert_places).where(_of_place(t.alert_places.c, row))))
            members = self._members(transaction, row, place, fold_above, now)
            digest_id = row.digest_id or (row.id if len(members) > 1 else None)
            for part in chunks([each.id for each in members], IN_LIMIT):
                claimed = sa.update(t.alerts).where(column.id.in_(part))
                claimed = claimed.values(rev=transaction.revision, state="sending", tries=column.tries + 1)
                transaction.execute(claimed.values(digest_id=digest_id))
        if digest_id is None:
            return _pending(row, row.tries + 1, place)
        first = next((each for each in members if each.id == digest_id), row)
        folded = [addressed(json.loads(each.notice), each.channel) for each in members]
        return replace(_pending(first, row.tries + 1), alert_id=digest_id, folded=folded)

    def _members(
        self, transaction: Transaction, row: Any, place: Place | None, fold_above: int | None, now: datetime
    ) -> Sequence[Any]:
        """The messages that are sent as one with this one, itself included."""
        column = t.alerts.c
        all_of = sa.select(t.alerts).order_by(column.id).limit(FOLDED_AT_ONCE)
        if row.digest_id is not None:
            return transaction.execute(all_of.where(column.digest_id == row.digest_id, column.state != "sent")).all()
        if fold_above is None or place is not None or row.incident_id is None:
            return [row]
        waiting = all_of.where(
            column.sender == row.sender,
            column.channel == row.channel,
            column.state == "pending",
            column.digest_id.is_(None),
            column.created_at <= now,
            column.incident_id.is_not(None),
            ~sa.exists().where(_of_place(t.alert_places.c, column)),
        ).where((column.id == row.id) | ~column.possible_repeat)
        members = transaction.execute(waiting).all()
        foldable = len(members) > fold_above and not row.possible_repeat and row.state == "pending"
        return members if foldable else [row]

    def settle(self, alert: PendingAlert, *, place: Place | None = None, **values: Any) -> None:
        """Record the outcome of sending a message, or of several as one.

        Args:
            place: where the incident is now, None if that has not changed.
        """
        column = t.alerts.c
        mine = column.digest_id == alert.alert_id if alert.folded else column.id == alert.alert_id
        with self._database.write() as transaction:
            settled = sa.update(t.alerts).where(mine, column.state == "sending")
            transaction.execute(settled.values(rev=transaction.revision, **values))
            if place is not None and alert.incident_id is not None and not alert.folded and place != alert.place:
                row = {
                    "incident_id": alert.incident_id,
                    "sender": alert.sender,
                    "channel": alert.channel,
                    "place": place.channel,
                    "ts": place.ts,
                }
                transaction.execute(self._database.statements.upsert(t.alert_places), row)

    def settle_sent(self, alert_id: int, sent_at: datetime) -> None:
        """Record that a message went out while the ledger could not be written."""
        values = {"state": "sent", "sent_at": sent_at, "error": None, "next_try_at": None}
        with self._database.write() as transaction:
            mine = sa.update(t.alerts).where(t.alerts.c.id == alert_id)
            transaction.execute(mine.values(rev=transaction.revision, **values))

    def digests(self, since: datetime) -> dict[tuple[str, str], datetime]:
        """By sender and channel, when the last digest since an instant was sent."""
        column = t.alerts.c
        latest = (
            sa.select(column.sender, column.channel, sa.func.max(column.sent_at, type_=t.Instant).label("at"))
            .where(column.digest_id == column.id, column.sent_at > since)
            .group_by(column.sender, column.channel)
        )
        with self._database.read() as connection:
            return {(row.sender, row.channel): row.at for row in connection.execute(latest)}

    def last_notices(self) -> list[tuple[int, datetime, Mapping[str, Any]]]:
        """Of each unacknowledged incident that was never escalated since it was last reported as open: its id, when
        that message was queued, and its last notice."""
        column, incident = t.alerts.c, t.incidents.c
        opening = column.transition.startswith("opened") | column.transition.startswith("reopened")
        opened = (
            sa.select(column.incident_id, sa.func.max(column.id).label("id"))
            .where(opening, _reaches(column))
            .group_by(column.incident_id)
            .subquery()
        )
        of_opening, later = t.alerts.alias("opening"), t.alerts.alias("later")
        escalated = sa.exists().where(
            later.c.incident_id == incident.id, later.c.id > opened.c.id, later.c.transition.startswith("escalated")
        )
        last = sa.select(sa.func.max(later.c.id)).where(later.c.incident_id == incident.id).scalar_subquery()
        live = (
            sa.select(incident.id, of_opening.c.created_at, column.notice)
            .select_from(t.incidents)
            .join(opened, opened.c.incident_id == incident.id)
            .join(of_opening, of_opening.c.id == opened.c.id)
            .join(t.alerts, column.id == last)
            .where(unacknowledged(incident), ~escalated)
            .order_by(incident.id)
        )
        with self._database.read() as connection:
            return [(row.id, row.created_at, json.loads(row.notice)) for row in connection.execute(live)]

    def of(self, incident_id: int) -> list[dict[str, Any]]:
        """The messages about an incident, oldest first."""
        column = t.alerts.c
        names = ("created_at", "transition", "sender", "channel", "state", "sent_at", "silence_id", "error")
        wanted = sa.select(*(column[name] for name in names)).where(column.incident_id == incident_id)
        with self._database.read() as connection:
            return [row._asdict() for row in connection.execute(wanted.order_by(column.id))]

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
                            rejected=sum(row.state == "failed" and row.next_try_at is not None for row in lost),
                            given_up=sum(row.state == "failed" and row.next_try_at is None for row in lost),
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


def _reaches(alert: Any) -> sa.ColumnElement[bool]:
    """Whether a message was sent or will be, given the columns of its table."""
    condition: sa.ColumnElement[bool] = alert.state.not_in(("withdrawn", "silenced"))
    return condition


def _untried(incident_id: int) -> sa.ColumnElement[bool]:
    column = t.alerts.c
    return (column.incident_id == incident_id) & (column.state == "pending") & (column.tries == 0)


def unacknowledged(incident: Any) -> sa.ColumnElement[bool]:
    """The condition that nobody has acknowledged an incident, given the columns of its table."""
    condition: sa.ColumnElement[bool] = incident.state == "open"
    return condition


def addressed(notice: Mapping[str, Any], channel: str) -> dict[str, Any]:
    """The notice for a channel; "" leaves its own."""
    return {**notice, "channel": channel or notice.get("channel")}


def _channel(sender: str, channel: str, notice: Mapping[str, Any]) -> str:
    """The channel in which a sender posts a notice; "" for its own, and for one that has no channels."""
    return channel or str(notice.get("channel") or "") if posts_in_channels(sender) else ""


def _due(column: Any, now: datetime) -> sa.ColumnElement[bool]:
    """Whether a message is to be sent now; one that was rejected is due again, too, until it is given up."""
    return sa.and_(column.state.in_(("pending", "failed")), column.next_try_at <= now)


def _next(now: datetime, to: str | None, held: Collection[str], gathering: Collection[str]) -> sa.Select[Any]:
    """The query for the next message to send."""
    column, older = t.alerts.c, t.alerts.alias("older")
    rank = sa.case({severity: at for at, severity in enumerate(SEVERITIES)}, value=column.severity, else_=1)
    # Only the incident may be looked up in an index: SQLite would take that of the state, and read all that wait.
    before = sa.exists().where(
        older.c.incident_id == column.incident_id,
        sa.func.coalesce(older.c.sender, "") == column.sender,
        older.c.channel == column.channel,
        older.c.id < column.id,
        sa.func.coalesce(older.c.state, "").in_(("pending", "sending")),
    )
    wanted = [_due(column, now), ~before, *([column.sender == to] if to else [])]
    if held:
        wanted.append(column.channel.not_in(held))
    if gathering:
        placed = sa.exists().where(_of_place(t.alert_places.c, column))
        wanted.append(column.channel.not_in(gathering) | placed | column.digest_id.is_not(None))
    return sa.select(column.id).where(*wanted).order_by(rank, column.id).limit(1)


def _of_place(place: Any, alert: Any) -> sa.ColumnElement[bool]:
    """Whether a place is that of an alert's incident."""
    return sa.and_(
        place.incident_id == alert.incident_id, place.sender == alert.sender, place.channel == alert.channel
    )


def _place(rows: Iterable[Any]) -> Place | None:
    return next((Place(channel=row.place, ts=row.ts) for row in rows), None)


def _pending(
    row: Any, tries: int, place: Place | None = None, folded: Sequence[Mapping[str, Any]] = ()
) -> PendingAlert:
    return PendingAlert(
        alert_id=row.id,
        incident_id=row.incident_id,
        transition=row.transition,
        sender=row.sender,
        channel=row.channel,
        tries=tries,
        possible_repeat=row.possible_repeat,
        created_at=row.created_at,
        notice=addressed(json.loads(row.notice), row.channel),
        place=place,
        folded=folded,
    )

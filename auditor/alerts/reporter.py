"""The reporter: from the signals of an audit to breaches, incidents and messages in the outbox."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from auditor.alerts import past_misses
from auditor.alerts.notices import clearing_text, notice_of, readers, summary_text
from auditor.alerts.worst_records import worst_records
from auditor.ledger import Ledger, Transaction
from auditor.map.consumers import ROLE_WEIGHT
from auditor.map.flow import Flow
from auditor.map.integration_map import IntegrationMap
from checks.breach_life import BreachSignal, OpenBreach, begins_anew
from checks.breach_life import next_move as next_breach
from checks.handling import OF_TRANSITION, Event, Verb, is_told, returns
from checks.incidents import (
    ABSORB,
    Incident,
    IncidentMove,
    Placement,
    Transition,
    as_group,
    kept_cause,
    next_move,
    placements,
    spent,
)
from checks.root_causes import FlowPlace, Group, QueuePlace, evidence_text, groups, with_breaches
from checks.severity import Severity, severity, worst
from probes.wording import counted


class Reporter:
    """Advances breaches and incidents inside an audit's own transaction.

    Args:
        flows: of the map.
        queues: by (flow, queue), the settings of each.
        senders: names of the senders that messages are queued for.
        hold: how long the first message of an incident waits for what belongs to it.
    """

    def __init__(
        self,
        ledger: Ledger,
        flows: Iterable[Flow],
        *,
        queues: Mapping[tuple[str, str], Any] | None = None,
        senders: Sequence[str] = (),
        hold: timedelta = timedelta(),
    ) -> None:
        self._ledger = ledger
        self._flows = {each.name: each for each in flows}
        self._places = places_of(self._flows.values(), queues or {})
        self._senders = tuple(senders)
        self._hold = hold
        self._any_live = True

    @classmethod
    def of_map(
        cls, ledger: Ledger, integration_map: IntegrationMap, senders: Sequence[str], *, hold_s: float | None = None
    ) -> Reporter:
        """The reporter of a map's flows.

        Args:
            hold_s: by default as the map says.
        """
        flows = [integration_map.flow(name) for name in integration_map.flows]
        hold = timedelta(seconds=integration_map.alerts.hold_s if hold_s is None else hold_s)
        return cls(ledger, flows, queues=integration_map.queues, senders=senders, hold=hold)

    def report(self, transaction: Transaction, signals: Sequence[BreachSignal], now: datetime) -> None:
        """Write what the signals change, and queue a message per transition of an incident."""
        changed = self._move_breaches(transaction, signals, now)
        if changed or self._any_live:
            self._move_incidents(transaction, now)

    def end(self, transaction: Transaction, gone: Mapping[int, str], now: datetime) -> None:
        """End breaches that no audit can end any more.

        Args:
            gone: by number of the breach, why.
        """
        for breach_id, why in gone.items():
            values = {"ended_at": now, "count": 0, "clear_since_at": None, "detail": why, "detail_at": now}
            self._ledger.breaches.save(transaction, breach_id, values)
        if gone:
            self._move_incidents(transaction, now, detail="; ".join(dict.fromkeys(gone.values())))

    def _move_breaches(self, transaction: Transaction, signals: Sequence[BreachSignal], now: datetime) -> bool:
        """Advance the breaches; returns whether any changed."""
        known = self._ledger.breaches.by_fingerprint(transaction, [each.fingerprint for each in signals])
        changed = False
        for each in signals:
            breach = known.get(each.fingerprint)
            if breach is not None and begins_anew(breach, each):
                self._ledger.breaches.save(transaction, breach.breach_id, {"ended_at": now})
                breach = None
            move = next_breach(breach, each, now)
            if move is None:
                continue
            if breach is None and past_misses.are_known(self._ledger, transaction, each, self._places, now):
                continue
            changed = True
            values: dict[str, Any] = {
                "count": move.count,
                "peak": move.peak,
                "clear_since_at": move.clear_since_at,
                "ended_at": now if move.over else None,
            }
            if breach is None or each.count:
                values["reason"] = each.reason
                if each.detail:
                    values |= {"detail": each.detail, "detail_at": now}
            if breach is None:
                values |= {
                    "detail": each.detail,
                    "fingerprint": each.fingerprint,
                    "flow": each.flow,
                    "system": each.system,
                    "queue": each.queue,
                    "breach": each.breach.value,
                    "opened_at": now,
                }
            self._ledger.breaches.save(transaction, breach.breach_id if breach else 0, values)
        return changed

    def _move_incidents(self, transaction: Transaction, now: datetime, *, detail: str = "") -> None:
        """Group the open breaches by cause, and advance the incident of each group.

        Args:
            detail: why an incident is over that is over now.
        """
        ledger = self._ledger
        live = {each.incident_id: each for each in ledger.incidents.live(transaction)}
        breaches = ledger.breaches.open(transaction)
        apart = {number for number, each in live.items() if each.apart}
        grouped = groups([each for each in breaches if each.incident_id not in apart], self._places)
        new = any(each.incident_id not in live for each in breaches)
        recent = ledger.incidents.recent(transaction, now - ABSORB) if new else {}
        placed = placements(grouped, {each: live[each] for each in live if each not in apart}, recent)
        placed += [self._alone(number, breaches) for number in sorted(apart)]
        of_number = live | {each.incident_id: each for each in recent.values()}
        self._any_live = bool(live)  # also after this transaction fails
        for each in placed:
            state = self._advance(transaction, each, of_number, now, detail=detail)
            self._any_live = self._any_live or state != "resolved"

    def _alone(self, number: int, breaches: Sequence[OpenBreach]) -> Placement:
        """The placement of an incident that stays apart."""
        own = groups([each for each in breaches if each.incident_id == number], self._places)
        if not own:
            return Placement(incident_id=number, group=None)
        members = tuple(each for group in own for each in group.breaches)
        return Placement(
            incident_id=number, group=Group(cause=own[0].cause, subject=own[0].subject, breaches=members)
        )

    def _advance(
        self,
        transaction: Transaction,
        placement: Placement,
        known: Mapping[int, Incident],
        now: datetime,
        *,
        detail: str,
    ) -> str:
        """Advance the incident of a placement; returns its state."""
        incident = known.get(placement.incident_id)
        group = self._unspent(transaction, placement.group, incident, now)
        group = kept_cause(group, incident) if group is not None else None
        hold = timedelta() if group is not None and self._strict(group) else self._hold
        move = next_move(incident, group, self._severity(group), now, hold=hold)
        summary = self._summary(transaction, group, move, incident)
        values: dict[str, Any] = {
            "state": move.state,
            "severity": move.severity.value,
            "count": move.extent.count,
            "peak": move.peak,
            "told": move.told,
            "told_messages": move.told_messages,
            "growth": move.growth,
            "tell_at": move.tell_at,
            "clear_since_at": move.clear_since_at,
            "reopened": move.reopened,
            "explained": move.explained,
            "summary": summary,
            "resolved_at": now if move.state == "resolved" else None,
        }
        if group is not None:
            values |= {
                "fingerprint": group.fingerprint,
                "cause": group.cause.value,
                "flow": group.lead.flow,
                "system": group.lead.system,
                "breach": group.lead.breach.value,
                "evidence": evidence_text(group),
            }
        opened_at = incident.opened_at if incident else now
        reopened_at = incident.reopened_at if incident else None
        if incident is None:
            values |= {"opened_at": opened_at, "apart": False}
        elif not incident.live:
            values["reopened_at"] = reopened_at = now
        unchanged = incident is not None and all(
            getattr(incident, name) == value for name, value in values.items() if name != "opened_at"
        )
        number = incident.incident_id if incident and unchanged else 0
        if not unchanged:
            number = self._ledger.incidents.save(transaction, incident.incident_id if incident else 0, values)
        if group is not None:
            moved = [each.breach_id for each in group.breaches if each.incident_id != number]
            if moved:
                self._ledger.breaches.assign(transaction, moved, number)
        told = move.transition is not None and self._record(transaction, number, move, summary, detail, now)
        if move.transition is Transition.REOPENED and not self._ledger.outbox.informed(transaction, number):
            move = replace(move, transition=Transition.OPENED)  # what nobody heard of cannot come back
        for absorbed in placement.absorbed:
            self._absorb(transaction, known[absorbed], number, summary, now)
        if group is not None and (move.transition or not unchanged):
            notice = notice_of(
                group,
                incident_id=number,
                transition=move.transition or Transition.OPENED,
                severity=move.severity,
                summary=summary,
                extent=move.extent,
                told=move.told,
                grown_from=_size_told(move) if move.transition is Transition.GROWN else "",
                peak=move.peak,
                opened_at=opened_at,
                since_at=reopened_at or opened_at,
                now=now,
                flows=self._flows,
                records=worst_records(self._ledger, transaction, group, self._flows, now),
            )
            put_off = incident is not None and move.transition is None and move.tell_at != incident.tell_at
            due_at = move.tell_at if put_off else None
            self._ledger.outbox.rewrite(transaction, number, notice, due_at=due_at)
            if told:
                self._queue(transaction, number, move, notice, group.fingerprint, now, self._senders)
        elif move.transition is Transition.RESOLVED and incident is not None:
            self._end(transaction, replace(incident, summary=summary), move, now, detail=detail)
        return move.state

    def _record(
        self, transaction: Transaction, number: int, move: IncidentMove, summary: str, detail: str, now: datetime
    ) -> bool:
        """Add a transition to the timeline of an incident; returns whether those who attend to it have to hear it."""
        assert move.transition is not None
        text = detail if move.transition is Transition.RESOLVED else summary
        events = self._ledger.incident_events
        handling = events.handling(transaction, number)
        assert handling is not None
        events.record(transaction, number, Event(verb=OF_TRANSITION[move.transition], acted_at=now, text=text))
        needed = returns(handling, move.transition, move.growth, move.severity)
        if needed:
            events.record(transaction, number, Event(verb=Verb.RETURNED, acted_at=now, text=needed))
        return bool(needed) or is_told(handling, move.transition)

    def _summary(
        self, transaction: Transaction, group: Group | None, move: IncidentMove, incident: Incident | None
    ) -> str:
        """What is wrong and how large it is; of what is clearing up, how large it was at most."""
        if incident is None or not incident.live or (group is not None and move.extent.count):
            return summary_text(group, move.extent, self._flows) if group is not None else ""
        ended = self._ledger.breaches.ended(transaction, incident.opened_at)
        over = [each for each, _ in ended if each.incident_id == incident.incident_id]
        if group is None:
            if not over or not incident.count:
                return incident.summary  # it says so already
            group, over = as_group(incident, over), []
        return clearing_text(with_breaches(group, over, self._places), move.peak, self._flows)

    def _unspent(
        self, transaction: Transaction, group: Group | None, incident: Incident | None, now: datetime
    ) -> Group | None:
        """The open breaches of an incident; None, and they end, if only what its cause explained is left."""
        if group is None or incident is None or not spent(incident, group):
            return group
        for breach in group.breaches:
            self._ledger.breaches.save(transaction, breach.breach_id, {"ended_at": now})
        return None

    def _queue(
        self,
        transaction: Transaction,
        number: int,
        move: IncidentMove,
        notice: Mapping[str, Any],
        fingerprint: str,
        now: datetime,
        senders: Sequence[str],
    ) -> None:
        assert move.transition is not None
        grown = f" {move.growth}x from {_size_told(move)}" if move.transition is Transition.GROWN else ""
        worse = f" {move.severity}" if move.transition is Transition.WORSE else ""
        times = f" {move.reopened}" if move.reopened else ""
        first = move.transition in {Transition.OPENED, Transition.REOPENED, Transition.FLAPPING}
        for sender in senders:
            self._ledger.outbox.queue(
                transaction,
                incident_id=number,
                transition=f"{move.transition}{grown}{worse}{times}",
                sender=sender,
                notice=notice,
                at=now,
                due_at=move.tell_at if first else None,
                fingerprint=fingerprint,
            )

    def _end(
        self, transaction: Transaction, incident: Incident, move: IncidentMove, now: datetime, *, detail: str
    ) -> None:
        """Report the end to those who know of the incident; one that nobody knows of yet is never reported."""
        ledger, number = self._ledger, incident.incident_id
        if incident.tell_at is not None and now < incident.tell_at:
            ledger.outbox.withdraw(transaction, number)
            return
        last = ledger.incidents.last_notice(transaction, number)
        informed = ledger.outbox.informed(transaction, number)
        if last is None:
            return
        notice = {**last, "transition": "resolved", "act": "", "count": 0, "peak": move.peak, "at": now.isoformat()}
        notice |= {"summary": incident.summary}
        if detail:
            notice |= {"detail": detail, "summary": f"{incident.summary}; closed: {detail}"}
        senders = [each for each in informed if each in self._senders]
        self._queue(transaction, number, move, notice, incident.fingerprint, now, senders)

    def _absorb(self, transaction: Transaction, absorbed: Incident, into: int, summary: str, now: datetime) -> None:
        """Close an incident whose breaches another one has taken over."""
        detail = f"it is part of incident {into}: {summary}"
        self._close(transaction, absorbed, now, detail=detail, merged_into=into)
        event = Event(verb=Verb.RESOLVED, acted_at=now, text=detail)
        self._ledger.incident_events.record(transaction, absorbed.incident_id, event)

    def _close(
        self, transaction: Transaction, incident: Incident, now: datetime, *, detail: str, **values: Any
    ) -> None:
        """Close an incident that no audit has found to be over."""
        over = {"state": "resolved", "resolved_at": now, "clear_since_at": None, **values}
        self._ledger.incidents.save(transaction, incident.incident_id, over)
        move = replace(
            next_move(incident, None, incident.severity, now), transition=Transition.RESOLVED, state="resolved"
        )
        self._end(transaction, incident, move, now, detail=detail)

    def close(self, transaction: Transaction, incident_id: int, why: str, now: datetime) -> None:
        """Close a live incident as a person says; what an audit still finds opens it again."""
        incident = self._live(transaction, incident_id)
        self._ledger.breaches.end_all(transaction, incident_id, now)
        self._close(transaction, incident, now, detail=why, count=0)

    def split(self, transaction: Transaction, incident_id: int, breach_ids: Collection[int], now: datetime) -> int:
        """Make an incident of its own of some open breaches of a live one, which stays apart; returns its number."""
        chosen = [each for each in self._ledger.breaches.open(transaction) if each.breach_id in breach_ids]
        apart = [replace(each, incident_id=0) for each in chosen]
        self._advance(transaction, self._alone(0, apart), {}, now, detail=f"split off from incident {incident_id}")
        found = self._ledger.breaches.by_fingerprint(transaction, [chosen[0].fingerprint])
        number = found[chosen[0].fingerprint].incident_id
        self._ledger.incidents.save(transaction, number, {"apart": True})
        self._move_incidents(transaction, now)
        return number

    def merge(self, transaction: Transaction, incident_id: int, into: int, now: datetime) -> None:
        """Put the open breaches of one live incident into another one, and close the first."""
        absorbed, kept = self._live(transaction, incident_id), self._live(transaction, into)
        open_breaches = self._ledger.breaches.open(transaction)
        moved = [each.breach_id for each in open_breaches if each.incident_id == incident_id]
        self._ledger.breaches.assign(transaction, moved, into)
        self._absorb(transaction, absorbed, into, kept.summary, now)
        self._move_incidents(transaction, now)

    def _live(self, transaction: Transaction, incident_id: int) -> Incident:
        live = self._ledger.incidents.live(transaction)
        return next(each for each in live if each.incident_id == incident_id)

    def _strict(self, group: Group) -> bool:
        return any(self._flows[each.flow].settings.sla.strict for each in group.breaches if each.flow in self._flows)

    def _severity(self, group: Group | None) -> Severity:
        found = []
        for each in group.breaches if group is not None else ():
            flow = self._flows.get(each.flow or "")
            weight = sum(ROLE_WEIGHT[reader.role] for reader in readers(flow)) if flow else 0
            strict = flow.settings.sla.strict if flow else False
            found.append(severity(each.breach, weight=weight, strict=strict))
        return worst(found)


def _size_told(move: IncidentMove) -> str:
    """How large an incident was when it was last reported."""
    if not move.told_messages:
        return f"{move.told:,}"
    messages = counted(move.told_messages, "message")
    return f"{counted(move.told, 'record')} and {messages}" if move.told else messages


def places_of(flows: Iterable[Flow], queues: Mapping[tuple[str, str], Any]) -> dict[str, FlowPlace]:
    """Where each flow runs; queues with equal settings are one queue."""
    identities: list[tuple[Any, str]] = []
    places: dict[str, FlowPlace] = {}
    for flow in flows:
        own = {}
        for (of, name), settings in queues.items():
            if of == flow.name:
                known = next((identity for each, identity in identities if each == settings), None)
                if known is None:
                    known = f"{flow.name}/{name}"
                    identities.append((settings, known))
                own[name] = QueuePlace(identity=known, system=getattr(settings, "system", None))
        places[flow.name] = FlowPlace(source=flow.source_name, target=flow.target_name, queues=own)
    return places

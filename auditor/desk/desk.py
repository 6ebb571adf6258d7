"""The desk: the same verbs for incidents and conflicts, each one transaction and one line in their history.

Commands, pages and chat services share it; it knows none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from auditor.alerts.reporter import Reporter
from auditor.alerts.silencing import begin, open_notices
from auditor.conflicts.decisions import act
from auditor.ledger import Ledger, Transaction
from auditor.map.integration_map import IntegrationMap
from auditor.senders.registry import acts_heard
from checks.breaches import MEANINGS
from checks.escalation import Act, RefusedError
from checks.handling import Event, Handling, Verb, check, check_end, check_name, check_words
from checks.silences import Silence, check_matchers, too_wide
from probes.wording import counted

EXPECTED_AT_MOST = 10_000
"""More records than this are no known difference."""


@dataclass(frozen=True, slots=True)
class Case:
    """What people act on: an incident or a conflict, by its number."""

    kind: Literal["incident", "conflict"]
    number: int

    def __str__(self) -> str:
        return f"{self.kind} {self.number}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one act on several cases.

    Attributes:
        done: the numbers of the cases on which it was done.
        refused: by number, why it was refused.
    """

    done: tuple[int, ...]
    refused: Mapping[int, str]


def act_on_each(numbers: Sequence[int], act: Callable[[int], object]) -> Outcome:
    """Act on several cases, on each as if on it alone; one that is refused does not keep back the others."""
    done, refused = [], {}
    for number in numbers:
        try:
            act(number)
        except RefusedError as error:
            refused[number] = str(error)
        else:
            done.append(number)
    return Outcome(tuple(done), refused)


class UnconfirmedError(RefusedError):
    """An act that has to be confirmed first; the text says why."""


class Desk:
    """Acts of one person.

    Args:
        who: the person; a name of at most 100 characters.
        known_by: how the auditor identified the person.

    Attributes:
        integration_map: by which it acts.
    """

    def __init__(
        self,
        integration_map: IntegrationMap,
        ledger: Ledger,
        *,
        who: str,
        known_by: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        check_name(who, "the name of who does this")
        self.integration_map = integration_map
        self._ledger = ledger
        self._who = who
        self._known_by = known_by
        self._now = now
        alerts = integration_map.alerts
        # Whoever acts here may lack the addresses that the daemon has; it sends what is queued for them.
        reached = {sender for sender, state in ledger.outbox.counts() if state == "sent"}
        senders = [each for each in alerts.named_senders if each in alerts.senders or each in reached]
        ledger.outbox.routing = alerts.routing_to(senders)
        self._reporter = Reporter.of_map(ledger, integration_map, senders)

    def acknowledge(self, case: Case, text: str = "") -> None:
        """Say that someone works on it: it is not escalated, and only growth from tenfold on is reported."""
        if case.kind == "conflict":
            self._on_conflict(case, Act.ACKNOWLEDGE, text=text)
        else:
            self._on_incident(case, self._event(Verb.ACKNOWLEDGE, text=text))

    def unacknowledge(self, case: Case, text: str = "") -> None:
        """Take back an acknowledgement or a snooze."""
        if case.kind == "conflict":
            self._on_conflict(case, Act.UNACKNOWLEDGE, text=text)
        else:
            self._on_incident(case, self._event(Verb.UNACKNOWLEDGE, text=text))

    def snooze(self, case: Case, until_at: datetime, text: str = "") -> None:
        """Send no messages about it until an instant; then it is reported again if it is still open."""
        if case.kind == "conflict":
            self._on_conflict(case, Act.DEFER, until_at=until_at, text=text)
        else:
            self._on_incident(case, self._event(Verb.SNOOZE, until_at=until_at, text=text))

    def assign(self, case: Case, assignee: str, text: str = "") -> None:
        """Say who works on it."""
        check_name(assignee, "the person or team to assign it to")
        if case.kind == "conflict":
            self._on_conflict(case, Act.ASSIGN, assignee=assignee, text=text)
        else:
            self._on_incident(case, self._event(Verb.ASSIGN, assignee=assignee, text=text))

    def comment(self, case: Case, text: str) -> None:
        """Add a comment, also to what is over."""
        if case.kind == "conflict":
            self._on_conflict(case, Act.COMMENT, text=text)
        else:
            self._on_incident(case, self._event(Verb.COMMENT, text=text))

    def decide(self, conflict_id: int, choice: str, *, within_s: float | None = None, text: str = "") -> None:
        """Record whose copy of a conflict's record is right; see `auditor.conflicts.decisions.act`."""
        self._on_conflict(Case("conflict", conflict_id), Act.DECIDE, choice=choice, within_s=within_s, text=text)

    def resolve(self, incident_id: int, text: str = "") -> None:
        """Close an incident; it is reopened if the audits still find it."""
        event = self._event(Verb.RESOLVE, text=text)
        with self._ledger.write() as transaction:
            self._checked(transaction, incident_id, event)
            self._reporter.close(transaction, incident_id, self._said("", text), event.acted_at)
            self._ledger.incident_events.record(transaction, incident_id, event)

    def expect(self, incident_id: int, until_at: datetime, reason: str) -> int:
        """Expect the records that differ now to differ until an instant: they open no incident until then.

        They are still shown as differing. Other records, and other differences of the same records, are reported.

        Returns:
            How many records are expected.
        """
        event = self._event(Verb.EXPECT, until_at=until_at, text=reason)
        with self._ledger.write() as transaction:
            self._checked(transaction, incident_id, event)
            own = [each for each in self._ledger.breaches.open(transaction) if each.incident_id == incident_id]
            covered: dict[int, str] = {}
            expected = 0
            for each in own:
                if MEANINGS[each.breach].counts != "record" or each.flow is None:
                    continue
                differing = self._ledger.expected_records.differing
                keys = differing(transaction, each.flow, each.breach, EXPECTED_AT_MOST - expected + 1)
                if not keys:
                    continue
                expected += len(keys)
                if expected > EXPECTED_AT_MOST:
                    raise RefusedError(
                        f"incident {incident_id} is about more than {EXPECTED_AT_MOST:,} records; silence it, or "
                        "leave the field out in the map"
                    )
                self._ledger.expected_records.add(
                    transaction,
                    incident_id,
                    flow=each.flow,
                    breach=each.breach,
                    keys=keys,
                    since_at=event.acted_at,
                    until_at=until_at,
                )
                covered[each.breach_id] = self._said(f"expected until {until_at:%Y-%m-%d %H:%M} UTC", reason)
            if not covered:
                raise RefusedError(
                    f"incident {incident_id} is about no records that differ now; snooze or silence it instead"
                )
            self._ledger.incident_events.record(transaction, incident_id, event)
            if len(covered) == len(own):
                why = next(iter(covered.values()))
                self._reporter.close(transaction, incident_id, why, event.acted_at)
                resolved = Event(verb=Verb.RESOLVED, acted_at=event.acted_at, text=why)
                self._ledger.incident_events.record(transaction, incident_id, resolved)
            else:
                self._reporter.end(transaction, covered, event.acted_at)
        return expected

    def unexpect(self, incident_id: int, text: str = "") -> None:
        """Expect nothing of an incident's records any more; those that still differ are reported again."""
        event = self._event(Verb.UNEXPECT, text=text)
        with self._ledger.write() as transaction:
            self._checked(transaction, incident_id, event)
            self._ledger.expected_records.end(transaction, incident_id, event.acted_at)
            self._ledger.incident_events.record(transaction, incident_id, event)

    def split(self, incident_id: int, parts: Collection[int], text: str = "") -> int:
        """Make an incident of its own of some parts of an incident, by the numbers of its breaches.

        Returns:
            The number of the new incident.
        """
        event = self._event(Verb.SPLIT, text=text)
        with self._ledger.write() as transaction:
            self._checked(transaction, incident_id, event)
            own = {
                each.breach_id for each in self._ledger.breaches.open(transaction) if each.incident_id == incident_id
            }
            unknown = sorted(set(parts) - own)
            if unknown or not parts:
                listed = ", ".join(map(str, sorted(own))) or "none"
                wrong = f"{', '.join(map(str, unknown))} is no open part" if unknown else "name at least one part"
                raise RefusedError(f"{wrong} of incident {incident_id}; its open parts: {listed}")
            if own <= set(parts):
                raise RefusedError(f"these are all parts of incident {incident_id}; leave at least one in it")
            number = self._reporter.split(transaction, incident_id, set(parts), event.acted_at)
            away = self._said(f"{counted(len(set(parts)), 'part')} split off as incident {number}", text)
            here = self._said(f"split off from incident {incident_id}", text)
            for each, said in ((incident_id, away), (number, here)):
                told = self._event(Verb.SPLIT, text=said, at=event.acted_at)
                self._ledger.incident_events.record(transaction, each, told)
        return number

    def merge(self, incident_id: int, into: int, text: str = "") -> None:
        """Put an incident into another one, which goes on with the parts of both."""
        event = self._event(Verb.MERGE, text=text)
        if incident_id == into:
            raise RefusedError(f"incident {incident_id} cannot be merged into itself")
        with self._ledger.write() as transaction:
            for each in (incident_id, into):
                self._checked(transaction, each, event)
            for each, said in ((incident_id, f"merged into incident {into}"), (into, f"took in {incident_id}")):
                told = self._event(Verb.MERGE, text=self._said(said, text), at=event.acted_at)
                self._ledger.incident_events.record(transaction, each, told)
            self._reporter.merge(transaction, incident_id, into, event.acted_at)

    def silence(
        self,
        matchers: Mapping[str, Sequence[str]],
        until_at: datetime,
        reason: str,
        *,
        from_at: datetime | None = None,
        confirmed: bool = False,
    ) -> int:
        """Send no messages about some incidents for a time; they are audited, shown and recorded as ever.

        Args:
            matchers: for each subject (`checks.routes.SUBJECTS`), the accepted values; `*` stands for any text.
            from_at: by default at once.
            confirmed: that it may hide every open incident.

        Returns:
            The number of the silence.

        Raises:
            UnconfirmedError: it would hide everything.
        """
        now = self._now()
        check_words(self._who, reason, required="reason")
        check_matchers(matchers)
        if from_at is not None and not now <= from_at < until_at:
            raise RefusedError("the beginning must be in the future, and before the end")
        check_end(until_at, now)
        silence = Silence(
            matchers={subject: tuple(values) for subject, values in matchers.items() if values},
            from_at=from_at or now,
            until_at=until_at,
            reason=reason,
            who=self._who,
            known_by=self._known_by,
            made_at=now,
        )
        with self._ledger.write() as transaction:
            wide = too_wide(silence.matchers, list(open_notices(self._ledger, transaction).values()))
            if wide and not confirmed:
                raise UnconfirmedError(f"{wide}; confirm that first")
            return begin(self._ledger, transaction, silence, now)

    def end_silence(self, silence_id: int) -> None:
        """End a silence before its time; what it hid and is still open is reported."""
        now = self._now()
        with self._ledger.write() as transaction:
            silence = self._ledger.silences.find(transaction, silence_id)
            if silence is None:
                raise RefusedError(f"there is no silence {silence_id}")
            ended_at = min(filter(None, (silence.ended_at, silence.until_at)))
            if ended_at <= now:
                raise RefusedError(f"silence {silence_id} ended at {ended_at:%Y-%m-%d %H:%M:%S} UTC")
            self._ledger.silences.end(transaction, silence_id, at=now, by=self._who)

    def _event(self, verb: Verb, *, at: datetime | None = None, **values: Any) -> Event:
        return Event(verb=verb, acted_at=at or self._now(), who=self._who, known_by=self._known_by, **values)

    def _said(self, what: str, text: str) -> str:
        return f"{what} by {self._who}".strip() + (f": {text}" if text else "")

    def _checked(self, transaction: Transaction, incident_id: int, event: Event) -> Handling:
        """How an incident is handled now; refuses what may not be done."""
        handling = self._ledger.incident_events.handling(transaction, incident_id)
        if handling is None:
            raise RefusedError(f"there is no incident {incident_id}")
        check(incident_id, handling, event)
        return handling

    def _on_incident(self, case: Case, event: Event) -> None:
        with self._ledger.write() as transaction:
            self._checked(transaction, case.number, event)
            self._ledger.incident_events.record(transaction, case.number, event)
            self._pass_on(transaction, case.number, event)

    def _pass_on(self, transaction: Transaction, incident_id: int, event: Event) -> None:
        """Tell an act to those receivers of the incident's messages that make something of it."""
        word = _word(event.verb)
        if word is None:
            return
        last = self._ledger.incidents.present_notice(transaction, incident_id)
        for recipient in self._ledger.outbox.heard(transaction, incident_id):
            if last is None or word not in acts_heard(recipient.sender):
                continue
            self._ledger.outbox.queue_to(
                transaction,
                recipient,
                incident_id=incident_id,
                transition=f"{word} at {event.acted_at:%Y-%m-%dT%H:%M:%S}",
                notice={**last, "transition": word, "act": _act_text(word, event), "at": event.acted_at.isoformat()},
                at=event.acted_at,
            )

    def _on_conflict(self, case: Case, what: Act, *, text: str, **values: Any) -> None:
        check_words(self._who, text, required="comment" if what is Act.COMMENT else "")
        now = self._now()
        if what is Act.DEFER:
            check_end(values["until_at"], now)
        who, known_by = self._who, self._known_by
        act(
            self.integration_map,
            self._ledger,
            case.number,
            what,
            who=who,
            known_by=known_by,
            now=now,
            text=text,
            **values,
        )


def _word(verb: Verb) -> str | None:
    """The word for an act in messages to receivers; None for acts that they do not get."""
    match verb:
        case Verb.ACKNOWLEDGE:
            return "acknowledged"
        case Verb.UNACKNOWLEDGE:
            return "unacknowledged"
        case Verb.SNOOZE:
            return "snoozed"
        case Verb.ASSIGN:
            return "assigned"
    return None


def _act_text(word: str, event: Event) -> str:
    """An act in a sentence, for receivers."""
    more = ""
    if event.until_at is not None:
        more = f" until {event.until_at:%Y-%m-%d %H:%M} UTC"
    if event.assignee:
        more = f" to {event.assignee}"
    return f"{word}{more} by {event.who}" + (f": {event.text}" if event.text else "")

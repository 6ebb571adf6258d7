"""The texts of an incident: summary, likely cause, advice, and the notice for the senders. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from auditor.map.consumers import ROLE_WEIGHT
from auditor.map.consumers import told as consumer_text
from auditor.map.flow import Flow
from auditor.map.settings import Consumer
from checks.breach_life import OpenBreach, dated
from checks.breaches import MEANINGS, UNKNOWN, Breach
from checks.incidents import Extent, Transition, extent_of, shown_by
from checks.root_causes import Group, RootCause, evidence_text
from checks.severity import Severity
from checks.tables import complete
from probes.wording import counted

_COUNTED = re.compile(
    r"(grown \d+x from [\d,]+(?: records?| messages?)?(?: and [\d,]+ messages?)?|[a-z]+(?: [a-z]+)?) \d+"
)
"""A transition as the outbox keeps it of an incident that came back: with how often, so that each is its own."""

LISTED = 10
"""The most breaches that a notice lists."""

_WORDS = complete(
    {
        RootCause.UNREACHABLE_SYSTEM: MEANINGS[Breach.UNREACHABLE].words,
        RootCause.LOGIN_REFUSED: "the auditor's login is refused",
        RootCause.QUOTA_USED: "its quota of calls is used up",
        RootCause.STOPPED_CONSUMER: MEANINGS[Breach.STALLED].words,
        RootCause.SLOW_CONSUMER: MEANINGS[Breach.BACKLOG].words,
        RootCause.REJECTED_MESSAGES: MEANINGS[Breach.DEAD_LETTERS].words,
        RootCause.SECOND_WRITER: "records are changed there that it does not own",
        RootCause.CONCURRENT_WRITES: MEANINGS[Breach.WRITE_CONFLICT].words,
        RootCause.NOTHING_ARRIVES: "changes do not arrive there within their windows",
        RootCause.NOTHING_LEAVES: "its changes do not arrive anywhere within their windows",
        RootCause.NOTHING_MOVES: "changes do not arrive between these systems within their windows",
        RootCause.DELETIONS_MISSING: "what is deleted there stays in the copies beyond their windows",
        RootCause.PARTIAL_BATCH: "a batch was loaded in part",
        RootCause.SYSTEMATIC_DIFFERENCE: "records differ in the same way",
        RootCause.CLOCK_STEP: MEANINGS[Breach.CLOCK_STEP].words,
    }
)

_OF_A_QUEUE = frozenset({RootCause.STOPPED_CONSUMER, RootCause.SLOW_CONSUMER})
_OF_A_SYSTEM = frozenset({RootCause.UNREACHABLE_SYSTEM, RootCause.LOGIN_REFUSED, RootCause.QUOTA_USED})

_REACH = "Check whether the system is up and reachable from the auditor: `auditor doctor`."
_CLOCK = "Check the time service of the server. Changes around the step are undecided until the clock is steady."
_WHO_WRITES = (
    "Find out who writes there and stop it, or declare it as a writer in the map. If nobody does, messages may have "
    "overtaken each other."
)
_DECIDE = "Decide which copy counts: `auditor conflicts`."
_LETTERS = "Read why they were rejected (`auditor letters`), mend that, and only then replay."

ADVICE: Mapping[RootCause | Breach, str] = {
    **complete(
        {
            RootCause.UNREACHABLE_SYSTEM: _REACH,
            RootCause.LOGIN_REFUSED: "Renew the auditor's login in the map: `auditor doctor` tests it.",
            RootCause.QUOTA_USED: "Wait until the quota is renewed, or lower `budget` in the map.",
            RootCause.STOPPED_CONSUMER: "Start the consumer of the queue again, or find out what it waits for. "
            "One that reads in batches has to do so more often than the window is long.",
            RootCause.SLOW_CONSUMER: "Give the queue more consumers, or find out what slows them down.",
            RootCause.REJECTED_MESSAGES: _LETTERS,
            RootCause.SECOND_WRITER: _WHO_WRITES,
            RootCause.CONCURRENT_WRITES: _DECIDE,
            RootCause.NOTHING_ARRIVES: "Check what delivers to this system: its worker, connector or batch job.",
            RootCause.NOTHING_LEAVES: "Check what reads this system's changes: its outbox, connector or trigger.",
            RootCause.NOTHING_MOVES: "Check what moves changes between these systems: the worker, bus or iPaaS.",
            RootCause.DELETIONS_MISSING: "Check whether deletions are carried over. Delete the records in the "
            "copies, too.",
            RootCause.PARTIAL_BATCH: "Check why the batch stopped, and load it again as a whole.",
            RootCause.SYSTEMATIC_DIFFERENCE: "Check the mapping of the field and the last release of what writes it.",
            RootCause.CLOCK_STEP: _CLOCK,
        }
    ),
    **complete(
        {
            Breach.NOT_ARRIVING: "Check the worker or connector of the flow.",
            Breach.FOREIGN_WRITE: _WHO_WRITES,
            Breach.WRITE_CONFLICT: _DECIDE,
            Breach.ORPHAN: "Check whether deletions are carried over, and who creates records in the target.",
            Breach.DUPLICATE: "Check the idempotency key of the flow; merge the duplicates.",
            Breach.LOST_UPDATE: "Check the order in which the flow writes; decide which copy counts.",
            Breach.TRANSFORMATION: "Check the mapping of the field in the flow.",
            Breach.REGRESSION: "Check whether old messages were replayed or overtaken.",
            Breach.INVALID: "Correct the records where they are owned.",
            Breach.UNEXPLAINED: "Check the mapping, or run the backfill again.",
            Breach.CONFLICTS_WAITING: "Decide them: `auditor conflicts`.",
            Breach.UNVERIFIED: "See why they cannot be verified: `auditor drift`.",
            Breach.OBJECTIVE: "See which changes missed the window: `auditor objectives`, `auditor lag`.",
            Breach.DEAD_LETTERS: _LETTERS,
            Breach.EXPIRING: "Save these letters before the queue drops them.",
            Breach.BACKLOG: "Give the queue more consumers, or find out what slows them down.",
            Breach.STALLED: "Start the consumer of the queue again.",
            Breach.UNREAD_QUEUE: "Check the queue's address and login in the map: `auditor doctor`.",
            Breach.UNMEASURED_QUEUE: "See which figure the queue does not report: `auditor backlog`.",
            Breach.UNREACHABLE: _REACH,
            Breach.CLOCK_STEP: _CLOCK,
            Breach.UNREADABLE: "Check the map's entry for this data type in the system: `auditor doctor`.",
        }
    ),
}
"""What to do first."""


_CAUSES: Mapping[str, RootCause | Breach] = {str(each): each for each in (*RootCause, *Breach)}

_WAIT = "Wait for what was held up. If it does not arrive, check the worker or connector of the flow."


def advice_for(cause: RootCause | Breach, present: Collection[Breach]) -> str:
    """What to do first.

    Args:
        present: the breaches of the incident that count something now.
    """
    return _WAIT if _is_over(cause, present) else ADVICE[cause]


def cause_named(word: str) -> RootCause | Breach:
    """What an incident goes back to, by the name under which the ledger keeps it."""
    return _CAUSES[word]


def _is_over(cause: RootCause | Breach, present: Collection[Breach]) -> bool:
    """Whether a queue is read, or a system can be reached, again, and only what that held up is left."""
    return cause in _OF_A_QUEUE | _OF_A_SYSTEM and not shown_by(cause) & {*present}


def readers(flow: Flow) -> tuple[Consumer, ...]:
    """Who acts on the copy in the flow's target, gravest first."""
    reading = (each for each in flow.data_type.consumers if each.reads == flow.target_name)
    return tuple(sorted(reading, key=lambda each: (-ROLE_WEIGHT[each.role], each.name)))


def breach_text(breach: OpenBreach, flows: Mapping[str, Flow]) -> str:
    """A breach in a line: where, what, how many."""
    meaning = MEANINGS[breach.breach]
    if breach.system is not None:
        return f"{breach.system}: {meaning.words}"
    flow = flows.get(breach.flow or "")
    record = f"{flow.settings.data_type} record" if flow is not None else "record"
    more = {"audit": " in a row", "change": " did not"}.get(meaning.counts, "")
    size = counted(breach.count, record if meaning.counts == "record" else meaning.counts)
    where = f"{breach.flow}, queue {breach.queue}" if breach.queue else breach.flow
    return f"{where}: {meaning.words} ({size}{more})"


def summary_text(group: Group, extent: Extent, flows: Mapping[str, Flow]) -> str:
    """An incident in a line: where, what, how many on how many flows."""
    cause = group.cause
    if not isinstance(cause, RootCause):
        return breach_text(group.lead, flows)
    kind, _, name = group.subject.partition("/")
    sizes = []
    if extent.messages:
        sizes.append(counted(extent.messages, "message"))
    if extent.records:
        sizes.append(f"{_records(group, extent, flows)} affected")
    involved = {each.flow for each in group.breaches if each.flow is not None}
    if len(involved) > 1 and sizes:
        sizes[-1] += f" on {counted(len(involved), 'flow')}"
    elif not sizes and extent.conflicts:
        sizes.append(f"{counted(extent.conflicts, 'conflict')} waiting")
    elif not sizes and involved and all(each.breach in UNKNOWN for each in group.breaches if each.flow is not None):
        sizes.append(f"{counted(len(involved), 'flow')} cannot be verified")
    return f"{_where(kind, name)}: {_what(group, cause)}" + (f" ({', '.join(sizes)})" if sizes else "")


def _what(group: Group, cause: RootCause) -> str:
    """What has happened; of records that differ in the same way, how they do, without their number."""
    if _is_over(cause, _present(group)):
        again = "it is read again" if cause in _OF_A_QUEUE else "it can be read again"
        return f"{again}, and not all changes have arrived yet"
    how = group.lead.detail.rpartition(" in ")[0] if cause is RootCause.SYSTEMATIC_DIFFERENCE else ""
    return how or _WORDS[cause]


def _present(group: Group) -> list[Breach]:
    return [each.breach for each in group.breaches if each.count]


def clearing_text(group: Group, peak: int, flows: Mapping[str, Flow]) -> str:
    """An incident of which nothing is left for now, in a line: where, what, and how large it was at most.

    Args:
        peak: the largest number of its records at one time. Those of its breaches may be of different times.
    """
    largest = replace(group, breaches=tuple(replace(each, count=each.peak) for each in group.breaches))
    extent = extent_of(largest.breaches, largest.repeats)
    text = summary_text(largest, replace(extent, records=min(extent.records, peak)), flows)
    what, sized, size = text.rpartition(" (")
    return f"{what} (at most {size.removesuffix(')')}; none now)" if sized else f"{text} (over for now)"


def _where(kind: str, name: str) -> str:
    return ", queue ".join(name.split("/", 1)) if kind == "queue" else ", ".join(name.split("+"))


def _records(group: Group, extent: Extent, flows: Mapping[str, Flow]) -> str:
    types = {
        flows[each.flow or ""].settings.data_type
        for each in group.breaches
        if each.flow in flows and MEANINGS[each.breach].counts == "record"
    }
    return counted(extent.records, f"{next(iter(types))} record" if len(types) == 1 else "record")


def transition_text(kept: str) -> str:
    """A transition as the outbox keeps it, for people: without how often the incident had come back."""
    counted_of = _COUNTED.fullmatch(kept)
    return counted_of[1] if counted_of else kept


def detail_text(group: Group) -> str:
    """What is known of the cause: the breaches' own words, once each, and when they were true."""
    telling = (
        (each.detail, each.detail_at)
        for each in group.breaches
        # Which changes a cause made late says nothing of the cause.
        if each.breach is not Breach.OBJECTIVE or group.lead.breach is Breach.OBJECTIVE
    )
    return "; ".join(dated(telling))


def incident_path(incident_id: int, opened_at: datetime, until: datetime) -> str:
    """The page of an incident, with absolute times."""
    times = {"from": f"{opened_at:%Y-%m-%dT%H:%M:%SZ}", "to": f"{until:%Y-%m-%dT%H:%M:%SZ}"}
    return "incidents?" + urlencode({"id": incident_id, **times})


def notice_of(
    group: Group,
    *,
    incident_id: int,
    transition: Transition,
    severity: Severity,
    summary: str,
    extent: Extent,
    told: int,
    grown_from: str,
    peak: int,
    opened_at: datetime,
    since_at: datetime,
    now: datetime,
    flows: Mapping[str, Flow],
    records: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The notice of an incident, as senders expect it.

    Args:
        since_at: when it opened, or was opened again.
        grown_from: how large it was when it was last reported; "" if it is not reported for its growth.
        records: the worst of its records.
    """
    lead = group.lead
    flow = flows.get(lead.flow or "") or _only_flow(group, flows)
    acting = dict.fromkeys(
        consumer_text(reader) for flow_name in _involved(group, flows) for reader in readers(flows[flow_name])
    )
    breaches = [breach_text(each, flows) for each in group.breaches if each.breach_id not in group.repeats]
    return {
        "incident": incident_id,
        "transition": transition.value,
        "breach": lead.breach.value,
        "cause": group.cause.value,
        "severity": severity.value,
        "summary": f"{summary}, up from {grown_from}" if grown_from else summary,
        "detail": detail_text(group),
        "evidence": evidence_text(group),
        "advice": advice_for(group.cause, _present(group)),
        "breaches": [*breaches[:LISTED], *([f"{len(breaches) - LISTED} more"] if len(breaches) > LISTED else [])],
        "records": list(records),
        "consumers": list(acting),
        "flow": lead.flow,
        "system": lead.system,
        "data_type": flow.settings.data_type if flow else None,
        "source": flow.source_name if flow else None,
        "target": flow.target_name if flow else None,
        "count": extent.count,
        "told": told,
        "peak": peak,
        "window_s": flow.window_s if flow else 0,
        "team": flow.settings.team if flow else None,
        "channel": flow.settings.slack_channel if flow else None,
        "runbook": flow.settings.runbook if flow else None,
        "dashboard_path": incident_path(incident_id, opened_at, now),
        "opened_at": opened_at.isoformat(),
        "since_at": since_at.isoformat(),
        "at": now.isoformat(),
    }


def _only_flow(group: Group, flows: Mapping[str, Flow]) -> Flow | None:
    """The flow that an incident of a system is about, if it is one."""
    involved = _involved(group, flows)
    return flows[involved[0]] if len(involved) == 1 else None


def _involved(group: Group, flows: Mapping[str, Flow]) -> list[str]:
    """The flows of the map that an incident is about."""
    return list(dict.fromkeys(each.flow for each in group.breaches if each.flow is not None and each.flow in flows))

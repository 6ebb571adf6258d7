"""Incidents: when a breach opens, stays open, resolves and reopens. One message per transition, never per record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from auditor.alerts.objectives import WindowObjective, evidence_text
from auditor.ledger import NO_DOUBT, Doubt, Ledger, Transaction
from auditor.map.flow import Flow
from checks.breaches import BREACH_OF, MEANINGS, Breach
from checks.cause import Cause
from checks.incidents import BreachSignal, IncidentMove, next_move
from probes.contract import ProbeError, Reason
from probes.wording import counted

ABSORB_S = 15 * 60
"""A breach that returns this soon after it was resolved is the same incident, reopened."""

WHOLE_SYSTEM = frozenset({Reason.TIMEOUT, Reason.UNREACHABLE, Reason.AUTH, Reason.OVER_BUDGET})
"""Failures that every reader of a system meets."""


def after_audit(
    ledger: Ledger,
    transaction: Transaction,
    *,
    flow: Flow,
    open_by_cause: Mapping[str, int],
    failed: tuple[str, ProbeError, int] | None,
    senders: Sequence[str],
    now: datetime,
    in_turn: bool = True,
    waiting: int = 0,
    doubt: Doubt = NO_DOUBT,
    objective: WindowObjective | None = None,
) -> None:
    """Advance the incidents of a flow and of its systems, inside the audit's own transaction.

    Args:
        open_by_cause: open divergences of the flow.
        failed: the system that could not be read, why, and the number of consecutive failed audits of this flow; None
            if the audit was complete. Only then does a count of 0 mean anything.
        in_turn: a regular audit; a probe between two turns reads too little to prove that anything is over.
        waiting: conflicts of the flow that wait for a person.
        doubt: what cannot be verified of the flow.
        objective: whether the flow keeps its promised share; None if it was not judged now.
    """
    rule = flow.settings.alert
    counts = dict.fromkeys(BREACH_OF.values(), 0)
    for cause, count in open_by_cause.items():
        counts[BREACH_OF[Cause(cause)]] += count
    signals = [
        BreachSignal(
            breach=breach,
            fingerprint=f"flow/{flow.name}/{breach}",
            count=count,
            threshold=rule.divergences,
            clear_after_s=flow.clear_after_s,
            known=failed is None,
            flow=flow.name,
        )
        for breach, count in counts.items()
    ]
    # An unreadable queue is an incident of the queue.
    records, lasting = doubt.records - doubt.queues, doubt.lasting - doubt.lasting_queues
    signals.append(
        BreachSignal(
            breach=Breach.UNVERIFIED,
            fingerprint=f"flow/{flow.name}/unverified",
            # A doubt that does not last yet opens nothing; it keeps an open incident open.
            count=records if lasting else 0,
            threshold=rule.divergences,
            clear_after_s=flow.clear_after_s,
            known=failed is None and (lasting > 0 or not records),
            flow=flow.name,
            detail=doubt.reason,
        )
    )
    signals.append(
        BreachSignal(
            breach=Breach.CONFLICTS_WAITING,
            fingerprint=f"flow/{flow.name}/conflicts_waiting",
            count=waiting,
            threshold=1,
            clear_after_s=0,
            flow=flow.name,
        )
    )
    if objective is not None:
        signals.append(_objective(objective, flow))
    broken, error, audits = failed if failed else ("", None, 0)
    # A failure for every reader is an incident of the system; one that only this flow meets is one of the flow.
    everybodys = error is not None and error.reason in WHOLE_SYSTEM
    signals += [
        BreachSignal(
            breach=Breach.UNREACHABLE,
            fingerprint=f"system/{name}/unreachable",
            count=audits if everybodys and name == broken else 0,
            threshold=rule.failures,
            clear_after_s=flow.clear_after_s,
            known=failed is None or (everybodys and name == broken),
            system=name,
            detail=str(error) if error and name == broken else "",
        )
        for name in (flow.source_name, flow.target_name)
    ]
    signals.append(
        BreachSignal(
            breach=Breach.UNREADABLE,
            fingerprint=f"flow/{flow.name}/unreadable",
            count=0 if everybodys else audits,
            threshold=rule.failures,
            clear_after_s=flow.clear_after_s,
            known=not everybodys,
            flow=flow.name,
            detail=f"{broken}: {error}" if error else "",
        )
    )
    if not in_turn:
        signals = [replace(each, known=each.known and each.count > 0) for each in signals]
    move(ledger, transaction, signals, flow=flow, senders=senders, now=now)


def _objective(objective: WindowObjective, flow: Flow) -> BreachSignal:
    """The signal for missed windows. The incident is over when the changes of an hour keep the promise again."""
    decision = objective.decision
    return BreachSignal(
        breach=Breach.OBJECTIVE,
        fingerprint=f"flow/{flow.name}/objective",
        count=decision.missed if decision is not None else 0,
        threshold=1,
        clear_after_s=flow.clear_after_s,
        known=decision is not None or objective.kept_again,
        flow=flow.name,
        detail=evidence_text(objective, flow.window_s),
    )


def move(
    ledger: Ledger,
    transaction: Transaction,
    signals: Sequence[BreachSignal],
    *,
    flow: Flow,
    senders: Sequence[str],
    now: datetime,
) -> None:
    """Write what `next_move` decides for each signal, and queue a message per transition."""
    recent = ledger.incidents.recent(
        transaction, [each.fingerprint for each in signals], now - timedelta(seconds=ABSORB_S)
    )
    for each in signals:
        incident = recent.get(each.fingerprint)
        next_state = next_move(incident, each, now)
        if next_state is None:
            continue
        summary = _summary(each, next_state, flow)
        opened_at = incident.opened_at if incident else now
        values: dict[str, Any] = {
            "state": next_state.state,
            "count": next_state.count,
            "peak": next_state.peak,
            "told": next_state.told,
            "growth": next_state.growth,
            "clear_since_at": next_state.clear_since_at,
            "reopened": next_state.reopened,
            "resolved_at": now if next_state.state == "resolved" else None,
            "summary": incident.summary if incident and next_state.state == "resolved" else summary,
        }
        if incident is None:
            values |= {
                "fingerprint": each.fingerprint,
                "flow": each.flow,
                "system": each.system,
                "breach": each.breach.value,
                "opened_at": opened_at,
            }
        identity = ledger.incidents.save(transaction, incident.incident_id if incident else 0, values)
        if not next_state.transition:
            continue
        grown = f" {next_state.growth}x" if next_state.transition == "grown" else ""
        times = grown + (f" {next_state.reopened}" if next_state.reopened else "")
        notice = _notice(each, next_state, flow, identity, opened_at, now, values["summary"])
        for sender in senders:
            ledger.outbox.queue(
                transaction,
                incident_id=identity,
                transition=next_state.transition + times,
                sender=sender,
                notice=notice,
                at=now,
                fingerprint=each.fingerprint,
            )


def _summary(signal: BreachSignal, next_state: IncidentMove, flow: Flow) -> str:
    meaning = MEANINGS[signal.breach]
    if signal.system is not None:
        return f"{signal.system}: {meaning.words}"
    what = f"{flow.settings.data_type} record" if meaning.counts == "record" else meaning.counts
    more = {"audit": " in a row", "change": " did not"}.get(meaning.counts, "")
    where = f"{flow.name}, queue {signal.queue}" if signal.queue else flow.name
    since = f", {next_state.told} when it opened" if next_state.transition == "grown" else ""
    return f"{where}: {meaning.words} ({counted(next_state.count, what)}{more}{since})"


def _notice(
    signal: BreachSignal,
    next_state: IncidentMove,
    flow: Flow,
    identity: int,
    opened_at: datetime,
    now: datetime,
    summary: str,
) -> dict[str, Any]:
    return {
        "incident": identity,
        "transition": next_state.transition,
        "breach": signal.breach.value,
        "summary": summary,
        "detail": signal.detail,
        "flow": signal.flow,
        "system": signal.system,
        "data_type": flow.settings.data_type,
        "source": flow.source_name,
        "target": flow.target_name,
        "count": next_state.count,
        "told": next_state.told,
        "peak": next_state.peak,
        "window_s": flow.window_s,
        "team": flow.settings.team,
        "channel": flow.settings.slack_channel,
        "runbook": flow.settings.runbook,
        "opened_at": opened_at.isoformat(),
        "at": now.isoformat(),
    }

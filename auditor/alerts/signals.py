"""Signals: what one audit of a flow says about each breach that the flow and its systems can have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from auditor.alerts.objectives import WindowObjective, evidence_text
from auditor.ledger import NO_DOUBT, Doubt
from auditor.map.flow import Flow
from checks.breach_life import BreachSignal
from checks.breaches import BREACH_OF, Breach
from checks.cause import Cause
from probes.contract import ProbeError, Reason

WHOLE_SYSTEM = frozenset({Reason.TIMEOUT, Reason.UNREACHABLE, Reason.AUTH, Reason.OVER_BUDGET})
"""Failures that every reader of a system meets."""


def signals_of(
    flow: Flow,
    *,
    open_by_cause: Mapping[str, int],
    failed: tuple[str, ProbeError, int] | None,
    in_turn: bool = True,
    waiting: int = 0,
    doubt: Doubt = NO_DOUBT,
    objective: WindowObjective | None = None,
    evidence: Mapping[Breach, tuple[str, str]] = MappingProxyType({}),
    steps: Mapping[str, str] = MappingProxyType({}),
) -> list[BreachSignal]:
    """The signals of one audit.

    Args:
        open_by_cause: open divergences of the flow.
        failed: the system that could not be read, why, and the number of consecutive failed audits of this flow; None
            if the audit was complete. Only then does a count of 0 mean anything.
        in_turn: a regular audit; a probe between two turns reads too little to prove that anything is over.
        waiting: conflicts of the flow that wait for a person.
        doubt: what cannot be verified of the flow.
        objective: whether the flow keeps its promised share; None if it was not judged now.
        evidence: by breach, the reason and the text of what its records have in common.
        steps: by system, how its clock was set, while its timestamps are not used.
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
            reason=evidence.get(breach, ("", ""))[0],
            detail=evidence.get(breach, ("", ""))[1],
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
            reason=error.reason.value if error and name == broken else "",
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
    signals += [
        BreachSignal(
            breach=Breach.CLOCK_STEP,
            fingerprint=f"system/{name}/clock_step",
            count=int(name in steps),
            threshold=1,
            clear_after_s=flow.clear_after_s,
            system=name,
            detail=steps.get(name, ""),
        )
        for name in (flow.source_name, flow.target_name)
    ]
    if not in_turn:
        return [replace(each, known=each.known and each.count > 0) for each in signals]
    return signals


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

"""Whether a flow keeps the share of changes within the window that its SLA promises, or needs an incident."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from auditor.ledger import Ledger
from auditor.map.flow import Flow
from checks.bursts import Burst
from checks.objectives import ShareObjective, WindowCounts
from checks.paging import DAY_S, HOUR_S, PERIOD_S, SPANS_S, Decision, SlowBurn, decide, strict
from probes.durations import format_duration
from probes.wording import at_most, counted, percent


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowObjective:
    """The promised share of a flow's changes within their window.

    Attributes:
        period: the changes of its period, compared with the promise.
        decision: the reason for an incident, None if there is none.
        kept_again: changes of the last hour met their window as promised.
    """

    period: ShareObjective
    decision: Decision | None
    kept_again: bool


def judge_objective(flow: Flow, ledger: Ledger, now: datetime, burst: Burst | None = None) -> WindowObjective:
    """Whether a flow keeps its objective, and whether that is worth an incident.

    Args:
        burst: the flow's latest one.
    """
    sla = flow.settings.sla
    spans = (*SPANS_S, sla.period_s)
    found = ledger.measurements.windows(flow.name, [now - timedelta(seconds=each) for each in spans])
    by_span = dict(zip(spans, found, strict=True))
    return WindowObjective(
        period=ShareObjective(counts=by_span[sla.period_s], goal=sla.within_window),
        decision=_decision(flow, ledger, by_span, now, burst),
        kept_again=by_span[HOUR_S].keep(sla.within_window),
    )


def changes_per_period(by_span: Mapping[float, WindowCounts]) -> float:
    """How many changes a flow has in a period, by the span in which it has most."""
    return max(counts.total * PERIOD_S / span_s for span_s, counts in by_span.items() if span_s >= DAY_S)


def _decision(
    flow: Flow, ledger: Ledger, by_span: Mapping[float, WindowCounts], now: datetime, burst: Burst | None
) -> Decision | None:
    sla = flow.settings.sla
    if sla.strict or sla.within_window >= 1:
        return strict(by_span[HOUR_S].missed)
    whole = by_span[sla.period_s]
    if not whole.missed:
        return None

    def slow() -> SlowBurn:
        evidence = SlowBurn()
        for hour in ledger.measurements.windows_by_hour(flow.name, now - timedelta(seconds=sla.period_s)):
            evidence = evidence.plus(hour, sla.within_window)
        return evidence

    return decide(
        by_span,
        sla.within_window,
        burst=burst,
        slow=slow,
        changes_per_period=changes_per_period(by_span),
        now=now,
    )


def evidence_text(objective: WindowObjective, window_s: float) -> str:
    """The decision and its evidence, in sentences for people."""
    period = objective.period
    counts, (least, most) = period.counts, period.underlying
    undecided = f", {counts.undecided} undecided" if counts.undecided else ""
    seen = (
        f"of {counted(counts.total, 'change')} in the period {counts.met} met the window of "
        f"{format_duration(window_s)}{undecided}; in the long run {percent(least)} … {percent(most)}, "
        f"promised at least {period.goal:.3%}".replace(".000%", "%")
    )
    decision = objective.decision
    if decision is None:
        return seen
    by_chance = (
        f"; by chance in {at_most(decision.false_ratio)} of periods of 28 days" if decision.false_ratio else ""
    )
    return f"{decision.reason}{by_chance}. {seen}"

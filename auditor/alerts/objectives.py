"""Whether each flow keeps the share of changes within the window that its SLA promises, over the last day."""

from __future__ import annotations

from datetime import datetime, timedelta

from auditor.ledger import Ledger
from auditor.map.flow import Flow
from checks.convergence import Verdict
from checks.objectives import WindowObjective
from probes.durations import format_duration
from probes.wording import counted

PERIOD = timedelta(days=1)
"""The period that `sla.within_window` is promised for, in whole hours."""

BREACHES = (Verdict.BREACH, Verdict.BREACH_THEN_CONVERGED)


def within_window(flow: Flow, ledger: Ledger, now: datetime) -> WindowObjective:
    """The changes of a flow in the last day, compared with the share that its SLA promises."""
    counts = ledger.measurements.windows_of(flow.name, now - PERIOD)
    return WindowObjective(
        met=counts.get(Verdict.MET, 0),
        breach=sum(counts.get(verdict, 0) for verdict in BREACHES),
        undecided=counts.get(Verdict.UNDECIDED, 0),
        goal=flow.settings.sla.within_window,
    )


def evidence_text(objective: WindowObjective, window_s: float) -> str:
    """The counts with their error, for people."""
    least, most = objective.underlying
    undecided = f", {objective.undecided} undecided" if objective.undecided else ""
    met = f"{objective.met} of {counted(objective.total, 'change')} met the window of {format_duration(window_s)}"
    return (
        f"{met} in the last day"
        f"{undecided}; in the long run {least:.1%} … {most:.1%}, promised at least {objective.goal:.1%}"
    )

"""What is used of each system's budget, what it had no room for, what it holds back, and what the rest can prove."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from auditor.history.figure_text import ratio_text
from auditor.ledger import Ledger, Work
from auditor.map.flow import Flow
from auditor.map.integration_map import IntegrationMap
from auditor.systems.allowance import DAY_S, PLANNED, Reserved, Worth, kept_of
from checks.estimates import estimate
from checks.sampling import Cohort
from probes.durations import format_duration
from probes.wording import figure

LAST_S = 3_600.0
"""Records are counted over the last hour."""

WHY_LEFT_OUT = (
    "an audit may read `records_per_s` times the interval of its flow, shared with the system's other flows, and "
    "what it does not use is not saved up. One audit with much to read leaves reads out, even if the average is far "
    "below the limit. So does a spent limit of calls, or the tighter budget of a flow's other system."
)
"""What it means that reads were left out, for people."""

SAMPLED_S = 86_400.0
"""What is proved rests on the sample of the last day, as far as the ledger still holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetUse:
    """How a system's budget is used.

    Attributes:
        records_per_s: allowed on average.
        records_used_per_s: read by audits of the last hour, on average over the time since the first of them;
            second looks and lists are not counted.
        records_shared_per_s: that would have been read besides if flows did not share what they read.
        calls_per_day: allowed; None for any number.
        calls_used: of the last 24 hours, those included that are reserved at present; None where they are not kept.
        shed: reads that audits of the last hour left out, counted only where calls are limited if a flow's other
            system has no such limit; a key that waits for several audits counts in each.
        flow: of those that read the system, the one of which least is proved; None where nothing is of any.
        differ_ratio_most: at most such a share of that flow's records differs, at 95 %.
    """

    system: str
    records_per_s: float
    records_used_per_s: float
    records_shared_per_s: float
    calls_per_day: int | None
    calls_used: int | None
    shed: int
    flow: str | None
    differ_ratio_most: float | None

    def as_document(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)

    def as_row(self) -> dict[str, Any]:
        """For people."""
        proved = "not sampled yet"
        if self.differ_ratio_most is not None:
            proved = f"{ratio_text(0.0, 0.0, self.differ_ratio_most)} of {self.flow} differ"
        per_day = self.calls_per_day
        shared = f", {figure(self.records_shared_per_s)} shared" if self.records_shared_per_s else ""
        return {
            "system": self.system,
            "records/s": f"{figure(self.records_used_per_s)} of {figure(self.records_per_s)}{shared}",
            "calls in 24 h": "no limit" if per_day is None else f"{self.calls_used or 0:,} of {per_day:,}",
            "reads left out in 1 h": f"{self.shed:,}",
            "by sample": proved,
        }


def budget_use(integration_map: IntegrationMap, ledger: Ledger, now: datetime) -> list[BudgetUse]:
    """How the budget of every system of the map is used."""
    work = ledger.flows.work_since(now - timedelta(seconds=LAST_S))
    cohorts = ledger.measurements.cohorts_since(now - timedelta(seconds=SAMPLED_S))
    calls = ledger.spending.counted(now)
    found = []
    for name, settings in integration_map.systems.items():
        mine = [flow for flow, each in integration_map.flows.items() if name in {each.from_, each.to}]
        per_day = settings.budget.calls_per_day
        flow, most = _least_proved(mine, cohorts)
        over_s = {each: _audited_s(work[each], integration_map.flow(each), now) for each in mine if each in work}
        read_per_s = sum(work[each].read / seconds for each, seconds in over_s.items())
        shared_per_s = sum(
            work[each].shared / seconds
            for each, seconds in over_s.items()
            if integration_map.flows[each].from_ == name
        )
        found.append(
            BudgetUse(
                system=name,
                records_per_s=settings.budget.records_per_s,
                records_used_per_s=read_per_s - shared_per_s,
                records_shared_per_s=shared_per_s,
                calls_per_day=per_day,
                calls_used=None if per_day is None else calls.get(name, 0),
                shed=sum(work[each].shed for each in mine if each in work and name in _blamed(integration_map, each)),
                flow=flow,
                differ_ratio_most=most,
            )
        )
    return found


def _audited_s(work: Work, flow: Flow, now: datetime) -> float:
    """For how much of the last hour a flow was audited; what its first audit read counts for an interval as well."""
    return min(LAST_S, max(0.0, (now - work.begun_at).total_seconds()) + flow.every_s)


def held_back(
    integration_map: IntegrationMap,
    ledger: Ledger,
    now: datetime,
    *,
    work: Mapping[str, Work],
    first_sweep: Collection[str],
    late: Mapping[str, str],
) -> dict[str, str]:
    """What each flow cannot read now because calls_per_day are spent or spread over the day, and until when.

    Args:
        work: what recent audits have left out, by flow.
        first_sweep: flows whose first sweep is not complete.
        late: by flow, what has been left out for too long, "" for nothing. Only for these and the first sweep is a
            slow pace a reason.

    Returns:
        By flow; "" if nothing is held back.
    """
    calls = ledger.spending.used(now)
    held = {}
    for flow, each in integration_map.flows.items():
        waits = flow in work and work[flow].shed > 0
        slow = "the sweep" if flow in first_sweep else "the audit" if late.get(flow) else ""
        reasons = [
            _spent(name, per_day, calls.get(name), now)
            or (_waits(name, per_day, calls.get(name), now, slow=slow) if waits else "")
            for name in dict.fromkeys((each.from_, each.to))
            if (per_day := integration_map.systems[name].budget.calls_per_day) is not None
        ]
        held[flow] = "; ".join(filter(None, reasons))
    return held


def _blamed(integration_map: IntegrationMap, flow: str) -> set[str]:
    """The systems whose budget may have refused a flow's reads: those with limited calls if there are any."""
    both = {integration_map.flows[flow].from_, integration_map.flows[flow].to}
    return {name for name in both if integration_map.systems[name].budget.call_limits} or both


def _spent(system: str, per_day: int, used: Reserved | None, now: datetime) -> str:
    if used is None or used.counted < per_day:
        return ""
    return (
        f"nothing more is read from {system}: {used.counted} of {per_day} calls_per_day are used{_again(used, now)}"
    )


def _waits(system: str, per_day: int, used: Reserved | None, now: datetime, *, slow: str) -> str:
    calls = 0 if used is None else used.counted
    if used is not None and calls >= per_day - kept_of(per_day, Worth.SWEEP):
        rest = "the rest is kept for changes and due records"
        return (
            f"the sweep of {system} waits: {calls} of {per_day} calls_per_day are used, and {rest}{_again(used, now)}"
        )
    every = format_duration(DAY_S / (PLANNED * per_day))
    pace = f"{per_day} calls_per_day ({calls} used) allow about one call every {every} for all its flows"
    return f"{slow} of {system} is slow: {pace}" if slow else ""


def _again(used: Reserved, now: datetime) -> str:
    return "" if used.free_at is None else f"; the first are free again at {at_text(used.free_at, now)}"


def at_text(at: datetime, now: datetime) -> str:
    """An instant for people, with the day unless it is today."""
    return f"{at:%H:%M} UTC" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M} UTC"


def _least_proved(flows: list[str], cohorts: Mapping[str, Cohort]) -> tuple[str | None, float | None]:
    """The flow with the highest upper end of the share that differs, and that end; none where one was not sampled."""
    bounds = {flow: estimate(cohorts.get(flow, Cohort())) for flow in flows}
    if not bounds or not all(bound.read for bound in bounds.values()):
        return None, None
    flow = max(bounds, key=lambda each: bounds[each].upper)
    return flow, bounds[flow].upper

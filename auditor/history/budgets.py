"""What is used of each system's budget, what it had no room for, and what the rest can still prove."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from auditor.history.figure_text import ratio_text
from auditor.ledger import Ledger
from auditor.map.integration_map import IntegrationMap
from checks.estimates import estimate
from checks.sampling import Cohort

LAST_S = 3_600.0
"""Records are counted over the last hour."""

SAMPLED_S = 86_400.0
"""What is proved rests on the sample of the last day, as far as the ledger still holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetUse:
    """How a system's budget is used.

    Attributes:
        records_per_s: allowed on average.
        records_used_per_s: read in the last hour, by audits; second looks and lists are not counted.
        calls_per_day: allowed; None for any number.
        calls_used: of the last 24 hours, those included that are reserved at present; None where they are not kept.
        shed: keys that audits of the last hour skipped because this system or the other one had no room for them.
        flow: of those that read the system, the one of which least is proved; None where nothing is of any.
        differ_ratio_most: at most such a share of that flow's records differs, at 95 %.
    """

    system: str
    records_per_s: float
    records_used_per_s: float
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
        proved = "nothing yet"
        if self.differ_ratio_most is not None:
            proved = f"{ratio_text(0.0, 0.0, self.differ_ratio_most)} of {self.flow} differ"
        per_day = self.calls_per_day
        return {
            "system": self.system,
            "records/s": f"{self.records_used_per_s:.3g} of {self.records_per_s:g}",
            "calls in 24 h": "no limit" if per_day is None else f"{self.calls_used or 0} of {per_day}",
            "skipped in 1 h": self.shed,
            "proved": proved,
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
        found.append(
            BudgetUse(
                system=name,
                records_per_s=settings.budget.records_per_s,
                records_used_per_s=sum(work[flow].read for flow in mine if flow in work) / LAST_S,
                calls_per_day=per_day,
                calls_used=None if per_day is None else calls.get(name, 0),
                shed=sum(work[flow].shed for flow in mine if flow in work),
                flow=flow,
                differ_ratio_most=most,
            )
        )
    return found


def _least_proved(flows: list[str], cohorts: Mapping[str, Cohort]) -> tuple[str | None, float | None]:
    """The flow with the highest upper end of the share that differs, and that end; none where one was not sampled."""
    bounds = {flow: estimate(cohorts.get(flow, Cohort())) for flow in flows}
    if not bounds or not all(bound.read for bound in bounds.values()):
        return None, None
    flow = max(bounds, key=lambda each: bounds[each].upper)
    return flow, bounds[flow].upper

"""What each flow promises and whether it keeps it: `auditor objectives` and the SLA page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_CEILING
from enum import StrEnum
from typing import Any, TypeVar

from auditor.history.backlogs import Backlog, backlogs, not_read, read_lately
from auditor.history.coverage import disagreements, due_records
from auditor.history.figure_text import ratio_text
from auditor.history.lag import CELLS
from auditor.history.lens import Lens
from auditor.ledger import Ledger
from auditor.map.flow import Flow
from auditor.map.integration_map import IntegrationMap
from auditor.map.settings import Objective
from checks.backlog import Allowance, over_allowance
from checks.convergence import Verdict
from checks.estimates import Estimate
from checks.intervals import clopper_pearson
from checks.lag_cells import EDGES_S
from checks.objectives import ShareObjective, Standing, WindowCounts, at_least, at_most
from checks.paging import HOUR_S
from probes.durations import format_duration, measured
from probes.settings import Role
from probes.wording import figure, percent

BURN_SPANS_S = (HOUR_S, 6 * HOUR_S, 72 * HOUR_S)

BURST_SHOWN = timedelta(days=1)
"""How long a burst is shown after its end."""

_Figures = TypeVar("_Figures")

QUEUES_S = 86_400.0
"""A queue that was not read for this long is left out; until then it is undecided."""


class Measure(StrEnum):
    """What an objective is judged by."""

    WINDOW = "window"
    STRICT = "strict"
    WITHIN = "within"
    AGREEMENT = "agreement"
    COVERAGE = "coverage"
    VERIFIED = "verified"
    QUEUE = "queue"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveFigure:
    """One objective of a flow.

    Attributes:
        measure: what it is judged by.
        name, goal, seen: for people.
        standing: kept, broken, undecided or without traffic.
        within_s: of changes within another time than the window, that time; None for other objectives.
        queue: of a queue, its name in the map; None for other objectives.
        counts: of a share, what it was counted from; None for other objectives.
        goal_ratio: of a share, the least that is promised.
        budget_left: of a share, the part of the error budget that is left: at least and at most.
        burn: by span in seconds, how many times faster than allowed the error budget is used; None without changes.
        burst: what the fresh reads after the last missed change show; None if there are none of the last day.
    """

    flow: str
    measure: Measure
    name: str
    goal: str
    seen: str
    standing: Standing
    within_s: float | None = None
    queue: str | None = None
    counts: WindowCounts | None = None
    goal_ratio: float | None = None
    budget_left: tuple[float, float] | None = None
    burn: Mapping[float, float | None] | None = None
    burst: str | None = None

    def as_document(self) -> dict[str, Any]:
        """For programs."""
        counts, left, burn = self.counts, self.budget_left or (None, None), self.burn or {}
        return {
            "flow": self.flow,
            "objective": self.name,
            "goal": self.goal,
            "seen": self.seen,
            "state": self.standing.value,
            "goal_ratio": self.goal_ratio,
            "met": counts.met if counts else None,
            "missed": counts.missed if counts else None,
            "undecided": counts.undecided if counts else None,
            "budget_left_least": left[0],
            "budget_left_most": left[1],
            **{f"burn_{span_s / HOUR_S:g}h": burn.get(span_s) for span_s in BURN_SPANS_S},
            "burst": self.burst,
        }

    def as_row(self) -> dict[str, Any]:
        """For people."""
        return {
            "flow": self.flow,
            "objective": self.name,
            "goal": self.goal,
            "state": self.standing.value,
            "seen": self.seen,
            "error budget left": left_text(self.budget_left),
            "burn 1 h / 6 h / 3 d": _burn_text(self.burn),
            "burst": self.burst or "–",
        }


def objectives(
    integration_map: IntegrationMap, ledger: Ledger, lens: Lens, _: datetime, now: datetime
) -> list[ObjectiveFigure]:
    """Every objective of every flow, each over the period of its flow's SLA."""
    flows = {name: integration_map.flow(name) for name in integration_map.flows}

    def over_periods(
        figures: Callable[[Lens, datetime, datetime], _Figures], promised: Callable[[Objective], bool]
    ) -> dict[float, _Figures]:
        """By period, figures over it, for the periods over which some flow promises what they tell."""
        wanted = {flow.settings.sla.period_s for flow in flows.values() if promised(flow.settings.sla)}
        return {period_s: figures(lens, now - timedelta(seconds=period_s), now) for period_s in wanted}

    cells = over_periods(_cells, lambda sla: bool(sla.within))
    due = over_periods(due_records, lambda sla: sla.coverage is not None)
    differ = over_periods(disagreements, lambda sla: sla.agreement is not None)
    states = {row["flow"]: row for row in ledger.exports.table("flow_state")}
    queues = backlogs(integration_map, lens, now - timedelta(seconds=QUEUES_S))
    found: list[ObjectiveFigure] = []
    for name, flow in flows.items():
        period_s = flow.settings.sla.period_s
        found += _window(flow, ledger, now)
        found += _within(flow, cells.get(period_s, {}).get(name, []))
        found += _agreement(flow, differ.get(period_s, {}).get(name))
        found += _coverage(flow, due.get(period_s, {}).get(name, {}))
        found += _verified(flow, states.get(name, {}).get("verified_through_at"), now)
        found += _queues(flow, (each for each in queues if each.flow == name), now)
    return found


def _window(flow: Flow, ledger: Ledger, now: datetime) -> Iterator[ObjectiveFigure]:
    if not flow.window_s:
        return
    sla = flow.settings.sla
    spans = (*BURN_SPANS_S, sla.period_s)
    counts = ledger.measurements.windows(flow.name, [now - timedelta(seconds=each) for each in spans])
    by_span = dict(zip(spans, counts, strict=True))
    burst = ledger.bursts.latest(flow.name)
    lately = burst is not None and now - (burst.ended_at or now) < BURST_SHOWN
    yield _share(
        flow,
        Measure.WINDOW,
        f"changes within the window of {format_duration(flow.window_s)}",
        by_span[sla.period_s],
        sla.within_window,
        burn={span_s: by_span[span_s].burn(sla.within_window) for span_s in BURN_SPANS_S},
        burst=burst.summary if burst is not None and lately else None,
    )
    if sla.strict:
        missed = by_span[sla.period_s].missed
        yield ObjectiveFigure(
            flow=flow.name,
            measure=Measure.STRICT,
            name="no change may miss its window",
            goal="0 missed",
            seen=f"{missed} missed",
            standing=Standing.BROKEN if missed else Standing.KEPT,
        )


def _within(flow: Flow, cells: Sequence[tuple[float, float, int]]) -> Iterator[ObjectiveFigure]:
    for within_s, goal in flow.settings.sla.within.items():
        yield _share(
            flow,
            Measure.WITHIN,
            f"changes within {format_duration(within_s)}",
            within_counts(cells, within_s),
            goal,
            within_s=within_s,
        )


def within_counts(cells: Iterable[tuple[float, float, int]], within_s: float) -> WindowCounts:
    """Changes by whether they arrived within a time.

    Args:
        cells: numbers of changes by the bounds of their lag in seconds: more than, at most.
    """
    met = missed = total = 0
    for lower_s, upper_s, changes in cells:
        total += changes
        met += changes * (upper_s <= within_s)
        missed += changes * (lower_s >= within_s)
    return WindowCounts(met, missed, total - met - missed)


def _cells(lens: Lens, since: datetime, now: datetime) -> dict[str, list[tuple[float, float, int]]]:
    """By flow, the changes by the bounds of their lag in seconds; those that have not arrived have no upper one."""
    found: dict[str, list[tuple[float, float, int]]] = {}
    for row in lens.query(CELLS, [since, now]).to_pylist():
        if row["verdict"] != Verdict.SUPERSEDED:
            bounds = EDGES_S[row["lower_cell"]], EDGES_S[row["upper_cell"] + 1]
            found.setdefault(row["flow"], []).append((*bounds, row["changes"]))
    for row in lens.query(WAITING).to_pylist():
        found.setdefault(row["flow"], []).append((row["lag_lower_s"], float("inf"), 1))
    return found


def _agreement(flow: Flow, differ: Estimate | None) -> Iterator[ObjectiveFigure]:
    promised = flow.settings.sla.agreement
    if promised is None:
        return
    seen, standing = "none read", Standing.UNDECIDED
    if differ is not None and differ.read:
        least, most = 1 - differ.upper, 1 - differ.lower
        seen = f"{percent(least)} … {percent(most)} of {differ.read} read"
        standing = at_least(least, most, promised)
    yield ObjectiveFigure(
        flow=flow.name,
        measure=Measure.AGREEMENT,
        name="records that agree, by sample",
        goal=_at_least(promised),
        seen=seen,
        standing=standing,
        goal_ratio=promised,
    )


def _coverage(flow: Flow, came: Mapping[str, Any]) -> Iterator[ObjectiveFigure]:
    promised = flow.settings.sla.coverage
    if promised is None:
        return
    due, verdicts = int(came.get("due") or 0), int(came.get("verdicts") or 0)
    share = verdicts / due if due else None
    yield ObjectiveFigure(
        flow=flow.name,
        measure=Measure.COVERAGE,
        name="due records with a verdict",
        goal=_at_least(promised),
        seen=f"{ratio_text(share, *clopper_pearson(verdicts, due))} of {due}",
        standing=Standing.NO_TRAFFIC if share is None else at_least(share, share, promised),
        goal_ratio=promised,
    )


def _verified(flow: Flow, through_at: datetime | None, now: datetime) -> Iterator[ObjectiveFigure]:
    within_s = flow.settings.sla.verified_within_s
    if within_s is None:
        return
    behind_s = None if through_at is None else (now - through_at).total_seconds()
    yield ObjectiveFigure(
        flow=flow.name,
        measure=Measure.VERIFIED,
        name="verified through",
        goal=f"at most {format_duration(within_s)} ago",
        seen="never yet" if behind_s is None else f"{measured(behind_s, ROUND_CEILING)} ago",
        standing=at_most(behind_s, within_s),
    )


def _queues(flow: Flow, queues: Iterable[Backlog], now: datetime) -> Iterator[ObjectiveFigure]:
    allowed = flow.settings.sla.allowance
    for each in queues:
        goal = _allowance_text(each.role, allowed)
        if not goal:
            continue
        current = read_lately(each, flow.every_s, now)
        over = over_allowance(each.role, each.depth, each.oldest_age_s, allowed, each.trend)
        yield ObjectiveFigure(
            flow=flow.name,
            measure=Measure.QUEUE,
            queue=each.queue,
            name=f"{'dead letters' if each.role == 'dead' else 'waiting messages'}, queue {each.queue}",
            goal=goal,
            seen=_depth_text(each) if current else f"{_depth_text(each)}; {not_read(each)}",
            standing=at_most(over if current else None, 0),
        )


def _allowance_text(role: Role, allowed: Allowance) -> str:
    """What a queue may hold; "" for anything."""
    dead = role == "dead"
    most = allowed.dead_letters if dead else allowed.ceiling
    oldest_s = allowed.oldest_letter_s if dead else allowed.backlog_age_s
    parts = [f"not growing above {allowed.floor}"] if allowed.floor and not dead else []
    if most is not None:
        parts.append(f"at most {most}")
    if oldest_s is not None:
        parts.append(f"none older than {format_duration(oldest_s)}")
    return ", ".join(parts)


def _depth_text(queue: Backlog) -> str:
    if queue.depth is None:
        return "depth unknown"
    oldest_s = queue.oldest_age_s
    oldest = f", the oldest {measured(oldest_s, ROUND_CEILING)}" if queue.depth and oldest_s is not None else ""
    return f"{queue.depth}{oldest}"


def _share(
    flow: Flow,
    measure: Measure,
    name: str,
    counts: WindowCounts,
    goal: float,
    *,
    within_s: float | None = None,
    burn: Mapping[float, float | None] | None = None,
    burst: str | None = None,
) -> ObjectiveFigure:
    objective = ShareObjective(counts=counts, goal=goal)
    least, most = objective.underlying
    seen = "no changes"
    if counts.total:
        undecided = f", {counts.undecided} undecided" if counts.undecided else ""
        seen = f"{counts.met} of {counts.total}{undecided}; in the long run {percent(least)} … {percent(most)}"
    return ObjectiveFigure(
        flow=flow.name,
        measure=measure,
        name=name,
        goal=_at_least(goal),
        seen=seen,
        standing=objective.standing,
        within_s=within_s,
        counts=counts,
        goal_ratio=goal,
        budget_left=objective.budget_left,
        burn=burn,
        burst=burst,
    )


def _at_least(goal: float) -> str:
    return f"at least {goal * 100:.6g} %"


def left_text(left: tuple[float, float] | None) -> str:
    """How much of an error budget is left, in words; one that is used up by how many times it is used."""
    if left is None:
        return "–"
    least, most = (percent(each) if each >= 0 else f"overspent {figure(1 - each, 2)}x" for each in left)
    if least == most:
        return least
    return f"{most} … {figure(1 - left[0], 2)}x" if left[1] < 0 else f"{least} … {most}"


def _burn_text(burn: Mapping[float, float | None] | None) -> str:
    if burn is None:
        return "–"
    return " / ".join("–" if rate is None else figure(rate, 2) for rate in burn.values())


WAITING = "SELECT flow, lag_lower_s FROM changes WHERE settled_at IS NULL"

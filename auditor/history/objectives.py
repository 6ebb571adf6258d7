"""What each flow promises and whether it keeps it: `auditor objectives` and the SLA page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from auditor.history.backlogs import Backlog, backlogs, not_read, read_lately
from auditor.history.coverage import FlowCoverage, coverage
from auditor.history.figure_text import ratio_text
from auditor.history.lag import CELLS
from auditor.history.lens import Lens
from auditor.history.status import flow_status
from auditor.ledger import Ledger
from auditor.map.flow import Flow
from auditor.map.integration_map import IntegrationMap
from checks.backlog import Allowance, over_allowance
from checks.convergence import Verdict
from checks.intervals import clopper_pearson
from checks.lag_cells import EDGES_S
from checks.objectives import ShareObjective, Standing, WindowCounts, at_least, at_most
from checks.paging import HOUR_S
from probes.durations import format_duration
from probes.settings import Role
from probes.wording import figure, percent

BURN_SPANS_S = (HOUR_S, 6 * HOUR_S, 72 * HOUR_S)

BURST_SHOWN = timedelta(days=1)
"""How long a burst is shown after its end."""

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
    periods = {flow.settings.sla.period_s for flow in flows.values()}
    since = {period_s: now - timedelta(seconds=period_s) for period_s in periods}
    cells = {period_s: _cells(lens, at, now) for period_s, at in since.items()}
    statuses = flow_status(integration_map, ledger, now)
    covered = {
        period_s: {each.flow: each for each in coverage(integration_map, ledger, lens, at, now, statuses=statuses)}
        for period_s, at in since.items()
    }
    queues = backlogs(integration_map, lens, now - timedelta(seconds=QUEUES_S))
    found: list[ObjectiveFigure] = []
    for name, flow in flows.items():
        period_s = flow.settings.sla.period_s
        found += _window(flow, ledger, now)
        found += _within(flow, cells[period_s].get(name, []))
        found += _state(flow, covered[period_s][name], now)
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


def _state(flow: Flow, covered: FlowCoverage, now: datetime) -> Iterator[ObjectiveFigure]:
    sla = flow.settings.sla
    if sla.agreement is not None:
        differ = covered.disagreement
        yield ObjectiveFigure(
            flow=flow.name,
            measure=Measure.AGREEMENT,
            name="records that agree, by sample",
            goal=_at_least(sla.agreement),
            seen=f"{percent(1 - differ.upper)} … {percent(1 - differ.lower)} of {differ.read} read"
            if differ.read
            else "none read",
            standing=at_least(1 - differ.upper, 1 - differ.lower, sla.agreement)
            if differ.read
            else Standing.UNDECIDED,
            goal_ratio=sla.agreement,
        )
    if sla.coverage is not None:
        lower, upper = clopper_pearson(covered.verdicts, covered.due)
        seen = covered.verdict_ratio
        yield ObjectiveFigure(
            flow=flow.name,
            measure=Measure.COVERAGE,
            name="due records with a verdict",
            goal=_at_least(sla.coverage),
            seen=f"{ratio_text(seen, lower, upper)} of {covered.due}",
            standing=Standing.NO_TRAFFIC if seen is None else at_least(seen, seen, sla.coverage),
            goal_ratio=sla.coverage,
        )
    if sla.verified_within_s is not None:
        at = covered.verified_through_at
        behind_s = None if at is None else (now - at).total_seconds()
        yield ObjectiveFigure(
            flow=flow.name,
            measure=Measure.VERIFIED,
            name="verified through",
            goal=f"at most {format_duration(sla.verified_within_s)} ago",
            seen="never yet" if behind_s is None else f"{format_duration(behind_s)} ago",
            standing=at_most(behind_s, sla.verified_within_s),
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
    oldest = f", the oldest {format_duration(oldest_s)}" if queue.depth and oldest_s is not None else ""
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
    least, most = (f"{each:.0%}" if each >= 0 else f"overspent {figure(1 - each, 2)}x" for each in left)
    if least == most:
        return least
    return f"{most} … {figure(1 - left[0], 2)}x" if left[1] < 0 else f"{least} … {most}"


def _burn_text(burn: Mapping[float, float | None] | None) -> str:
    if burn is None:
        return "–"
    return " / ".join("–" if rate is None else figure(rate, 2) for rate in burn.values())


WAITING = "SELECT flow, lag_lower_s FROM changes WHERE settled_at IS NULL"

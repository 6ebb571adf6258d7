"""What each flow promises and whether it keeps it: `auditor objectives` and the SLA page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from auditor.history.backlogs import Backlog, backlogs
from auditor.history.coverage import FlowCoverage, coverage
from auditor.history.figure_text import ratio_text
from auditor.history.lag import CELLS
from auditor.history.lens import Lens
from auditor.ledger import Ledger
from auditor.map.flow import Flow
from auditor.map.integration_map import IntegrationMap
from checks.convergence import Verdict
from checks.intervals import clopper_pearson
from checks.lag_cells import EDGES_S
from checks.objectives import ShareObjective, Standing, WindowCounts
from checks.paging import HOUR_S
from probes.durations import format_duration

BURN_SPANS_S = (HOUR_S, 6 * HOUR_S, 72 * HOUR_S)

QUEUES_S = 86_400.0
"""A queue counts as read if it was within this time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveFigure:
    """One objective of a flow.

    Attributes:
        name, goal, seen: for people.
        standing: kept, broken, undecided or without traffic.
        counts: of a share, what it was counted from; None for other objectives.
        goal_ratio: of a share, the least that is promised.
        budget_left: of a share, the part of the error budget that is left: at least and at most.
        burn: by span in seconds, how many times faster than allowed the error budget is used; None without changes.
    """

    flow: str
    name: str
    goal: str
    seen: str
    standing: Standing
    counts: WindowCounts | None = None
    goal_ratio: float | None = None
    budget_left: tuple[float, float] | None = None
    burn: Mapping[float, float | None] | None = None

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
        }

    def as_row(self) -> dict[str, Any]:
        """For people."""
        return {
            "flow": self.flow,
            "objective": self.name,
            "goal": self.goal,
            "state": self.standing.value,
            "seen": self.seen,
            "error budget left": _left_text(self.budget_left),
            "burn 1 h / 6 h / 3 d": _burn_text(self.burn),
        }


def objectives(
    integration_map: IntegrationMap, ledger: Ledger, lens: Lens, _: datetime, now: datetime
) -> list[ObjectiveFigure]:
    """Every objective of every flow, each over the period of its flow's SLA."""
    flows = {name: integration_map.flow(name) for name in integration_map.flows}
    periods = {flow.settings.sla.period_s for flow in flows.values()}
    since = {period_s: now - timedelta(seconds=period_s) for period_s in periods}
    cells = {period_s: _cells(lens, at) for period_s, at in since.items()}
    covered = {
        period_s: {each.flow: each for each in coverage(integration_map, ledger, lens, at, now)}
        for period_s, at in since.items()
    }
    queues = backlogs(integration_map, lens, now - timedelta(seconds=QUEUES_S))
    found: list[ObjectiveFigure] = []
    for name, flow in flows.items():
        period_s = flow.settings.sla.period_s
        found += _window(flow, ledger, now)
        found += _within(flow, cells[period_s].get(name, []))
        found += _state(flow, covered[period_s][name], now)
        found += _queues(flow, [each for each in queues if each.flow == name])
    return found


def _window(flow: Flow, ledger: Ledger, now: datetime) -> Iterator[ObjectiveFigure]:
    if not flow.window_s:
        return
    sla = flow.settings.sla
    spans = (*BURN_SPANS_S, sla.period_s)
    counts = ledger.measurements.windows(flow.name, [now - timedelta(seconds=each) for each in spans])
    by_span = dict(zip(spans, counts, strict=True))
    yield _share(
        flow,
        f"changes within the window of {format_duration(flow.window_s)}",
        by_span[sla.period_s],
        sla.within_window,
        burn={span_s: _burn(by_span[span_s], sla.within_window) for span_s in BURN_SPANS_S},
    )
    if sla.strict:
        missed = by_span[sla.period_s].missed
        yield ObjectiveFigure(
            flow=flow.name,
            name="no change may miss its window",
            goal="0 missed",
            seen=f"{missed} missed",
            standing=Standing.BROKEN if missed else Standing.KEPT,
        )


def _within(flow: Flow, cells: Sequence[tuple[float, float, int]]) -> Iterator[ObjectiveFigure]:
    for within_s, goal in flow.settings.sla.within.items():
        met = sum(changes for _, upper_s, changes in cells if upper_s <= within_s)
        missed = sum(changes for lower_s, _, changes in cells if lower_s >= within_s)
        undecided = sum(changes for *_, changes in cells) - met - missed
        yield _share(flow, f"changes within {format_duration(within_s)}", WindowCounts(met, missed, undecided), goal)


def _cells(lens: Lens, since: datetime) -> dict[str, list[tuple[float, float, int]]]:
    """By flow, the changes by the bounds of their lag in seconds; those that have not arrived have no upper one."""
    found: dict[str, list[tuple[float, float, int]]] = {}
    for row in lens.query(CELLS, [since]).to_pylist():
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
            name="records that agree, by sample",
            goal=_at_least(sla.agreement),
            seen=f"{1 - differ.upper:.2%} … {1 - differ.lower:.2%} of {differ.read} read"
            if differ.read
            else "none read",
            standing=_standing(1 - differ.upper, 1 - differ.lower, sla.agreement, differ.read),
            goal_ratio=sla.agreement,
        )
    if sla.coverage is not None:
        lower, upper = clopper_pearson(covered.verdicts, covered.due)
        seen = covered.verdict_ratio
        standing = Standing.NO_TRAFFIC if seen is None else Standing.KEPT if seen >= sla.coverage else Standing.BROKEN
        yield ObjectiveFigure(
            flow=flow.name,
            name="due records with a verdict",
            goal=_at_least(sla.coverage),
            seen=f"{ratio_text(seen, lower, upper)} of {covered.due}",
            standing=standing,
            goal_ratio=sla.coverage,
        )
    if sla.verified_within_s is not None:
        at = covered.verified_through_at
        behind_s = None if at is None else (now - at).total_seconds()
        yield ObjectiveFigure(
            flow=flow.name,
            name="verified through",
            goal=f"at most {format_duration(sla.verified_within_s)} ago",
            seen="never yet" if behind_s is None else f"{format_duration(behind_s)} ago",
            standing=Standing.UNDECIDED
            if behind_s is None
            else Standing.KEPT
            if behind_s <= sla.verified_within_s
            else Standing.BROKEN,
        )


def _queues(flow: Flow, queues: Sequence[Backlog]) -> Iterator[ObjectiveFigure]:
    sla = flow.settings.sla
    dead = [each for each in queues if each.role == "dead"]
    if dead:
        waiting = [each.depth for each in dead]
        known = [each for each in waiting if each is not None]
        most = sum(known)
        yield ObjectiveFigure(
            flow=flow.name,
            name="dead letters",
            goal=f"at most {sla.dead_letters}",
            seen=f"{most}" if len(known) == len(waiting) else f"{most}, and queues with an unknown depth",
            standing=Standing.BROKEN
            if most > sla.dead_letters
            else Standing.KEPT
            if len(known) == len(waiting)
            else Standing.UNDECIDED,
        )
    for role, limit_s, name in (
        ("dead", sla.oldest_letter_s, "age of the oldest dead letter"),
        ("main", sla.backlog_age_s, "age of the oldest waiting message"),
    ):
        if limit_s is not None:
            ages = [each.oldest_age_s for each in queues if (each.role == "dead") == (role == "dead")]
            yield _age(flow, name, limit_s, ages)


def _age(flow: Flow, name: str, limit_s: float, ages_s: Iterable[float | None]) -> ObjectiveFigure:
    ages = list(ages_s)
    known = [each for each in ages if each is not None]
    oldest_s = max(known, default=None)
    broken = oldest_s is not None and oldest_s > limit_s
    return ObjectiveFigure(
        flow=flow.name,
        name=name,
        goal=f"at most {format_duration(limit_s)}",
        seen="none is known to wait" if oldest_s is None else format_duration(oldest_s),
        standing=Standing.BROKEN
        if broken
        else Standing.KEPT
        if ages and len(known) == len(ages)
        else Standing.UNDECIDED,
    )


def _share(
    flow: Flow, name: str, counts: WindowCounts, goal: float, *, burn: Mapping[float, float | None] | None = None
) -> ObjectiveFigure:
    objective = ShareObjective(counts=counts, goal=goal)
    least, most = objective.underlying
    seen = "no changes"
    if counts.total:
        undecided = f", {counts.undecided} undecided" if counts.undecided else ""
        seen = f"{counts.met} of {counts.total}{undecided}; in the long run {least:.2%} … {most:.2%}"
    return ObjectiveFigure(
        flow=flow.name,
        name=name,
        goal=_at_least(goal),
        seen=seen,
        standing=objective.standing,
        counts=counts,
        goal_ratio=goal,
        budget_left=objective.budget_left,
        burn=burn,
    )


def _standing(least: float, most: float, goal: float, read: int) -> Standing:
    if not read:
        return Standing.UNDECIDED
    return Standing.KEPT if least >= goal else Standing.BROKEN if most < goal else Standing.UNDECIDED


def _burn(counts: WindowCounts, goal: float) -> float | None:
    if not counts.decided or goal >= 1:
        return None
    return counts.missed / counts.decided / (1 - goal)


def _at_least(goal: float) -> str:
    return f"at least {goal * 100:.6g} %"


def _left_text(left: tuple[float, float] | None) -> str:
    if left is None:
        return "–"
    least, most = (f"{max(-9.99, each):.0%}" for each in left)
    return least if least == most else f"{least} … {most}"


def _burn_text(burn: Mapping[float, float | None] | None) -> str:
    if burn is None:
        return "–"
    return " / ".join("–" if rate is None else f"{rate:.2g}" for rate in burn.values())


WAITING = "SELECT flow, lag_lower_s FROM changes WHERE settled_at IS NULL"

"""How long changes take to arrive, per flow and with errors: `auditor lag` and the Lag page."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from auditor.history.lens import Lens
from auditor.map.integration_map import IntegrationMap
from checks.convergence import Verdict
from checks.lag import LagCurve, count_cells, fit
from checks.lag_cells import NEVER, CellPair
from checks.objectives import WindowCounts

EXACT_WITHIN = timedelta(hours=6)
"""For ranges up to this, figures come from every change; for longer ones from hourly counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowLag:
    """How long a flow's changes take to arrive.

    Attributes:
        audited: at least one audit in the time range could read both systems.
        curve: None if there was no traffic; no traffic is not lag.
        waiting: changes that have not arrived yet; the curve takes into account that they take longer than they have
            so far.
        superseded: versions that were overtaken before the target showed them, not in the curve.
        clamped: changes that seemed to arrive before they were made, because a stamp or a clock is wrong.
    """

    flow: str
    window_s: float
    curve: LagCurve | None
    waiting: int
    superseded: int
    clamped: int
    audited: bool = True

    @property
    def changes(self) -> int:
        """The number of changes behind the curve."""
        return self.curve.changes if self.curve else 0

    def as_row(self) -> dict[str, Any]:
        """The figures as one row of a table; lags in seconds, an infinite end as None."""
        row: dict[str, Any] = {
            "flow": self.flow,
            "state": "measured" if self.curve else "no traffic" if self.audited else "no data",
            "changes": self.changes,
            "waiting": self.waiting,
            "superseded": self.superseded,
            "clamped": self.clamped,
            "window_s": self.window_s,
        }
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            best, lower, upper = self.curve.quantile(share) if self.curve else (None, None, None)
            row |= {f"{name}_s": _finite(best), f"{name}_lower_s": lower, f"{name}_upper_s": _finite(upper)}
        beyond = self.curve.exceeds(self.window_s) if self.curve and self.window_s > 0 else (None, None, None)
        return row | dict(zip(("beyond_window", "beyond_lower", "beyond_upper"), beyond, strict=True))


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None


def lags(integration_map: IntegrationMap, lens: Lens, since: datetime, until: datetime) -> list[FlowLag]:
    """The lag of every flow of the map over a time range."""
    counts: dict[str, dict[CellPair, int]] = defaultdict(lambda: defaultdict(int))
    superseded: dict[str, int] = defaultdict(int)
    for row in _cells(lens, since, until):
        if row["verdict"] == Verdict.SUPERSEDED:
            superseded[row["flow"]] += row["changes"]
        else:
            counts[row["flow"]][row["lower_cell"], row["upper_cell"]] += row["changes"]
    pending = lens.query(PENDING, [until]).to_pandas()
    waiting = {str(flow): mine["lag_lower_s"].to_numpy() for flow, mine in pending.groupby("flow")}
    clamped = {row["flow"]: row["changes"] for row in lens.query(CLAMPED, [since, until]).to_pylist()}
    audited = {row["flow"] for row in lens.query(AUDITED, [since, until]).to_pylist()}
    figures = []
    for name in integration_map.flows:
        mine: dict[CellPair, int] = dict(counts.get(name, {}))
        lower = waiting.get(name, np.empty(0))
        for pair, count in count_cells(lower, np.full(len(lower), np.inf)).items():
            mine[pair] = mine.get(pair, 0) + count
        figures.append(
            FlowLag(
                flow=name,
                window_s=integration_map.flow(name).window_s,
                curve=fit(mine),
                waiting=len(lower),
                superseded=superseded.get(name, 0),
                clamped=clamped.get(name, 0),
                audited=name in audited,
            )
        )
    return figures


def _cells(lens: Lens, since: datetime, until: datetime) -> list[dict[str, Any]]:
    if until - since > EXACT_WITHIN:
        rows: list[dict[str, Any]] = lens.query(CELLS, [since, until]).to_pylist()
        return rows
    settled = lens.query(SETTLED, [since, until]).to_pandas()
    return [
        {"flow": flow, "verdict": verdict, "lower_cell": lower, "upper_cell": upper, "changes": changes}
        for (flow, verdict), mine in settled.groupby(["flow", "verdict"])
        for (lower, upper), changes in count_cells(mine["lower_s"].to_numpy(), mine["upper_s"].to_numpy()).items()
    ]


def heat(lens: Lens, flow: str, since: datetime, until: datetime) -> tuple[list[datetime], Any]:
    """Lags over time: the share of each hour's changes by lag cell.

    Returns:
        The hours, oldest first and without gaps, and an array of shape (cells, hours); a lag counts in the cell in
        which it certainly ended.
    """
    hours: dict[datetime, Any] = defaultdict(lambda: np.zeros(NEVER + 1))
    for row in lens.query(HEAT, [flow, since, until]).to_pylist():
        hours[row["hour_at"]][row["upper_cell"]] += row["changes"]
    if not hours:
        return [], np.zeros((NEVER + 1, 0))
    first, last = min(hours), max(hours)
    ordered = [first + timedelta(hours=past) for past in range(round((last - first) / timedelta(hours=1)) + 1)]
    return ordered, np.array([hours[hour] / max(hours[hour].sum(), 1) for hour in ordered]).T


def weekly(lens: Lens, flow: str, since: datetime) -> dict[tuple[int, int], WindowCounts]:
    """By weekday (0 for Monday) and hour of the day, in UTC, how many changes kept their windows.

    Hours without changes are left out.
    """
    return {
        (row["weekday"], row["hour"]): WindowCounts(row["met"], row["missed"], row["undecided"])
        for row in lens.query(WEEKLY, [flow, since]).to_pylist()
    }


CELLS = """
    SELECT flow, verdict, lower_cell, upper_cell, sum(changes)::BIGINT AS changes
    FROM lag_cells WHERE hour_at >= date_trunc('hour', ?::TIMESTAMPTZ) AND hour_at <= ? GROUP BY ALL"""

SETTLED = """
    SELECT flow, verdict, lag_lower_s AS lower_s, coalesce(lag_upper_s, 'infinity'::DOUBLE) AS upper_s
    FROM changes WHERE settled_at >= ? AND settled_at <= ?"""

PENDING = "SELECT flow, lag_lower_s FROM changes WHERE settled_at IS NULL AND enrolled_at <= ?"

CLAMPED = """
    SELECT flow, count(*) AS changes FROM changes
    WHERE clamped AND settled_at >= ? AND settled_at <= ? GROUP BY flow"""

AUDITED = "SELECT DISTINCT flow FROM probe_runs WHERE started_at >= ? AND started_at <= ? AND reason IS NULL"

HEAT = """
    SELECT hour_at, upper_cell, sum(changes)::BIGINT AS changes
    FROM lag_cells
    WHERE flow = ? AND hour_at >= date_trunc('hour', ?::TIMESTAMPTZ) AND hour_at <= ? AND verdict <> 'superseded'
    GROUP BY ALL"""

WEEKLY = """
    SELECT (extract('isodow' FROM slot_at) - 1)::INTEGER AS weekday, extract('hour' FROM slot_at)::INTEGER AS hour,
           sum(met)::BIGINT AS met, sum(missed)::BIGINT AS missed, sum(undecided)::BIGINT AS undecided
    FROM window_counts WHERE flow = ? AND slot_at >= ? GROUP BY ALL"""

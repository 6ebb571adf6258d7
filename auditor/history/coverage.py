"""How much of each flow is verified: `auditor coverage` and the Overview page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from auditor.history.days import day_of
from auditor.history.lens import Lens
from auditor.history.status import FlowStatus, Standing, flow_status
from auditor.ledger import Ledger
from auditor.map.integration_map import IntegrationMap
from checks.coverage_days import CoverageCounts
from checks.estimates import Estimate, estimate
from checks.intervals import finite_bounds
from checks.objective_days import spans
from checks.objectives import EXPECTED_RATE
from checks.sampling import BY_RANK, Cohort
from probes.ranking import RANKS


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowCoverage:
    """How much of a flow is verified.

    Attributes:
        state: the present state of the flow.
        unverified: records and queues that cannot be verified now.
        verified_through_at: every change of the owner until then has a verdict.
        due, verdicts, cannot_verify, inconclusive, shed: records of the time range.
        changes, undecided: changes of the time range, and those without a verdict on their window.
        walk: how the sweep goes; by `key`, the part read so far is not a random sample.
        sweep_ratio: progress of the sweep under way.
        population: records in both systems together, as counted by the last whole sweep or estimated from ranks.
        differing: bounds of the records that differ, from the sweep under way.
        differed: the same from the last whole sweep, where only undecided records separate the two bounds.
        disagreement: share of records that differ, estimated from the sample of the time range.
    """

    flow: str
    state: Standing
    unverified: int
    verified_through_at: datetime | None
    due: int
    verdicts: int
    cannot_verify: int
    inconclusive: int
    shed: int
    changes: int
    undecided: int
    walk: str | None
    sweeps: int
    swept_at: datetime | None
    sweep_ratio: float | None
    population: int | None
    differing: tuple[int, int] | None
    differed: tuple[int, int] | None
    disagreement: Estimate

    @property
    def agreement(self) -> tuple[float, float] | None:
        """Bounds of the share of records that agree: from the last whole sweep, or the first one while it runs."""
        differ = self.differed or self.differing
        if differ is None or not self.population:
            return None
        return 1 - differ[1] / self.population, 1 - differ[0] / self.population

    @property
    def verdict_ratio(self) -> float | None:
        """Share of due probes with a verdict."""
        return self.verdicts / self.due if self.due else None

    @property
    def undecided_ratio(self) -> float | None:
        """Share of changes whose window is undecided."""
        return self.undecided / self.changes if self.changes else None

    def as_row(self) -> dict[str, Any]:
        """The coverage as one row of a table."""
        return {
            "flow": self.flow,
            "state": self.state,
            "unverified": self.unverified,
            "verified_through": self.verified_through_at,
            "due": self.due,
            "verdict_ratio": self.verdict_ratio,
            "undecided_ratio": self.undecided_ratio,
            "cannot_verify": self.cannot_verify,
            "inconclusive": self.inconclusive,
            "shed": self.shed,
            "walk": self.walk,
            "sweeps": self.sweeps,
            "sweep_ratio": self.sweep_ratio,
            "population": self.population,
            "differ_least": self.differing[0] if self.differing else None,
            "differ_most": self.differing[1] if self.differing else None,
            "swept_at": self.swept_at,
            "differed_least": self.differed[0] if self.differed else None,
            "differed_most": self.differed[1] if self.differed else None,
            "differ_ratio": self.disagreement.share,
            "differ_ratio_lower": self.disagreement.lower,
            "differ_ratio_upper": self.disagreement.upper,
            "sampled": self.disagreement.read,
        }


def coverage(
    integration_map: IntegrationMap,
    ledger: Ledger,
    lens: Lens,
    since: datetime,
    now: datetime,
    *,
    until: datetime | None = None,
    statuses: Sequence[FlowStatus] | None = None,
) -> list[FlowCoverage]:
    """The coverage of every flow of the map over a time range.

    Args:
        until: its end; None for now.
        statuses: what `flow_status` says of the flows now; None to ask it.
    """
    ends = until or now
    states = {row["flow"]: row for row in ledger.exports.table("flow_state")}
    standing = {each.flow: each for each in statuses or flow_status(integration_map, ledger, now)}
    due = due_records(lens, since, ends)
    changes = {row["flow"]: row for row in lens.query(UNDECIDED, [since, ends, ends]).to_pylist()}
    differ = disagreements(lens, since, ends)
    figures = []
    for name in integration_map.flows:
        state, mine, changed = states.get(name, {}), due.get(name, {}), changes.get(name, {})
        ratio, population, differing = _sweep(state)
        figures.append(
            FlowCoverage(
                flow=name,
                state=standing[name].state,
                unverified=standing[name].unverified,
                verified_through_at=state.get("verified_through_at"),
                **{word: int(mine.get(word) or 0) for word in ("due", "verdicts", *LOSSES)},
                changes=int(changed.get("changes", 0)),
                undecided=int(changed.get("undecided", 0)),
                walk=state.get("walk"),
                sweeps=state.get("sweeps") or 0,
                swept_at=state.get("swept_at"),
                sweep_ratio=ratio,
                population=population,
                differing=differing,
                differed=_differed(state),
                disagreement=differ.get(name) or estimate(Cohort()),
            )
        )
    return figures


def due_records(lens: Lens, since: datetime, until: datetime) -> dict[str, dict[str, Any]]:
    """By flow, what came of the records that were due: due, verdicts, cannot_verify, inconclusive, shed."""
    return {row.pop("flow"): row for row in lens.query(DUE, [since, until]).to_pylist()}


def disagreements(lens: Lens, since: datetime, until: datetime) -> dict[str, Estimate]:
    """By flow, the share of records that differ, estimated from samples; flows without any are left out."""
    return {
        row.pop("flow"): estimate(Cohort(**{name: value or 0 for name, value in row.items()}))
        for row in lens.query(COHORTS, [since, until]).to_pylist()
    }


def coverage_days(flow: str, lens: Lens, begin: datetime, now: datetime) -> list[tuple[date, CoverageCounts]]:
    """What the audits of a flow came to on each day (UTC) of a period, oldest first."""
    found = {row.pop("day"): CoverageCounts(**row) for row in lens.query(DAYS, [flow, begin]).to_pylist()}
    return [(since.date(), found.get(since.date(), CoverageCounts())) for since, _ in spans(begin, now)]


def _differed(state: Mapping[str, Any]) -> tuple[int, int] | None:
    """How many records differed in the last whole sweep."""
    read = state.get("swept_read")
    if read is None:
        return None
    least = max(0, state.get("swept_divergent") or 0)
    return least, min(read, least + max(0, state.get("swept_undecided") or 0))


def _sweep(state: Mapping[str, Any]) -> tuple[float | None, int | None, tuple[int, int] | None]:
    """The sweep's progress, the number of records, and how many of them differ."""
    before, read = state.get("swept_read"), state.get("sweep_read") or 0
    if state.get("sweep_begun_at") is None or not read:
        return (None, None, None) if before is None else (1.0, before, _differed(state))
    divergent = max(0, state.get("sweep_divergent") or 0)
    possible = min(read, divergent + max(0, state.get("sweep_undecided") or 0))
    if state.get("walk") == BY_RANK:
        ratio = (state.get("rank_after") or RANKS) / RANKS
        population = max(read, round(read / ratio))
        least, _ = finite_bounds(divergent, read, population, expected=EXPECTED_RATE)
        _, most = finite_bounds(possible, read, population, expected=EXPECTED_RATE)
        return ratio, population, (least, most)
    if before is None:
        return None, None, None
    population = max(before, read)
    return read / population, population, (divergent, possible + population - read)


LOSSES = ("cannot_verify", "inconclusive", "shed")

DUE = """
    SELECT flow, sum(read)::BIGINT AS due,
           sum(agreed + in_flight + suspected + divergent)::BIGINT AS verdicts,
           sum(cannot_verify)::BIGINT AS cannot_verify, sum(inconclusive)::BIGINT AS inconclusive,
           sum(shed)::BIGINT AS shed
    FROM probe_runs WHERE started_at >= date_trunc('hour', ?::TIMESTAMPTZ) AND started_at <= ? GROUP BY flow"""

DAYS = f"""
    SELECT {day_of("started_at")} AS day, count(*) AS audits, count(*) FILTER (reason IS NOT NULL) AS failed,
           coalesce(sum(read), 0)::BIGINT AS due,
           coalesce(sum(agreed + in_flight + suspected + divergent), 0)::BIGINT AS verdicts
    FROM probe_runs WHERE flow = ? AND started_at >= ? GROUP BY day"""  # noqa: S608

UNDECIDED = """
    SELECT flow, sum(changes)::BIGINT AS changes, sum(undecided)::BIGINT AS undecided
    FROM (SELECT flow, changes, CASE WHEN verdict = 'undecided' THEN changes ELSE 0 END AS undecided
          FROM lag_cells WHERE hour_at >= date_trunc('hour', ?::TIMESTAMPTZ) AND hour_at <= ?
          UNION ALL
          SELECT flow, 1, CASE WHEN verdict = 'pending' THEN 1 ELSE 0 END FROM changes
          WHERE settled_at IS NULL AND enrolled_at <= ?)
    GROUP BY flow"""

COHORT_SUMS = """
    sum(read)::BIGINT AS read, sum(divergent)::BIGINT AS divergent, sum(undecided)::BIGINT AS undecided,
    sum(weight) AS weight, sum(weight_divergent) AS weight_divergent, sum(weight_undecided) AS weight_undecided,
    sum(square) AS square, sum(square_divergent) AS square_divergent, sum(square_undecided) AS square_undecided"""
"""The fields of a `Cohort`, of rows of the view `samples`."""

COHORTS = f"""
    SELECT flow, {COHORT_SUMS}
    FROM samples WHERE hour_at >= date_trunc('hour', ?::TIMESTAMPTZ) AND hour_at <= ? GROUP BY flow"""  # noqa: S608

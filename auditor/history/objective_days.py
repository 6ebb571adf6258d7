"""How an objective fared on each day of its period: the calendar and the error budget of the SLA page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_CEILING

from auditor.history.coverage import COHORT_SUMS, coverage_days
from auditor.history.days import day_of, hours_of
from auditor.history.lens import Lens
from auditor.history.objectives import WAITING, Measure, ObjectiveFigure, within_counts
from auditor.ledger import SLOT
from auditor.map.flow import Flow
from checks.backlog import over_allowance
from checks.convergence import Verdict
from checks.estimates import estimate
from checks.lag_cells import EDGES_S
from checks.objective_days import Day, DayState, judged_days, share_days
from checks.objectives import Standing, WindowCounts, at_least, at_most
from checks.sampling import Cohort
from checks.tables import complete
from probes.durations import measured
from probes.wording import counted, percent


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFigure:
    """One day of an objective.

    Attributes:
        seen: what was seen on it, for people.
    """

    day: Day
    seen: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What the days of an objective are found from."""

    flow: Flow
    figure: ObjectiveFigure
    lens: Lens
    begin: datetime
    now: datetime

    @property
    def first_hour(self) -> datetime:
        """The hour in which the period begins; counts by hour include all of it."""
        return self.begin.replace(minute=0, second=0, microsecond=0)

    def day_of(self, at: datetime) -> date:
        """The day of the period on which something of this hour or slot counts."""
        return max(at, self.begin).date()


Judged = Mapping[date, tuple[Standing, str]]


def objective_days(flow: Flow, figure: ObjectiveFigure, lens: Lens, now: datetime) -> list[DayFigure]:
    """The days of an objective of a flow over the period of its SLA, oldest first.

    Of a share of changes, the counts of the days add up to those of the figure.
    """
    begin = now - timedelta(seconds=flow.settings.sla.period_s)
    return _DAYS[figure.measure](_Asked(flow=flow, figure=figure, lens=lens, begin=begin, now=now))


def _window(asked: _Asked) -> list[DayFigure]:
    days = share_days(
        asked.begin, asked.now, _slots(asked), _hours_audited(asked), asked.flow.settings.sla.within_window
    )
    return [DayFigure(day=day, seen=_share_text(day)) for day in days]


def _strict(asked: _Asked) -> list[DayFigure]:
    counts: dict[date, WindowCounts] = defaultdict(WindowCounts)
    for at, more in _slots(asked):
        counts[asked.day_of(at)] += more
    judged = {
        day: (Standing.BROKEN if each.missed else Standing.KEPT, f"{each.missed} of {each.total} missed")
        for day, each in counts.items()
    }
    return _told(asked, judged, _hours_audited(asked))


def _within(asked: _Asked) -> list[DayFigure]:
    within_s, goal = asked.figure.within_s or 0.0, asked.figure.goal_ratio or 0.0
    cells: dict[datetime, list[tuple[float, float, int]]] = defaultdict(list)
    for row in asked.lens.query(CELLS, [asked.flow.name, asked.first_hour]).to_pylist():
        if row["verdict"] != Verdict.SUPERSEDED:
            bounds = EDGES_S[row["lower_cell"]], EDGES_S[row["upper_cell"] + 1]
            cells[row["hour_at"]].append((*bounds, row["changes"]))
    for row in asked.lens.query(WAITING).to_pylist():
        if row["flow"] == asked.flow.name:
            cells[asked.now].append((row["lag_lower_s"], float("inf"), 1))
    found = ((at, within_counts(each, within_s)) for at, each in cells.items())
    days = share_days(asked.begin, asked.now, found, _hours_audited(asked), goal)
    return [DayFigure(day=day, seen=_share_text(day)) for day in days]


def _agreement(asked: _Asked) -> list[DayFigure]:
    goal = asked.figure.goal_ratio or 0.0
    sums: dict[date, Cohort] = defaultdict(Cohort)
    for row in asked.lens.query(SAMPLES, [asked.flow.name, asked.first_hour]).to_pylist():
        at = row.pop("hour_at")
        sums[asked.day_of(at)] += Cohort(**{name: value or 0 for name, value in row.items()})
    judged: dict[date, tuple[Standing, str]] = {}
    for day, cohort in sums.items():
        differ = estimate(cohort)
        if differ.read:
            seen = f"{percent(1 - differ.upper)} … {percent(1 - differ.lower)} of {differ.read:,} read agree"
            judged[day] = at_least(1 - differ.upper, 1 - differ.lower, goal), seen
    return _told(asked, judged, _hours_audited(asked), nothing="no record was sampled")


def _coverage(asked: _Asked) -> list[DayFigure]:
    goal = asked.figure.goal_ratio or 0.0
    judged = {
        day: (at_least(each.share, each.share, goal), f"{percent(each.share)} of {each.due:,} due")
        for day, each in coverage_days(asked.flow.name, asked.lens, asked.begin, asked.now)
        if each.share is not None
    }
    return _told(asked, judged, _hours_audited(asked), nothing="no record was due")


def _verified(asked: _Asked) -> list[DayFigure]:
    limit_s = asked.flow.settings.sla.verified_within_s or 0.0
    judged: dict[date, tuple[Standing, str]] = {}
    for row in asked.lens.query(BEHIND, [asked.flow.name, asked.begin]).to_pylist():
        behind_s = row["behind_s"]
        seen = "nothing was verified" if behind_s is None else f"at worst {measured(behind_s, ROUND_CEILING)} behind"
        judged[row["day"]] = at_most(behind_s, limit_s), seen
    return _told(asked, judged, _hours_audited(asked))


def _queue(asked: _Asked) -> list[DayFigure]:
    allowed = asked.flow.settings.sla.allowance
    rows = asked.lens.query(
        READINGS, [allowed.floor, allowed.floor, asked.flow.name, asked.figure.queue, asked.begin]
    ).to_pylist()
    judged: dict[date, tuple[Standing, str]] = {}
    hours: dict[date, int] = {}
    for row in rows:
        day, dead = row["day"], row["role"] == "dead"
        hours[day] = row["hours"]
        over = over_allowance(row["role"], row["most"], row["oldest_s"], allowed)
        unknown = row["no_age"] and (allowed.oldest_letter_s if dead else allowed.backlog_age_s) is not None
        growing = not dead and 0 < allowed.floor < row["most"]  # whether it grew is judged only as it happens
        standing = at_most(None if not over and (unknown or growing) else over, 0)
        oldest = f", the oldest {measured(row['oldest_s'], ROUND_CEILING)}" if row["oldest_s"] is not None else ""
        judged[day] = standing, f"at most {counted(row['most'], 'message')}{oldest}"
    return _told(asked, judged, hours)


_DAYS: Mapping[Measure, Callable[[_Asked], list[DayFigure]]] = complete(
    {
        Measure.WINDOW: _window,
        Measure.STRICT: _strict,
        Measure.WITHIN: _within,
        Measure.AGREEMENT: _agreement,
        Measure.COVERAGE: _coverage,
        Measure.VERIFIED: _verified,
        Measure.QUEUE: _queue,
    }
)


def _slots(asked: _Asked) -> list[tuple[datetime, WindowCounts]]:
    return [
        (row["slot_at"], WindowCounts(row["met"], row["missed"], row["undecided"]))
        for row in asked.lens.query(SLOTS, [asked.flow.name, asked.begin - SLOT]).to_pylist()
    ]


def _hours_audited(asked: _Asked) -> dict[date, int]:
    rows = asked.lens.query(AUDITED, [asked.flow.name, asked.begin]).to_pylist()
    return {row["day"]: row["hours"] for row in rows}


def _told(
    asked: _Asked, judged: Judged, hours: Mapping[date, int], *, nothing: str = "no changes"
) -> list[DayFigure]:
    days = judged_days(asked.begin, asked.now, {day: standing for day, (standing, _) in judged.items()}, hours)
    return [
        DayFigure(
            day=day,
            seen=judged[day.day][1]
            if day.day in judged
            else "not read"
            if day.state is DayState.NO_DATA
            else nothing,
        )
        for day in days
    ]


def _share_text(day: Day) -> str:
    counts = day.counts or WindowCounts()
    if not counts.total:
        return "not audited" if day.state is DayState.NO_DATA else "no changes"
    undecided = f", {counts.undecided:,} undecided" if counts.undecided else ""
    return f"{counts.met:,} of {counts.total:,} in time ({percent(counts.met / counts.total)}){undecided}"


SLOTS = "SELECT slot_at, met, missed, undecided FROM window_counts WHERE flow = ? AND slot_at > ?"

CELLS = """
    SELECT hour_at, verdict, lower_cell, upper_cell, sum(changes)::BIGINT AS changes
    FROM lag_cells WHERE flow = ? AND hour_at >= ? GROUP BY ALL"""

SAMPLES = f"SELECT hour_at, {COHORT_SUMS} FROM samples WHERE flow = ? AND hour_at >= ? GROUP BY hour_at"  # noqa: S608

AUDITED = f"""
    SELECT {day_of("started_at")} AS day, {hours_of("started_at")} AS hours
    FROM probe_runs WHERE flow = ? AND started_at >= ? AND reason IS NULL GROUP BY day"""  # noqa: S608

BEHIND = f"""
    WITH runs AS (
        SELECT finished_at,
               epoch_us(finished_at)
                   - epoch_us(coalesce(lag(verified_through_at IGNORE NULLS) OVER before, verified_through_at))
                   AS behind_us
        FROM probe_runs WHERE flow = ? AND started_at >= ?
        WINDOW before AS (ORDER BY finished_at, id))
    SELECT {day_of("finished_at")} AS day, max(behind_us) / 1e6 AS behind_s FROM runs GROUP BY day"""  # noqa: S608

READINGS = f"""
    SELECT {day_of("read_at")} AS day, any_value(role) AS role, max(depth) AS most,
           max(oldest_age_s) FILTER (depth > 0 AND (role = 'dead' OR depth > ?)) AS oldest_s,
           bool_or(depth > 0 AND (role = 'dead' OR depth > ?) AND oldest_age_s IS NULL) AS no_age,
           {hours_of("read_at")} AS hours
    FROM backlogs WHERE flow = ? AND queue = ? AND read_at >= ? AND depth IS NOT NULL GROUP BY day"""  # noqa: S608

"""The days of every objective: they add up to its figure, and a day without audits never looks kept."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from auditor.history.lens import Lens
from auditor.history.objective_days import DayFigure, objective_days
from auditor.history.objectives import Measure, ObjectiveFigure, objectives
from checks.convergence import Verdict
from checks.objective_days import DayState
from checks.objectives import WindowCounts
from tests.auditor.history.changes import NOW, followed, save
from tests.auditor.history.test_objectives import SLA, audit_queue
from tests.stand import Stand

PERIOD = SLA.replace("{dead_letters", "{period: 3d, strict: true, dead_letters")


def count(stand: Stand, at: datetime, **verdicts: int) -> None:
    decided = {Verdict[name.upper()]: number for name, number in verdicts.items()}
    with stand.ledger.write() as transaction:
        stand.ledger.measurements.count_windows(transaction, "to_billing", decided, at)


def days(stand: Stand, now: datetime | None = None) -> dict[Measure, tuple[ObjectiveFigure, list[DayFigure]]]:
    now = now or stand.clock.now()
    flow = stand.map.flow("to_billing")
    with closing(Lens(stand.ledger)) as lens:
        lens.refresh()
        figures = objectives(stand.map, stand.ledger, lens, now, now)
        return {each.measure: (each, objective_days(flow, each, lens, now)) for each in figures}


def states(found: Mapping[Measure, tuple[ObjectiveFigure, list[DayFigure]]], measure: Measure) -> list[DayState]:
    return [each.day.state for each in found[measure][1]]


@pytest.fixture
def past(stand: Stand) -> Stand:
    """Ten o'clock; the auditor read both systems three days ago and today, and not on the days between."""
    stand.remap("sla: {dead_letters: 1}", PERIOD)
    now = datetime.now(UTC).replace(hour=10, minute=0, second=0, microsecond=0)
    stand.clock.advance((now - timedelta(days=3) - stand.clock.now()).total_seconds() + 60)
    stand.agree(5)
    audit_queue(stand)
    stand.clock.advance(3 * 86_400 - 120)
    stand.audit()
    audit_queue(stand)
    stand.clock.advance(60)
    return stand


def test_each_objective_has_the_days_of_its_period_and_no_day_without_audits_is_kept(past: Stand) -> None:
    found = days(past)
    assert set(found) == {*Measure}
    now = past.clock.now()
    for measure, (_, each) in found.items():
        assert [day.day.day for day in each] == [(now - timedelta(days=back)).date() for back in (3, 2, 1, 0)]
        assert states(found, measure)[1:3] == [DayState.NO_DATA] * 2, measure
        assert [day.seen for day in each[1:3]] != ["no changes"] * 2
    assert states(found, Measure.WINDOW)[::3] == [DayState.NO_TRAFFIC] * 2
    assert states(found, Measure.COVERAGE)[::3] == [DayState.KEPT] * 2
    assert states(found, Measure.QUEUE)[::3] == [DayState.KEPT] * 2
    assert states(found, Measure.VERIFIED)[0] == DayState.KEPT
    assert states(found, Measure.VERIFIED)[3] == DayState.BROKEN  # until that audit it was three days behind
    assert "behind" in found[Measure.VERIFIED][1][3].seen
    assert [day.day.hours for day in found[Measure.WINDOW][1]] == [1, 0, 0, 1]


def test_the_days_of_a_share_add_up_to_its_figure_and_end_at_its_budget(past: Stand) -> None:
    now = past.clock.now()
    begin = now - timedelta(days=3)
    count(past, begin + timedelta(minutes=1), met=90, undecided=5)
    count(past, begin + timedelta(days=1), met=500)
    count(past, begin + timedelta(days=2), met=9_000, breach=1_000)
    count(past, now, met=3, breach_then_converged=1)
    found = days(past)
    figure, each = found[Measure.WINDOW]
    assert sum((day.day.counts or WindowCounts() for day in each), WindowCounts()) == figure.counts
    assert each[-1].day.left == figure.budget_left
    assert states(found, Measure.WINDOW) == [
        DayState.UNDECIDED,
        DayState.KEPT,  # counted, so known, although no audit of that day is on file
        DayState.BROKEN,
        DayState.UNDECIDED,
    ]
    assert each[0].seen == "90 of 95 in time (94.7%), 5 undecided"
    assert states(found, Measure.STRICT) == [DayState.KEPT, DayState.KEPT, DayState.BROKEN, DayState.BROKEN]
    assert found[Measure.STRICT][1][2].seen == "1000 of 10000 missed"


def test_a_slot_in_which_the_period_begins_counts_on_the_first_day(stand: Stand) -> None:
    stand.remap("sla: {dead_letters: 1}", "sla: {period: 2d}")
    midnight = stand.clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
    now = midnight + timedelta(minutes=2)
    count(stand, now - timedelta(days=2, minutes=1), met=7)
    figure, each = days(stand, now)[Measure.WINDOW]
    assert figure.counts == WindowCounts(met=7)
    assert [day.day.counts for day in each] == [WindowCounts(met=7), WindowCounts(), WindowCounts()]


def test_changes_within_another_time_count_on_the_day_on_which_they_settled(stand: Stand) -> None:
    stand.remap("sla: {dead_letters: 1}", "sla: {within: {10s: 0.5}}")
    changes = [followed(1, 2.0, hours_ago=50), followed(2, 30.0, hours_ago=50), followed(3, 2.0), followed(4, None)]
    with closing(save(stand, changes)) as lens:
        now = NOW
        figures = objectives(stand.map, stand.ledger, lens, now, now)
        figure = next(each for each in figures if each.measure is Measure.WITHIN)
        found = objective_days(stand.map.flow("to_billing"), figure, lens, now)
    assert sum((day.day.counts or WindowCounts() for day in found), WindowCounts()) == figure.counts
    assert found[-1].day.left == figure.budget_left
    assert len([day for day in found if day.day.counts and day.day.counts.total]) == 2
    assert {day.day.state for day in found} <= {DayState.NO_DATA, DayState.KEPT, DayState.UNDECIDED}


@pytest.mark.parametrize(
    ("rule", "waiting", "state"),
    [
        ("dead_letters: 1", 2, DayState.BROKEN),
        ("dead_letters: 1", 1, DayState.KEPT),
        ("dead_letters: 1, oldest_letter: 1h", 1, DayState.BROKEN),
    ],
)
def test_a_queue_is_judged_by_the_worst_reading_of_the_day(
    stand: Stand, rule: str, waiting: int, state: DayState
) -> None:
    stand.remap("sla: {dead_letters: 1}", f"sla: {{{rule}}}")
    for key in range(waiting):
        stand.run("billing", f"INSERT INTO letters VALUES ({key}, 3, '2026-03-01 00:00:00', 'no')")
    audit_queue(stand)
    stand.run("billing", "DELETE FROM letters")
    stand.clock.advance(1)
    audit_queue(stand)
    assert states(days(stand), Measure.QUEUE)[-1] == state


def test_a_queue_that_may_have_grown_is_undecided(stand: Stand) -> None:
    stand.remap("kind: sql_queue, ", "kind: sql_queue, role: main, ")
    stand.remap("sla: {dead_letters: 1}", "sla: {backlog_floor: 1}")
    for key in range(2):
        stand.run("billing", f"INSERT INTO letters VALUES ({key}, 3, '2026-03-01 00:00:00', 'no')")
    audit_queue(stand)
    assert states(days(stand), Measure.QUEUE)[-1] == DayState.UNDECIDED

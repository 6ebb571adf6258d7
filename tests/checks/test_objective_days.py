"""The days of an objective: every change counts once, no day without audits looks fine, the budget adds up."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.objective_days import Day, DayState, judged_days, share_days, spans
from checks.objectives import ShareObjective, Standing, WindowCounts

NOW = datetime(2026, 3, 29, 10, 14, tzinfo=UTC)

COUNTS = st.builds(WindowCounts, st.integers(0, 400), st.integers(0, 9), st.integers(0, 9))
PERIODS = st.tuples(
    st.datetimes(datetime(2026, 1, 1), datetime(2026, 4, 1), timezones=st.just(UTC)), st.floats(0.01, 92)
).map(lambda drawn: (drawn[0], drawn[0] + timedelta(days=drawn[1])))
SLOTS = st.lists(st.tuples(st.floats(0, 1), COUNTS), max_size=30)
GOALS = st.sampled_from([0.5, 0.9, 0.99, 0.9999, 1.0])


@given(PERIODS)
def test_the_days_of_a_period_are_in_a_row_and_are_the_period(period: tuple[datetime, datetime]) -> None:
    days = spans(*period)
    assert (days[0][0], days[-1][1]) == period
    for (_, until), (since, _) in pairwise(days):
        assert until == since
        assert (since.hour, since.minute, since.second, since.microsecond) == (0, 0, 0, 0)
    assert len({since.date() for since, _ in days}) == len(days)
    assert all(since < until <= since + timedelta(days=1) for since, until in days)


def test_a_day_is_one_in_utc() -> None:
    east = timezone(timedelta(hours=5))
    ((since, until),) = spans(datetime(2026, 3, 2, 1, tzinfo=east), datetime(2026, 3, 2, 2, tzinfo=east))
    assert (since, until) == (datetime(2026, 3, 1, 20, tzinfo=UTC), datetime(2026, 3, 1, 21, tzinfo=UTC))


@pytest.mark.parametrize(
    ("counts", "hours", "state"),
    [
        (WindowCounts(99, 1), 24, DayState.KEPT),
        (WindowCounts(99, 1), 0, DayState.KEPT),  # what was counted is known, even if the audits are no longer kept
        (WindowCounts(9_000, 1_000), 24, DayState.BROKEN),
        (WindowCounts(0, 1), 24, DayState.UNDECIDED),
        (WindowCounts(10, 0, 5), 24, DayState.UNDECIDED),
        (WindowCounts(), 1, DayState.NO_TRAFFIC),
        (WindowCounts(), 0, DayState.NO_DATA),
    ],
)
def test_a_day(counts: WindowCounts, hours: int, state: DayState) -> None:
    noon = NOW.replace(hour=12)
    days = share_days(NOW, NOW + timedelta(days=2), [(noon, counts)], {NOW.date(): hours}, 0.99)
    assert [day.state for day in days] == [state, DayState.NO_DATA, DayState.NO_DATA]


def test_what_is_counted_at_the_edges_of_the_period_belongs_to_its_first_and_last_day() -> None:
    """A slot that begins before the period and ends in it counts, as it does for the period."""
    begin = datetime(2026, 3, 1, 0, 2, tzinfo=UTC)
    before, after = begin - timedelta(minutes=4), begin + timedelta(days=9)
    days = share_days(
        begin, begin + timedelta(days=1), [(before, WindowCounts(1)), (after, WindowCounts(2))], {}, 0.99
    )
    assert [day.counts for day in days] == [WindowCounts(1), WindowCounts(2)]


def by_hand(
    begin: datetime, end: datetime, counted: list[tuple[datetime, WindowCounts]], goal: float
) -> list[tuple[date, WindowCounts, Standing, tuple[float, float] | None]]:
    """The same, change by change: each is a row with a day and a fate, and each day looks through all rows."""
    rows = [
        (max(at, begin).date(), fate)
        for at, counts in counted
        for fate in ("met", "missed", "undecided")
        for _ in range(getattr(counts, fate))
    ]
    found = []
    day = begin.date()
    while day < end.date() or (day == end.date() and end.time() > datetime.min.time()):
        mine = Counter(fate for at, fate in rows if at == day)
        counts = WindowCounts(mine["met"], mine["missed"], mine["undecided"])
        used = Counter(fate for at, fate in rows if at <= day)
        allowed = (1 - goal) * len(rows)
        least, most = used["missed"], used["missed"] + used["undecided"]
        left = (1 - most / allowed, 1 - least / allowed) if allowed > 0 else None
        found.append((day, counts, ShareObjective(counts=counts, goal=goal).standing, left))
        day += timedelta(days=1)
    return found


@given(PERIODS, SLOTS, GOALS, st.dictionaries(st.integers(0, 92), st.integers(0, 24)))
def test_the_days_are_what_counting_by_hand_finds(
    period: tuple[datetime, datetime], slots: list[tuple[float, WindowCounts]], goal: float, audits: dict[int, int]
) -> None:
    begin, end = period
    last = end - timedelta(microseconds=1)
    counted = [(begin + (last - begin) * share, counts) for share, counts in slots]
    hours = {begin.date() + timedelta(days=number): read for number, read in audits.items()}
    days = share_days(begin, end, counted, hours, goal)
    expected = by_hand(begin, end, counted, goal)
    assert [(day.day, day.counts) for day in days] == [(day, counts) for day, counts, *_ in expected]
    for day, (at, counts, standing, left) in zip(days, expected, strict=True):
        assert day.left == (None if left is None else pytest.approx(left))
        assert day.hours == hours.get(at, 0)
        if counts.total or day.hours:
            assert day.state.value == standing.value
        else:
            assert day.state is DayState.NO_DATA


@given(PERIODS, SLOTS, GOALS)
def test_the_budget_only_shrinks_and_ends_at_what_the_objective_has_left(
    period: tuple[datetime, datetime], slots: list[tuple[float, WindowCounts]], goal: float
) -> None:
    begin, end = period
    counted = [(begin + (end - begin) * share, counts) for share, counts in slots]
    days = share_days(begin, end, counted, {}, goal)
    total = sum((counts for _, counts in counted), WindowCounts())
    assert sum((day.counts or WindowCounts() for day in days), WindowCounts()) == total
    assert days[-1].left == ShareObjective(counts=total, goal=goal).budget_left
    lefts = [day.left for day in days if day.left is not None]
    assert len(lefts) in {0, len(days)}
    for (least, most), (next_least, next_most) in pairwise(lefts):
        assert next_least <= least <= most <= 1
        assert next_most <= most


def test_days_that_were_judged_otherwise_keep_their_verdicts() -> None:
    begin = NOW - timedelta(days=3)
    judged = {begin.date(): Standing.BROKEN, NOW.date(): Standing.UNDECIDED}
    hours = {begin.date() + timedelta(days=1): 3, NOW.date(): 5}
    days = judged_days(begin, NOW, judged, hours)
    assert [day.state for day in days] == [
        DayState.BROKEN,
        DayState.NO_TRAFFIC,
        DayState.NO_DATA,
        DayState.UNDECIDED,
    ]
    assert [day.hours for day in days] == [0, 3, 0, 5]
    assert all(isinstance(day, Day) and day.counts is None and day.left is None for day in days)

"""The calendar: each day once, in its week and under its weekday, with a sign and text that cannot act as HTML."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.dashboard import look
from auditor.dashboard.calendar_chart import (
    PALE,
    WEEKDAYS,
    Cell,
    budget_chart,
    calendar_chart,
    changes_text,
    hours_text,
    missed_text,
    week_chart,
)
from auditor.dashboard.look import Ink, Tone
from checks.objective_days import DayState
from checks.objectives import WindowCounts
from tests.auditor.dashboard.test_look import TEXT, contrast

NOW = datetime(2026, 3, 29, 10, 14, tzinfo=UTC)


def drawn(begin: date, states: list[DayState]) -> go.Figure:
    cells = [
        Cell(day=begin + timedelta(days=number), sign=look.DAY[state], told=["<b>5</b> of 6", "2"])
        for number, state in enumerate(states)
    ]
    return calendar_chart(cells, look.LIGHT)


@given(st.dates(date(2026, 1, 1), date(2027, 1, 1)), st.lists(st.sampled_from(DayState), min_size=1, max_size=93))
def test_each_day_stands_once_under_its_weekday(begin: date, states: list[DayState]) -> None:
    colours, texts = drawn(begin, states).data
    filled = [
        (week, weekday)
        for week, row in enumerate(colours.z)
        for weekday, colour in enumerate(row)
        if colour is not None
    ]
    assert len(filled) == len(states) == len(texts.text)
    first = begin.weekday()
    assert filled == [divmod(first + number, 7) for number in range(len(states))]
    for number, state in enumerate(states):
        day = begin + timedelta(days=number)
        assert texts.x[number] == WEEKDAYS[day.weekday()]
        assert texts.text[number] == f"{day.day} <b>{look.DAY[state].glyph}</b>"
        assert len({*colours.y}) == len(colours.y)


def test_the_figures_of_a_day_are_shown_with_its_sign_and_are_no_html() -> None:
    (told,) = [each for row in drawn(date(2026, 3, 2), [DayState.BROKEN]).data[0].customdata for each in row if each]
    assert told == "<b>Monday, 2 March: ✕ broken</b><br>&lt;b&gt;5&lt;/b&gt; of 6<br>2"


@pytest.mark.parametrize("ink", [look.LIGHT, look.DARK])
def test_text_is_legible_on_every_colour_of_a_day(ink: Ink) -> None:
    for tone in Tone:
        colour, paper = look.HEX[tone], ink.paper
        mixed = "#" + "".join(
            f"{round(PALE * int(colour[at : at + 2], 16) + (1 - PALE) * int(paper[at : at + 2], 16)):02x}"
            for at in (1, 3, 5)
        )
        assert contrast(ink.text, mixed) >= TEXT, tone


@pytest.mark.parametrize(("left", "lowest"), [((0.4, 0.6), -0.15), ((-0.5, 0.2), -0.55), ((-49.0, -9.0), -2.05)])
def test_a_budget_begins_whole_and_the_chart_reaches_below_what_is_left(
    left: tuple[float, float], lowest: float
) -> None:
    figure = budget_chart(NOW, NOW, [(NOW + timedelta(days=1), (0.9, 1.0)), (NOW + timedelta(days=2), left)])
    evenly, most, least = figure.data
    assert (list(evenly.y), list(most.y), list(least.y)) == ([1, 0], [1.0, 1.0, left[1]], [1.0, 0.9, left[0]])
    assert figure.layout.yaxis.range[0] == pytest.approx(lowest)


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 6), st.integers(0, 23)),
        st.builds(WindowCounts, st.integers(0, 99), st.integers(0, 9), st.integers(0, 9)),
    )
)
def test_an_hour_of_the_week_is_blank_or_has_its_share_and_its_figures(
    counts: dict[tuple[int, int], WindowCounts],
) -> None:
    (heat,) = week_chart(counts).data
    for weekday in range(7):
        for hour in range(24):
            each = counts.get((weekday, hour), WindowCounts())
            share = heat.z[weekday][hour]
            assert (share is None) == (not each.decided)
            if share is not None:
                assert share == each.missed / each.decided
                assert heat.zmin <= share <= heat.zmax
                assert heat.customdata[weekday][hour].startswith(f"<b>{hours_text(weekday, hour)}: ")
                assert f"<br>{changes_text(each)} missed" in heat.customdata[weekday][hour]


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        (WindowCounts(0, 0, 3), ("–", "0 of 0, 3 undecided")),
        (WindowCounts(5), ("at most 53%", "0 of 5")),
        (WindowCounts(90, 10, 2), ("10% (4.9% … 18%)", "10 of 100, 2 undecided")),
        (WindowCounts(0, 1), ("100% (2.5% … 100%)", "1 of 1")),
    ],
)
def test_what_missed_is_told_with_its_bounds(counts: WindowCounts, told: tuple[str, str]) -> None:
    assert (missed_text(counts), changes_text(counts)) == told


def test_the_hours_of_a_week_are_told_by_their_weekday() -> None:
    assert (hours_text(0, 9), hours_text(6, 23)) == ("Mon 09:00 to 10:00", "Sun 23:00 to 00:00")

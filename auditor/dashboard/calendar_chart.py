"""Days as a calendar, the hours of a week, and an error budget over its days; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import plotly.graph_objects as go

from auditor import escaping
from auditor.dashboard import look
from auditor.dashboard.charts import chart
from auditor.dashboard.look import Ink, Sign, Tone
from auditor.history.figure_text import ratio_text
from checks.intervals import clopper_pearson
from checks.objectives import WindowCounts

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

PALE = 0.32
"""How much of its colour a day has: enough to tell the colours apart, with text that is legible on each of them."""

DEEPEST = -2.0
"""How far below zero the chart of a budget reaches; a budget that is overspent by more leaves it."""

_ROW_HEIGHT = 44


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A day of a calendar.

    Attributes:
        told: figures, one per line.
    """

    day: date
    sign: Sign
    told: Sequence[str]


def calendar_chart(cells: Sequence[Cell], ink: Ink) -> go.Figure:
    """Draw days that follow each other, oldest first; each shows its number and its sign.

    The points that can be selected stand for them in the same order.
    """
    monday = cells[0].day - timedelta(days=cells[0].day.weekday())
    weeks = (cells[-1].day - monday).days // 7 + 1
    tones = list(Tone)
    colours: list[list[int | None]] = [[None] * 7 for _ in range(weeks)]
    hover = [[""] * 7 for _ in range(weeks)]
    for each in cells:
        week, weekday = divmod((each.day - monday).days, 7)
        colours[week][weekday] = tones.index(each.sign.tone)
        hover[week][weekday] = _told(each)
    steps = [
        (at / len(tones), _rgba(look.HEX[tone], PALE))
        for number, tone in enumerate(tones)
        for at in (number, number + 1)
    ]
    rows = [f"{monday + timedelta(days=7 * week):%-d %b}" for week in range(weeks)]
    days = go.Heatmap(
        x=WEEKDAYS,
        y=rows,
        z=colours,
        zmin=-0.5,
        zmax=len(tones) - 0.5,
        colorscale=steps,
        showscale=False,
        xgap=3,
        ygap=3,
        customdata=hover,
        hovertemplate="%{customdata}<extra></extra>",
        hoverongaps=False,
    )
    numbers = go.Scatter(
        x=[WEEKDAYS[each.day.weekday()] for each in cells],
        y=[rows[(each.day - monday).days // 7] for each in cells],
        text=[f"{each.day.day:d} <b>{escaping.plotly(each.sign.glyph)}</b>" for each in cells],
        mode="markers+text",
        marker={"symbol": "square", "size": _ROW_HEIGHT - 4, "opacity": 0},  # plotly selects no cell of a heat map
        textfont={"size": 13, "color": ink.text},
        customdata=[_told(each) for each in cells],
        hovertemplate="%{customdata}<extra></extra>",
        showlegend=False,
    )
    axis = {"tickfont": {"color": ink.quiet}, "fixedrange": True, "showgrid": False, "zeroline": False}
    return chart(
        [days, numbers],
        60 + _ROW_HEIGHT * weeks,
        xaxis={**axis, "side": "top"},
        yaxis={**axis, "autorange": "reversed", "type": "category"},
    )


def _told(cell: Cell) -> str:
    title = f"<b>{cell.day:%A, %-d %B}: {escaping.plotly(cell.sign.plain)}</b>"
    return "<br>".join([title, *map(escaping.plotly, cell.told)])


def week_chart(counts: Mapping[tuple[int, int], WindowCounts]) -> go.Figure:
    """Draw the share of changes that missed their window, by weekday and hour of the day.

    Hours without a decided change are blank.

    Args:
        counts: by weekday (0 for Monday) and hour.
    """
    shares: list[list[float | None]] = [[None] * 24 for _ in WEEKDAYS]
    hover = [[""] * 24 for _ in WEEKDAYS]
    for (weekday, hour), each in counts.items():
        if each.decided:
            shares[weekday][hour] = each.missed / each.decided
            title = f"<b>{hours_text(weekday, hour)}: {missed_text(each)}</b>"
            hover[weekday][hour] = f"{title}<br>{changes_text(each)} missed their window"
    heat = go.Heatmap(
        x=[f"{hour:02}" for hour in range(24)],
        y=WEEKDAYS,
        z=shares,
        zmin=0,
        zmax=max([0.01, *(share for row in shares for share in row if share is not None)]),
        colorscale=[[0, _rgba(look.HEX[Tone.QUIET], 0.15)], [1, look.HEX[Tone.BAD]]],
        colorbar={"tickformat": ".2~%", "title": "share that<br>missed"},
        xgap=1,
        ygap=1,
        customdata=hover,
        hovertemplate="%{customdata}<extra></extra>",
        hoverongaps=False,
    )
    axis = {"fixedrange": True, "showgrid": False}
    return chart(
        [heat],
        300,
        xaxis={**axis, "title": "hour of the day (UTC)", "type": "category"},
        yaxis={**axis, "autorange": "reversed"},
    )


def hours_text(weekday: int, hour: int) -> str:
    """An hour of the week, for people."""
    return f"{WEEKDAYS[weekday]} {hour:02}:00 to {(hour + 1) % 24:02}:00"


def missed_text(counts: WindowCounts) -> str:
    """The share of decided changes that missed their window, with its bounds at 95 %."""
    if not counts.decided:
        return "–"
    return ratio_text(counts.missed / counts.decided, *clopper_pearson(counts.missed, counts.decided))


def changes_text(counts: WindowCounts) -> str:
    """How many changes missed their window, of how many, and how many are undecided."""
    undecided = f", {counts.undecided:,} undecided" if counts.undecided else ""
    return f"{counts.missed:,} of {counts.decided:,}{undecided}"


def budget_chart(
    begin: datetime, known_from: datetime, left: Sequence[tuple[datetime, tuple[float, float]]]
) -> go.Figure:
    """Draw what is left of an error budget, at least and at most, against a budget that is used evenly.

    Args:
        known_from: the begin of the first day on which anything is known.
        left: by the end of each day.
    """
    at = [known_from, *(end for end, _ in left)]
    least, most = [1.0, *(each for _, (each, _) in left)], [1.0, *(each for _, (_, each) in left)]
    line = {"width": 2, "color": look.HEX[Tone.NOTE]}
    evenly = go.Scatter(
        x=[begin, at[-1]],
        y=[1, 0],
        mode="lines",
        name="used evenly",
        line={"dash": "dot", "width": 1.5, "color": look.HEX[Tone.QUIET]},
        hoverinfo="skip",
    )
    at_least = go.Scatter(
        x=at,
        y=least,
        mode="lines+markers",
        name="left, at least",
        line=line,
        marker={"size": 5},
        fill="tonexty",
        fillcolor=_rgba(look.HEX[Tone.NOTE], 0.18),
    )
    figure = chart(
        [evenly, go.Scatter(x=at, y=most, mode="lines", name="left, at most", line=line), at_least],
        320,
        xaxis={"hoverformat": "%-d %b %H:%M"},
        yaxis={
            "tickformat": ".0%",
            "range": [max(min(*least, -0.1), DEEPEST) - 0.05, 1.05],
            "title": "error budget left",
        },
        hovermode="x unified",
    )
    figure.add_hline(
        y=0,
        line_dash="dash",
        line_color=look.HEX[Tone.BAD],
        annotation_text="used up",
        annotation_position="bottom left",
    )
    return figure


def _rgba(colour: str, opacity: float) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"

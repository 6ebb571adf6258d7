"""The chart of a query's result: what can be drawn of its columns, and the figure. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd
import plotly.graph_objects as go

from auditor import escaping
from auditor.dashboard import charts, look
from auditor.dashboard.look import Tone
from probes.wording import counted

Form = Literal["Line", "Bar"]

MOST_POINTS = 5_000
MOST_BARS = 60
MOST_SERIES = 10

_TONES = (Tone.NOTE, Tone.LATE, Tone.GOOD, Tone.UNKNOWN, Tone.BAD, Tone.QUIET)
_DASHES = ("solid", "dash")
_PATTERNS = ("", "/")
"""Styles of lines and of bars: at most two series have the same colour, and they differ in this."""

_NUMBERS = frozenset({"integer", "floating", "decimal", "mixed-integer-float"})
_TIMES = frozenset({"datetime", "datetime64", "date"})
_WORDS = frozenset({"string", "boolean"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The columns of a result by what a chart can make of them; those without any value are left out."""

    times: tuple[str, ...]
    words: tuple[str, ...]
    numbers: tuple[str, ...]

    @property
    def across(self) -> tuple[str, ...]:
        """What may stand on the x axis; a number only if another one is left for the y axis."""
        return self.times + self.words + (self.numbers if len(self.numbers) > 1 else ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is drawn.

    Attributes:
        up: the columns on the y axis.
        by: the column whose values are one series each; with it `up` has one column. "" for none.
    """

    form: Form
    across: str
    up: tuple[str, ...]
    by: str = ""


def columns_of(frame: pd.DataFrame) -> Columns:
    """What each column of a result is to a chart."""
    kinds = {name: pd.api.types.infer_dtype(frame[name].dropna()) for name in frame.columns}
    return Columns(
        times=tuple(name for name, kind in kinds.items() if kind in _TIMES),
        words=tuple(name for name, kind in kinds.items() if kind in _WORDS),
        numbers=tuple(name for name, kind in kinds.items() if kind in _NUMBERS),
    )


def what_it_lacks(frame: pd.DataFrame, columns: Columns) -> str:
    """Why no chart of a result can be drawn at all, and what to select for one; "" if one can."""
    if len(frame) < 2:
        return "No chart: it takes at least two rows."
    if not columns.numbers:
        return "No chart: it takes a column of numbers, such as count(*)."
    if not columns.across:
        return "No chart: beside the numbers it takes a column of times or of words, such as the hour or the flow."
    return ""


def proposed(frame: pd.DataFrame, columns: Columns) -> Plan:
    """The likeliest chart of a result of which one can be drawn.

    What is grouped by usually stands before what is measured: so the x axis is a time there that varies, else a word
    that tells the rows apart, else the first word, with another one for the series.
    """
    names = list(frame.columns)
    measured_from = next((at for at, name in enumerate(names) if name in columns.numbers), len(names))
    grouped = [name for name in names[:measured_from] if name in columns.across] or list(columns.across)
    ranked = [
        *(name for name in grouped if name in columns.times and frame[name].nunique() > 1),
        *(name for name in grouped if name in columns.words and frame[name].is_unique),
        *(name for name in grouped if name in columns.words),
        *grouped,
    ]
    across = ranked[0]
    numbers = [name for name in columns.numbers if name != across]
    measures = [name for name in numbers if name != "id" and not name.endswith("_id")] or numbers
    by = ""
    if frame[across].duplicated().any():
        words = [name for name in columns.words if name != across]
        apart = [name for name in words if not frame.duplicated([across, name]).any()]
        by = next((name for name in apart if frame[name].nunique() <= MOST_SERIES), "")
    return Plan(form="Bar" if across in columns.words else "Line", across=across, up=(measures[0],), by=by)


def why_not_drawn(frame: pd.DataFrame, plan: Plan) -> str:
    """Why a chart would not tell the truth or could not be read, and what to do; "" if it is drawn."""
    if not plan.up:
        return "Not drawn: choose at least one column of numbers for the y axis."
    if plan.by and len(plan.up) > 1:
        return "Not drawn: with a series for each value of a column, choose one column of numbers."
    drawn = frame.dropna(subset=[plan.across])
    repeated = int(drawn.duplicated([plan.across, plan.by] if plan.by else [plan.across]).sum())
    if repeated:
        return (
            f"Not drawn: {counted(repeated, 'row')} would lie on top of others with the same x. Aggregate them with "
            "GROUP BY, or choose a column that separates them."
        )
    series = drawn[plan.by].nunique(dropna=False) if plan.by else len(plan.up)
    if series > MOST_SERIES:
        return f"Not drawn: {series:,} series are too many to tell apart; at most {MOST_SERIES} are drawn."
    places = drawn[plan.across].nunique()
    if plan.form == "Bar" and places > MOST_BARS:
        return f"Not drawn: {places:,} bars are too many to read; at most {MOST_BARS} are drawn. Add a LIMIT."
    if len(drawn) > MOST_POINTS:
        return f"Not drawn: {len(drawn):,} points are too many; at most {MOST_POINTS:,} are drawn. Use time_bucket()."
    return ""


def chart(frame: pd.DataFrame, plan: Plan) -> go.Figure:
    """The chart of a plan that `why_not_drawn` has nothing against."""
    drawn = frame.dropna(subset=[plan.across])
    words = pd.api.types.infer_dtype(drawn[plan.across]) in _WORDS
    if not words:
        drawn = drawn.sort_values(plan.across)
    traces: list[go.Bar | go.Scatter] = []
    for number, (label, part, column) in enumerate(_series(drawn, plan)):
        name = escaping.plotly(label)
        across = part[plan.across]
        x = [escaping.plotly(each) for each in across] if words else list(across)
        y = [None if pd.isna(each) else float(each) for each in part[column]]
        colour = look.HEX[_TONES[number % len(_TONES)]]
        if plan.form == "Bar":
            marker = {"color": colour, "pattern": {"shape": _PATTERNS[number // len(_TONES) % len(_PATTERNS)]}}
            traces.append(go.Bar(x=x, y=y, name=name, marker=marker))
        else:
            dash = _DASHES[number // len(_TONES) % len(_DASHES)]
            line = {"color": colour, "dash": dash}
            traces.append(go.Scatter(x=x, y=y, name=name, mode="lines+markers", line=line, marker={"size": 5}))
    return charts.chart(
        traces,
        320,
        barmode="group",
        uirevision=None,  # another result is another picture
        hovermode="x unified",
        showlegend=bool(plan.by) or len(plan.up) > 1,
        xaxis={"title": escaping.plotly(plan.across), **({"type": "category"} if words else {})},
        yaxis={"title": escaping.plotly(plan.up[0]) if len(plan.up) == 1 else ""},
    )


def alternative(frame: pd.DataFrame, plan: Plan) -> str:
    """What the chart shows, in words."""
    by = f", one series for each {plan.by}" if plan.by else ""
    form = "Bars" if plan.form == "Bar" else "Lines"
    return escaping.visible(
        f"{form} of {', '.join(plan.up)} over {plan.across}{by}, from {counted(len(frame), 'row')}"
    )


def left_out(frame: pd.DataFrame, plan: Plan) -> int:
    """How many rows have no place on the x axis."""
    return int(frame[plan.across].isna().sum())


def _series(drawn: pd.DataFrame, plan: Plan) -> Sequence[tuple[str, pd.DataFrame, str]]:
    """By series, its label, its rows and the column with its values."""
    if not plan.by:
        return [(column, drawn, column) for column in plan.up]
    parts = drawn.groupby(plan.by, sort=False, dropna=False)
    return [("NULL" if pd.isna(value) else str(value), part, plan.up[0]) for value, part in parts]

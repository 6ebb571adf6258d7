"""Turns figures into what people see: words, intervals, colours and charts; pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import ROUND_CEILING
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from auditor import escaping
from auditor.dashboard import look
from auditor.dashboard.charts import chart
from auditor.history.figure_rows import NOTHING_VERIFIED
from auditor.map.integration_map import IntegrationMap
from checks.funnel import Fate
from checks.lag import EDGES_S, LagCurve
from checks.lag_cells import NEVER
from probes.durations import format_duration, measured
from probes.wording import counted, figure, percent

LEAST, MOST = look.HEX[look.Tone.GOOD], look.HEX[look.Tone.NOTE]


def ago(at: datetime | None, now: datetime) -> str:
    """How long ago, in words."""
    return "never" if at is None or pd.isna(at) else f"{span((now - at).total_seconds())} ago"


def span(seconds: float) -> str:
    """How long something lasts or lasted, as people say it: whole numbers of the largest unit of which it has two."""
    whole = max(0, int(seconds))
    for unit_s, unit in _UNITS:
        if whole >= 2 * unit_s:
            return f"{whole // unit_s:,} {unit}"
    return f"{whole} s" if whole else "under 1 s"


def days_text(seconds: float) -> str:
    """A time span in days."""
    days = seconds / 86_400
    return counted(round(days), "day") if days == round(days) else f"{figure(days, 2)} days"


_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"))


def verified(through_at: datetime | None, now: datetime) -> str:
    """How long ago it was up to when a flow is verified, in words."""
    return NOTHING_VERIFIED if through_at is None else ago(through_at, now)


def share_within(met: int, breach: int, undecided: int) -> str:
    """The share of changes within the window, as far as known.

    Undecided changes may have met their window or not, so the share is an interval.
    """
    total = met + breach + undecided
    if not total:
        return "no traffic"
    least, most = percent(met / total), percent((met + undecided) / total)
    return least if least == most else f"{least} … {most}"


def matrix(integration_map: IntegrationMap) -> dict[str, dict[str, list[str]]]:
    """By data type and system, the flows that bring records of that type there; none for its owner."""
    cells: dict[str, dict[str, list[str]]] = {}
    for name, flow in integration_map.flows.items():
        row = cells.setdefault(flow.data_type, {integration_map.data_types[flow.data_type].owner: []})
        row.setdefault(flow.to, []).append(name)
    return cells


def bars(timeline: pd.DataFrame, begin: datetime, end: datetime, width: timedelta) -> list[int]:
    """How many records newly differ in each bar from begin to end, those without any included.

    The first bar is the one within which the begin lies, so that no two become one.

    Args:
        timeline: columns bucket_at, opened.
    """
    number = int((end - begin) / width) + 1
    at = ((timeline["bucket_at"] - pd.Timestamp(begin)) / width).map(math.ceil).clip(0, number - 1).astype(int)
    return [int(each) for each in np.bincount(at, weights=timeline["opened"], minlength=number)]


def timeline_chart(
    timeline: pd.DataFrame,
    begin: datetime,
    end: datetime,
    width: timedelta,
    shaded: Sequence[tuple[datetime, datetime]] = (),
) -> go.Figure:
    """Bars of records that newly differ, by family. Columns: bucket_at, family, opened, and others that are added up.

    Args:
        width: of a bar.
        shaded: spans of time that are marked.
    """
    traces = []
    for name, sign in look.FAMILY.items():
        part = timeline[timeline["family"] == name].groupby("bucket_at")["opened"].sum()
        if not part.empty:
            traces.append(
                go.Bar(
                    x=part.index,
                    y=part,
                    width=width.total_seconds() * 1000,
                    offset=0,
                    name=sign.word,
                    marker={"color": look.HEX[sign.tone]},
                )
            )
    shown = {"range": [begin - width, end + width]}
    figure = chart(traces, 240, barmode="stack", xaxis=shown, yaxis={"title": "records"})
    for first, last in shaded:
        figure.add_vrect(x0=first, x1=last, fillcolor=look.HEX[look.Tone.BAD], opacity=0.12, line_width=0)
    return figure


def fates_chart(flows: Mapping[str, Mapping[Fate, int]], ink: look.Ink) -> go.Figure:
    """Where the dead letters of each flow went, as bands whose width is their number; the most letters come first."""
    fates = [fate for fate in Fate if any(fate in each for each in flows.values())]
    names = sorted(flows, key=lambda name: -sum(flows[name].values()))
    ends = {fate: sum(each.get(fate, 0) for each in flows.values()) for fate in fates}
    begins = {name: sum(flows[name].values()) for name in names}
    bands = [(at, fate, flows[name][fate]) for at, name in enumerate(names) for fate in fates if fate in flows[name]]
    tones = [look.HEX[look.FATE[fate]] for fate in fates]
    sankey = go.Sankey(
        arrangement="fixed",
        node={
            "label": [f"{escaping.plotly(name)} {n:,}" for name, n in begins.items()]
            + [f"{escaping.plotly(fate)} {n:,}" for fate, n in ends.items()],
            "color": [look.HEX[look.Tone.QUIET]] * len(names) + tones,
            "x": [0.001] * len(names) + [0.999] * len(fates),
            "y": _middles([*begins.values()]) + _middles([*ends.values()]),
            "thickness": 14,
            "pad": 18,
            "hovertemplate": "%{label}<extra></extra>",
        },
        link={
            "source": [at for at, _, _ in bands],
            "target": [len(names) + fates.index(fate) for _, fate, _ in bands],
            "value": [letters for _, _, letters in bands],
            "color": [f"rgba{_rgb(look.HEX[look.FATE[fate]])}" for _, fate, _ in bands],
            "hovertemplate": "%{source.label}: %{value:,} %{target.label}<extra></extra>",
        },
        textfont={"color": ink.text, "shadow": "none"},
    )
    return chart([sankey], 60 + 44 * max(2, len(names), len(fates)))


def _middles(letters: Sequence[int]) -> list[float]:
    """How far down each of several nodes stands, one below the other by their size, with room for their names."""
    room = max(sum(letters), 1) / len(letters)
    sizes = np.array(letters) + room
    return [float(each) for each in (np.cumsum(sizes) - sizes / 2) / sizes.sum()]


def _rgb(tone: str) -> tuple[int, int, int, float]:
    return int(tone[1:3], 16), int(tone[3:5], 16), int(tone[5:7], 16), 0.35


LAG_TICKS_S = {
    0.01: "10 ms",
    0.1: "100 ms",
    1: "1 s",
    10: "10 s",
    60: "1 min",
    600: "10 min",
    3_600: "1 h",
    86_400: "1 d",
    864_000: "10 d",
    8_640_000: "100 d",
}
"""Where the axis of lags is labelled: with whole units, also where `format_duration` keeps to the smaller one."""


def lag_chart(curve: LagCurve, window_s: float) -> go.Figure:
    """The share of changes not yet visible after t, with its band, and the window."""
    least, most = curve.band
    shown = slice(1, _last_edge(curve))
    t_s, arrived = EDGES_S[shown], curve.arrived[shown]
    line = {"shape": "hv", "width": 1, "color": MOST}
    after = go.Scatter(  # the title of a unified hover knows only the number
        x=t_s,
        y=1 - least[shown],
        name="after",
        mode="lines",
        line={"width": 0},
        showlegend=False,
        customdata=[measured(float(each)) for each in t_s],
        hovertemplate="%{customdata}",
    )
    most_line = go.Scatter(x=t_s, y=1 - least[shown], name="at most", line=line)
    least_line = go.Scatter(
        x=t_s, y=1 - most[shown], name="at least", line=line, fill="tonexty", fillcolor="rgba(76,125,217,0.18)"
    )
    best = {"color": LEAST, "width": 2.5}
    traces = [
        after,
        most_line,
        least_line,
        go.Scatter(
            x=t_s, y=np.where(arrived > curve.supported, np.nan, 1 - arrived), name="best estimate", line=best
        ),
    ]
    if window_s > 0:
        traces.append(
            go.Scatter(
                x=[window_s, window_s],
                y=[0, 1],
                mode="lines",
                hoverinfo="skip",
                name=f"window {format_duration(window_s)}",
                line={"dash": "dash", "color": look.HEX[look.Tone.BAD]},
            )
        )
    return chart(
        traces,
        340,
        xaxis={
            "type": "log",
            "title": "time after the change",
            "tickvals": [*LAG_TICKS_S],
            "ticktext": [*LAG_TICKS_S.values()],
            "unifiedhovertitle": {"text": "not visible yet"},
        },
        yaxis={"tickformat": ".0%", "range": [0, 1.02], "title": "not visible yet"},
        hovermode="x unified",
    )


def _last_edge(curve: LagCurve) -> int:
    """An edge just beyond the last known end of an interval."""
    lower, upper, _ = curve.pairs.T
    finite = upper[upper < NEVER]
    return min(int(max(lower.max(), finite.max() if len(finite) else 0)) + 4, NEVER)


HEAT_PX = 1_000, 240
"""About how wide and high the heat map is drawn."""

LABELS = 12
"""The most rows of the heat map that have their label."""


def heat_chart(hours: list[datetime], shares: Any, window_s: float) -> go.Figure:
    """Lags over time: hours across, lags upwards, the share of the hour's changes as colour.

    A point that can be selected is in the middle of its hour.

    Args:
        hours: consecutive, without gaps.
        shares: shape (cells, hours).
    """
    used = [cell for cell in range(NEVER) if shares[cell].any()]
    cells = [*range(min(used), max(used) + 1)] if used else []
    cells += [NEVER] if shares[NEVER].any() else []
    names = ["not seen" if cell == NEVER else f"≤ {measured(EDGES_S[cell + 1], ROUND_CEILING)}" for cell in cells]
    heat = go.Heatmap(
        x=[*hours, hours[-1] + timedelta(hours=1)],
        y=names,
        z=[shares[cell] for cell in cells],
        colorscale=[[0, "rgba(76,125,217,0)"], [0.01, "rgba(76,125,217,0.35)"], [1, MOST]],
        zmin=0,
        zmax=1,
        colorbar={"tickformat": ".0%", "title": "share of the<br>hour's changes"},
        hoverinfo="skip",
    )
    filled = [(row, at) for row, cell in enumerate(cells) for at in range(len(hours)) if shares[cell][at]]
    points = go.Scatter(  # plotly selects no cell of a heat map
        x=[hours[at] + timedelta(minutes=30) for _, at in filled],
        y=[names[row] for row, _ in filled],
        mode="markers",
        marker={"symbol": "square", "size": 12, "opacity": 0},
        customdata=[float(shares[cells[row]][at]) for row, at in filled],
        hovertemplate="%{x|%d %b %H}:00<br>%{y}: %{customdata:.1%}<extra></extra>",
        showlegend=False,
    )
    every = -(-len(names) // LABELS)
    named = names[::-1][::every]  # the top one always, as it may be "not seen"
    reach = max(HEAT_PX[0] // (len(hours) + 1), HEAT_PX[1] // max(len(names), 1)) // 2  # all of a cell can be clicked
    figure = chart([heat, points], 300, yaxis={"type": "category", "tickvals": named}, hoverdistance=max(reach, 20))
    inside = [at for at, cell in enumerate(cells) if EDGES_S[cell] < window_s]
    if window_s > 0 and inside and len(inside) < len(cells):
        figure.add_hline(
            y=inside[-1] + 0.5,
            line_dash="dash",
            line_color=look.HEX[look.Tone.BAD],
            annotation_text=f"window {format_duration(window_s)}",
        )
    return figure

"""Turning figures into what people read: words, intervals, colours and charts; pure."""

from __future__ import annotations

import json
import math
from datetime import datetime

import pandas as pd
import plotly.graph_objects as go

from probes.durations import format_duration

FAMILY_COLOURS = {
    "timing": "#E8A33D",
    "ownership": "#D0453B",
    "validity": "#8A5CC7",
    "unexplained": "#7C8798",
}
LEAST, MOST = "#2E8B74", "#4C7DD9"

STATE_SIGNS = {"consistent": "✓ consistent", "drift": "✗ drift", "no data": "? no data"}

CAUSE_WORDS = {
    "in_flight": "on its way, within its window",
    "late": "did not arrive within its window",
    "lost": "did not arrive at all",
    "foreign_write": "changed by a system that does not own it",
    "conflict": "changed on both sides",
    "orphan": "unknown to its owner",
    "duplicate": "there more than once",
    "regression": "an older version came back",
    "invalid": "breaks its own validity rules",
    "unexplained": "never agreed: mapping or backfill",
}


def ago(at: datetime | None, now: datetime) -> str:
    """How long ago, in words."""
    return "never" if at is None or pd.isna(at) else f"{format_duration(max(0.0, (now - at).total_seconds()))} ago"


def interval(lower: float | None, upper: float | None) -> str:
    """An interval of seconds; an end that is not known is said to be open."""
    if lower is None or pd.isna(lower):
        return "–"
    if upper is None or pd.isna(upper) or math.isinf(upper):
        return f"> {format_duration(lower)}"
    return f"{format_duration(lower)} … {format_duration(upper)}"


def share_within(met: int, breach: int, undecided: int) -> str:
    """The share of changes within the window, as far as it is known.

    The undecided may have met their window or not, so the share lies between those two ends.
    """
    total = met + breach + undecided
    if not total:
        return "no traffic"
    least, most = f"{met / total:.1%}", f"{(met + undecided) / total:.1%}"
    return least if least == most else f"{least} – {most}"


def differences_text(differences: str, detail: str) -> str:
    """The differing fields of a divergence in one line."""
    told = [
        f"{each['field']}: {each['owner_value']} → {each['target_value']}"
        + (f" ({each['shape'].replace('_', ' ')})" if each["shape"] != "value" else "")
        for each in json.loads(differences)
    ]
    return "; ".join(told) or detail


def _plain(figure: go.Figure, height: int) -> go.Figure:
    figure.update_layout(
        height=height,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        legend={"orientation": "h", "y": 1.12, "x": 0},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        uirevision="keep",
        hovermode="x unified",
    )
    return figure


def timeline_chart(timeline: pd.DataFrame) -> go.Figure:
    """Bars of records that newly differ, by family. Columns: bucket_at, family, opened."""
    figure = go.Figure()
    for family, colour in FAMILY_COLOURS.items():
        part = timeline[timeline["family"] == family]
        if not part.empty:
            figure.add_bar(x=part["bucket_at"], y=part["opened"], name=family, marker_color=colour)
    figure.update_layout(barmode="stack", yaxis_title="records")
    return _plain(figure, 240)


def lag_chart(curve: pd.DataFrame, window_s: float) -> go.Figure:
    """The share of changes that has arrived after t, as a band. Columns: t_s, most, least."""
    figure = go.Figure()
    shape = {"shape": "hv", "width": 1.5}
    figure.add_scatter(x=curve["t_s"], y=curve["most"], name="at most", line={**shape, "color": MOST})
    figure.add_scatter(
        x=curve["t_s"],
        y=curve["least"],
        name="at least",
        line={**shape, "color": LEAST},
        fill="tonexty",
        fillcolor="rgba(76,125,217,0.18)",
    )
    if window_s > 0:
        figure.add_scatter(
            x=[window_s, window_s],
            y=[0, 1],
            mode="lines",
            name=f"window {format_duration(window_s)}",
            line={"dash": "dash", "color": FAMILY_COLOURS["ownership"]},
        )
    figure.update_xaxes(type="log", title="seconds after the change")
    figure.update_yaxes(tickformat=".0%", range=[0, 1.02], title="changes that have arrived")
    return _plain(figure, 340)


def lag_over_time_chart(hours: pd.DataFrame, window_s: float) -> go.Figure:
    """Upper bounds of the median and the 95th percentile over time. Columns: bucket_at, p50, p95."""
    figure = go.Figure()
    figure.add_scatter(x=hours["bucket_at"], y=hours["p95"], name="p95, at most", line={"color": MOST})
    figure.add_scatter(x=hours["bucket_at"], y=hours["p50"], name="median, at most", line={"color": LEAST})
    if window_s > 0:
        figure.add_hline(
            y=window_s, line_dash="dash", line_color=FAMILY_COLOURS["ownership"], annotation_text="window"
        )
    figure.update_yaxes(title="seconds", rangemode="tozero")
    return _plain(figure, 240)

"""Lag: how long changes take to arrive, each figure with its error."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from auditor.dashboard import components, view
from auditor.dashboard.data import Data, Since
from probes.durations import format_duration


def page() -> None:
    """Draw the page."""
    components.framed("Lag", _draw)


def _draw(data: Data, since: Since) -> None:
    lags = data.lags(since)
    if lags.empty:
        components.nothing(
            f"No change was settled in the last {since.label}: no traffic, or the auditor has just started. "
            "Idle is not lag."
        )
        return
    rows = [
        {
            "flow": row.flow,
            "changes": row.changes,
            "window": format_duration(row.window_s) if row.window_s else "none",
            "median": view.interval(row.p50_lower, row.p50_upper),
            "p95": view.interval(row.p95_lower, row.p95_upper),
            "p99": view.interval(row.p99_lower, row.p99_upper),
        }
        for row in lags.itertuples()
    ]
    st.caption(
        "A lag is known as an interval: longer than the last probe that did not see the change, at most the first "
        "that did."
    )
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Lag quantiles by flow as intervals")
    flow = st.selectbox("Flow", list(lags["flow"]), key="lagflow", bind="query-params")
    window_s = float(lags.set_index("flow").loc[flow, "window_s"])
    curve, hours = data.lag_curve(since, flow), data.lag_hours(since, flow)
    if not curve.empty:
        st.plotly_chart(
            view.lag_chart(curve, window_s),
            key="curve",
            config={"displaylogo": False},
            alt=f"Share of changes of {flow} that has arrived after t seconds, at least and at most",
        )
    if not hours.empty:
        st.plotly_chart(
            view.lag_over_time_chart(hours, window_s),
            key="hours",
            config={"displaylogo": False},
            alt=f"Median and p95 lag of {flow} over time, upper bounds",
        )

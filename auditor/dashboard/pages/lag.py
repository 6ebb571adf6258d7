"""Lag: how long changes take to arrive, each figure with its error."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import streamlit as st

from auditor import escaping
from auditor.dashboard import asked, calendar_chart, components, tables, view
from auditor.dashboard.data import Data
from auditor.dashboard.frames import frame
from auditor.dashboard.time_range import TimeRange
from auditor.history.figure_rows import lag_row
from auditor.history.lag import FlowLag
from checks.intervals import clopper_pearson
from probes.durations import measured

HOURS_SHOWN = 5
"""Hours of the week with the largest share of late changes that the page lists."""


def page() -> None:
    """Draw the page."""
    components.framed("Lag", _draw)


def _draw(data: Data, span: TimeRange) -> None:
    lags = data.lags(span)
    measured = {lag.flow: lag for lag in lags if lag.curve is not None}
    asked.refuse("lagflow", data.map.flows)
    if lags and not any(lag.audited for lag in lags):
        components.nothing(
            f"Nothing was audited in {span.words}, so how long changes take is not known. "
            + ("Start the auditor with `auditor run`." if span.to_now else "Choose a time in which the auditor ran.")
        )
    elif not measured:
        components.nothing(
            f"No change was seen in {span.words}: no traffic"
            + (", or the auditor has just started" if span.to_now else "")
            + ". Idle is not lag. A longer time range may show changes."
        )
    else:
        st.caption(
            "Each lag is an interval: longer than the time to the last reading that did not show the change, at most "
            "the time to the first that did. Brackets: 95 % confidence."
        )
        tables.table(frame(list(map(_row, lags))), key="lags", alt="Lag quantiles by flow as intervals")
        _clamped(lags)
        flows = [*measured, *(lag.flow for lag in lags if lag.flow not in measured)]
        flow = st.selectbox("Flow", flows, key="lagflow", bind="query-params")
        if flow in measured:
            _charts(data, span, measured[flow])
        else:
            components.nothing(_unmeasured(next(lag for lag in lags if lag.flow == flow), span))
    _clocks(data, span)


def _unmeasured(lag: FlowLag, span: TimeRange) -> str:
    """Why there is no lag of a flow to show, and where there may be one."""
    flow = escaping.markdown(lag.flow)
    if not lag.audited:
        return f"{flow} was not audited in {span.words}, so how long its changes take is not known."
    return f"No change of {flow} was seen in {span.words}. A longer time range may show changes."


def _row(lag: FlowLag) -> dict[str, object]:
    row = lag_row(lag)
    changes, state = row["changes"], row.pop("state")
    del row["clamped"]  # shown below the table
    return {**row, "changes": f"{changes}" if lag.curve else state}


def _clamped(lags: list[FlowLag]) -> None:
    counts = [f"{lag.clamped} of {lag.flow}" for lag in lags if lag.clamped]
    if counts:
        st.warning(
            f"Changes seemed to arrive before they were made: {escaping.markdown(', '.join(counts))}. "
            "Their lag counts as 0. A stamp or a clock is wrong; compare the clocks below with `auditor doctor`.",
            icon=":material/schedule:",
        )


def _charts(data: Data, span: TimeRange, lag: FlowLag) -> None:
    if lag.curve is not None:
        st.plotly_chart(
            view.lag_chart(lag.curve, lag.window_s),
            key="curve",
            config={"displaylogo": False},
            alt=f"Share of changes of {lag.flow} not yet visible after t seconds, with its band",
        )
    left, right = st.columns([1, 1], gap="medium")
    with left:
        _over_time(data, span, lag)
    with right:
        _by_weekday(data, lag)


def _over_time(data: Data, span: TimeRange, lag: FlowLag) -> None:
    hours, shares = data.heat(span, lag.flow)
    if not hours:
        return

    def of_hour(point: Mapping[str, Any]) -> tuple[datetime, datetime]:
        begin = pd.Timestamp(point["x"]).floor("h")
        return begin, begin + timedelta(hours=1)

    st.header("By hour", anchor=False)
    components.leading_chart(
        view.heat_chart(hours, shares, lag.window_s),
        key="heat",
        alt=f"Lags of {lag.flow} by hour; the window as a line",
        what="an hour",
        span=of_hour,
        flows=[lag.flow],
    )


def _by_weekday(data: Data, lag: FlowLag) -> None:
    """When in the week changes miss their window; draws nothing for a flow without a window."""
    if lag.window_s <= 0:
        return
    counts = data.weekly(lag.flow)
    length = view.days_text(data.map.flow(lag.flow).settings.sla.period_s)
    st.header("By hour of the day and weekday", anchor=False)
    if not any(each.decided for each in counts.values()):
        components.nothing(f"No change has had its verdict on the window in the last {length}.")
        return
    worst = sorted(
        ((hour, each) for hour, each in counts.items() if each.missed),
        key=lambda found: clopper_pearson(found[1].missed, found[1].decided)[0],
        reverse=True,
    )[:HOURS_SHOWN]
    missed = "; ".join(f"{calendar_chart.hours_text(*hour)}, {each.missed:,} missed" for hour, each in worst)
    st.plotly_chart(
        calendar_chart.week_chart(counts),
        key="week",
        config={"displayModeBar": False},
        alt=f"Share of changes of {lag.flow} that missed their window by hour of the week. Worst: {missed or 'none'}",
    )
    st.caption(
        f"Changes that missed their window in the last {length}, whatever time range is chosen, by the hour (UTC) in "
        "which that became certain. Blank: no change."
    )
    if worst:
        tables.table(
            frame(
                [
                    {
                        "worst hours": calendar_chart.hours_text(*hour),
                        "missed": calendar_chart.missed_text(each),
                        "changes": calendar_chart.changes_text(each),
                    }
                    for hour, each in worst
                ]
            ),
            key="worst-hours",
            alt="Hours of the week in which the largest share of changes missed their window",
        )


def _clocks(data: Data, span: TimeRange) -> None:
    st.header("Clocks", anchor=False)
    st.caption(
        "How far each system's clock is ahead of this machine's. Timestamps are corrected by it; its uncertainty is "
        "part of every lag."
    )
    systems = data.systems()[["system", "clock", "clock_read_at", "clock_set_at"]]
    tables.table(
        systems,
        key="clocks",
        alt="Clock bounds of every system",
        column_config={
            "clock_read_at": st.column_config.DatetimeColumn("read", format="HH:mm:ss"),
            "clock_set_at": st.column_config.DatetimeColumn("last clock step", format=tables.INSTANT),
        },
    )
    for step in data.clock_steps(span).itertuples():
        st.warning(
            f"The clock of **{escaping.markdown(step.system)}** was set by about {measured(abs(step.by_s))} "
            f"{'forward' if step.by_s > 0 else 'back'}, noticed at {step.stepped_at:%d %b %H:%M:%S} UTC. "
            "Its timestamps were ignored for a while afterwards; windows that depended on them are undecided.",
            icon=":material/more_time:",
        )

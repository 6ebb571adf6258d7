"""Map: the integration map as a picture with the live state of every flow, as a table, and reviewed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

import streamlit as st

from auditor import escaping
from auditor.dashboard import acting, asked, components, look, map_chart, map_panel, navigation, tables, view
from auditor.dashboard.data import Data
from auditor.dashboard.frames import frame
from auditor.dashboard.map_chart import CONSUMER, FLOW, SYSTEM, FlowFigures, MapChart
from auditor.dashboard.map_panel import Known
from auditor.dashboard.time_range import TimeRange
from auditor.history.backlogs import Backlog
from auditor.history.figure_text import age_text, waiting_letters, window_text
from auditor.history.lag import FlowLag
from auditor.history.status import WELL
from auditor.map.diagram import placed, svg
from auditor.map.document import markdown, mermaid
from auditor.map.integration_map import IntegrationMap
from auditor.map.review import review
from probes.wording import counted

PICKED = "show"
"""Session key of what the panel shows; also in the address."""


CHANGES_NAMED = 4
"""Flows whose new state is named above the picture."""

PANEL_LEAST, PICKER = 460, 80
"""The least height of the panel, which scrolls, and what the choice above it takes, in pixels."""

REMARKS_WITHOUT_SCROLLING = 8
"""Remarks of the review that are shown at once."""


def page() -> None:
    """Draw the page."""
    components.framed("Map", _draw, live=False)


def _draw(data: Data, span: TimeRange) -> None:
    flows = _filtered(data.map)
    known = _known(data, span)
    shown = list(data.map.flows) if flows is None else flows
    if not shown and flows is not None:
        asked.unmatched(
            "flow",
            {name: st.session_state.get(key, ()) for name, key in (("data type", "type"), ("team", "team"))},
            [f"The map has {counted(len(data.map.flows), 'flow')} in all."],
            [asked.Way(label="Remove the filters", take=partial(asked.choose, type=[], team=[]))],
        )
        return
    layout = placed(data.map, flows, room=map_chart.ROOM)
    unreadable = {each.system for each in known.systems.itertuples() if each.state not in WELL}
    ink = components.ink()
    chart = map_chart.draw(data.map, layout, known.figures, unreadable=unreadable, ink=ink)
    choices = [
        *(f"{FLOW} {name}" for name in layout.flows),
        *(f"{SYSTEM} {name}" for name in layout.systems),
        *(f"{CONSUMER} {name}" for name in layout.consumers),
    ]
    components.watch(partial(_changes, data, known, shown, datetime.now(UTC)), key="map-changes")
    _picture(data.map, known, chart, choices)
    _table(data.map, known, shown)
    _review(data)
    _downloads(data, {name: status.state for name, status in known.statuses.items()}, flows)


def _filtered(integration_map: IntegrationMap) -> list[str] | None:
    """The flows to show; None for the whole map."""
    teams = sorted({flow.team for flow in integration_map.flows.values() if flow.team})
    asked.refuse("type", integration_map.data_types)
    asked.refuse("team", teams)
    columns = st.columns(2)
    types = columns[0].multiselect("Data type", list(integration_map.data_types), key="type", bind="query-params")
    chosen = columns[1].multiselect("Team", teams, key="team", bind="query-params") if teams else []
    if not types and not chosen:
        return None
    return [
        name
        for name, flow in integration_map.flows.items()
        if (not types or flow.data_type in types) and (not chosen or flow.team in chosen)
    ]


def _known(data: Data, span: TimeRange) -> Known:
    data.ahead(data.misled, data.backlogs, lambda: data.lags(span))
    statuses = {status.flow: status for status in data.flows()}
    open_now, windows = data.open_by_cause(), data.windows(span)
    lags = {lag.flow: lag for lag in data.lags(span)}
    differing = open_now.groupby("flow")["records"].sum().to_dict()
    counted = windows.set_index("flow").sum(axis=1).to_dict()
    queues: dict[str, list[Backlog]] = {name: [] for name in data.map.flows}
    for each in data.backlogs():
        queues[each.flow].append(each)
    figures = {}
    for name, status in statuses.items():
        dead = waiting_letters([each for each in queues[name] if each.role == "dead"])
        figures[name] = FlowFigures(
            state=status.state,
            differing=int(differing.get(name, 0)),
            changes=int(counted.get(name, 0)),
            lag=lag_text(lags.get(name), data.map.flow(name).window_s),
            dead="" if dead == "0" or not any(each.role == "dead" for each in queues[name]) else dead,
        )
    return Known(
        statuses=statuses,
        figures=figures,
        lags=lags,
        open_now=open_now,
        windows=windows,
        systems=data.systems(),
        queues={name: [_queue(each) for each in mine] for name, mine in queues.items()},
        incidents=data.open_incidents(),
        misled=data.misled(),
        span=span,
    )


def _queue(queue: Backlog) -> tuple[str, str]:
    depth = "unknown" if queue.depth is None else f"{queue.depth:,}"
    oldest = f", oldest {age_text(queue)}" if queue.depth else ""
    return f"queue {queue.queue} ({queue.role})", f"{depth} waiting{oldest}"


def lag_text(lag: FlowLag | None, window_s: float) -> str:
    """The lag that 95 % of a flow's changes stay within, against its window, in a few characters."""
    window = f"of {view.span(window_s)}" if window_s else "no window"
    if lag is None or lag.curve is None:
        return f"window {view.span(window_s)}" if window_s else window
    best, lower, _ = lag.curve.quantile(0.95)
    if math.isfinite(best):
        return f"{view.span(best).replace('under ', '< ')} {window}"
    return f"> {view.span(lower)} {window}" if lower >= 1 else f"? {window}"


def _changes(data: Data, known: Known, shown: Sequence[str], drawn_at: datetime) -> None:
    """Say what is no longer as it was drawn; drawn anew, the picture would lose how it was moved and zoomed."""
    now = {status.flow: status.state for status in data.flows()}
    if now.keys() != known.statuses.keys():
        changed = ["the map itself"]
    else:
        changed = [
            f"**{escaping.markdown(name)}** {look.FLOW[now[name]].badge}"
            for name in shown
            if now[name] != known.statuses[name].state
        ]
    more = f" and {len(changed) - CHANGES_NAMED} more" if len(changed) > CHANGES_NAMED else ""
    named = f"Changed since: {', '.join(changed[:CHANGES_NAMED])}{more}."
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"Drawn at {drawn_at:%H:%M:%S} UTC. {named if changed else 'No flow has changed its state since.'}",
            width="content",
        )
        if st.button("Draw again", key="map-again", icon=":material/refresh:"):
            st.rerun()


@st.fragment
def _picture(integration_map: IntegrationMap, known: Known, chart: MapChart, choices: Sequence[str]) -> None:
    """The picture and the panel; a click draws these two again, so that the picture stays as it was moved."""
    acting.leave_if_ended()
    key = f"map-{len(choices)}-{hash(tuple(choices))}"

    def clicked() -> None:
        for each in st.session_state[key].selection.selected:
            if picked := chart.picked(each["data_type"], each["data_indices"]):
                st.session_state[PICKED] = picked

    left, right = st.columns([7, 2], gap="medium") if not chart.wide else (st.container(), st.container())
    with left, st.container(key="map-picture"), st.container(key="map-sheet"):
        st.container(key="map-legible", width=chart.legible_width, height=1, border=False)
        st.container(key="map-least", width=chart.least_width, height=1, border=False)
        st.echarts_chart(
            chart.options,
            height=chart.height,
            key=key,
            on_select=clicked,
            alt="The integration map: systems, flows with their state and lag, and consumers. The table below has "
            "the same figures.",
        )
    with right:
        asked.refuse(PICKED, choices)
        picked = st.selectbox(
            "Show",
            choices,
            index=None,
            key=PICKED,
            format_func=escaping.visible,
            placeholder="a flow, system or consumer",
            bind="query-params",
        )
        with st.container(height=max(chart.height, PANEL_LEAST) - PICKER if picked else "content", border=False):
            map_panel.draw(integration_map, known, picked or "")


def _table(integration_map: IntegrationMap, known: Known, flows: Sequence[str]) -> None:
    """The flows as a table, those first that ask most for a look."""

    def grave(name: str) -> tuple[int, int]:
        return look.WORST_FIRST.index(known.figures[name].state), -known.figures[name].differing

    shown = sorted(flows, key=grave)
    st.header("Flows", anchor=False)
    rows = [
        {
            "flow": name,
            "data type": integration_map.flows[name].data_type,
            "from": integration_map.flows[name].from_,
            "to": integration_map.flows[name].to,
            "differ": known.figures[name].differing,
            "changes": known.figures[name].changes,
            "lag of window": known.figures[name].lag,
            "dead letters": known.figures[name].dead or "0",
            "window": window_text(integration_map.flow(name).window_s),
            "team": integration_map.flows[name].team,
        }
        for name in shown
    ]
    tables.table(
        frame(rows),
        key="flows",
        links={"flow": [navigation.drift(flow=name) for name in shown]},
        signs={"state": [look.FLOW[known.statuses[name].state] for name in shown]},
        alt="Every flow with its state, records that differ, changes, lag and dead letters",
    )


def _review(data: Data) -> None:
    st.header("Design review", anchor=False)
    remarks = review(data.map)
    if not remarks:
        components.nothing("No remarks: owners, windows, failure handling and consumers are all declared.", well=True)
        return
    with st.container(height="content" if len(remarks) <= REMARKS_WITHOUT_SCROLLING else 480):
        words = ("rule", "subject", "reason", "advice")
        st.table(
            frame(
                [
                    {
                        "severity": look.REMARK[remark.severity].badge,
                        **{word: escaping.markdown(getattr(remark, word)) for word in words},
                    }
                    for remark in remarks
                ]
            ),
            border="horizontal",
            hide_index=True,
        )


def _downloads(data: Data, states: Mapping[str, str], flows: Sequence[str] | None) -> None:
    """Draw the downloads: the picture of the flows that are shown, and the whole map as text."""
    row = st.columns(3)
    for column, name, kind, write in (
        (row[0], "map.md", "text/markdown", lambda: markdown(data.map)),
        (row[1], "map.mmd", "text/plain", lambda: mermaid(data.map)),
        (row[2], "map.svg", "image/svg+xml", lambda: svg(data.map, states, flows)),
    ):
        column.download_button(f"Download {name}", write, name, kind, on_click="ignore", width="stretch")

"""Map: the integration map as a picture with the live state of every flow, as a table, and reviewed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from auditor.dashboard import components, look, navigation, tables, view
from auditor.dashboard.data import Data
from auditor.dashboard.frames import frame
from auditor.dashboard.time_range import Since
from auditor.map.diagram import columns_of, svg
from auditor.map.document import markdown, mermaid, rows_of
from auditor.map.review import review


def page() -> None:
    """Draw the page."""
    components.framed("Map", _draw, live=False)


def _draw(data: Data, _since: Since) -> None:
    states = {flow.flow: flow.state for flow in data.flows()}
    differing = data.open_by_cause().groupby("flow")["records"].sum().to_dict()
    st.caption(
        "From owners to readers. Click a flow to see its drift, or a system to see the drift of all its flows."
    )
    chart = st.echarts_chart(
        view.map_chart(data.map, states, {str(flow): int(count) for flow, count in differing.items()}),
        height=460,
        key="map",
        on_select="rerun",
        alt="The integration map: systems, flows coloured by their state, and consumers",
    )
    _follow(data, chart)
    st.subheader("Flows")
    table = frame(
        [
            {
                "flow": row.flow,
                **{name.replace("_", " "): getattr(row, name) for name in row.__slots__ if name != "flow"},
            }
            for row in rows_of(data.map)
        ]
    )
    filled = [name for name in table.columns if table[name].astype(bool).any()]
    tables.table(
        table[filled],
        key="flows",
        links={"flow": [navigation.drift(flow=row.flow) for row in rows_of(data.map)]},
        signs={"state": [look.FLOW[states[row.flow]] for row in rows_of(data.map)]},
        alt="Every flow with what the map says about it",
    )
    _review(data)
    _downloads(data, states)


def _follow(data: Data, chart: Any) -> None:
    """Follow a click on the picture: from a flow to its drift, from a system to all flows that touch it."""
    flows, systems = list(data.map.flows), [name for column in columns_of(data.map) for name in column]
    for picked in chart.selection.selected:
        at = picked["data_indices"][0] if picked["data_indices"] else len(flows)
        if picked["data_type"] == "edge" and at < len(flows):
            _to_drift([flows[at]])
        elif picked["data_type"] == "node" and at < len(systems):
            touching = [name for name, flow in data.map.flows.items() if systems[at] in {flow.from_, flow.to}]
            if touching:
                _to_drift(touching)


def _to_drift(flows: list[str]) -> None:
    navigation.go("drift", {"flow": flows})


def _review(data: Data) -> None:
    st.subheader("Design review")
    remarks = review(data.map)
    if not remarks:
        components.nothing("No remarks: owners, windows, failure handling and consumers are all declared.", well=True)
        return
    tables.table(
        frame([remark.as_row() for remark in remarks]),
        key="review",
        alt="What the map's design will cost",
        column_config={
            "reason": st.column_config.TextColumn(width="large"),
            "advice": st.column_config.TextColumn(width="large"),
        },
    )


def _downloads(data: Data, states: Mapping[str, str]) -> None:
    row = st.columns(3)
    for column, name, kind, write in (
        (row[0], "map.md", "text/markdown", lambda: markdown(data.map)),
        (row[1], "map.mmd", "text/plain", lambda: mermaid(data.map)),
        (row[2], "map.svg", "image/svg+xml", lambda: svg(data.map, states)),
    ):
        column.download_button(f"Download {name}", write, name, kind, on_click="ignore", width="stretch")

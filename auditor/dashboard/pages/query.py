"""Query: ad-hoc drift queries in SQL, in a sandbox."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from auditor import escaping
from auditor.console.query import QueryError, run_query
from auditor.dashboard import components, tables
from auditor.dashboard.data import Data
from auditor.dashboard.time_range import Since
from auditor.history.views import VIEWS

EXAMPLES = {
    "What differs now, by cause": "SELECT flow, cause, count(*) AS records, min(first_seen_at) AS since\n"
    "FROM divergences WHERE state = 'open'\nGROUP BY ALL ORDER BY records DESC",
    "Slowest changes": "SELECT flow, key, verdict, lag_lower_s, lag_upper_s, window_s\n"
    "FROM changes ORDER BY lag_lower_s DESC LIMIT 50",
    "Fields that differ most": "SELECT flow, fields, count(*) AS records\n"
    "FROM divergences WHERE fields <> ''\nGROUP BY ALL ORDER BY records DESC",
    "Dead letters by reason": "SELECT flow, reason, count(*) AS letters, count(divergence_id) AS explain_drift\n"
    "FROM dead_letters WHERE gone_at IS NULL\nGROUP BY ALL ORDER BY letters DESC",
    "Coverage by hour": "SELECT * FROM coverage ORDER BY hour DESC, flow",
}


def page() -> None:
    """Draw the page."""
    components.framed("Query", _draw, live=False)


def _draw(data: Data, _since: Since) -> None:
    chosen = st.selectbox("Start from an example", list(EXAMPLES), key="example")
    sql = st.text_area(
        "SQL (one SELECT over the views below)",
        value=EXAMPLES[chosen],
        height=140,
        key=f"sql-{chosen}",
        help="Read-only, in a process of its own, with limits of time, memory, rows and length. Views: "
        + ", ".join(VIEWS),
    )
    if not st.button("Run", type="primary"):
        st.caption("Views: " + ", ".join(f"`{name}`" for name in VIEWS))
        return
    try:
        with st.spinner("Running …"):
            result = run_query(data.workspace, sql)
    except QueryError as error:
        st.error("The query was refused:", icon=":material/error:")
        st.code(escaping.block(error), language=None, wrap_lines=True)
        return
    for each in result.warnings:
        st.warning(escaping.markdown(each), icon=":material/warning:")
    frame: pd.DataFrame = result.table.to_pandas()
    if frame.empty:
        components.nothing("No rows.")
        return
    rows_text = f"{len(frame)} row{'s' * (len(frame) != 1)}"
    st.caption(f"{rows_text}; {escaping.markdown(result.cut_text)}." if result.truncated else rows_text)
    tables.table(frame, key="answer", alt="The query's answer")
    st.download_button("Export CSV", lambda: tables.csv(frame), "query.csv", "text/csv", on_click="ignore")

"""Dead letters: what was given up on, how old it is, and which records it explains."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from auditor.dashboard import components
from auditor.dashboard.data import Data, Since
from probes.durations import format_duration

LIMIT = 500


def page() -> None:
    """Draw the page."""
    components.framed("Dead letters", _draw)


def _draw(data: Data, _since: Since) -> None:
    if not data.map.queues:
        components.nothing(
            "The map names no queue. Add `queues:` to a flow to see its backlog and dead letters here."
        )
        return
    queues = data.queues()
    if queues.empty:
        components.nothing("The queues have not been read in the last hour. Start the auditor with `auditor run`.")
        return
    queues["oldest"] = [
        "unknown" if pd.isna(age) and depth else format_duration(None if pd.isna(age) else age)
        for age, depth in zip(queues["oldest_age_s"], queues["depth"], strict=True)
    ]
    st.dataframe(
        queues[["flow", "queue", "role", "depth", "oldest", "depths", "message"]],
        hide_index=True,
        alt="Queues with depth, oldest age and depth over the last readings",
        column_config={
            "depths": st.column_config.LineChartColumn("depth over time", y_min=0),
            "message": st.column_config.TextColumn("cannot read", width="medium"),
        },
    )
    letters = data.letters(LIMIT)
    st.subheader("Letters waiting")
    if letters.empty:
        components.nothing("No dead letter is waiting.")
        return
    explained = int(letters["divergence_id"].notna().sum())
    st.caption(f"{explained} of {len(letters)} letters explain a record that differs now.")
    letters["record"] = [
        components.record_link(data.map.flows[flow].data_type, key) if key and flow in data.map.flows else ""
        for flow, key in zip(letters["flow"], letters["key"], strict=True)
    ]
    letters["explains"] = ["open divergence" if known else "–" for known in letters["divergence_id"].notna()]
    st.dataframe(
        letters[["record", "flow", "queue", "reason", "attempts", "first_failed_at", "explains"]],
        hide_index=True,
        alt="Dead letters with their record, reason and age",
        column_config={
            "record": st.column_config.LinkColumn("record", display_text=r"key=([^&]+)"),
            "reason": st.column_config.TextColumn("reason", width="large"),
            "first_failed_at": st.column_config.DatetimeColumn("failed", format="MM-DD HH:mm:ss"),
        },
    )
    if len(letters) == LIMIT:
        st.caption(f"Only the latest {LIMIT} are shown.")
    replay_unsafe = sorted(
        name for name in letters["flow"].unique() if name in data.map.flows and data.map.flows[name].side_effects
    )
    for name in replay_unsafe:
        effects = ", ".join(data.map.flows[name].side_effects)
        st.warning(
            f"Replaying letters of **{name}** is not safe: it has side effects ({effects}).",
            icon=":material/warning:",
        )

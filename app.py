"""The dashboard's page list. Run it with `streamlit run app.py`, or everything at once with `auditor demo`."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from dotenv import load_dotenv

from auditor.dashboard.pages import conflicts, dead_letters, drift, lag, map, overview, query, record, sla

load_dotenv(Path.cwd() / ".env")
st.set_page_config(
    page_title="Plumbline", page_icon=str(Path(__file__).parent / "docs" / "plumbline.png"), layout="wide"
)

st.navigation(
    [
        st.Page(overview.page, title="Overview", url_path="overview", default=True),
        st.Page(drift.page, title="Drift", url_path="drift"),
        st.Page(record.page, title="Record", url_path="record"),
        st.Page(conflicts.page, title="Conflicts", url_path="conflicts"),
        st.Page(lag.page, title="Lag", url_path="lag"),
        st.Page(dead_letters.page, title="Dead letters", url_path="dead-letters"),
        st.Page(sla.page, title="SLA breaches", url_path="sla"),
        st.Page(map.page, title="Map", url_path="map"),
        st.Page(query.page, title="Query", url_path="query"),
    ]
).run()

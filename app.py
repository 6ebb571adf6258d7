"""The dashboard. Run it with `streamlit run app.py`, or everything at once with `auditor demo`."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from dotenv import load_dotenv

from auditor.dashboard import navigation

load_dotenv(Path.cwd() / ".env")
st.set_page_config(
    page_title="Plumbline", page_icon=str(Path(__file__).parent / "docs" / "plumbline.png"), layout="wide"
)
navigation.run()

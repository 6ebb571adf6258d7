"""What the dashboard is served from: its entry, its theme and its icon, in the wheel as in the repository."""

from __future__ import annotations

from pathlib import Path

APP = Path(__file__).with_name("app.py")
"""What Streamlit serves; it finds its configuration in the folder `.streamlit` beside it."""


def show() -> None:
    """Draw the page that was asked for."""
    import streamlit as st
    from dotenv import load_dotenv

    from auditor.dashboard import navigation

    load_dotenv(Path.cwd() / ".env")
    st.set_page_config(page_title="Plumbline", page_icon=str(APP.with_name("plumbline.png")), layout="wide")
    navigation.run()

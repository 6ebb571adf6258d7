"""The dashboard as `auditor dashboard` serves it."""

from pathlib import Path

from streamlit.starlette import App

from auditor.dashboard.site import settings

app = App(Path(__file__).with_name("pages.py"), **settings())

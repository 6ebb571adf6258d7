"""The dashboard: `streamlit run app.py`, or `auditor dashboard`, or everything at once with `auditor demo`."""

from streamlit.starlette import App

from auditor.dashboard.site import PAGES, settings

app = App(PAGES, **settings())

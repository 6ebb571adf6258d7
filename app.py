"""The dashboard: `streamlit run app.py`, or `auditor dashboard`, or everything at once with `auditor demo`."""

from auditor.dashboard.site import show

show()

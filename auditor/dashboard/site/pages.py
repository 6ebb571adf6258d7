"""The script that Streamlit runs for every view of a page."""

from auditor.dashboard.site import show

show()

"""Who views a page, and whether they may act."""

from __future__ import annotations

import streamlit as st

from auditor.dashboard import guard
from auditor.dashboard.access import Onlooker, Person


def asks() -> Person | Onlooker:
    """Who requested the page, as determined by the guard in front of Streamlit."""
    return guard.unsealed(st.context.headers.get(guard.PERSON))

"""Who looks at a page, and whether they may act."""

from __future__ import annotations

import streamlit as st

from auditor.dashboard import guard
from auditor.dashboard.access import Onlooker, Person


def asks() -> Person | Onlooker:
    """Who asked for the page, as the guard before Streamlit found it."""
    return guard.unsealed(st.context.headers.get(guard.PERSON))

"""Who views a page, whether they may act, and under which name."""

from __future__ import annotations

import os
from dataclasses import replace

import streamlit as st

from auditor import escaping
from auditor.dashboard import guard
from auditor.dashboard.access import Onlooker, Person


def asks() -> Person | Onlooker:
    """Who requested the page, as determined by the guard in front of Streamlit."""
    return guard.unsealed(st.context.headers.get(guard.PERSON))


def named(person: Person) -> Person:
    """The person with a name: from the sign-in, or as entered by the local operator; "" if they entered none."""
    if person.name is not None:
        st.markdown(f"Signed in as **{escaping.markdown(person.name)}**")
        return person
    entered = st.text_input("Your name", value=os.environ.get("AUDITOR_USER", ""), key="who", placeholder="your name")
    st.caption(
        "You act as the local operator: nobody has signed in, so the name is recorded as entered and unverified. "
        "Everyone who can use this machine can do the same."
    )
    return replace(person, name=entered.strip())

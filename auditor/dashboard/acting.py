"""Who views a page, whether they may act, and under which name."""

from __future__ import annotations

import os
from dataclasses import replace

import streamlit as st

from auditor import escaping
from auditor.dashboard import guard
from auditor.dashboard.access import Asks, Onlooker, Person, Stranger
from checks.escalation import RefusedError


def sender() -> Asks:
    """Who requested the page, as determined by the guard in front of Streamlit."""
    return guard.unsealed(st.context.headers.get(guard.PERSON))


def asks() -> Person | Onlooker:
    """Who views the page. For anyone who may not view it, say why, and draw nothing else."""
    found = sender()
    if isinstance(found, Stranger):
        st.title("Plumbline", anchor=False)
        st.info(escaping.markdown(found.why), icon=":material/lock:")
        st.stop()
    return found


def leave_if_ended() -> None:
    """Draw the whole page again if its viewer may no longer view it; every part that is redrawn alone calls this."""
    if isinstance(sender(), Stranger):
        st.rerun()


def introduced(asks: Person | Onlooker) -> None:
    """Draw who has signed in, and whether they may act."""
    if asks.name is not None:
        role = "operator" if isinstance(asks, Person) else "viewer"
        st.caption(f":material/person: {escaping.markdown(asks.name)} ({role})")


def confirmed(person: Person) -> Person:
    """The person who is about to act, if they still may.

    Raises:
        RefusedError: they may not, or no longer; the text says why.
    """
    found = sender()
    if not isinstance(found, Person):
        raise RefusedError(found.why)
    return person


def signature(person: Person) -> tuple[str, str]:
    """The name under which an act is recorded, and how it is known.

    Raises:
        RefusedError: the person may not act, or has entered no name.
    """
    name = confirmed(person).name
    if not name:
        raise RefusedError("enter your name; it is recorded with what you do")
    return name, person.known_by


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

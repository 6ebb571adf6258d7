"""Who views a page, whether they may act, and under which name."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import streamlit as st

from auditor import escaping
from auditor.dashboard import guard
from auditor.dashboard.access import Asks, Onlooker, Person, Stranger
from checks.escalation import RefusedError


def sender() -> Asks:
    """Who requested the page, as determined by the guard in front of Streamlit, and still is signed in."""
    return guard.present(guard.unsealed(st.context.headers.get(guard.PERSON)), time.time())


def asks() -> Person | Onlooker:
    """Who views the page. For anyone who may not view it, say why, and draw nothing else."""
    found = sender()
    if isinstance(found, Stranger):
        _turn_away(found)
        st.stop()
    return found


def _turn_away(stranger: Stranger) -> None:
    """Say why someone sees nothing, with the button that changes it."""
    st.title("Plumbline", anchor=False)
    st.info(escaping.markdown(stranger.why), icon=":material/lock:")
    if stranger.can_sign_in and st.query_params.get(guard.FAILED) == guard.FAILED_VALUE:
        st.warning(
            "You could not be signed in. Try again; the dashboard's log says why it failed.",
            icon=":material/warning:",
        )
    if not stranger.can_sign_in:
        return
    if stranger.name is None:
        if st.button("Sign in", type="primary", icon=":material/login:"):
            st.login()
    elif st.button("Sign out", icon=":material/logout:"):
        st.logout()


def leave_if_ended() -> None:
    """Draw the whole page again if its viewer may no longer view it; every part that is redrawn alone calls this."""
    if isinstance(sender(), Stranger):
        st.rerun()


def introduced(asks: Person | Onlooker) -> None:
    """Draw who has signed in, whether they may act, and how they sign out of the dashboard's own sign-in."""
    if asks.name is not None:
        role = "operator" if isinstance(asks, Person) else "viewer"
        st.caption(f":material/person: {escaping.markdown(asks.name)} ({role})")
    if asks.until is not None and st.button("Sign out", icon=":material/logout:", type="tertiary"):
        st.logout()


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


def named(person: Person, key: str = "who") -> Person:
    """The person with a name: from the sign-in, or as entered by the local operator; "" if they entered none.

    Args:
        key: of the field for the name, of which a page has one only.
    """
    if person.name is not None:
        st.markdown(f"Signed in as **{escaping.markdown(person.name)}**")
        return person
    entered = st.text_input("Your name", value=os.environ.get("AUDITOR_USER", ""), key=key, placeholder="your name")
    st.caption(
        "You act as the local operator: nobody has signed in, so the name is recorded as entered and unverified. "
        "Everyone who can use this machine can do the same."
    )
    return replace(person, name=entered.strip())

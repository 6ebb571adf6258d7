"""What people do about an incident on its page: the verbs of the desk, each a form."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import streamlit as st

from auditor import escaping
from auditor.dashboard import acting
from auditor.dashboard.access import Onlooker, Person
from auditor.dashboard.data import Data
from auditor.desk.desk import Case, Desk
from checks.escalation import RefusedError
from probes.durations import parse_duration


def draw(data: Data, number: int, state: str, assignee: str, asks: Person | Onlooker) -> None:
    """Draw the verbs that fit an incident in this state."""
    if isinstance(asks, Onlooker):
        st.info(f"You can look and not act. {escaping.markdown(asks.why)}", icon=":material/visibility:")
        return
    who = acting.named(asks)
    case = Case("incident", number)
    over = state == "resolved"
    now = datetime.now(UTC)

    def until(length: str) -> datetime:
        return now + timedelta(seconds=parse_duration(length))

    def act(what: Callable[[Desk], object]) -> None:
        _do(data, who, what)

    attend, wait, assign, say, expect, close = st.tabs(
        ["Acknowledge", "Snooze", "Assign", "Comment", "Expected", "Resolve"]
    )
    with attend, st.form("acknowledge", border=False):
        attended = state in {"acknowledged", "snoozed"}
        st.caption("Someone works on it: it is not escalated, and its growth is not reported.")
        text = st.text_input("Note", key="acknowledge-note", disabled=over)
        word = "Take it back" if attended else "Acknowledge"
        if st.form_submit_button(word, type="primary", disabled=over):
            act(lambda desk: desk.unacknowledge(case, text) if attended else desk.acknowledge(case, text))
    with wait, st.form("snooze", border=False):
        st.caption("No messages until then; it is reported again if it is still open.")
        length = st.text_input("For how long", value="2h", key="snooze-length", disabled=over)
        text = st.text_input("Note", key="snooze-note", disabled=over)
        if st.form_submit_button("Snooze", disabled=over):
            act(lambda desk: desk.snooze(case, until(length), text))
    with assign, st.form("assign", border=False):
        to = st.text_input("To whom", value=assignee, key="assign-to", disabled=over)
        if st.form_submit_button("Assign", disabled=over):
            act(lambda desk: desk.assign(case, to))
    with say, st.form("comment", border=False):
        text = st.text_area("Comment", key="comment-text", height=80)
        if st.form_submit_button("Add comment"):
            act(lambda desk: desk.comment(case, text))
    with expect, st.form("expect", border=False):
        st.caption("The records that differ now are known to differ: they open no incident until then.")
        length = st.text_input("For how long", value="7d", key="expect-length", disabled=over)
        reason = st.text_input("Reason", key="expect-reason", disabled=over)
        if st.form_submit_button("Expect them", disabled=over):
            act(lambda desk: desk.expect(number, until(length), reason))
    with close, st.form("resolve", border=False):
        st.caption("It is reopened if the audits still find it.")
        text = st.text_input("Note", key="resolve-note", disabled=over)
        if st.form_submit_button("Resolve", disabled=over):
            act(lambda desk: desk.resolve(number, text))


def _do(data: Data, who: Person, what: Callable[[Desk], object]) -> None:
    try:
        name, known_by = acting.signature(who)
        what(Desk(data.map, data.ledger, who=name, known_by=known_by))
    except (RefusedError, ValueError) as error:
        st.error(escaping.markdown(error), icon=":material/error:")
        return
    data.changed()
    st.rerun()

"""What people do about one incident on its page, or about several in the list: the verbs of the desk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import streamlit as st

from auditor import escaping
from auditor.dashboard import acting, navigation, tables
from auditor.dashboard.access import Onlooker, Person
from auditor.dashboard.data import Data
from auditor.desk.desk import Case, Desk, Outcome, act_on_each
from auditor.desk.ends import end_of
from checks.escalation import RefusedError
from checks.handling import ACKNOWLEDGED_MEANS, ACKNOWLEDGED_MEANS_SEVERAL
from probes.wording import counted

END = "For how long, or until when"
END_HELP = "Such as 2h, or 2026-03-31T18:00 (UTC)"

VERBS = ("Acknowledge", "Snooze", "Assign")
"""What can be done about incidents from the list."""

CHOSEN = "_incidents-chosen"
"""Where the session keeps an incident and the verb that was chosen in the menu of its row."""

OUTCOME = "_incidents-outcome"
"""Where the session keeps what became of the last act on several cases, until it has been shown."""


def draw(data: Data, number: int, state: str, assignee: str, asks: Person | Onlooker) -> None:
    """Draw the verbs that fit an incident in this state."""
    if isinstance(asks, Onlooker):
        st.info(f"You can look, but not act. {escaping.markdown(asks.why)}", icon=":material/visibility:")
        return
    who = acting.named(asks)
    case = Case("incident", number)
    now = datetime.now(UTC)

    def until(length: str) -> datetime:
        return end_of(length, now)

    def act(what: Callable[[Desk], object]) -> None:
        _do(data, who, what)

    def comment() -> None:
        with st.form("comment", border=False):
            text = st.text_area("Comment", key="comment-text", height=80)
            if st.form_submit_button("Add comment"):
                act(lambda desk: desk.comment(case, text))

    if state == "resolved":
        st.caption("It is over. If the audits find it again, it is reopened or a new incident begins.")
        comment()
        return
    attend, wait, assign, say, expect, close = st.tabs(
        ["Acknowledge", "Snooze", "Assign", "Comment", "Expected", "Resolve"]
    )
    with attend, st.form("acknowledge", border=False):
        attended = state in {"acknowledged", "snoozed"}
        st.caption(f"Someone works on it: {ACKNOWLEDGED_MEANS}.")
        text = st.text_input("Note", key="acknowledge-note")
        word = "Take it back" if attended else "Acknowledge"
        if st.form_submit_button(word, type="primary"):
            act(lambda desk: desk.unacknowledge(case, text) if attended else desk.acknowledge(case, text))
    with wait, st.form("snooze", border=False):
        st.caption("No messages until then; it is reported again if it is still open.")
        length = st.text_input(END, value="2h", key="snooze-length", help=END_HELP)
        text = st.text_input("Note", key="snooze-note")
        if st.form_submit_button("Snooze"):
            act(lambda desk: desk.snooze(case, until(length), text))
    with assign, st.form("assign", border=False):
        to = st.text_input("To whom", value=assignee, key="assign-to")
        if st.form_submit_button("Assign"):
            act(lambda desk: desk.assign(case, to))
    with say:
        comment()
    with expect, st.form("expect", border=False):
        st.caption("The records that differ now are known to differ: they open no incident until then.")
        length = st.text_input(END, value="7d", key="expect-length", help=END_HELP)
        reason = st.text_input("Reason", key="expect-reason")
        if st.form_submit_button("Expect them"):
            act(lambda desk: desk.expect(number, until(length), reason))
    with close, st.form("resolve", border=False):
        st.caption("It is reopened if the audits still find it.")
        text = st.text_input("Note", key="resolve-note")
        if st.form_submit_button("Resolve"):
            act(lambda desk: desk.resolve(number, text))


def draw_several(data: Data, numbers: Sequence[int], asks: Person | Onlooker) -> None:
    """Draw what can be done about all selected incidents at once."""
    if not numbers:
        st.caption(f"Select rows to acknowledge, snooze or assign several incidents at once. {tables.BY_KEYBOARD}")
        return
    with st.container(border=True):
        what = counted(len(numbers), "incident")
        st.markdown(f"**{what} selected**")
        if len(numbers) == 1:
            navigation.button(f"Open incident {numbers[0]:d}", navigation.incident(numbers[0]), key="open-several")
        if isinstance(asks, Onlooker):
            st.caption(f"You can look, but not act. {escaping.markdown(asks.why)}")
        else:
            _forms(data, numbers, acting.named(asks), "several")


def choose(number: int, verb: str) -> None:
    """Someone has chosen a verb in the menu of an incident's row; `draw_chosen` asks for the rest."""
    st.session_state[CHOSEN] = number, verb


def chosen() -> bool:
    """Whether a verb has been chosen and neither done nor dismissed yet."""
    return CHOSEN in st.session_state


def draw_chosen(data: Data, asks: Person | Onlooker) -> None:
    """Draw the dialog for what was chosen in the menu of a row, until it is done or dismissed."""
    number, verb = st.session_state.get(CHOSEN, (None, ""))
    if number is None or isinstance(asks, Onlooker):
        return

    def body() -> None:
        acting.leave_if_ended()
        _forms(data, [number], acting.named(asks, "who-chosen"), "chosen", verb)

    st.dialog(f"Incident {number}", on_dismiss=lambda: st.session_state.pop(CHOSEN, None))(body)()


def _forms(data: Data, numbers: Sequence[int], who: Person, name: str, first: str | None = None) -> None:
    """Draw the forms of `VERBS`.

    Args:
        name: keeps the keys of the forms apart from those of others on the page.
        first: the verb whose form is open.
    """
    what = counted(len(numbers), "incident")
    them, means = ("them", ACKNOWLEDGED_MEANS_SEVERAL) if len(numbers) > 1 else ("it", ACKNOWLEDGED_MEANS)

    def act(done: str, what: Callable[[Desk, Case], object]) -> None:
        do_to_each(data, who, numbers, done, lambda desk, number: what(desk, Case("incident", number)))

    attend, wait, assign = st.tabs(VERBS, default=first)
    with attend, st.form(f"acknowledge-{name}", border=False):
        st.caption(f"Someone works on {them}: {means}.")
        text = st.text_input("Note", key=f"acknowledge-{name}-note")
        if st.form_submit_button(f"Acknowledge {what}", type="primary"):
            act("Acknowledged", lambda desk, case: desk.acknowledge(case, text))
    with wait, st.form(f"snooze-{name}", border=False):
        st.caption("No messages until then; what is still open is reported again.")
        length = st.text_input(END, value="2h", key=f"snooze-{name}-length", help=END_HELP)
        text = st.text_input("Note", key=f"snooze-{name}-note")
        if st.form_submit_button(f"Snooze {what}", type="primary"):
            try:
                until_at = end_of(length, datetime.now(UTC))
            except ValueError as error:
                st.error(escaping.markdown(error), icon=":material/error:")
            else:
                act("Snoozed", lambda desk, case: desk.snooze(case, until_at, text))
    with assign, st.form(f"assign-{name}", border=False):
        to = st.text_input("To whom", key=f"assign-{name}-to")
        if st.form_submit_button(f"Assign {what}", type="primary"):
            act("Assigned", lambda desk, case: desk.assign(case, to))


def draw_outcome() -> None:
    """Say once what became of the last act on several cases, and which ones were refused."""
    kept = st.session_state.pop(OUTCOME, None)
    if kept is None:
        return
    done, noun, outcome = kept
    if outcome.done:
        st.success(f"{escaping.markdown(done)} {counted(len(outcome.done), noun)}.", icon=":material/check_circle:")
    if outcome.refused:
        reasons = "".join(f"\n- {escaping.markdown(each)}" for each in _reasons(noun, outcome))
        st.error(f"{counted(len(outcome.refused), noun)} refused:\n{reasons}", icon=":material/error:")


def _reasons(noun: str, outcome: Outcome) -> list[str]:
    """Why cases were refused, each with its number."""
    return [
        why if f"{noun} {number} " in f"{why} " else f"{noun} {number}: {why}"
        for number, why in outcome.refused.items()
    ]


def do_to_each(
    data: Data,
    who: Person,
    numbers: Sequence[int],
    done: str,
    what: Callable[[Desk, int], object],
    noun: str = "incident",
) -> None:
    """Act on several cases, keep what became of it for `draw_outcome`, and draw the page again.

    Args:
        done: what was done, for the message, such as "Acknowledged".
        noun: what one case is called.
    """
    try:
        name, known_by = acting.signature(who)
        desk = Desk(data.map, data.ledger, who=name, known_by=known_by)
    except RefusedError as error:
        st.error(escaping.markdown(error), icon=":material/error:")
        return
    outcome = act_on_each(numbers, lambda number: what(desk, number))
    if outcome.refused and chosen():  # the dialog keeps what was entered
        st.error(escaping.markdown("; ".join(outcome.refused.values())), icon=":material/error:")
        return
    st.session_state.pop(CHOSEN, None)
    st.session_state[OUTCOME] = done, noun, outcome
    data.changed()
    st.rerun()


def _do(data: Data, who: Person, what: Callable[[Desk], object]) -> None:
    try:
        name, known_by = acting.signature(who)
        what(Desk(data.map, data.ledger, who=name, known_by=known_by))
    except (RefusedError, ValueError) as error:
        st.error(escaping.markdown(error), icon=":material/error:")
        return
    data.changed()
    st.rerun()

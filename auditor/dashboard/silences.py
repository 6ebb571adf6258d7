"""Silences on the page Incidents: those that hold or are to come, a new one, and maintenance windows."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from auditor import escaping
from auditor.alerts.silencing import Coverage, coverage
from auditor.dashboard import acting, components, incident_acts, look, tables
from auditor.dashboard.access import Onlooker, Person
from auditor.dashboard.data import Data
from auditor.desk.desk import Desk
from auditor.desk.ends import end_of, instant_of
from auditor.desk.subjects import known_values
from checks.escalation import RefusedError
from checks.silences import matcher_text
from probes.wording import counted

NAMED = 10
"""Most incidents that the preview of a silence names."""

SUBJECTS = ("flow", "system", "data_type", "team", "cause", "severity")

EMPTY: dict[str, list[str] | str] = {
    **{f"silence-{subject}": [] for subject in SUBJECTS},
    "silence-from": "",
    "silence-end": "2h",
    "silence-reason": "",
}
"""The fields of a new silence before anything is entered."""

CONFIRMED = "silence-confirmed "
"""How the key of a confirmation begins; it ends with what is confirmed, so that it counts for that alone."""

ADDED = "_silence-added"
"""Where the session keeps what was added until it has been said."""


def draw(data: Data, asks: Person | Onlooker) -> None:
    """Draw the silences, and for those who may act what they can do about them."""
    added = st.session_state.pop(ADDED, None)
    for key, empty in EMPTY.items():
        if added is not None or key not in st.session_state:
            st.session_state[key] = empty
    if added is not None:
        for key in [each for each in st.session_state if str(each).startswith(CONFIRMED)]:
            st.session_state[key] = False
        st.success(escaping.markdown(added), icon=":material/check_circle:")
    picked = _listed(data)
    if isinstance(asks, Onlooker):
        st.caption(f"You can look, but not act. {escaping.markdown(asks.why)}")
    else:
        who = _end(data, picked, asks)
        _new(data, who, asks)
    _windows(data)


def _listed(data: Data) -> list[int]:
    """Draw the silences; returns the numbers of those that are selected."""
    # Not at the right end: the table's own toolbar lies there while the pointer is on the table.
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="left", gap="medium"):
        everything = st.toggle("Include ended", key="ended", bind="query-params")
        st.button("Refresh", icon=":material/refresh:")
    now = datetime.now(UTC)
    found = data.ledger.silences.listed(at=None if everything else now)
    if not found:
        components.nothing("No silences so far." if everything else "No silence holds or is to come.")
        return []
    picked = tables.pickable(
        pd.DataFrame(
            {
                "silence": [str(each.silence_id) for each in found],
                "hides": [each.matcher_text for each in found],
                "why": [each.reason for each in found],
                "who": [each.who for each in found],
                "from": [each.from_at for each in found],
                "until": [each.ended_at or each.until_at for each in found],
                "window": [each.maintenance or "" for each in found],
                "ended by": [each.ended_by or "" for each in found],
            }
        ),
        [each.silence_id for each in found],
        key="silences",
        signs={"state": [look.SILENCE[each.state(now)] for each in found]},
        alt="Silences: what they hide, why, by whom, and until when",
        optional=("window", "ended by"),
        column_config={
            "hides": st.column_config.TextColumn(width=250),
            "why": st.column_config.TextColumn(width=250),
            **tables.instants("from", "until"),
        },
    )
    return sorted(picked)


def _end(data: Data, picked: list[int], asks: Person) -> Person | None:
    """Draw what can be done about the selected silences; returns who acts, if that was asked for."""
    if not picked:
        return None
    with st.container(border=True):
        what = counted(len(picked), "silence")
        st.markdown(f"**{what} selected.** What they hide and is still open is reported when they end.")
        who = acting.named(asks)
        if st.button(f"End {what}", type="primary"):
            incident_acts.do_to_each(
                data, who, picked, "Ended", lambda desk, number: desk.end_silence(number), noun="silence"
            )
    return who


def _new(data: Data, who: Person | None, asks: Person) -> None:
    st.header("New silence", anchor=False)
    st.caption(
        "No messages are sent about incidents that match every field that is filled in. Audits go on, and everything "
        "is listed and recorded as ever; what is still open at the end is reported then. Type a pattern to match "
        "several names: `*` stands for any text, as in `to_*`."
    )
    options = known_values(data.map)
    places = [*st.columns(3), *st.columns(3)]
    matchers: dict[str, list[str]] = {}
    for place, subject in zip(places, SUBJECTS, strict=True):
        chosen = place.multiselect(
            escaping.markdown(subject.replace("_", " ").capitalize()),
            options[subject],
            key=f"silence-{subject}",
            accept_new_options=subject != "severity",
            placeholder="any",
        )
        if chosen:
            matchers[subject] = chosen
    row = st.columns(3)
    end = row[0].text_input(incident_acts.END, key="silence-end", help=incident_acts.END_HELP)
    begin = row[1].text_input(
        "From when", key="silence-from", placeholder="now", help="Such as 2026-03-31T18:00 (UTC)"
    )
    reason = row[2].text_input("Reason", key="silence-reason", help="It stays in the history.")
    confirmed = False
    try:
        covers = coverage(data.ledger, matchers)
    except RefusedError as error:
        st.error(escaping.markdown(error), icon=":material/error:")
    else:
        _preview(matchers, covers)
        confirmed = bool(covers.wide) and st.checkbox(
            f"Confirm: {escaping.markdown(covers.wide)}", key=CONFIRMED + covers.wide
        )
    if who is None:
        who = acting.named(asks)
    if st.button("Add silence", type="primary", icon=":material/notifications_paused:"):
        _add(data, who, matchers, begin=begin, end=end, reason=reason, confirmed=confirmed)


def _preview(matchers: dict[str, list[str]], covers: Coverage) -> None:
    """Say how many open incidents a silence would cover."""
    named = ", ".join(map(str, covers.covered[:NAMED])) + (" and more" if len(covers.covered) > NAMED else "")
    st.markdown(
        f"This covers **{len(covers.covered)} of {counted(covers.live, 'open incident')}**"
        f": {escaping.markdown(matcher_text(matchers))}."
    )
    if named:
        st.caption(f"Incidents covered now: {escaping.markdown(named)}.")
    if covers.unreported:
        st.caption(f"{counted(covers.unreported, 'incident')} not reported yet may match, too.")


def _add(
    data: Data,
    who: Person,
    matchers: dict[str, list[str]],
    *,
    begin: str,
    end: str,
    reason: str,
    confirmed: bool,
) -> None:
    try:
        name, known_by = acting.signature(who)
        from_at = instant_of(begin) if begin.strip() else None
        until_at = end_of(end, from_at or datetime.now(UTC))
        desk = Desk(data.map, data.ledger, who=name, known_by=known_by)
        number = desk.silence(matchers, until_at, reason, from_at=from_at, confirmed=confirmed)
    except (RefusedError, ValueError) as error:
        st.error(escaping.markdown(error), icon=":material/error:")
        return
    st.session_state[ADDED] = f"Added silence {number} until {until_at:%d %b %Y %H:%M} UTC."
    data.changed()
    st.rerun()


def _windows(data: Data) -> None:
    """The maintenance windows of the map, and when each one comes next."""
    st.header("Maintenance windows", anchor=False)
    windows = data.map.alerts.windows
    if not windows:
        components.nothing("The map has no maintenance windows. Add them under `alerts: maintenance:`.")
        return
    now = datetime.now(UTC)
    entered = data.ledger.silences.listed()
    spans = [each.coming(now, entered) for each in windows]
    tables.table(
        pd.DataFrame(
            {
                "window": [each.name for each in windows],
                "hides": [matcher_text(each.matchers) for each in windows],
                "when": [each.hours.text for each in windows],
                "next from": [None if span is None else span[0] for span in spans],
                "until": [None if span is None else span[1] for span in spans],
                "why": [each.reason for each in windows],
            }
        ),
        key="windows",
        alt="Maintenance windows of the map, and when each one comes next",
        column_config={
            "hides": st.column_config.TextColumn(width=220),
            "when": st.column_config.TextColumn(width=230),
            **tables.instants("next from", "until"),
        },
    )
    st.caption(
        "Each one is entered as a silence by the auditor when it begins, and can be ended early there. To change "
        "them, edit the map."
    )

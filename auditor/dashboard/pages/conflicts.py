"""Conflicts: what no rule decides, with everything a person needs to decide it, and the outcome of decisions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import streamlit as st

from auditor import escaping
from auditor.conflicts.brief import ConflictBrief, brief_of
from auditor.dashboard import acting, asked, components, look, navigation, side_by_side, tables, view
from auditor.dashboard.access import Onlooker, Person
from auditor.dashboard.data import Data
from auditor.dashboard.frames import frame
from auditor.dashboard.time_range import TimeRange
from checks.escalation import OTHER, Act, Conflict, RefusedError
from checks.values import UnreadableError
from probes.durations import measured, parse_duration


def page() -> None:
    """Draw the page."""
    components.framed(
        "Conflicts",
        lambda data, span: draw(data, span, acting.asks()),
        busy=lambda: bool(st.session_state.get("conflict", st.query_params.get("conflict"))),
    )


def draw(data: Data, _span: TimeRange, asks: Person | Onlooker) -> None:
    """Draw the body for this viewer."""
    row = st.columns([3, 1, 1], vertical_alignment="bottom")
    everything = row[0].toggle("Include closed conflicts", key="all", bind="query-params")
    number = row[1].text_input("Number", key="conflict", bind="query-params", placeholder="all").strip()
    row[2].button("Refresh", icon=":material/refresh:", width="stretch")
    if number:
        _one(data, number, asks)
        return
    cases = data.conflicts(live_only=not everything)
    if not cases:
        components.nothing(
            "No conflict waits for a person: every difference is decided by a rule."
            if not everything
            else "No conflict has come up yet.",
            well=data.all_known(),
        )
        return
    st.caption(
        f"{len(cases)} conflict{'s' * (len(cases) != 1)}. Open one by its number. A decision is recorded and checked "
        "against later readings; Plumbline never writes to your systems."
    )
    tables.table(
        frame([_row(data, each) for each in cases]),
        key="conflicts",
        links={
            "number": [navigation.conflict(each.conflict_id) for each in cases],
            "record": [navigation.record(each.data_type, each.key) for each in cases],
        },
        signs={
            "cause": [look.cause(each.cause) for each in cases],
            "state": [look.CONFLICT[each.state] for each in cases],
        },
        alt="Conflicts that no rule decides, with why, who is to decide and since when",
        optional=("decision", "assigned to", "reopened from"),
        column_config={
            "why": st.column_config.TextColumn("why it needs a person", width=260),
            **tables.instants("since"),
        },
    )


def _row(data: Data, conflict: Conflict) -> dict[str, Any]:
    return {
        "number": str(conflict.conflict_id),
        "record": conflict.key,
        "why": conflict.why,
        "who acts on it": data.impact_text(conflict.flow, conflict.cause.value, "nobody"),
        "decision": conflict.choice or "",
        "assigned to": conflict.assignee or "",
        "reopened from": str(conflict.came_back_of) if conflict.came_back_of else "",
        "since": conflict.opened_at,
        "flow": conflict.flow,
    }


def _one(data: Data, number: str, asks: Person | Onlooker) -> None:
    case = data.ledger.conflicts.find(asked.number(number))
    if case is None:
        st.error(
            f"There is no conflict {escaping.markdown(number)}. Empty the field to see all.", icon=":material/error:"
        )
        return
    conflict, decisions, about = case
    sign = look.CONFLICT[conflict.state].badge
    about_what = escaping.markdown(f"{conflict.data_type} {conflict.key}")
    st.header(f"Conflict {conflict.conflict_id}: {about_what} {sign}", anchor=False)
    if conflict.came_back_of:
        st.warning("This conflict was decided before and has reopened.", icon=":material/replay:")
        navigation.link(f"See conflict {conflict.came_back_of}", navigation.conflict(conflict.came_back_of))
    try:
        brief = brief_of(data.map, conflict, about)
    except RefusedError as error:
        st.error(escaping.markdown(error), icon=":material/error:")
        return
    left, right = st.columns([3, 2])
    with left:
        _brief(brief)
    with right:
        if isinstance(asks, Person):
            _acts(data, conflict, brief, asks)
        else:
            st.info(f"You can look, but not decide. {escaping.markdown(asks.why)}", icon=":material/visibility:")
    _live(data, conflict)
    st.header("History", anchor=False)
    tables.table(
        frame(
            [
                {
                    "when": each.acted_at,
                    "who": each.who,
                    "known by": each.known_by or "",
                    "action": each.act.value.replace("_", " "),
                    "for": each.choice or each.assignee or _until(each.until_at),
                    "note": each.text,
                }
                for each in decisions
            ]
        ),
        key="decisions",
        alt="Everything that was done about this conflict, oldest first",
        optional=("known by", "for", "note"),
        column_config={**tables.instants("when"), "note": st.column_config.TextColumn(width="large")},
    )


def _until(at: datetime | None) -> str:
    return f"until {at:%m-%d %H:%M}" if at else ""


def _brief(brief: ConflictBrief) -> None:
    rows = [[escaping.markdown(cell) for cell in line] for line in brief.lines()]
    lines = frame(rows, columns=["", "what is known"])
    st.table(lines.set_index(""), border="horizontal")
    if brief.fields:
        tables.table(
            frame(
                [
                    {
                        "field": each.field,
                        brief.source: each.owner,
                        brief.target: each.target,
                    }
                    for each in brief.fields
                ]
            ),
            key="fields",
            after={"cause": [look.cause(each.cause) if each.cause else None for each in brief.fields]},
            alt="The differing fields as they were stored, as far as their evidence policy allows",
        )


def _acts(data: Data, conflict: Conflict, brief: ConflictBrief, asks: Person) -> None:
    now = datetime.now(UTC)
    who = acting.named(asks)
    if conflict.closed_at is not None:
        st.caption("This conflict is closed. You can still comment on it.")
        _comment(data, conflict, who, now)
        return
    decide, defer, assign, say = st.tabs(["Decide", "Defer", "Assign", "Comment"])
    with decide, st.form("decide", border=False):
        choice = st.radio(
            "Which value is right?",
            [brief.source, brief.target, OTHER],
            format_func=escaping.markdown,
            captions=["as the owner holds it", "as the copy holds it", "neither"],
        )
        within = st.text_input("Systems must agree within", value="1h")
        text = st.text_area("Why", key="why", height=80)
        if st.form_submit_button("Decide", type="primary"):
            _do(data, conflict, Act.DECIDE, who, now, choice=choice, within=within, text=text)
    with defer, st.form("defer", border=False):
        length = st.text_input("For how long", value="1d")
        if st.form_submit_button("Defer"):
            _do(data, conflict, Act.DEFER, who, now, length=length)
    with assign, st.form("assign", border=False):
        to = st.text_input("To whom", value=conflict.assignee or "")
        if st.form_submit_button("Assign"):
            _do(data, conflict, Act.ASSIGN, who, now, assignee=to)
    with say:
        _comment(data, conflict, who, now)
    if conflict.due_at is not None:
        decided = escaping.markdown(conflict.choice or "")
        st.caption(f"Decided for {decided}; the systems must agree by {conflict.due_at:%m-%d %H:%M} UTC.")


def _comment(data: Data, conflict: Conflict, who: Person, now: datetime) -> None:
    with st.form("comment", border=False):
        text = st.text_area("Comment", key="said", height=80)
        if st.form_submit_button("Add comment"):
            _do(data, conflict, Act.COMMENT, who, now, text=text)


def _do(
    data: Data,
    conflict: Conflict,
    what: Act,
    who: Person,
    now: datetime,
    *,
    within: str = "",
    length: str = "",
    **more: Any,
) -> None:
    try:
        name, known_by = acting.signature(who)
        if within:
            more["within_s"] = parse_duration(within)
        if length:
            more["until_at"] = now + timedelta(seconds=parse_duration(length))
        data.act(conflict.conflict_id, what, who=name, known_by=known_by, now=now, **more)
    except (RefusedError, ValueError) as error:
        st.error(escaping.markdown(error), icon=":material/error:")
        return
    st.rerun()


def _live(data: Data, conflict: Conflict) -> None:
    st.header("As it is now", anchor=False)
    if conflict.data_type not in data.map.data_types:
        st.info("This data type is no longer in the map.")
        return
    try:
        with st.spinner("Reading every system …"):
            record = side_by_side.read_live(data, conflict.data_type, conflict.key)
    except UnreadableError as error:
        st.error(escaping.markdown(error), icon=":material/error:")
        return
    st.caption(f"Read live just now, not stored. Opened {view.ago(conflict.opened_at, datetime.now(UTC))}.")
    side_by_side.draw(record, data.map.data_types[conflict.data_type].consumers)
    if conflict.due_at is not None and conflict.closed_at is None:
        left_s = (conflict.due_at - datetime.now(UTC)).total_seconds()
        if left_s > 0:
            st.caption(f"{measured(left_s)} left for the systems to agree.")

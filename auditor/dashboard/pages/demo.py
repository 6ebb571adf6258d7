"""Demo: break the demo company in one way, and watch what the auditor makes of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import streamlit as st

from auditor import escaping
from auditor.dashboard import acting, components, evidence, look, navigation, tables, view
from auditor.dashboard.access import Onlooker, Person
from auditor.dashboard.data import Data
from auditor.dashboard.frames import frame
from auditor.dashboard.time_range import TimeRange
from auditor.scenarios import Message, Performance, Programme, Scenario, Span, Stage, StageError
from checks.escalation import WAITING, RefusedError
from checks.record_history import DivergenceState
from checks.severity import Severity

MESSAGES_SHOWN = 8

INCIDENTS_SHOWN = 12

ROOM = (tables.BODY - 32) * 2 // 3
"""The width of what the auditor sees, in pixels, beside what the channel hears."""

_FOUND = """
    SELECT data_type, flow, key, kind, cause, state, differences, detail, opened_at FROM divergences
    WHERE opened_at >= ? ORDER BY opened_at DESC, flow, key LIMIT 12"""

_INCIDENTS = """
    SELECT id, severity, state, summary, coalesce(reopened_at, opened_at) AS since_at, resolved_at FROM incidents
    WHERE merged_into IS NULL
        AND (resolved_at IS NULL OR id IN (SELECT incident_id FROM breaches WHERE opened_at >= ?))
    ORDER BY resolved_at IS NOT NULL, array_position(['critical', 'high', 'low'], severity), opened_at DESC
    LIMIT ?"""
"""Those that are open, and those that opened or came back since an instant and are over."""


def page() -> None:
    """Draw the page."""
    components.framed("Demo", lambda data, span: draw(data, span, acting.asks()))


def draw(data: Data, span: TimeRange, asks: Person | Onlooker) -> None:
    """Draw the body for this viewer."""
    del span
    address = os.environ.get(navigation.COMPANY)
    if not address:
        components.nothing("This dashboard does not show the demo company. `auditor demo` starts one that does.")
        return
    stage = Stage(address)
    try:
        programme, messages = stage.programme(), stage.messages()
    except StageError as error:
        st.info(escaping.markdown(error), icon=":material/theater_comedy:")
        return
    plays = asks if isinstance(asks, Person) else None
    shown = programme.playing or programme.last
    _introduction(data, stage, programme, plays)
    if shown is not None and shown.name in programme.scenarios:
        left, right = st.columns([2, 1], gap="medium")
        with left:
            _seen(data, shown)
        with right:
            _channel([each for each in messages if each.received_at >= shown.begun_at])
    st.header("Same situation, two outcomes", anchor=False)
    if isinstance(asks, Onlooker):
        st.caption(f"You can look on and not play. {escaping.markdown(asks.why)}")
    with st.grid(3, min_column_width=300):
        for scenario in programme.scenarios.values():
            _card(stage, scenario, plays if programme.playing is None else None)


def _introduction(data: Data, stage: Stage, programme: Programme, plays: Person | None) -> None:
    """What plays, what a person would do about it, and how it ends; with a button for someone who may play."""
    playing, last = programme.playing, programme.last
    if playing is None:
        if last is None:
            st.info(
                "The company works, and everything agrees. Break something yourself, or wait: the first scenario "
                "plays by itself soon.",
                icon=":material/theater_comedy:",
            )
        else:
            st.success(_over(programme.scenarios[last.name], last), icon=":material/check:")
        return
    scenario = programme.scenarios[playing.name]
    lasted = view.ago(playing.begun_at, datetime.now(UTC))
    title, situation = escaping.markdown(scenario.title), escaping.markdown(scenario.situation)
    if playing.prevented:
        st.info(
            f"**{title}** (prevented), {lasted}. {_pattern(scenario)}\n\nWithout it: {situation}",
            icon=":material/shield:",
        )
        if plays is not None and st.button("End it now", icon=":material/stop:"):
            _do(plays, stage.mend)
        return
    outcome = escaping.markdown(f"{scenario.ending(held=playing.held)} To do: {scenario.person}")
    st.warning(f"**{title}**, {lasted}. {situation}\n\n{outcome}", icon=":material/theater_comedy:")
    if plays is None:
        return
    decides = scenario.decided_for
    came_up = [each for each in data.conflicts(live_only=True) if each.opened_at >= playing.begun_at]
    if decides and not came_up:
        st.caption("Wait until the auditor has found the conflict and asks a person to decide it.")
        return
    asks = decides and any(each.state in WAITING for each in came_up)
    label = f"Decide for {escaping.markdown(scenario.decided_for)} and mend it" if asks else "Mend it now"
    if st.button(label, icon=":material/healing:"):
        _do(plays, lambda: _mend(data, stage, plays, scenario.decided_for if asks else "", playing.begun_at))


def _mend(data: Data, stage: Stage, plays: Person, decided_for: str, since: datetime) -> None:
    """End what plays as a person would; with a decision first if it asks for one."""
    if decided_for:
        data.decide_waiting(since, decided_for, who=plays.name or "demo", known_by=plays.known_by)
    stage.mend()


def _over(scenario: Scenario, last: Performance) -> str:
    """What is said of a scenario that is over, as Markdown."""
    title, person = escaping.markdown(scenario.title), escaping.markdown(scenario.person)
    if last.prevented:
        return f"**{title}** (prevented) is over. {_pattern(scenario)}"
    return (
        f"**{title}** is over. What a person does about it: {person} Incidents close once the copies have agreed "
        "for a while."
    )


def _pattern(scenario: Scenario) -> str:
    """What the pattern of a scenario does, as Markdown."""
    pattern, prevented = escaping.markdown(scenario.pattern), escaping.markdown(scenario.prevented)
    return f"{pattern}: {prevented} Nothing needs to be done."


def _seen(data: Data, shown: Performance) -> None:
    """The verdicts since the scenario began, and its incidents."""
    st.header("What the auditor sees", anchor=False)
    found = data.query(_FOUND, [shown.begun_at])
    incidents = data.query(_INCIDENTS, [shown.begun_at, INCIDENTS_SHOWN])
    now = datetime.now(UTC)
    if shown.prevented and found.empty and incidents.empty:
        _worked(data, shown)
        return
    if found.empty:
        st.caption("No record has been found to differ since it began.")
    else:
        tables.table(
            frame(
                {
                    "record": found["key"].tolist(),
                    "difference": evidence.difference_texts(found, data.map, brief=True),
                    "flow": found["flow"].tolist(),
                    "since": [view.ago(at, now).removesuffix(" ago") for at in found["opened_at"]],
                }
            ),
            key="found",
            links={
                "record": [
                    navigation.record(data_type, key)
                    for data_type, key in zip(found["data_type"], found["key"], strict=True)
                ]
            },
            signs={
                "cause": [look.cause(each) for each in found["cause"]],
                "state": [look.DIVERGENCE[DivergenceState(each)] for each in found["state"]],
            },
            alt="Records that began to differ since the scenario began",
            widest="difference",
            room=ROOM,
            column_config={
                "record": st.column_config.TextColumn(width=90),
                "difference": st.column_config.TextColumn("owner → copy", width=230),
                "flow": st.column_config.TextColumn(width=100),
                "since": st.column_config.TextColumn(width=60),
            },
        )
    for each in incidents.itertuples():
        over = each.state == "resolved"
        sign, at = look.SEVERITY[Severity(each.severity)], each.resolved_at if over else each.since_at
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            navigation.link(sign.badged(f"incident {each.id}"), navigation.incident(int(each.id)))
            st.caption(
                f"{look.INCIDENT[each.state].badge} {escaping.markdown(each.summary)}, "
                f"{'resolved ' if over else ''}{view.ago(at, now)}",
                width="content",
            )
    if (incidents["state"] == "resolved").all():
        st.caption("No incident is open.")


def _worked(data: Data, shown: Performance) -> None:
    """Say that nothing differs although the situation is there, as far as all was read since."""
    since = shown.ended_at or shown.begun_at
    if data.all_known() and all(each.audited_at is not None and each.audited_at > since for each in data.flows()):
        works = "works" if shown.ended_at is None else "worked"
        components.nothing(
            f"Nothing differs: no record was found to differ since it began, and no incident is open. The pattern "
            f"{works}.",
            well=True,
        )
    else:
        components.nothing("Nothing was found to differ since it began. Not all flows have been verified since.")


def _channel(messages: list[Message]) -> None:
    """What came into the channel, the latest first and whole."""
    st.header("What the channel hears", anchor=False)
    if not messages:
        st.caption(
            "Nothing yet. Messages that would go to Slack come here; with `SLACK_WEBHOOK_URL` set, they go to Slack."
        )
    numbered = list(enumerate(messages))
    for number, each in reversed(numbered[-MESSAGES_SHOWN:]):
        with st.container(border=True):
            st.markdown(f"**Plumbline** {each.received_at:%H:%M:%S}  \n{escaping.markdown(each.title)}")
            if each.fields:
                told = " · ".join(
                    f"{escaping.markdown(name)}: {escaping.markdown(value)}" for name, value in each.fields if value
                )
                st.caption(told)
            if number == len(messages) - 1:
                _rest(each)
            else:
                with st.expander("The rest of the message", key=f"message-{number}"):
                    _rest(each)


def _rest(message: Message) -> None:
    """What stands below the fields of a message."""
    for paragraph in message.paragraphs:
        if paragraph.preformatted:
            lines = [span.text for line in paragraph.lines for span in line]
            st.code(escaping.block("\n".join(lines)), language=None)
        else:
            st.markdown("  \n".join(_line(line) for line in paragraph.lines))
    below = [escaping.markdown(message.footer)] if message.footer else []
    below += [escaping.markdown_link(name, address) for name, address in message.links]
    if below:
        st.caption(" · ".join(below))


def _line(spans: Sequence[Span]) -> str:
    """A line of a message, as Markdown."""
    return " ".join(_span(each) for each in spans)


def _span(span: Span) -> str:
    if span.address:
        return escaping.markdown_link(span.text, span.address)
    text = escaping.markdown(span.text)
    return f"**{text}**" if span.strong else text


def _card(stage: Stage, scenario: Scenario, plays: Person | None) -> None:
    """Draw a scenario; its buttons work for someone who may play it now."""
    with st.container(border=True, height="stretch"):
        st.subheader(escaping.markdown(scenario.title), anchor=False)
        st.caption(escaping.markdown(scenario.situation))
        st.caption(f"Prevented by: {escaping.markdown(scenario.pattern)}")
        with st.container(horizontal=True):
            broken = st.button("Break it", key=f"break-{scenario.name}", disabled=plays is None)
            prevented = st.button("Play it prevented", key=f"prevent-{scenario.name}", disabled=plays is None)
        if plays is not None and (broken or prevented):
            _do(plays, lambda: stage.play(scenario.name, prevented=prevented))


def _do(plays: Person, what: Callable[[], object]) -> None:
    try:
        acting.confirmed(plays)
        what()
    except (RefusedError, StageError) as error:
        st.warning(escaping.markdown(error))
    else:
        st.rerun()

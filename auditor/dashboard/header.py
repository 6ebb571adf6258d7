"""The top of every page: its title, how things stand, how fresh the data are, and what is failing."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st

from auditor import escaping
from auditor.dashboard import look, navigation, view
from auditor.dashboard.data import Data
from auditor.dashboard.time_range import TimeRange
from auditor.history.status import WELL, FlowStatus
from probes.wording import NAMES_SHOWN, counted, few

PAUSED = "The page is not redrawn while rows are selected or a case is open."


def draw(data: Data, span: TimeRange, title: str, *, paused: bool = False) -> None:
    """Draw it.

    Args:
        title: must be ours or escaped for Markdown.
        paused: the page does not redraw itself for now. That is said without a line of its own, so that nothing moves
            under the hands of someone who selects rows.
    """
    now = datetime.now(UTC)
    seen_at = data.last_audit_at()
    flows = data.flows() if seen_at is not None else []
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.title(title, anchor=False, width="content")
        with st.container(horizontal=True, vertical_alignment="center", width="content", key="standing"):
            _standing(data, flows, seen_at, now)
    if seen_at is None:
        st.warning(
            "Nothing has been audited yet. Start the auditor with `auditor run`; the first figures show within "
            "seconds.",
            icon=":material/hourglass_empty:",
        )
    else:
        fresh = ":material/pause_circle: paused" if paused else view.ago(seen_at, now)
        st.caption(
            f"Data as of {seen_at:%H:%M:%S} UTC, {fresh}. Shown: {_end(span.begin, now)} to "
            f"{_end(span.end, now)} UTC.",
            help=PAUSED if paused else None,
        )
        _silent(data, flows, seen_at, now)
        _failing(data)
    _refused_map(data, here=title == navigation.PAGES["configuration"])
    _silences(data)
    _missing_history(data, span)


def _end(at: datetime, now: datetime) -> str:
    """An end of the time range, with its year if that is another one."""
    return f"{at:%d %b %H:%M}" if at.year == now.year else f"{at:%d %b %Y %H:%M}"


def _standing(data: Data, flows: list[FlowStatus], seen_at: datetime | None, now: datetime) -> None:
    """The state of everything, the auditor and the incidents, in three badges."""
    lease = data.ledger.lease.now()
    st.markdown(look.overall(flows), width="content")
    if lease.holder is None:
        auditing = look.AUDITOR["nobody"].badge
    else:
        at_work = "silent" if not flows or any(each.stale for each in flows) else "auditing"
        auditing = look.AUDITOR[at_work].badged(f"{look.AUDITOR[at_work].word}, {view.ago(seen_at, now)}")
    st.markdown(auditing, help=f"Audited by {escaping.markdown(lease)}", width="content")
    number = len(data.open_incidents())
    sign = look.INCIDENTS["some" if number else "none"]
    navigation.link(sign.badged(f"{counted(number, 'open incident')}"), navigation.incidents())


def _silent(data: Data, flows: list[FlowStatus], seen_at: datetime, now: datetime) -> None:
    """Which flows have no fresh data, and why."""
    silent = [flow.flow for flow in flows if flow.stale and not flow.failing]
    failed = [flow for flow in flows if flow.stale and flow.failing]
    late = [flow for flow in flows if flow.late]
    for heading, named in (("No data.", failed), ("Held back.", late)):
        if named:
            whys = [
                f"**{escaping.markdown(each.flow)}**: {escaping.markdown(each.why)}" for each in named[:NAMES_SHOWN]
            ]
            if len(named) > NAMES_SHOWN:
                whys.append(f"and {len(named) - NAMES_SHOWN:,} more flows")
            st.warning(f"**{heading}** {'; '.join(whys)}.", icon=":material/warning:")
    if silent:
        st.warning(
            f"**Stale.** Data as of {seen_at:%H:%M:%S} UTC, {view.ago(seen_at, now)}. Not audited for two intervals: "
            f"{escaping.markdown(few(silent))}. "
            "Is the auditor running? Start it with `auditor run`.",
            icon=":material/warning:",
        )


def _refused_map(data: Data, *, here: bool) -> None:
    """A newer map that the auditor has refused.

    Args:
        here: its mistakes are listed on this page.
    """
    standing = data.ledger.map_loads.standing()
    if standing.refused is None or standing.refused.at is None:
        return
    mistakes = counted(len(standing.refused.mistakes), "mistake")
    st.warning(
        f"**A newer map was refused** at {standing.refused.at:%d %b %H:%M} UTC: {mistakes}. The one in force stays. "
        "Correct the map, then run `auditor reload`; "
        f"{'its mistakes are listed below' if here else 'the Configuration page lists its mistakes'}.",
        icon=":material/rule_settings:",
    )


def _silences(data: Data) -> None:
    """What is silenced: no message is no good news then."""
    silences = data.silences()
    for each in silences:
        st.info(
            f"**Messages about {escaping.markdown(each.matcher_text)} are silenced** until "
            f"{each.until_at:%d %b %H:%M} UTC by {escaping.markdown(each.who)}: {escaping.markdown(each.reason)}. "
            "Audits continue, and everything is shown.",
            icon=":material/notifications_paused:",
        )
    if silences:
        navigation.link("All silences →", navigation.incidents(list="Silences"))


def _failing(data: Data) -> None:
    """Messages that reached nobody, and systems that cannot be read."""
    for silent_one in data.undelivered().itertuples():
        tried = "was given up" if silent_one.given_up else "is being tried again"
        st.error(
            f"**{silent_one.messages} message{'s' * (silent_one.messages != 1)} did not reach "
            f"{escaping.markdown(silent_one.sender)}** since {silent_one.since_at:%d %b %H:%M} UTC, and the last "
            f"{tried}: {escaping.markdown(silent_one.error or 'no reason given')}. Check `alerts:` in the map.",
            icon=":material/notifications_off:",
        )
    systems = data.systems()
    for failing in systems[~systems["state"].isin(WELL)].itertuples():
        st.error(
            f"**{escaping.markdown(failing.system)}** cannot be read: {escaping.markdown(failing.state)}. "
            f"{escaping.markdown(failing.message)} "
            "Its records cannot be verified meanwhile; they are not counted as agreeing.",
            icon=":material/power_off:",
        )


MISSING_SHOWN = 5
"""Archive files that a page lists; the command line lists all."""


def _missing_history(data: Data, span: TimeRange) -> None:
    """Say which archive files the figures of this time range lack."""
    missing = data.missing_history(span)
    if missing:
        more = len(missing) - MISSING_SHOWN
        named = [*missing[:MISSING_SHOWN], *([f"{more} more: `auditor lag` names them all"] if more > 0 else [])]
        st.warning(
            "**The history is incomplete.** The figures below are computed without it.\n\n"
            + "\n".join(f"- {escaping.markdown(each.removeprefix('history is incomplete: '))}" for each in named),
            icon=":material/warning:",
        )

"""Record: one record in every system, side by side, and its history."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from auditor import escaping
from auditor.dashboard import (
    acting,
    asked,
    components,
    evidence,
    look,
    navigation,
    rechecking,
    repairing,
    side_by_side,
    story,
    tables,
)
from auditor.dashboard.access import Onlooker, Person
from auditor.dashboard.data import Data
from auditor.dashboard.time_range import TimeRange
from auditor.history.figure_text import interval
from auditor.history.status import Standing
from auditor.systems.live_record import RecordView
from checks.convergence import Verdict
from checks.rechecks import RecheckState
from checks.record_history import DivergenceState
from checks.severity import Severity
from checks.values import UnreadableError
from probes.durations import format_duration

SIGNS = {
    "agrees": (look.FLOW[Standing.CONSISTENT].badged("agrees"), "The copies agree in this reading."),
    "differs": (
        look.FLOW[Standing.DRIFT].badged("differs"),
        "The copies differ in this reading. The audits decide whether that counts as drift.",
    ),
    "not found": (look.RECHECK[RecheckState.NOT_FOUND].badge, "No system holds a record with this key."),
    "cannot verify": (
        look.FLOW[Standing.UNVERIFIED].badged("cannot verify"),
        "A copy cannot be read, or exists more than once.",
    ),
}


def page() -> None:
    """Draw the page."""
    components.framed("Record", lambda data, span: draw(data, span, acting.asks()), live=False)


def draw(data: Data, span: TimeRange, asks: Person | Onlooker) -> None:
    """Draw the body for this viewer."""
    types = list(data.map.data_types)
    refused = asked.refuse("type", types)
    row = st.columns([1, 2, 1], vertical_alignment="bottom")
    data_type = str(row[0].selectbox("Data type", types, key="type", bind="query-params"))
    key = row[1].text_input("Key", key="key", bind="query-params")
    row[2].button("Read again", type="primary", width="stretch", icon=":material/refresh:")
    if refused:
        return
    if not key:
        st.info("Enter a record's key, or follow a link from the Drift page.", icon=":material/search:")
        return
    try:
        with st.spinner("Reading every system …"):
            record = side_by_side.read_live(data, data_type, key)
    except UnreadableError as error:
        st.error(
            f"{escaping.markdown(key)} is not a valid key of {escaping.markdown(data_type)}: "
            f"{escaping.markdown(error)}",
            icon=":material/error:",
        )
        return
    sign, words = SIGNS[record.verdict]
    st.header(f"{escaping.markdown(f'{data_type} {key}')} {sign}", anchor=False)
    st.caption(f"{words} The values were read live just now and are not stored.")
    side_by_side.draw(record, data.map.data_types[data_type].consumers)
    side_by_side.draw_raw(record)
    _act(data, record, asks)
    _history(data, span, record, key)


def _act(data: Data, record: RecordView, asks: Person | Onlooker) -> None:
    """What can be done about the record."""
    key = str(record.key)
    wanted = [(name, key) for name, flow in data.map.flows.items() if flow.data_type == record.data_type]
    if wanted:
        with st.expander("Recheck now", icon=":material/autorenew:"):
            st.caption("The auditor reads the record next, judges it, and records what it finds.")
            rechecking.draw(data, wanted, asks, records=1)
        with st.expander("Propose a repair", icon=":material/build:"):
            st.caption("Reads the record again where a flow finds it different, and proposes what to write.")
            repairing.draw(data, wanted, asks)
        rechecking.draw_results(data, wanted)


def _history(data: Data, span: TimeRange, record: RecordView, key: str) -> None:
    told = data.story(span, record.data_type, key)
    st.header("History", anchor=False)
    if told.divergences.empty and told.changes.empty and told.letters.empty:
        components.nothing("No divergence, change or dead letter of this record is on file.")
        return
    st.plotly_chart(story.chart(told), key="story", config={"displaylogo": False}, alt=story.text(told))
    side_by_side.draw_links(record)
    if not told.divergences.empty:
        st.subheader("Divergences", anchor=False)
        _divergences(data, told.divergences)
    if not told.changes.empty:
        st.subheader("Tracked changes", anchor=False)
        _changes(told.changes)
    if not told.letters.empty:
        st.subheader("Dead letters", anchor=False)
        _letters(told.letters)
    if not told.incidents.empty:
        st.subheader("Incidents", anchor=False)
        _incidents(told.incidents)


def _divergences(data: Data, divergences: pd.DataFrame) -> None:
    shown = divergences.assign(difference=evidence.difference_texts(divergences, data.map, brief=True))
    columns = {
        "difference": "difference",
        "flow": "flow",
        "first_seen_at": "first seen",
        "closed_at": "closed",
        "first_missed_at": "late change made",
        "resolution": "what should be",
        "versions_behind": "versions behind",
        "witnesses": "who agrees with whom",
    }
    tables.table(
        shown[list(columns)].rename(columns=columns),
        key="divergences",
        alt="Divergences of this record",
        signs={
            "cause": [look.cause(each) for each in divergences["cause"]],
            "state": [look.DIVERGENCE[DivergenceState(each)] for each in divergences["state"]],
        },
        optional=("closed", "late change made", "what should be", "versions behind", "who agrees with whom"),
        widest="difference",
        column_config={
            **tables.instants("first seen", "closed", "late change made"),
            "difference": st.column_config.TextColumn("owner → copy", width=230),
            "flow": st.column_config.TextColumn(width=100),
            "what should be": st.column_config.TextColumn(width=110),
            "versions behind": st.column_config.NumberColumn("behind", width=60, help="Versions behind the owner"),
            "who agrees with whom": st.column_config.TextColumn(width=100),
        },
    )


def _changes(changes: pd.DataFrame) -> None:
    shown = changes.assign(
        lag=[interval(each.lag_lower_s, each.lag_upper_s) for each in changes.itertuples()],
        window=[format_duration(each) for each in changes["window_s"]],
    )
    columns = {
        "flow": "flow",
        "committed_to_at": "changed",
        "shown_at": "arrived",
        "lag": "lag",
        "window": "window",
        "probes": "probes",
    }
    tables.table(
        shown[list(columns)].rename(columns=columns),
        key="changes",
        alt="Changes of this record and their lag",
        signs={"verdict": [look.VERDICT[Verdict(each)] for each in changes["verdict"]]},
        column_config=tables.instants("changed", "arrived"),
    )


def _letters(letters: pd.DataFrame) -> None:
    columns = {
        "reason": "reason",
        "queue": "queue",
        "flow": "flow",
        "attempts": "attempts",
        "first_failed_at": "failed",
        "gone_at": "gone",
    }
    tables.table(
        letters[list(columns)].rename(columns=columns),
        key="letters",
        alt="Dead letters about this record",
        column_config=tables.instants("failed", "gone"),
    )


def _incidents(incidents: pd.DataFrame) -> None:
    shown = incidents.assign(incident=incidents["id"].astype(str))
    columns = {"incident": "incident", "summary": "what", "since_at": "since", "resolved_at": "resolved"}
    severities = [look.SEVERITY[Severity(each)] for each in incidents["severity"]]
    tables.table(
        shown[list(columns)].rename(columns=columns),
        key="incidents",
        alt="Incidents to which its divergences and late changes belong",
        links={"incident": [navigation.incident(int(each)) for each in incidents["id"]]},
        signs={"severity": severities, "state": [look.INCIDENT[str(each)] for each in incidents["state"]]},
        optional=("resolved",),
        widest="what",
        column_config={
            "incident": st.column_config.TextColumn(width=70),
            "what": st.column_config.TextColumn(width=360),
            **tables.instants("since", "resolved"),
        },
    )

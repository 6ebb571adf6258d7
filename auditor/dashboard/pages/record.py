"""Record: one record in every system, side by side, and its history."""

from __future__ import annotations

import streamlit as st

from auditor import escaping
from auditor.dashboard import components, side_by_side, tables, view
from auditor.dashboard.data import Data
from auditor.dashboard.time_range import Since
from auditor.history.figure_text import interval
from checks.values import UnreadableError
from probes.durations import format_duration
from probes.wording import did_you_mean

SIGNS = {
    "agrees": (":green-badge[agrees]", "The copies agree in this reading."),
    "differs": (
        ":red-badge[differs]",
        "The copies differ in this reading. The audits decide whether that counts as drift.",
    ),
    "not found": (":gray-badge[not found]", "No system holds a record with this key."),
    "cannot verify": (":orange-badge[cannot verify]", "A copy cannot be read, or exists more than once."),
}


HEADINGS = {
    "committed_to_at": "changed",
    "shown_at": "arrived",
    "versions_behind": "versions behind",
    "first_missed_at": "late since",
    "first_seen_at": "first seen",
    "opened_at": "opened",
    "closed_at": "closed",
    "first_failed_at": "failed",
    "gone_at": "gone",
}


def page() -> None:
    """Draw the page."""
    components.framed("Record", _draw, live=False)


def _draw(data: Data, _since: Since) -> None:
    row = st.columns([1, 2, 1])
    types = list(data.map.data_types)
    data_type = row[0].selectbox("Data type", types, key="type", bind="query-params")
    key = row[1].text_input("Key", key="key", bind="query-params")
    row[2].space("small")
    row[2].button("Read again", type="primary", width="stretch")
    if not key:
        st.info("Enter a record's key, or follow a link from the Drift page.", icon=":material/search:")
        return
    try:
        with st.spinner("Reading every system …"):
            record = side_by_side.read_live(data, str(data_type), key)
    except UnreadableError as error:
        st.error(
            f"{escaping.markdown(key)} is not a valid key of {escaping.markdown(data_type)}: "
            f"{escaping.markdown(error)}",
            icon=":material/error:",
        )
        return
    except KeyError:
        hint = did_you_mean(str(data_type), types)
        st.error(escaping.markdown(f"Unknown data type {data_type}{hint}"), icon=":material/error:")
        return
    sign, words = SIGNS[record.verdict]
    st.subheader(f"{escaping.markdown(f'{data_type} {key}')}: {sign}", anchor=False)
    st.caption(f"{words} The values were read live just now and are not stored.")
    side_by_side.draw(record, data.map.data_types[str(data_type)].consumers)
    _history(data, str(data_type), key)


def _history(data: Data, data_type: str, key: str) -> None:
    divergences, changes, letters = data.record_history(data_type, key)
    st.subheader("History")
    if divergences.empty and changes.empty and letters.empty:
        components.nothing("No divergence, change or dead letter of this record is on file.")
        return
    if not divergences.empty:
        divergences.insert(
            4,
            "difference",
            [
                view.differences_text(differences, detail)
                for differences, detail in zip(divergences["differences"], divergences["detail"], strict=True)
            ],
        )
        st.markdown("**Divergences**")
        tables.table(
            divergences.drop(columns=["differences", "detail", "fields"]).rename(columns=HEADINGS),
            key="divergences",
            alt="Divergences of this record",
        )
    if not changes.empty:
        changes["lag"] = [
            interval(lower, upper)
            for lower, upper in zip(changes["lag_lower_s"], changes["lag_upper_s"], strict=True)
        ]
        st.markdown("**Tracked changes**")
        changes["window"] = [format_duration(window_s) for window_s in changes["window_s"]]
        shown = ["flow", "verdict", "committed_to_at", "shown_at", "lag", "window", "probes"]
        tables.table(
            changes[shown].rename(columns=HEADINGS), key="changes", alt="Changes of this record and their lag"
        )
    if not letters.empty:
        st.markdown("**Dead letters**")
        tables.table(letters.rename(columns=HEADINGS), key="letters", alt="Dead letters about this record")

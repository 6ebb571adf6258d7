"""Record: one record in every system, side by side, and what has been seen of it."""

from __future__ import annotations

import streamlit as st

from auditor.dashboard import components, side_by_side, view
from auditor.dashboard.data import Data, Since
from auditor.words import did_you_mean, interval
from checks.values import UnreadableError

SIGNS = {
    "agrees": (":green-badge[agrees]", "The copies mean the same in this reading."),
    "differs": (
        ":red-badge[differs]",
        "The copies differ in this one reading; whether that counts, the audits say.",
    ),
    "not found": (":gray-badge[not found]", "No system holds a record with this key."),
    "cannot verify": (":orange-badge[cannot verify]", "A copy cannot be read, or is there more than once."),
}


def page() -> None:
    """Draw the page."""
    components.framed("Record", _draw, live=False)


def _draw(data: Data, _since: Since) -> None:
    row = st.columns([1, 2, 1])
    types = list(data.map.data_types)
    data_type = row[0].selectbox("Data type", types, key="type", bind="query-params")
    key = row[1].text_input("Key", key="key", bind="query-params").strip()
    row[2].space("small")
    row[2].button("Read again", type="primary", width="stretch")
    if not key:
        st.info("Enter a record's key, or follow a link from the Drift page.", icon=":material/search:")
        return
    try:
        with st.spinner("Reading every system …"):
            found = side_by_side.read_live(data, str(data_type), key)
    except UnreadableError as error:
        st.error(f"This is no key of {data_type}: {error}", icon=":material/error:")
        return
    except KeyError:
        st.error(f"Unknown data type {data_type}{did_you_mean(str(data_type), types)}", icon=":material/error:")
        return
    sign, words = SIGNS[found.verdict]
    st.subheader(f"{data_type} {key}: {sign}")
    st.caption(f"{words} The values were read live just now and are not stored.")
    side_by_side.draw(found, data.map.data_types[str(data_type)].consumers)
    _history(data, str(data_type), key)


def _history(data: Data, data_type: str, key: str) -> None:
    divergences, changes, letters = data.record_history(data_type, key)
    st.subheader("What has been seen of it")
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
        st.dataframe(
            divergences.drop(columns=["differences", "detail", "fields"]),
            hide_index=True,
            alt="Divergences of this record",
        )
    if not changes.empty:
        changes["lag"] = [
            interval(lower, upper)
            for lower, upper in zip(changes["lag_lower_s"], changes["lag_upper_s"], strict=True)
        ]
        st.markdown("**Changes followed**")
        shown = ["flow", "verdict", "committed_to_at", "shown_at", "lag", "window_s", "probes"]
        st.dataframe(changes[shown], hide_index=True, alt="Changes of this record and their lag")
    if not letters.empty:
        st.markdown("**Dead letters**")
        st.dataframe(letters, hide_index=True, alt="Dead letters about this record")

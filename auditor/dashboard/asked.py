"""What the address of a page asks for and the page does not have."""

from __future__ import annotations

from collections.abc import Collection

import streamlit as st

from auditor import escaping
from probes.wording import did_you_mean

WHAT = {
    "type": "a data type of the map",
    "range": "a time range",
    "refresh": "a refresh interval",
    "flow": "a flow of the map",
    "lagflow": "a flow with changes in this time range",
    "cause": "a cause",
    "state": "a state of a difference",
}
"""What the values of each name in an address are."""


def unknown(name: str, options: Collection[str]) -> list[str]:
    """The values that the address gives a widget and that are none of its options.

    Streamlit removes them from the address when it draws the widget, and shows its default. Call this before that.
    """
    return [each for each in st.query_params.get_all(name) if each not in options]


def refuse(name: str, options: Collection[str]) -> bool:
    """Say of each such value that it is not an option, and which one may be meant; answer whether there was one."""
    refused = unknown(name, options)
    for each in refused:
        hint = escaping.markdown(did_you_mean(each, options))
        st.warning(
            f"{escaping.markdown(each)} is not {WHAT[name]}{hint}. The address of this page names it.",
            icon=":material/link_off:",
        )
    return bool(refused)

"""What several pages share: the open installation, the frame around a page, links and empty states."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import streamlit as st

from auditor.dashboard import view
from auditor.dashboard.data import RANGES, Data, Since
from auditor.ledger import LedgerError
from auditor.map_file import MapError, load_map
from auditor.workspace import Workspace

REFRESH = {"off": None, "2 s": 2.0, "10 s": 10.0, "1 min": 60.0}


@st.cache_resource(show_spinner="Opening the history …", on_release=Data.close)
def _open(map_file: str, folder: str) -> Data:
    workspace = Workspace.at(
        Path(folder),
        ledger_url=os.environ.get("AUDITOR_LEDGER"),
        archive=os.environ.get("AUDITOR_ARCHIVE"),
    )
    return Data(load_map(Path(map_file)), workspace)


def open_data() -> Data:
    """The installation that `AUDITOR_MAP` and `AUDITOR_DATA` name; a page without one says what to do."""
    map_file = os.environ.get("AUDITOR_MAP", "plumbline.yaml")
    folder = os.environ.get("AUDITOR_DATA", "var")
    if not Path(map_file).exists():
        st.info(
            f"There is no integration map at `{map_file}` yet.\n\n"
            "Write one with `auditor init`, or start the demo company with `auditor demo`.",
            icon=":material/map:",
        )
        st.stop()
    try:
        return _open(map_file, folder)
    except MapError as error:
        st.error(f"The integration map has {len(error.problems)} mistakes:", icon=":material/error:")
        st.code("\n".join(str(problem) for problem in error.problems), language=None)
        st.stop()
    except LedgerError as error:
        st.error(str(error), icon=":material/error:")
        st.stop()


def framed(title: str, draw: Callable[[Data, Since], None], *, live: bool = True) -> None:
    """Draw a page: its title, how fresh the data are, what is failing, and the body.

    Args:
        draw: the body; with `live` it is drawn again and again by itself.
    """
    data = open_data()
    with st.sidebar:
        label = st.selectbox("Time range", list(RANGES), index=1, key="range", bind="query-params")
        every = st.segmented_control(
            "Refresh", list(REFRESH), default="10 s", key="refresh", required=True, bind="query-params"
        )

    def body() -> None:
        st.title(title)
        _freshness(data)
        try:
            draw(data, Since(label=label))
        except Exception as error:
            st.error(
                f"This page could not be drawn: {type(error).__name__}: {error}. "
                "The audits go on; the log of the dashboard has the details.",
                icon=":material/error:",
            )
            raise

    if live and REFRESH[every] is not None:
        st.fragment(body, run_every=REFRESH[every], key=f"page-{title}")()
    else:
        body()


def _freshness(data: Data) -> None:
    now = datetime.now(UTC)
    seen_at = data.last_audit_at()
    if seen_at is None:
        st.warning(
            "Nothing has been audited yet. Start the auditor with `auditor run`; the first figures show within "
            "seconds.",
            icon=":material/hourglass_empty:",
        )
        return
    silent = [flow.flow for flow in data.flows() if flow.stale]
    told = f"Data as of {seen_at:%H:%M:%S} UTC, {view.ago(seen_at, now)}"
    if silent:
        st.warning(
            f"**Stale.** {told}. Not audited for two intervals: {', '.join(silent)}. "
            "Is the auditor running? Start it with `auditor run`.",
            icon=":material/warning:",
        )
    else:
        st.caption(told)
    systems = data.systems()
    for failing in systems[~systems["state"].isin(["answers", "never read", "queues only"])].itertuples():
        st.error(
            f"**{failing.system}** cannot be read: {failing.state}. {failing.message} "
            "Its records cannot be verified meanwhile; they are not counted as agreeing.",
            icon=":material/power_off:",
        )


def record_link(data_type: str, key: str) -> str:
    """The address of a record's page."""
    return "/record?" + urlencode({"type": data_type, "key": key})


def conflict_link(number: int) -> str:
    """The address of one conflict."""
    return "/conflicts?" + urlencode({"conflict": number})


def drift_link(**filters: str) -> str:
    """The address of the drift page with filters."""
    return "/drift?" + urlencode(filters)


def nothing(text: str) -> None:
    """Say that a list is empty, why, and what to do next."""
    st.info(text, icon=":material/check_circle:" if text.startswith("No ") else ":material/info:")

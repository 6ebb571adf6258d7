"""What several pages share: the open installation, the frame around a page, and empty states."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import streamlit as st

from auditor import escaping
from auditor.dashboard import navigation, view
from auditor.dashboard.data import Data, NoLedgerError
from auditor.dashboard.time_range import DAY, Since
from auditor.ledger import LedgerError
from auditor.map.loader import load_map
from auditor.map.problems import MapError
from auditor.workspace import Workspace
from probes.wording import counted


@st.cache_resource(show_spinner="Opening the history …", on_release=Data.close)
def _open(map_file: str, folder: str) -> Data:
    workspace = Workspace.at(
        Path(folder),
        ledger_url=os.environ.get("AUDITOR_LEDGER"),
        archive=os.environ.get("AUDITOR_ARCHIVE"),
        make=False,
    )
    return Data(load_map(Path(map_file)), workspace)


def open_data() -> Data:
    """The installation that `AUDITOR_MAP` and `AUDITOR_DATA` name; without one, the page says what to do."""
    map_file = os.environ.get("AUDITOR_MAP", "plumbline.yaml")
    folder = os.environ.get("AUDITOR_DATA", "var")
    if not os.path.exists(map_file):  # noqa: PTH110  Path raises for a name that no file can have
        st.info(
            f"There is no integration map at {escaping.markdown(map_file)} yet.\n\n"
            "Write one with `auditor init`, or start the demo company with `auditor demo`.",
            icon=":material/map:",
        )
        st.stop()
    try:
        return _open(map_file, folder)
    except MapError as error:
        st.error(f"The integration map has {counted(len(error.problems), 'mistake')}:", icon=":material/error:")
        st.code("\n".join(escaping.visible(problem) for problem in error.problems), language=None)
        st.stop()
    except NoLedgerError as error:
        _await_ledger(str(error), map_file, folder)
        st.stop()
    except LedgerError as error:
        st.error(escaping.markdown(error), icon=":material/error:")
        st.stop()


@st.fragment(run_every=2.0)
def _await_ledger(place: str, map_file: str, folder: str) -> None:
    """Say that there is no ledger yet, until there is one."""
    try:
        _open(map_file, folder)
    except NoLedgerError:
        sentence = f"There is no ledger in {escaping.markdown(place)} yet."
        todo = "Start the auditor with `auditor run`, or point the dashboard to its folder with `--data`."
        st.info(f"{sentence}\n\n{todo}", icon=":material/folder_off:")
    else:
        st.rerun()


def framed(title: str, draw: Callable[[Data, Since], None], *, live: bool = True) -> None:
    """Draw a page: its title, how fresh the data are, what is failing, and the body.

    Args:
        draw: the body; with `live` it is redrawn automatically.
    """
    data = open_data()
    since = Since(label=navigation.time_range())
    every_s = navigation.refresh_every_s()

    def body() -> None:
        navigation.follow()
        st.title(title)
        try:
            _freshness(data)
            _missing_history(data, since)
            draw(data, since)
        except LedgerError as error:
            st.error(
                f"{escaping.markdown(error)}. Nothing that is shown may be current, and nothing is known of what "
                "happens meanwhile.",
                icon=":material/database_off:",
            )
        except Exception as error:
            st.error(
                f"This page could not be drawn: {type(error).__name__}: {escaping.markdown(error)}. "
                "Audits continue; see the dashboard's log for details.",
                icon=":material/error:",
            )
            raise

    if live and every_s is not None:
        st.fragment(body, run_every=every_s, key=f"page-{title}")()
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
    flows = data.flows()
    silent = [flow.flow for flow in flows if flow.stale and not flow.failing]
    failed = [flow for flow in flows if flow.stale and flow.failing]
    late = [flow for flow in flows if flow.late]
    for heading, named in (("No data.", failed), ("Held back.", late)):
        if named:
            whys = (f"**{escaping.markdown(each.flow)}**: {escaping.markdown(each.why)}" for each in named)
            st.warning(f"**{heading}** {'; '.join(whys)}.", icon=":material/warning:")
    caption = f"Data as of {seen_at:%H:%M:%S} UTC, {view.ago(seen_at, now)}"
    lease = data.ledger.lease.now()
    if lease.holder is not None:
        caption += f"; audited by {escaping.markdown(lease)}"
    if silent:
        st.warning(
            f"**Stale.** {caption}. Not audited for two intervals: "
            f"{escaping.markdown(', '.join(silent))}. "
            "Is the auditor running? Start it with `auditor run`.",
            icon=":material/warning:",
        )
    else:
        st.caption(caption)
    for silent_one in data.undelivered(DAY).itertuples():
        tried = "is being tried again" if silent_one.state == "pending" else "was given up"
        st.error(
            f"**{silent_one.messages} message{'s' * (silent_one.messages != 1)} did not reach "
            f"{escaping.markdown(silent_one.sender)}** since {silent_one.since_at:%d %b %H:%M} UTC, and the last "
            f"{tried}: {escaping.markdown(silent_one.error or 'no reason given')}. Check `alerts:` in the map.",
            icon=":material/notifications_off:",
        )
    systems = data.systems()
    for failing in systems[~systems["state"].isin(["answers", "never read", "queues only"])].itertuples():
        st.error(
            f"**{escaping.markdown(failing.system)}** cannot be read: {escaping.markdown(failing.state)}. "
            f"{escaping.markdown(failing.message)} "
            "Its records cannot be verified meanwhile; they are not counted as agreeing.",
            icon=":material/power_off:",
        )


MISSING_SHOWN = 5
"""Archive files that a page lists; the command line lists all."""


def _missing_history(data: Data, since: Since) -> None:
    """Say which archive files the figures of this time range lack."""
    missing = data.missing_history(since)
    if missing:
        more = len(missing) - MISSING_SHOWN
        named = [*missing[:MISSING_SHOWN], *([f"{more} more: `auditor lag` names them all"] if more > 0 else [])]
        st.warning(
            "**The history is incomplete.** The figures below are computed without it.\n\n"
            + "\n".join(f"- {escaping.markdown(each.removeprefix('history is incomplete: '))}" for each in named),
            icon=":material/warning:",
        )


def nothing(text: str, *, well: bool = False) -> None:
    """Say that a list is empty, why, and what to do next.

    Args:
        well: everything is verified, so an empty list is good news.
    """
    st.info(text, icon=":material/check_circle:" if well else ":material/info:")

"""The last step of the set-up on the page: where everything was written, and the first audit."""

from __future__ import annotations

import os
from pathlib import Path

import streamlit as st

from auditor import escaping
from auditor.dashboard import acting, navigation, tables
from auditor.dashboard.access import Person
from auditor.dashboard.setup_progress import Progress, rows, working
from auditor.map.integration_map import IntegrationMap
from auditor.setup import reading
from auditor.setup.setup_error import SetupError
from auditor.workspace import Workspace
from probes.wording import listed


def draw(person: Person, progress: Progress, location: Path) -> None:
    """Draw the step."""
    plan = progress.plan
    assert plan.checked is not None
    loaded = plan.checked.loaded
    assert loaded is not None
    st.success(f"The map is in {escaping.markdown(location.resolve())}.", icon=":material/check_circle:")
    named = escaping.markdown(listed([*plan.unset], "and"))
    if progress.kept:
        st.success(
            f"{named} {'is' if len(plan.unset) == 1 else 'are'} kept in {escaping.markdown(progress.kept)}, which "
            "only you may read. Whatever you start in that folder takes them from there.",
            icon=":material/key:",
        )
    elif plan.unset:
        st.warning(
            f"Set {named} wherever you start the auditor and the dashboard, and start the dashboard again: the map "
            "takes the logins from there.",
            icon=":material/key:",
        )
    audit(person, progress, loaded, location)


def audit(person: Person, progress: Progress, loaded: IntegrationMap, location: Path) -> None:
    """Draw the way to the first audit of a map that is written, or what it found, and what to run from then on."""
    data = Path(os.environ.get("AUDITOR_DATA", "var"))
    if progress.reports is None:
        st.markdown(
            "Audit every record once now. Records that differ are looked at until their window ends, two minutes at "
            "most, before they count."
        )
        if st.button("Audit once", type="primary", icon=":material/play_arrow:"):
            acting.confirmed(person)
            workspace = _workspace(data)
            progress.reports = working("Starting", lambda tell: reading.first_verdicts(loaded, workspace, tell=tell))
            st.rerun()
    else:
        tables.table(
            rows(progress.reports),
            key="verdicts",
            alt="The first verdicts, one row per flow",
        )
        meanings = {word: meaning for report in progress.reports for word, meaning in report.meanings.items()}
        for word, meaning in meanings.items():
            st.caption(escaping.markdown(f"{word}: {meaning}"))
        navigation.link("Open the Overview", navigation.Target(page="overview", shows={}))
    st.subheader("From now on", anchor=False)
    st.caption("Start the auditor in a terminal. It audits continuously until you press Ctrl-C.")
    st.code(escaping.block(reading.command("run", location, data)), language="shell")


def _workspace(data: Path) -> Workspace:
    try:
        return Workspace.at(
            data, ledger_url=os.environ.get("AUDITOR_LEDGER"), archive=os.environ.get("AUDITOR_ARCHIVE")
        )
    except (OSError, ValueError) as error:
        raise SetupError(f"cannot use the folder {data}: {getattr(error, 'strerror', None) or error}") from None

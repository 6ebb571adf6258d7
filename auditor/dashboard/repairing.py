"""What would make records right: a preview of repair proposals, and the file that `auditor repair` writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

import pandas as pd
import streamlit as st

from auditor import escaping
from auditor.conflicts.proposal import Proposal
from auditor.conflicts.repair import propose
from auditor.conflicts.repair_formats import write_csv, write_json, write_sql
from auditor.conflicts.repair_preview import change_text, shown
from auditor.dashboard import tables, view
from auditor.dashboard.access import Onlooker, Person
from auditor.dashboard.data import Data
from auditor.desk.rechecks import Wanted
from auditor.ledger import LedgerError
from auditor.systems.reader import open_readers
from probes.contract import ProbeError
from probes.wording import counted

KEPT = "_proposals"


def draw(data: Data, wanted: Wanted, asks: Person | Onlooker) -> None:
    """Draw the button that reads the records again, and the proposals that follow from the readings."""
    kept = st.session_state.get(KEPT)
    if kept is not None and kept[0] != [*wanted]:
        del st.session_state[KEPT]
    if st.button("Propose repair", key="repair", icon=":material/build:"):
        try:
            with st.spinner("Reading the records again …"):
                st.session_state[KEPT] = [*wanted], datetime.now(UTC), _proposals(data, wanted)
        except (LedgerError, ProbeError) as error:
            st.error(escaping.markdown(error), icon=":material/error:")
            return
    if (kept := st.session_state.get(KEPT)) is not None:
        _draw(data, kept[2], kept[1], asks)


def _proposals(data: Data, wanted: Wanted) -> list[Proposal]:
    """Read the records again and propose how to make them right."""
    digest_key = data.workspace.digest_key()
    data.ledger.installation.check_key(digest_key)
    readers = open_readers(data.map, data.allowances)
    for name, clock in data.ledger.measurements.clocks().items():
        if name in readers:
            readers[name].clock = clock
    try:
        flows = list(dict.fromkeys(flow for flow, _ in wanted))
        return propose(data.map, data.ledger, readers, digest_key, flows, records={*wanted})
    finally:
        for reader in readers.values():
            reader.close()


def _draw(data: Data, proposals: Sequence[Proposal], read_at: datetime, asks: Person | Onlooker) -> None:
    if not proposals:
        st.info(
            "Nothing to repair: the copies agree in this reading, or the audits know of no open difference.",
            icon=":material/info:",
        )
        return
    seen = [shown(data.map, each) for each in proposals]
    without = sum(each.action == "none" for each in seen)
    st.markdown(
        f"**{counted(len(seen) - without, 'proposal')}, {counted(without, 'record')} without a proposal.** Read "
        f"{view.ago(read_at, datetime.now(UTC))}. Plumbline writes to no system: review the statements, and run them "
        "yourself. Each changes nothing if the record has changed since."
    )
    for warning in dict.fromkeys(text for each in seen for text in each.warnings):
        st.warning(escaping.markdown(warning), icon=":material/warning:")
    tables.table(
        pd.DataFrame(
            {
                "record": [str(each.key) for each in seen],
                "do": [each.action if each.action != "none" else "nothing" for each in seen],
                "in": [each.system for each in seen],
                "present → proposed": [change_text(each) for each in seen],
                "why": [each.why for each in seen],
                "flow": [each.flow for each in seen],
            }
        ),
        key="proposals",
        alt="What would be written to make the records right",
        height=min(38 + 35 * len(seen), 300),
        column_config={
            "present → proposed": st.column_config.TextColumn(width=300),
            "why": st.column_config.TextColumn(width=300),
        },
    )
    st.code(escaping.block(write_sql(data.map, seen)), language="sql", height=min(60 + 24 * 6 * len(seen), 400))
    st.caption("Values are shown as far as the evidence settings of their fields allow.")
    if isinstance(asks, Onlooker):
        st.caption(f"You can look, but not download the values. {escaping.markdown(asks.why)}")
        return
    st.caption("The files hold the values themselves, as those of `auditor repair` do.")
    with st.container(horizontal=True):
        for label, name, kind, written in (
            ("SQL", "repair.sql", "application/sql", lambda: write_sql(data.map, proposals)),
            ("JSON", "repair.json", "application/json", lambda: write_json(proposals) + "\n"),
            ("CSV", "repair.csv", "text/csv", lambda: write_csv(proposals)),
        ):
            st.download_button(
                f"Download {label}",
                partial(_encoded, written),
                name,
                kind,
                key=f"repair-{label}",
                on_click="ignore",
                icon=":material/download:",
            )


def _encoded(written: Callable[[], str]) -> bytes:
    return written().encode("utf-8", "backslashreplace")

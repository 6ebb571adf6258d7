"""Recheck now: asking the auditor to read records next, and what the readings found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from auditor import escaping
from auditor.dashboard import acting, look, tables
from auditor.dashboard.access import Onlooker, Person
from auditor.dashboard.data import Data
from auditor.desk.rechecks import Wanted, ask, daemon_runs
from checks.escalation import RefusedError
from checks.rechecks import Recheck, RecheckState
from probes.wording import counted

LOOK_EVERY_S = 2.0
SHOWN = 50
"""Requests that a page lists, the latest ones."""


def draw(data: Data, wanted: Wanted, asks: Person | Onlooker, *, records: int) -> None:
    """Draw the button that asks for records.

    Args:
        records: how many there are.
    """
    if isinstance(asks, Onlooker):
        st.caption(f"You can look, but not ask for a reading. {escaping.markdown(asks.why)}")
        return
    if not daemon_runs(data.ledger, data.workspace.folder):
        st.caption(
            ":material/pause_circle: No auditor is running with this ledger, so no reading can be asked for. Start "
            "it with `auditor run`."
        )
        return
    who = acting.named(asks)
    if st.button(f"Recheck {counted(records, 'record')} now", key="recheck", icon=":material/autorenew:"):
        try:
            name, known_by = acting.signature(who)
            ask(data.ledger, data.workspace.folder, wanted, who=name, known_by=known_by)
        except (RefusedError, ValueError) as error:
            st.error(escaping.markdown(error), icon=":material/error:")
            return
        st.toast(f"Asked for {counted(records, 'record')}.", icon=":material/autorenew:")


def draw_results(data: Data, wanted: Wanted | None = None) -> None:
    """Draw what has become of the requests; while some wait, it is drawn again by itself.

    Args:
        wanted: only those of these flows and keys.
    """
    found = data.ledger.rechecks.listed(wanted)
    now = datetime.now(UTC)
    if not found:
        return
    if any(each.state(now) is RecheckState.ASKED for each in found):

        def again() -> None:
            acting.leave_if_ended()
            later = data.ledger.rechecks.listed(wanted)
            if not any(each.state(datetime.now(UTC)) is RecheckState.ASKED for each in later):
                data.changed()
                st.rerun()  # what is drawn above shows the result as well
            _table(later, datetime.now(UTC))

        st.fragment(again, run_every=LOOK_EVERY_S, key="rechecks-waiting")()
    else:
        _table(found, now)


def _table(found: Sequence[Recheck], now: datetime) -> None:
    shown = found[:SHOWN]
    waits = sum(each.state(now) is RecheckState.ASKED for each in found)
    words = f"{counted(waits, 'record')} asked for and not read yet." if waits else "All that was asked for was read."
    with st.container(border=True):
        st.markdown(f"**Rechecks.** {words} The auditor reads them within its budgets; results are kept for an hour.")
        tables.table(
            pd.DataFrame(
                {
                    "record": [each.key for each in shown],
                    "flow": [each.flow for each in shown],
                    "what": [each.detail for each in shown],
                    "asked by": [each.who for each in shown],
                    "asked": [each.asked_at for each in shown],
                    "read": [each.read_at for each in shown],
                }
            ),
            key="rechecks",
            alt="Records that people asked to be read, and what the readings found",
            signs={"found": [look.RECHECK[each.state(now)] for each in shown]},
            column_config=tables.instants("asked", "read"),
            height=min(38 + 35 * len(shown), 260),
        )

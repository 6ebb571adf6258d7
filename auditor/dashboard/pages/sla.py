"""SLA breaches: objectives kept and broken, how well everything is known, and the messages sent."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st

from auditor.dashboard import components, look, navigation, tables, view
from auditor.dashboard.data import Data
from auditor.dashboard.frames import frame
from auditor.dashboard.time_range import Since
from auditor.history.coverage import FlowCoverage
from auditor.history.figure_rows import coverage_row
from auditor.history.figure_text import ratio_text
from auditor.history.objectives import ObjectiveFigure
from auditor.history.status import Standing
from checks.intervals import clopper_pearson


def page() -> None:
    """Draw the page."""
    components.framed("SLA breaches", _draw)


def _draw(data: Data, since: Since) -> None:
    now = datetime.now(UTC)
    st.subheader("Objectives")
    st.caption(
        "Over the period of each flow's SLA, whatever time range is chosen; queues as they are now. A share is "
        "broken when even the upper end of the long-run estimate is below the goal. *Burn*: how many times faster "
        "than the goal allows the error budget is used."
    )
    figures = data.objectives()
    tables.table(
        frame([_objective(data, each) for each in figures]),
        key="objectives",
        signs={"state": [look.OBJECTIVE[each.standing] for each in figures]},
        alt="Objectives of each flow, kept or broken, and what is left of their error budgets",
    )
    st.subheader("Coverage")
    st.caption(
        "What is known, and how well. *Verified through*: every change up to then has its verdict. A sweep reads "
        "every record of both sides once; when it is complete, how many differ is certain."
    )
    covered = data.coverage(since)
    tables.table(
        frame([_covered(each, now) for each in covered]),
        key="coverage",
        signs={"state": [look.FLOW[Standing(each.state)] for each in covered]},
        alt="Coverage of each flow: verified through, undecided, sweep, records that differ",
        column_config={
            "sweep": st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1),
            **tables.instants("last sweep ended"),
        },
    )
    st.subheader("Budgets")
    st.caption(
        "What is used of each system's budget, and how many reads audits of the last hour left out because it was "
        "spent (a key that waits for several audits counts in each). *By sample*: the share of records that differ "
        "at most, at 95 %, by the sample of the last day, of the flow with the highest share."
    )
    tables.table(
        frame([each.as_row() for each in data.budgets()]),
        key="budgets",
        alt="Budget of each system: records and calls used, reads left out, what the sample bounds",
    )
    _noise(data, since)
    _messages(data, since)


def _messages(data: Data, since: Since) -> None:
    alerts = data.alerts(since)
    st.subheader("Messages")
    if alerts.empty:
        components.nothing(
            "No message was sent in this range."
            if data.map.alerts.senders
            else "No alert channel is configured. Add `alerts: slack: webhook:` to the map to be notified."
        )
    else:
        alerts["possible_repeat"] = ["possible duplicate" if each else "" for each in alerts["possible_repeat"]]
        tables.table(
            alerts.assign(incident_id=alerts["incident_id"].astype(str)).rename(
                columns={"incident_id": "incident", "possible_repeat": "note"}
            ),
            key="alerts",
            links={"incident": [navigation.incident(int(each)) for each in alerts["incident_id"]]},
            signs={"state": [look.MESSAGE[each] for each in alerts["state"]]},
            alt="Messages sent, waiting and not delivered",
            column_config={
                "created_at": st.column_config.DatetimeColumn("created", format="MM-DD HH:mm:ss"),
                "sent_at": st.column_config.DatetimeColumn("sent", format="MM-DD HH:mm:ss"),
            },
        )


def _noise(data: Data, since: Since) -> None:
    """Fields that a system returns differently on each read; draws nothing if there are none."""
    noise = data.noise(since)
    if noise.empty:
        return
    st.markdown("**Noise**")
    st.caption("Fields that differed from themselves when a system was read twice; no flow is blamed for them.")
    noise["share"] = [
        ratio_text(differed / reread, *clopper_pearson(differed, reread))
        for differed, reread in zip(noise["differed"], noise["reread"], strict=True)
    ]
    tables.table(noise, key="noise", alt="Fields that differed from themselves, by flow and system")


def _covered(each: FlowCoverage, now: datetime) -> dict[str, object]:
    row = coverage_row(each, now)
    del row["behind"]
    return {
        **row,
        "verified through": view.verified(each.verified_through_at, now),
        "sweep": each.sweep_ratio,
        "sweep order": each.walk,
        "last sweep ended": each.swept_at,
    }


def _objective(data: Data, each: ObjectiveFigure) -> dict[str, object]:
    return {**each.as_row(), "team": data.map.flows[each.flow].team}

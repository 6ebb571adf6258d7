"""Overview: is everything fine now, and if not, where is it wrong."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from auditor import escaping
from auditor.dashboard import components, navigation, tables, view
from auditor.dashboard.data import Data
from auditor.dashboard.frames import frame
from auditor.dashboard.time_range import Since
from auditor.history.figure_text import agreement_text, waiting_letters, window_text
from auditor.history.status import FlowStatus, Standing
from checks.cause import MEANINGS, Cause

CARDS_IN_A_ROW = 5


def page() -> None:
    """Draw the page."""
    components.framed("Overview", _draw)


def _draw(data: Data, since: Since) -> None:
    flows = data.flows()
    windows = data.windows(since)
    open_now = data.open_by_cause()
    _tiles(flows, windows, open_now, data)
    _causes(open_now)
    _misled(data)
    _flows(data, since, flows, windows, open_now)
    timeline = data.timeline(since)
    st.subheader("New drift over time")
    if timeline.empty:
        components.nothing(f"No record began to differ in the last {since.label}.", well=data.all_known())
    else:
        alt = f"New differences in the last {since.label}, by family of cause"
        st.plotly_chart(view.timeline_chart(timeline), key="timeline", config={"displaylogo": False}, alt=alt)
    st.subheader("Systems")
    systems = data.systems()[["system", "state", "latency_ms", "clock", "message"]]
    tables.table(
        systems.rename(columns={"latency_ms": "latency (ms)"}),
        key="systems",
        alt="Systems with their state, latency and clock bounds",
    )


def _tiles(flows: list[FlowStatus], windows: pd.DataFrame, open_now: pd.DataFrame, data: Data) -> None:
    consistent = sum(flow.state == "consistent" for flow in flows)
    unknown = sum(flow.unknown in {Standing.UNVERIFIED, Standing.NO_DATA} for flow in flows)
    dead = waiting_letters([each for each in data.backlogs() if each.role == "dead"])
    met, breach, undecided = (int(windows[name].sum()) for name in ("met", "breach", "undecided"))
    waiting = len([each for each in data.conflicts(live_only=True) if each.state in {"open", "overdue"}])
    row = st.columns([4, 4, 6, 4, 4])
    row[0].metric(
        "Flows consistent",
        f"{consistent} of {len(flows)}",
        f"{unknown} unverified" if unknown else None,
        delta_color="inverse",
        border=True,
        height="stretch",
    )
    row[1].metric("Records that differ", int(open_now["records"].sum()), border=True, height="stretch")
    total = met + breach + undecided
    row[2].metric(
        "Changes within window",
        view.share_within(met, breach, undecided),
        f"of {total}, {undecided} undecided" if total else None,
        delta_color="off",
        delta_arrow="off",
        help="Undecided changes may have met their window or not: the share lies between the two ends.",
        border=True,
        height="stretch",
    )
    row[3].metric("Dead letters waiting", dead, border=True, height="stretch")
    row[4].metric(
        "Conflicts to decide",
        waiting,
        help="Differences that no rule decides; the Conflicts page has them",
        border=True,
        height="stretch",
    )


def _causes(open_now: pd.DataFrame) -> None:
    if open_now.empty:
        return
    causes = open_now.groupby(["family", "cause"], as_index=False)["records"].sum()
    causes = causes.sort_values("records", ascending=False)
    cards = list(causes.itertuples())
    rows = [st.columns(min(len(cards), CARDS_IN_A_ROW)) for _ in cards[::CARDS_IN_A_ROW]]
    for at, cause in enumerate(cards):
        card = rows[at // CARDS_IN_A_ROW][at % CARDS_IN_A_ROW]
        with card, st.container(border=True, height="stretch"):
            named = str(cause.cause)
            words = escaping.markdown(named.replace("_", " "))
            navigation.link(f"**{cause.records} {words}**", navigation.drift(cause=named))
            st.caption(f"{cause.family}: {MEANINGS[Cause(cause.cause)].words}")


def _misled(data: Data) -> None:
    """Who is affected right now; draws nothing if no consumer is named or nothing differs."""
    consumers = data.misled()
    if not consumers:
        return
    now = datetime.now(UTC)
    st.subheader("Who is affected right now")
    tables.table(
        frame(
            [
                {
                    "who": each.consumer,
                    "role": each.role.replace("-", " "),
                    "reads": each.reads,
                    "records": each.records,
                    "unresolved": each.uncertain,
                    "causes": ", ".join(cause.replace("_", " ") for cause in each.causes),
                    "since": view.ago(each.oldest_at, now).removesuffix(" ago"),
                    "where": each.flows[0],
                }
                for each in consumers
            ]
        ),
        key="affected",
        links={"where": [navigation.drift(flow=each.flows[0]) for each in consumers]},
        alt="Consumers that act on wrong values, the gravest role first",
    )


def _flows(
    data: Data,
    since: Since,
    flows: list[FlowStatus],
    windows: pd.DataFrame,
    open_now: pd.DataFrame,
) -> None:
    now = datetime.now(UTC)
    beats = {row.flow: list(row.shares) for row in data.heartbeats(since).itertuples()}
    by_flow = {row.flow: row for row in windows.itertuples()}
    covered = {each.flow: each for each in data.coverage(since)}
    rows = []
    for flow in flows:
        resolved = data.map.flow(flow.flow)
        mine = open_now[open_now["flow"] == flow.flow]
        counted = by_flow.get(flow.flow)
        rows.append(
            {
                "flow": flow.flow,
                "state": view.STATE_SIGNS[flow.state],
                "last audits": beats.get(flow.flow, []),
                "differ": int(mine["records"].sum()),
                "records that agree": agreement_text(covered[flow.flow].agreement),
                "window": window_text(resolved.window_s),
                "within window": view.share_within(int(counted.met), int(counted.breach), int(counted.undecided))
                if counted
                else "no traffic",
                "verified through": view.verified(flow.verified_through_at, now),
                "unverified": flow.unverified,
                "pending": flow.pending,
                "oldest": view.ago(mine["oldest"].min() if not mine.empty else None, now).replace("never", "–"),
                "audited": view.ago(flow.audited_at, now),
                "route": f"{resolved.source_name} → {resolved.target_name}",
                "team": resolved.settings.team,
            }
        )
    st.subheader("Flows")
    tables.table(
        frame(rows),
        key="flows",
        links={"flow": [navigation.drift(flow=flow.flow) for flow in flows]},
        alt="Flows with their state, open divergences, windows and last audits",
        column_config={
            "verified through": st.column_config.TextColumn(
                help="Every change of the owner up to then has its verdict"
            ),
            "records that agree": st.column_config.TextColumn(
                help="Of all records, as of the last whole sweep; while the first one runs, bounds at 95 %"
            ),
            "last audits": st.column_config.BarChartColumn(
                "last audits",
                help="Share of the records read that differ or could not be verified, oldest first",
                y_min=0,
            ),
        },
    )

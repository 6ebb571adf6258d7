"""Overview: is everything fine now, and if not, what is wrong, where, and who acts on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import streamlit as st

from auditor import escaping
from auditor.dashboard import components, look, navigation, sparkline, tables, view
from auditor.dashboard.beats import Beat
from auditor.dashboard.data import Data
from auditor.dashboard.frames import frame
from auditor.dashboard.time_range import TimeRange
from auditor.history.coverage import FlowCoverage
from auditor.history.figure_text import agreement_text, waiting_letters, window_text
from auditor.history.status import FlowStatus, Standing
from checks.cause import MEANINGS, Cause
from checks.severity import Severity
from probes.wording import counted, few, percent

INCIDENTS_SHOWN = 6
"""Open incidents that the page lists; the rest is on their own page."""

CARDS_BESIDE = 4
"""Cards of causes in a row."""

SYSTEMS_BESIDE = 4
"""The most systems whose matrix fits beside the incidents; a wider one stands below them."""


def page() -> None:
    """Draw the page."""
    components.framed("Overview", _draw)


def _draw(data: Data, span: TimeRange) -> None:
    data.ahead(
        lambda: data.coverage(span),
        data.backlogs,
        lambda: data.letters_waiting(span),
        lambda: data.shares(span),
        lambda: data.conflicts_open(span),
        data.misled,
    )
    flows = data.flows()
    windows = data.windows(span)
    open_now = data.open_by_cause()
    incidents = data.open_incidents()
    timeline = data.timeline(span)
    beats = data.beats(span)
    _sentence(incidents, flows, open_now)
    _tiles(data, span, flows, beats, windows, open_now, timeline)
    beside = len(data.map.systems) <= SYSTEMS_BESIDE
    left, right = st.columns([3, 2], gap="medium") if beside else (st.container(), st.container())
    with left:
        _incidents(data, incidents, wide=not beside)
    with right:
        _matrix(data, flows)
    _flows(data, span, flows, beats, windows, open_now)
    _misled(data)
    _causes(open_now, timeline, span)
    _timeline(data, timeline, span)
    _systems(data)


def _sentence(incidents: pd.DataFrame, flows: list[FlowStatus], open_now: pd.DataFrame) -> None:
    """How things stand, in one sentence."""
    differing = int(open_now["records"].sum())
    unknown = [each.flow for each in flows if each.unknown is not None]
    if not incidents.empty:
        gravest = incidents.iloc[0]
        lasted = view.span((datetime.now(UTC) - gravest["since_at"]).total_seconds())
        first = f"{counted(len(incidents), 'open incident')}, the gravest: " if len(incidents) > 1 else ""
        told = f"**{first}{escaping.markdown(gravest['summary'])}**, for {lasted}."
        if incidents["count"].any():
            st.error(told, icon=":material/crisis_alert:")
        else:  # over for now, and not closed yet
            st.warning(told, icon=":material/crisis_alert:")
    elif differing:
        st.warning(
            f"**{counted(differing, 'record')} differ**, too few for an incident on any flow.",
            icon=":material/difference:",
        )
    elif unknown:
        st.warning(
            f"**Nothing is known to differ, but {len(unknown)} of {counted(len(flows), 'flow')} "
            f"{'is' if len(unknown) == 1 else 'are'} not fully verified:** {escaping.markdown(few(unknown))}.",
            icon=":material/help:",
        )
    else:
        st.success(
            f"**All is consistent:** {counted(len(flows), 'flow')}, no open incident.", icon=":material/check:"
        )


def _tiles(
    data: Data,
    span: TimeRange,
    flows: list[FlowStatus],
    beats: Mapping[str, Sequence[Beat]],
    windows: pd.DataFrame,
    open_now: pd.DataFrame,
    timeline: pd.DataFrame,
) -> None:
    unknown = sum(flow.state in {Standing.UNVERIFIED, Standing.NO_DATA} for flow in flows)
    dead = waiting_letters([each for each in data.backlogs() if each.role == "dead"])
    met, breach, undecided = (int(windows[name].sum()) for name in ("met", "breach", "undecided"))
    conflicts = data.conflicts(live_only=True)
    waiting = len([each for each in conflicts if each.state in {"open", "overdue"}])
    total = met + breach + undecided
    opened = view.bars(timeline, span.begin, span.end, span.bucket)
    with st.grid(5, min_column_width=180):
        with _leading_to(navigation.Target(page="map", shows={})):
            st.metric(
                "Flows consistent",
                f"{sum(flow.state == Standing.CONSISTENT for flow in flows)} of {len(flows)}",
                f"{unknown} unverified" if unknown else None,
                delta_color="red",
                delta_arrow="off",
            )
            sparkline.draw(_agreeing(beats), f"Flows that agreed in {span.words}", least=0)
        with _leading_to(navigation.drift()):
            st.metric(
                "Records that differ",
                f"{int(open_now['records'].sum()):,}",
                f"{sum(opened):,} new in {span.words}",
                delta_color="off",
                delta_arrow="off",
            )
            sparkline.draw(opened, f"Records that newly differed in {span.words}", bars=True)
        with _leading_to(navigation.Target(page="sla", shows={})):
            st.metric(
                "Changes within window",
                view.share_within(met, breach, undecided),
                f"of {total:,}, {undecided:,} undecided" if total else None,
                delta_color="off",
                delta_arrow="off",
                help="Undecided changes may have met their window or not: the share lies between the two ends.",
            )
            sparkline.draw(data.shares(span), f"Share of changes within their windows in {span.words}", percent)
        with _leading_to(navigation.dead_letters()):
            st.metric("Dead letters waiting", dead)
            sparkline.draw(data.letters_waiting(span), f"Dead letters that waited in {span.words}")
        with _leading_to(navigation.Target(page="conflicts", shows={})):
            st.metric(
                "Conflicts to decide",
                waiting,
                f"{len(conflicts)} not settled" if conflicts else None,
                delta_color="off",
                delta_arrow="off",
                help="Differences that no rule decides. The curve shows the most that were not settled at one time, "
                "also those that are deferred, or decided and not carried out yet.",
            )
            sparkline.draw(data.conflicts_open(span), f"Conflicts that were not settled in {span.words}")


@contextmanager
def _leading_to(target: navigation.Target) -> Iterator[None]:
    """A frame around a figure, with the way to the page that has more of it."""
    with st.container(border=True, height="stretch", vertical_alignment="distribute", gap="small"):
        yield
        navigation.link(f"{navigation.PAGES[target.page]} →", target)


def _agreeing(beats: Mapping[str, Sequence[Beat]]) -> list[int | None]:
    """In how many flows all that was read agreed, slot by slot; None for slots in which nothing was read."""
    slots = zip(*beats.values(), strict=True)
    return [None if set(slot) == {Beat.NO_DATA} else slot.count(Beat.AGREES) for slot in slots]


def _incidents(data: Data, incidents: pd.DataFrame, *, wide: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.header("Open incidents", anchor=False, width="content")
        for severity in Severity:
            number = int((incidents["severity"] == severity).sum())
            sign = look.SEVERITY[severity]
            if number:
                navigation.link(sign.badged(f"{number} {sign.word}"), navigation.incidents(severity=severity.value))
    if incidents.empty:
        components.nothing("No incident is open. Earlier ones are on the Incidents page.", well=data.all_known())
        return
    shown = incidents.head(INCIDENTS_SHOWN)
    now = datetime.now(UTC)
    tables.table(
        frame(
            {
                "incident": [str(each) for each in shown["id"]],
                "what": shown["summary"].tolist(),
                "since": [view.ago(at, now).removesuffix(" ago") for at in shown["since_at"]],
            }
        ),
        key="incidents",
        links={"incident": [navigation.incident(int(each)) for each in shown["id"]]},
        signs={"severity": [look.SEVERITY[Severity(each)] for each in shown["severity"]]},
        alt="Open incidents, the gravest first",
        wraps="what",
        column_config={
            "incident": st.column_config.TextColumn("incident", width=70),
            "severity": st.column_config.TextColumn("severity", width=90),
            "what": st.column_config.TextColumn("what", width=660 if wide else 360),
            "since": st.column_config.TextColumn("since", width=95),
        },
    )
    if len(incidents) > len(shown):
        navigation.link(f"{len(incidents) - len(shown)} more →", navigation.incidents())


def _matrix(data: Data, flows: list[FlowStatus]) -> None:
    """Where it is wrong: a row for each data type, a column for each system that holds it."""
    st.header("Where", anchor=False)
    states = {each.flow: each for each in flows}
    cells = view.matrix(data.map)
    systems = [name for name in data.map.systems if any(name in row for row in cells.values())]
    signs = {
        system: [
            look.OWNER
            if system == data.map.data_types[data_type].owner and not row.get(system)
            else look.worst([states[flow].state for flow in row[system]])
            if row.get(system)
            else None
            for data_type, row in cells.items()
        ]
        for system in systems
    }
    picked: Any = tables.table(
        frame({"data type": list(cells)}),
        key="matrix",
        after=signs,
        alt="The worst state of each data type in each system",
        on_select="rerun",
        selection_mode="single-cell",
    )
    for at, column in picked.selection.cells:
        row = list(cells.values())[at] if at < len(cells) else {}
        touched = row.get(column) or sorted({flow for listed in row.values() for flow in listed})
        if touched:
            navigation.leave(navigation.drift(flow=touched))
            st.rerun()


def _causes(open_now: pd.DataFrame, timeline: pd.DataFrame, span: TimeRange) -> None:
    """A card for each cause: how many records differ for it now, and how many newly did over the time range."""
    st.header("Why they differ", anchor=False)
    if open_now.empty:
        st.caption("No record is known to differ.")
        return
    causes = open_now.groupby("cause", as_index=False)["records"].sum().sort_values("records", ascending=False)
    with st.grid(CARDS_BESIDE, min_column_width=220):
        for each in causes.itertuples():
            sign, meaning = look.cause(str(each.cause)), MEANINGS[Cause(each.cause)]
            mine = timeline[timeline["cause"] == each.cause]
            opened = view.bars(mine, span.begin, span.end, span.bucket)
            with st.container(border=True, height="stretch", gap="small"):
                navigation.link(sign.badge, navigation.drift(cause=str(each.cause)))
                st.metric(
                    "records",
                    int(each.records),
                    f"{sum(opened):,} new in {span.words}",
                    delta_color="off",
                    delta_arrow="off",
                    label_visibility="collapsed",
                )
                sparkline.draw(opened, f"Records that newly differed in {span.words}", bars=True)
                st.caption(f"{meaning.family}: {meaning.words}")


def _timeline(data: Data, timeline: pd.DataFrame, span: TimeRange) -> None:
    st.header("New drift over time", anchor=False)
    if timeline.empty:
        components.nothing(
            f"No record is known to have begun to differ in {span.words}.", well=span.to_now and data.all_known()
        )
        return

    def of_bar(point: Mapping[str, Any]) -> tuple[datetime, datetime]:
        begin = pd.Timestamp(point["x"]) - span.bucket / 2  # the middle of the bar
        return begin, begin + span.bucket

    components.leading_chart(
        data.share(
            ("timeline chart", span), lambda: view.timeline_chart(timeline, span.begin, span.end, span.bucket)
        ),
        key="timeline",
        alt=f"New differences in {span.words}, by family of cause",
        what="a bar",
        span=of_bar,
    )


def _misled(data: Data) -> None:
    """Who is affected right now; draws nothing if no consumer is named or nothing differs."""
    consumers = data.misled()
    if not consumers:
        return
    now = datetime.now(UTC)
    st.header("Who is affected right now", anchor=False)
    tables.table(
        frame(
            [
                {
                    "who": each.consumer,
                    "role": each.role.replace("-", " "),
                    "reads": each.reads,
                    "records": each.records,
                    "unresolved": each.uncertain,
                    "causes": "",
                    "since": view.ago(each.oldest_at, now).removesuffix(" ago"),
                    "where": few(each.flows, 2),
                }
                for each in consumers
            ]
        ),
        key="affected",
        links={"where": [navigation.drift(flow=list(each.flows)) for each in consumers]},
        signs={"causes": [[look.cause(cause) for cause in each.causes] for each in consumers]},
        alt="Consumers that act on wrong values, the gravest role first",
    )


def _flows(
    data: Data,
    span: TimeRange,
    flows: list[FlowStatus],
    beats: Mapping[str, Sequence[Beat]],
    windows: pd.DataFrame,
    open_now: pd.DataFrame,
) -> None:
    now = datetime.now(UTC)
    by_flow = {row.flow: row for row in windows.itertuples()}
    covered: dict[str, FlowCoverage] = {each.flow: each for each in data.coverage(span)}
    differing = open_now.groupby("flow")["records"].sum()
    rows = []
    for flow in flows:
        resolved = data.map.flow(flow.flow)
        counts = by_flow.get(flow.flow)
        rows.append(
            {
                "flow": flow.flow,
                "beats": look.strip(beats[flow.flow]),
                "differ": int(differing.get(flow.flow, 0)),
                "agree": agreement_text(covered[flow.flow].agreement),
                "window": window_text(resolved.window_s),
                "within window": view.share_within(int(counts.met), int(counts.breach), int(counts.undecided))
                if counts
                else "no traffic",
                "verified through": view.verified(flow.verified_through_at, now),
                "unverified": flow.unverified,
                "pending": flow.pending,
            }
        )
    st.header("Flows", anchor=False)
    tables.table(
        frame(rows),
        key="flows",
        links={"flow": [navigation.drift(flow=flow.flow) for flow in flows]},
        signs={"state": [look.FLOW[Standing(flow.state)] for flow in flows]},
        alt="Flows with their state, open divergences, windows and last audits",
        column_config={
            "beats": st.column_config.ImageColumn(span.brief, width=215, help=_BEATS_HELP),
            "agree": st.column_config.TextColumn(
                "records that agree",
                help="Of all records, as of the last whole sweep; while the first one runs, bounds at 95 %",
            ),
            "verified through": st.column_config.TextColumn(
                help="Every change of the owner up to then has its verdict"
            ),
        },
    )


_BEATS_HELP = "The higher, the graver: " + ", ".join(
    f"{each.value} ({look.BEATS[each][0].name.lower()})" for each in Beat
)


def _systems(data: Data) -> None:
    st.header("Systems", anchor=False)
    systems = data.systems()[["system", "state", "latency_ms", "clock", "message"]]
    tables.table(
        systems.rename(columns={"latency_ms": "latency (ms)"}),
        key="systems",
        alt="Systems with their state, latency and clock bounds",
        optional=("message",),
        column_config={
            "latency (ms)": st.column_config.NumberColumn(format="%.0f"),
            "message": st.column_config.TextColumn(width="large"),
        },
    )

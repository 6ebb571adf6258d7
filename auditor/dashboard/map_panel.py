"""The panel beside the map: what the map says of a flow, a system or a consumer, how it stands, and where to look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from auditor import escaping
from auditor.dashboard import look, navigation, view
from auditor.dashboard.map_chart import CONSUMER, FLOW, SYSTEM, FlowFigures
from auditor.dashboard.time_range import TimeRange
from auditor.history.figure_text import estimate_text, window_text
from auditor.history.lag import FlowLag
from auditor.history.misled import Misled
from auditor.history.status import FlowStatus
from auditor.map.diagram import readers
from auditor.map.document import part_of, rows_of
from auditor.map.integration_map import IntegrationMap
from checks.cause import Cause
from checks.severity import Severity
from probes.durations import measured
from probes.wording import counted

INCIDENTS_SHOWN = 4
"""Incidents of a flow or a system that the panel lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of everything on the map, read once per drawing of the page.

    Attributes:
        statuses, figures, lags: by flow.
        open_now: open divergences by flow and cause.
        windows: verdicts by flow.
        systems: the availability of every system.
        queues: by flow, name, depth and oldest age of its queues, in words.
        incidents: the open ones, the gravest first.
        misled: who acts on wrong values now.
        span: the time range of the counts.
    """

    statuses: Mapping[str, FlowStatus]
    figures: Mapping[str, FlowFigures]
    lags: Mapping[str, FlowLag]
    open_now: pd.DataFrame
    windows: pd.DataFrame
    systems: pd.DataFrame
    queues: Mapping[str, Sequence[tuple[str, str]]]
    incidents: pd.DataFrame
    misled: Sequence[Misled]
    span: TimeRange


def draw(integration_map: IntegrationMap, known: Known, picked: str) -> None:
    """Draw the panel.

    Args:
        picked: what is shown: "flow NAME", "system NAME" or "consumer NAME"; "" for the legend.
    """
    kind, _, name = picked.partition(" ")
    if kind == FLOW and name in integration_map.flows:
        _flow(integration_map, known, name)
    elif kind == SYSTEM and name in integration_map.systems:
        _system(integration_map, known, name)
    elif kind == CONSUMER and name in readers(integration_map):
        _consumer(integration_map, known, name)
    else:
        _legend(known)


def _legend(known: Known) -> None:
    st.markdown("Click a flow, a system or a consumer, or choose one above.")
    counts = [
        (sign, sum(each.state == state for each in known.statuses.values())) for state, sign in look.FLOW.items()
    ]
    counts = [each for each in counts if each[1]]
    st.markdown("  \n".join(f"{sign.badge} {counted(number, 'flow')}" for sign, number in counts))
    st.caption(
        f"The thicker a line, the more changes in {known.span.words}. On it: the data type, the state with the "
        "records that differ, and the lag that 95 % of the changes stay within, of the window. "
        "✉: dead letters waiting. Thin lines: who reads the records."
    )
    st.caption(
        "Drag the picture to move it, or swipe sideways on a narrow screen; rest the pointer on it and turn the "
        "wheel to zoom. Full screen and PNG are at its upper right."
    )


def _flow(integration_map: IntegrationMap, known: Known, name: str) -> None:
    status, figures = known.statuses[name], known.figures[name]
    row = next(each for each in rows_of(integration_map) if each.flow == name)
    st.header(f"{escaping.markdown(name)} {look.FLOW[status.state].badge}", anchor=False)
    if status.why:
        st.caption(escaping.markdown(status.why))
    with st.container(horizontal=True, gap="small"):
        navigation.link("Drift", navigation.drift(flow=name))
        navigation.link("Lag", navigation.lag(name))
        if integration_map.flows[name].queues:
            navigation.link("Dead letters", navigation.dead_letters())
        navigation.link("Incidents", navigation.incidents())
    causes = known.open_now[known.open_now["flow"] == name]
    with st.container(horizontal=True, gap="xsmall"):
        for each in causes.itertuples():
            sign = look.cause(Cause(each.cause))
            target = navigation.drift(flow=name, cause=str(each.cause))
            navigation.link(sign.badged(f"{each.records} {sign.word}"), target)
    _incidents(known.incidents[known.incidents["flow"] == name])
    verdicts = known.windows[known.windows["flow"] == name]
    within = [
        view.share_within(int(each.met), int(each.breach), int(each.undecided)) for each in verdicts.itertuples()
    ]
    lag, now = known.lags.get(name), datetime.now(UTC)
    facts = [
        ("lag, 95 % of changes", estimate_text(*_quantile(lag)) if lag and lag.curve else "no traffic"),
        ("window", window_text(integration_map.flow(name).window_s)),
        ("within it", within[0] if within else "no traffic"),
        (f"changes in {known.span.words}", f"{figures.changes:,}"),
        ("verified through", view.verified(status.verified_through_at, now)),
        *known.queues.get(name, ()),
    ]
    _facts(facts)
    st.subheader("In the map", anchor=False)
    words = {each.replace("_", " "): str(getattr(row, each)) for each in row.__slots__}
    _facts([(word, text) for word, text in words.items() if text and word not in {"flow", "window"}])


def _quantile(lag: FlowLag) -> tuple[float | None, float | None, float | None]:
    row = lag.as_row()
    return row["p95_s"], row["p95_lower_s"], row["p95_upper_s"]


def _system(integration_map: IntegrationMap, known: Known, name: str) -> None:
    system = integration_map.systems[name]
    st.header(f"{escaping.markdown(name)} :gray[{escaping.markdown(part_of(integration_map, name))}]", anchor=False)
    if system.description:
        st.caption(escaping.markdown(system.description))
    _incidents(known.incidents[known.incidents["system"] == name])
    facts = [("kind", system.kind)]
    for each in known.systems[known.systems["system"] == name].to_dict("records"):
        latency = "" if pd.isna(each["latency_ms"]) else measured(each["latency_ms"] / 1000)
        facts += [("state", each["state"]), ("latency", latency), ("clock", each["clock"])]
        facts += [("message", each["message"])]
    facts += [("time zone", system.zone or ""), ("may be stale for", window_text(system.delay_floor_s))]
    _facts([(word, text) for word, text in facts if text and text != "none"])
    for heading, end in (("Leads to", "from_"), ("Filled by", "to")):
        flows = [each for each, flow in integration_map.flows.items() if getattr(flow, end) == name]
        if flows:
            st.subheader(heading, anchor=False)
        for each in flows:
            sign = look.FLOW[known.statuses[each].state]
            navigation.link(f"{sign.badge} {escaping.markdown(each)}", navigation.drift(flow=each))
    reading = [who for who, consumer in readers(integration_map).items() if consumer.reads == name]
    if reading:
        st.markdown(f"**Read by** {escaping.markdown(', '.join(reading))}")


def _consumer(integration_map: IntegrationMap, known: Known, who: str) -> None:
    consumer = readers(integration_map)[who]
    st.header(
        f"{escaping.markdown(consumer.name)} :gray[{escaping.markdown(consumer.role.replace('-', ' '))}]",
        anchor=False,
    )
    reads = [
        (name, each.reads)
        for name, data_type in integration_map.data_types.items()
        for each in data_type.consumers
        if (each.name, each.role) == (consumer.name, consumer.role)
    ]
    _facts([("reads", f"{data_type} in {system}") for data_type, system in reads])
    wrong = [each for each in known.misled if (each.consumer, each.role) == (consumer.name, consumer.role)]
    if not wrong:
        st.caption("Nothing that it reads is known to differ.")
    for each in wrong:
        st.markdown(
            f"Acts on {counted(each.records, 'wrong record')} in {escaping.markdown(each.reads)}, for "
            f"{view.span((datetime.now(UTC) - each.oldest_at).total_seconds())}."
        )
        for flow in each.flows:
            navigation.link(escaping.markdown(flow), navigation.drift(flow=flow))


def _facts(facts: Sequence[tuple[str, str]]) -> None:
    """Words and what they hold, one a line."""
    lines = [f":small[:gray[{escaping.markdown(word)}] {escaping.markdown(text)}]" for word, text in facts]
    st.markdown("  \n".join(lines))


def _incidents(incidents: pd.DataFrame) -> None:
    for each in incidents.head(INCIDENTS_SHOWN).itertuples():
        sign = look.SEVERITY[Severity(each.severity)]
        navigation.link(sign.badged(f"{sign.word}: incident {each.id}"), navigation.incident(int(each.id)))
        st.caption(escaping.markdown(each.summary))
    if len(incidents) > INCIDENTS_SHOWN:
        navigation.link(f"{len(incidents) - INCIDENTS_SHOWN} more incidents", navigation.incidents())

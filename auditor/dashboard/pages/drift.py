"""Drift: which records differ, since when and why."""

from __future__ import annotations

from typing import Any

import streamlit as st

from auditor import escaping
from auditor.dashboard import components, evidence, navigation, tables
from auditor.dashboard.data import Data
from auditor.dashboard.time_range import Since
from checks.cause import Cause
from checks.record_history import DivergenceState

PER_PAGE = 100


def page() -> None:
    """Draw the page."""
    components.framed("Drift", _draw, live=False)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _draw(data: Data, since: Since) -> None:
    filters = st.columns([2, 2, 2, 2, 1])
    flows = filters[0].multiselect("Flow", list(data.map.flows), key="flow", bind="query-params")
    causes = filters[1].multiselect(
        "Cause", [cause.value for cause in Cause], key="cause", format_func=_words, bind="query-params"
    )
    states = filters[2].multiselect(
        "State",
        [state.value for state in DivergenceState],
        default=[DivergenceState.OPEN.value],
        key="state",
        bind="query-params",
    )
    search = filters[3].text_input("Key contains", key="search", bind="query-params")
    filters[4].space("small")
    filters[4].button("Refresh", width="stretch")
    wanted = states or [state.value for state in DivergenceState]
    chosen: dict[str, Any] = {"flows": flows, "causes": causes, "states": wanted, "search": search}
    _unverified(data, flows)
    count = data.count_divergences(since, **chosen)
    if not count:
        if flows or causes or search or states != [DivergenceState.OPEN.value]:
            st.info("No record matches these filters. Take one away to see more.", icon=":material/search:")
        else:
            components.nothing(f"No record is known to differ in the last {since.label}.", well=data.all_known())
        return
    pages = -(-count // PER_PAGE)
    at = st.pagination(pages, key="page", bind="query-params") if pages > 1 else 1
    frame = data.divergences(since, **chosen, limit=PER_PAGE, offset=(min(int(at), pages) - 1) * PER_PAGE)
    st.caption(f"{count} record{'s' * (count != 1)} match, latest first. Open a record to compare it side by side.")
    for pattern in data.patterns():
        if not flows or pattern.flow in flows:
            seen = escaping.markdown(f"{pattern.flow}: {pattern}")
            st.info(f"**Common pattern.** {seen}.", icon=":material/account_tree:")
    frame["record"] = frame["key"]
    frame["difference"] = evidence.difference_texts(frame, data.map)
    frame["who acts on it"] = [
        data.impact_text(flow, cause, winner)
        for flow, cause, winner in zip(frame["flow"], frame["cause"], frame["winner"], strict=True)
    ]
    shown = [
        "record",
        "cause",
        "state",
        "kind",
        "flow",
        "difference",
        "letter",
        "who acts on it",
        "resolution",
        "first_seen_at",
        "last_seen_at",
        "closed_at",
    ]
    readable = frame[shown].assign(cause=frame["cause"].str.replace("_", " "))
    tables.table(
        readable,
        key="divergences",
        links={
            "record": [
                navigation.record(data_type, key)
                for data_type, key in zip(frame["data_type"], frame["key"], strict=True)
            ]
        },
        height=min(38 + 35 * len(frame), 700),
        alt="Records that differ, with cause, state, flow and differing fields",
        column_config={
            "difference": st.column_config.TextColumn("owner → copy", width="medium"),
            "resolution": st.column_config.TextColumn("what should be", help="By the flow's conflict policy"),
            "letter": st.column_config.TextColumn("dead letter", help="Why its message was dead-lettered"),
            "first_seen_at": st.column_config.DatetimeColumn("first seen", format="MM-DD HH:mm:ss"),
            "last_seen_at": st.column_config.DatetimeColumn("last seen", format="MM-DD HH:mm:ss"),
            "closed_at": st.column_config.DatetimeColumn("closed", format="MM-DD HH:mm:ss"),
        },
    )
    st.download_button("Export CSV", lambda: tables.csv(frame), "drift.csv", "text/csv", on_click="ignore")


def _unverified(data: Data, flows: list[str]) -> None:
    """What cannot be verified now, and why."""
    frame = data.unverified(flows)
    standing = [flow for flow in data.flows() if not flows or flow.flow in flows]
    beyond = sum(flow.unlisted for flow in standing)
    count = int(frame["records"].sum()) + beyond
    if not count:
        if all(flow.begun for flow in standing):
            st.caption("No record is unverified: all that was read last could be compared.")
        return
    st.warning(
        f"**{count} cannot be verified.** They are neither in agreement nor in drift; once the reason is removed "
        "they are read again within minutes.",
        icon=":material/help:",
    )
    record = frame["subject"] == "record"
    frame["record"] = frame["name"].where(record, None)
    frame["rows or queue"] = frame["name"].where(~record, "")
    tables.table(
        frame[["record", "rows or queue", "reason", "flow", "records", "first_seen_at", "last_seen_at", "readings"]],
        key="unverified",
        links={
            "record": [
                navigation.record(data.map.flows[flow].data_type, name) if linked else None
                for flow, name, linked in zip(frame["flow"], frame["name"], record, strict=True)
            ]
        },
        height=min(38 + 35 * len(frame), 300),
        alt="What cannot be verified: record or queue, with the reason and since when",
        column_config={
            "reason": st.column_config.TextColumn(width="large"),
            "first_seen_at": st.column_config.DatetimeColumn("since", format="MM-DD HH:mm:ss"),
            "last_seen_at": st.column_config.DatetimeColumn("last read", format="MM-DD HH:mm:ss"),
        },
    )
    if beyond:
        st.caption(f"{beyond} more are counted, but not listed.")

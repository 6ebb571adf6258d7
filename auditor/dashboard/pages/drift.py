"""Drift: which records differ, since when and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from auditor import escaping
from auditor.dashboard import acting, asked, components, evidence, look, navigation, rechecking, repairing, tables
from auditor.dashboard.access import Onlooker, Person
from auditor.dashboard.data import Data
from auditor.dashboard.time_range import TimeRange
from auditor.storage.kept_text import restored
from checks.cause import Cause
from checks.record_history import DivergenceState
from probes.wording import counted

PER_PAGE = 100
USUAL = [DivergenceState.OPEN.value]
"""The states that are shown where nobody chose others."""

_STATES = [each.value for each in DivergenceState]


def page() -> None:
    """Draw the page."""
    components.framed(
        "Drift",
        lambda data, span: draw(data, span, acting.asks()),
        busy=lambda: bool(tables.picked_in("divergences")),
    )


def _words(name: str) -> str:
    return name.replace("_", " ")


def counts(facets: pd.DataFrame, of: str, options: Iterable[str], **chosen: Sequence[str]) -> dict[str, int]:
    """How many records each value of a column has among those that the other choices leave.

    Args:
        chosen: by column, the values that are chosen; none for all.
    """
    left = facets
    for column, values in chosen.items():
        if values and column != of:
            left = left[left[column].isin(values)]
    found = left.groupby(of)["records"].sum()
    return {each: int(found.get(each, 0)) for each in options}


def draw(data: Data, span: TimeRange, asks: Person | Onlooker) -> None:
    """Draw the body for this viewer."""
    row = st.columns([2, 2, 2, 2, 1], vertical_alignment="bottom")
    search = row[3].text_input("Key contains", key="search", bind="query-params")
    facets = data.facets(span, search)
    known = asked.chosen("state", _STATES, _words)
    now = {
        "flow": asked.chosen("flow", data.map.flows) or [],
        "cause": asked.chosen("cause", list(Cause), _words) or [],
        "state": USUAL if known is None else known,
    }
    with row[0]:
        flows = asked.facet("Flow", "flow", counts(facets, "flow", data.map.flows, **now))
    with row[1]:
        causes = asked.facet("Cause", "cause", counts(facets, "cause", list(Cause), **now), _words)
    with row[2]:
        states = asked.facet("State", "state", counts(facets, "state", list(DivergenceState), **now), _words, USUAL)
    row[4].button("Refresh", width="stretch", icon=":material/refresh:")
    wanted = states or _STATES
    chosen: dict[str, Any] = {"flows": flows, "causes": causes, "states": wanted, "search": search}
    _unverified(data, flows)
    count = data.count_divergences(span, **chosen)
    if not count:
        if flows or causes or search or states != USUAL:
            _unmatched(facets, span, **chosen)
        else:
            _none_now(facets, span, states, well=span.to_now and data.all_known())
        rechecking.draw_results(data)
        return
    for pattern in data.patterns():
        if not flows or pattern.flow in flows:
            seen = escaping.markdown(f"{pattern.flow}: {pattern}")
            st.info(f"**Common pattern.** {seen}.", icon=":material/account_tree:")
    pages = -(-count // PER_PAGE)
    at = st.pagination(pages, key="page", bind="query-params") if pages > 1 else 1
    found = data.divergences(span, **chosen, limit=PER_PAGE, offset=(min(int(at), pages) - 1) * PER_PAGE)
    # Not at the right end: the table's own toolbar lies there while the pointer is on the table.
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="left", gap="medium"):
        st.caption(
            f"{counted(count, 'record')} match{'es' * (count == 1)}, open ones first, the newest of each first. "
            "Open a record to compare it side by side.",
            width="content",
        )
        _exports(data, span, chosen, count)
    picked = list(dict.fromkeys(_table(data, found)))
    _act(data, picked, asks)


def _none_now(facets: pd.DataFrame, span: TimeRange, states: list[str], *, well: bool) -> None:
    """Say that nothing differs now, and what did."""
    earlier = _in_other_states(counts(facets, "state", _STATES), states)
    if earlier:
        components.nothing(
            f"No record is known to differ now. In other states in {span.words}: {escaping.markdown(earlier)}.",
            well=well,
        )
        st.button("Show every state", on_click=partial(asked.choose_facets, state=_STATES))
    else:
        differed = "is known to differ" if span.to_now else "differs now, and none is known to have differed"
        components.nothing(f"No record {differed} in {span.words}.", well=well)


def _in_other_states(by_state: dict[str, int], states: list[str]) -> str:
    return ", ".join(f"{n:,} {_words(state)}" for state, n in by_state.items() if n and state not in states)


def _unmatched(
    facets: pd.DataFrame, span: TimeRange, *, flows: list[str], causes: list[str], states: list[str], search: str
) -> None:
    """Say what was asked for, and what there is instead."""
    ways = [asked.Way(label="Remove the filters", take=_remove_filters)]
    more = [f"A longer time range than {span.words} may show records that have agreed again since."]
    elsewhere = _in_other_states(counts(facets, "state", _STATES, flow=flows, cause=causes), states)
    if elsewhere:
        more = [f"In other states in {span.words}: {elsewhere}."]
        ways.insert(0, asked.Way(label="Show every state", take=partial(asked.choose_facets, state=_STATES)))
    asked.unmatched(
        "record",
        {
            "flow": flows,
            "cause": [_words(each) for each in causes],
            "state": [_words(each) for each in states] if states != _STATES else (),
            "key": [f'"{search}"'] if search else (),
        },
        more,
        ways,
    )


def _remove_filters() -> None:
    asked.choose(search="")
    asked.choose_facets(flow=(), cause=(), state=USUAL)


def _table(data: Data, found: pd.DataFrame) -> list[tuple[str, str]]:
    """Draw the records; returns the flows and keys of those that are selected."""
    rows = pd.DataFrame(
        {
            "record": found["key"],
            "difference": evidence.difference_texts(found, data.map, brief=True),
            "flow": found["flow"],
            "first seen": found["first_seen_at"],
            "what should be": found["resolution"],
            "dead letter": found["letter"],
            "who acts on it": _readers(data, found),
            "closed": found["closed_at"],
        }
    )
    return tables.pickable(
        rows,
        list(zip(found["flow"], found["key"], strict=True)),
        key="divergences",
        links={
            "record": [
                navigation.record(data_type, key)
                for data_type, key in zip(found["data_type"], found["key"], strict=True)
            ]
        },
        signs={
            "cause": [look.cause(each) for each in found["cause"]],
            "state": [look.DIVERGENCE[DivergenceState(each)] for each in found["state"]],
        },
        optional=("what should be", "who acts on it", "dead letter", "closed"),
        height=min(38 + 35 * len(found), 700),
        alt="Records that differ, with cause, state, flow and differing fields",
        widest="difference",
        column_config={  # together with the signs, all columns of open records fit on a screen of 1440 pixels
            "record": st.column_config.TextColumn(width=90),
            "difference": st.column_config.TextColumn("owner → copy", width=245),
            "flow": st.column_config.TextColumn(width=110),
            "what should be": st.column_config.TextColumn(width=125, help="By the flow's conflict policy"),
            "who acts on it": st.column_config.TextColumn(width=90),
            "dead letter": st.column_config.TextColumn(width=90, help="Why its message was dead-lettered"),
            **tables.instants("first seen", "closed"),
        },
    )


def _act(data: Data, picked: list[tuple[str, str]], asks: Person | Onlooker) -> None:
    """What can be done about the selected records."""
    if not picked:
        st.caption(
            "Select rows to have their records read again now, or to see what would make them right. "
            f"{tables.BY_KEYBOARD}"
        )
    else:
        with st.container(border=True):
            st.markdown(f"**{counted(len(picked), 'record')} selected**")
            if len(picked) == 1:
                ((flow, key),) = picked
                data_type = data.map.flows[flow].data_type
                label = escaping.markdown(f"Open {data_type} {key}")
                navigation.button(label, navigation.record(data_type, key), key="open-picked")
            wanted = [(flow, restored(key)) for flow, key in picked]
            rechecking.draw(data, wanted, asks, records=len(picked))
            repairing.draw(data, wanted, asks)
    rechecking.draw_results(data)


def _readers(data: Data, found: pd.DataFrame) -> list[str]:
    return [data.impact_text(each.flow, each.cause, each.winner) for each in found.itertuples()]


def _exports(data: Data, span: TimeRange, chosen: dict[str, Any], count: int) -> None:
    """Draw the downloads of all matches, not only of the page shown."""

    def written(write: Callable[[pd.DataFrame], bytes]) -> bytes:
        found = data.divergences(span, **chosen, limit=count)
        texts = evidence.difference_texts(found, data.map)
        told = found.assign(difference=texts, who_acts_on_it=_readers(data, found))
        return write(told.drop(columns=["differences", "detail"]))

    with st.container(horizontal=True, width="content"):
        for label, name, kind, write in (
            ("CSV", "drift.csv", "text/csv", tables.csv),
            ("Parquet", "drift.parquet", "application/vnd.apache.parquet", tables.parquet),
        ):
            st.download_button(
                f"Export all as {label}",
                partial(written, write),
                name,
                kind,
                on_click="ignore",
                icon=":material/download:",
            )


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
            "rows or queue": st.column_config.TextColumn(
                "other", help="Rows without a key that can be read, or a queue"
            ),
            "reason": st.column_config.TextColumn(width="large"),
            "first_seen_at": st.column_config.DatetimeColumn("since", format=tables.INSTANT),
            "last_seen_at": st.column_config.DatetimeColumn("last read", format=tables.INSTANT),
        },
    )
    if beyond:
        st.caption(f"{beyond} more are counted, but not listed.")

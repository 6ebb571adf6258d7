"""Query: SQL over the history in a sandbox, with saved queries, the views beside it, charts and exports."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import pandas as pd
import streamlit as st

from auditor import escaping
from auditor.console.exports import csv_text, parquet_bytes
from auditor.console.query import QueryError, QueryResult, run_query
from auditor.dashboard import acting, asked, components, result_chart, saving, schema_panel, tables
from auditor.dashboard.access import Onlooker, Person
from auditor.dashboard.data import Data
from auditor.dashboard.frames import frame
from auditor.dashboard.query_sheet import LINK_BYTES, Sheet, deceptive, fits
from auditor.dashboard.result_chart import Plan
from auditor.dashboard.time_range import TimeRange
from checks.saved_queries import SavedQuery
from probes.wording import counted

EXAMPLES = {
    "What differs now, by cause": "SELECT flow, cause, count(*) AS records, min(first_seen_at) AS since\n"
    "FROM divergences WHERE state = 'open'\nGROUP BY ALL ORDER BY records DESC",
    "New drift by hour": "SELECT time_bucket(INTERVAL 1 HOUR, opened_at) AS hour, flow, count(*) AS records\n"
    "FROM divergences WHERE opened_at > now() - INTERVAL 7 DAY\nGROUP BY ALL ORDER BY hour",
    "Slowest changes": "SELECT committed_to_at, lag_lower_s, flow, key, verdict, lag_upper_s, window_s\n"
    "FROM changes ORDER BY lag_lower_s DESC LIMIT 50",
    "Fields that differ most": "SELECT flow, fields, count(*) AS records\n"
    "FROM divergences WHERE fields <> ''\nGROUP BY ALL ORDER BY records DESC",
    "Dead letters by reason": "SELECT flow, reason, count(*) AS letters, count(divergence_id) AS explain_drift\n"
    "FROM dead_letters WHERE gone_at IS NULL\nGROUP BY ALL ORDER BY letters DESC",
    "Coverage by hour": "SELECT hour, flow, verdict_ratio, due, verdicts, shed\n"
    "FROM coverage WHERE hour > now() - INTERVAL 7 DAY\nORDER BY hour, flow",
    "Time to detect and to resolve": "SELECT severity, count(*) AS incidents, median(detect_s) AS detect_s,\n"
    "       median(acknowledge_s) AS acknowledge_s, median(resolve_s) AS resolve_s\n"
    "FROM incident_times GROUP BY ALL ORDER BY incidents DESC",
}

_FAILED = {"stopped": "The query was stopped:", "refused": "The query was refused:"}
_EDITOR = "sql-text"
_SHEET = "_query_sheet"

_WHY_NOT_RUN = (
    "It has not been run, because anyone can write such a link, and a query takes this machine's time and memory: "
    "read it, then press Run."
)


def page() -> None:
    """Draw the page."""
    components.framed("Query", lambda data, span: draw(data, span, acting.asks()), live=False)


def draw(data: Data, _span: TimeRange, asks: Person | Onlooker) -> None:
    """Draw the page for someone who may save queries, or only run them."""
    sheet: Sheet = st.session_state.setdefault(_SHEET, Sheet())
    saved = data.ledger.saved_queries.listed()
    _take_link(sheet, saved)
    editor, beside = st.columns([5, 3], gap="medium")
    with editor:
        _editor(data, sheet, asks)
    with beside:
        _beside(data, sheet, saved)
    _ended(sheet)


def _take_link(sheet: Sheet, saved: Sequence[SavedQuery]) -> None:
    """Put the statement that the page's address names into the editor, once, without running it."""
    address = (str(st.query_params.get("sql", "")), str(st.query_params.get("saved", "")))
    if address == sheet.address:
        return
    sheet.address = address
    sql, number = address
    if sql and not fits(sql):
        st.warning(
            f"The SQL in this link is too long: links take up to {LINK_BYTES:,} characters. Ask the sender to save "
            "the query, and to send a link to the saved query.",
            icon=":material/link_off:",
        )
    elif sql:
        sheet.show(sql, datetime.now(UTC), source="link")
    elif number:
        known = next((each for each in saved if each.query_id == asked.number(number)), None)
        if known is None:
            st.warning(
                "The saved query that the address of this page names does not exist any more.",
                icon=":material/link_off:",
            )
        else:
            sheet.show(known.sql, datetime.now(UTC), source="saved", saved=known)


def _editor(data: Data, sheet: Sheet, asks: Person | Onlooker) -> None:
    if sheet.put is not None or _EDITOR not in st.session_state:
        st.session_state[_EDITOR] = sheet.sql if sheet.put is None else sheet.put
        sheet.put = None
    sheet.sql = st.session_state[_EDITOR]
    saving.heading(sheet)
    sheet.sql = st.text_area(
        "SQL",
        key=_EDITOR,
        height=260,
        placeholder="SELECT flow, count(*) AS records FROM divergences WHERE state = 'open' GROUP BY ALL",
        help="One SELECT over the views. It is run read-only, in a process of its own, with limits of time, memory, "
        "rows and length.",
    )
    note = st.empty()
    if deceptive(sheet.sql):
        st.warning(
            "The query holds characters that cannot be seen or that change the order of others. It reads:",
            icon=":material/visibility:",
        )
        st.code(escaping.block(sheet.sql), language="sql", wrap_lines=True)
    with st.container(horizontal=True, vertical_alignment="center"):
        run = st.button("Run", type="primary", icon=":material/play_arrow:", shortcut="Ctrl+Enter")
        # A new key closes it once something was saved.
        with st.popover("Save", icon=":material/bookmark_add:", key=f"save-{saving.version_of(sheet)}"):
            saving.acts(data, sheet, asks)
        if st.button("Clear", type="tertiary", icon=":material/backspace:"):
            sheet.show("", datetime.now(UTC))
            st.rerun()
    if run:
        _run(data, sheet)
    elif sheet.source == "link":
        note.info(f"This query comes from a link. {_WHY_NOT_RUN}", icon=":material/link:")


def _run(data: Data, sheet: Sheet) -> None:
    begun = time.monotonic()
    answer: QueryResult | str
    with st.spinner("Running …"):
        try:
            answer = run_query(data.workspace, sheet.sql)
        except QueryError as error:
            answer = str(error)
    sheet.ended(sheet.sql, datetime.now(UTC), time.monotonic() - begun, answer)
    _address(sheet)


def _address(sheet: Sheet) -> None:
    """Let the page's address name what was run, so that it can be sent to someone."""
    known = sheet.saved
    sql, number = sheet.ran, ""
    if known is not None and sql.strip() == known.sql:
        sql, number = "", str(known.query_id)
    if not fits(sql):
        sql = ""
    for name, value in (("sql", sql), ("saved", number)):
        if value:
            st.query_params[name] = value
        elif name in st.query_params:
            del st.query_params[name]
    sheet.address = (sql, number)


def _beside(data: Data, sheet: Sheet, saved: Sequence[SavedQuery]) -> None:
    views, shared, tried, examples = st.tabs(["Views", "Saved", "History", "Examples"])
    with views, st.container(height=330, border=False, key="query-views"):
        schema_panel.draw(schema_panel.views_of(data.column_types()), lambda sql: sheet.show(sql, datetime.now(UTC)))
    with shared:
        saving.listing(sheet, saved)
    with tried:
        _tried(sheet)
    with examples:
        _examples(sheet, "beside")


def _tried(sheet: Sheet) -> None:
    if not sheet.tried:
        components.nothing("Nothing has been run in this session yet. It remembers your last 20 queries.")
        return
    listed = list(sheet.tried)
    rows = frame(
        {
            "at": [each.at for each in listed],
            "outcome": [each.outcome for each in listed],
            "query": [" ".join(each.sql.split())[:200] or "(empty)" for each in listed],
        }
    )
    tables.table(
        rows,
        key="tried",
        alt="Queries of this session, the latest first",
        acts={"query": ([each.sql for each in listed], lambda sql: sheet.show(sql, datetime.now(UTC)))},
        column_config={"at": st.column_config.DatetimeColumn(format="HH:mm:ss")},
    )


def _examples(sheet: Sheet, key: str) -> None:
    with st.container(horizontal=True, key=f"examples-{key}"):
        for name, sql in EXAMPLES.items():
            put = partial(sheet.show, sql, datetime.now(UTC))
            st.button(name, key=f"example-{key}-{name}", icon=":material/lightbulb:", on_click=put)


def _ended(sheet: Sheet) -> None:
    """Draw how the last run ended."""
    if sheet.error:
        st.error(_FAILED[sheet.failure], icon=":material/error:")
        st.code(escaping.block(sheet.error), language=None, wrap_lines=True)
        return
    result = sheet.result
    if result is None:
        if not sheet.sql.strip():
            components.nothing("Write a query, insert one from Views, or start from an example:")
            _examples(sheet, "empty")
        return
    for each in result.warnings:
        st.warning(escaping.markdown(each), icon=":material/warning:")
    found: pd.DataFrame = result.table.to_pandas(integer_object_nulls=True)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.caption(_size(sheet, result), width="content")
        if len(found):
            _exports(result)
    if sheet.sql.strip() != sheet.ran.strip():
        st.caption("The editor has changed since; this is the result of:")
        st.code(escaping.block(sheet.ran), language="sql", wrap_lines=True)
    if found.empty:
        components.nothing("No rows. Widen the conditions, or look at what the views hold with SUMMARIZE.")
        return
    _chart(found, sheet.number)
    tables.table(found, key=f"answer-{sheet.number}", alt="The query's result", figures=False)


def _size(sheet: Sheet, result: QueryResult) -> str:
    took = f"{counted(result.table.num_rows, 'row')} in {sheet.took_s:.1f} s"
    if result.truncated:
        return f"{took}; {escaping.markdown(result.cut_text)}"
    link = "" if fits(sheet.ran) else " The query is too long for a link; save it to share it."
    return f"{took}.{link}"


def _exports(result: QueryResult) -> None:
    with st.container(horizontal=True, width="content"):
        st.download_button(
            "Export CSV",
            lambda: csv_text(result.table).encode("utf-8", "replace"),
            "query.csv",
            "text/csv",
            on_click="ignore",
            icon=":material/download:",
        )
        st.download_button(
            "Export Parquet",
            lambda: parquet_bytes(result.table),
            "query.parquet",
            "application/vnd.apache.parquet",
            on_click="ignore",
            icon=":material/download:",
        )


def _chart(found: pd.DataFrame, number: int) -> None:
    """Draw the chart that the columns propose, or another one that is chosen; or say why there is none."""
    columns = result_chart.columns_of(found)
    if why := result_chart.what_it_lacks(found, columns):
        st.caption(why)
        return
    first = result_chart.proposed(found, columns)
    with st.container(horizontal=True, vertical_alignment="bottom", key="chart-choice"):
        form = st.segmented_control(
            "Chart", ["Line", "Bar", "None"], default=first.form, required=True, key=f"form-{number}"
        )
        if form == "None":
            return
        across = st.selectbox(
            "x axis",
            columns.across,
            index=columns.across.index(first.across),
            format_func=escaping.visible,
            key=f"across-{number}",
            width=220,
        )
        numbers = [each for each in columns.numbers if each != across]
        up = st.multiselect(
            "y axis",
            numbers,
            default=[each for each in first.up if each in numbers],
            format_func=escaping.visible,
            key=f"up-{number}-{across}",
            width=320,
        )
        apart = ["", *(each for each in columns.words if each != across)]
        by = st.selectbox(
            "One series for each",
            apart,
            index=apart.index(first.by) if first.by in apart else 0,
            format_func=lambda each: escaping.visible(each) or "–",
            key=f"by-{number}-{across}",
            width=220,
        )
    plan = Plan(form="Bar" if form == "Bar" else "Line", across=across, up=tuple(up), by=by)
    if why := result_chart.why_not_drawn(found, plan):
        st.caption(why)
        return
    st.plotly_chart(
        result_chart.chart(found, plan),
        key=f"chart-{number}",
        config={"displaylogo": False},
        alt=result_chart.alternative(found, plan),
    )
    if unplaced := result_chart.left_out(found, plan):
        st.caption(f"{counted(unplaced, 'row')} without a value on the x axis left out.")

"""Incidents: what is wrong and was wrong; one of them with its evidence, its records, and what was reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from auditor import escaping
from auditor.alerts.notices import ADVICE, advice_for, cause_named, transition_text
from auditor.dashboard import (
    acting,
    asked,
    components,
    evidence,
    incident_acts,
    look,
    navigation,
    silences,
    tables,
    view,
)
from auditor.dashboard.access import Onlooker, Person
from auditor.dashboard.data import Data
from auditor.dashboard.open_spans import TURNS, open_spans
from auditor.dashboard.time_range import BARS, TimeRange, bar_width
from auditor.map.consumers import told as consumer_text
from checks.breach_life import dated
from checks.breaches import MEANINGS, Breach
from checks.cause import Cause
from checks.severity import Severity
from probes.wording import counted

RECORDS_SHOWN = 100
"""Records of an incident that its page lists; the Drift page has all."""

PLACES_SHOWN = 3
"""Flows and systems that are named with evidence that was found alike in several."""

SHOWN = ("Incidents", "Silences")
"""The parts of the page."""

AROUND = timedelta(minutes=15)
"""How much time before and after an incident its chart shows."""

_LISTED = """
    SELECT id, state, severity, breach, count, peak, summary, coalesce(assignee, '') AS assignee,
           coalesce(reopened_at, opened_at) AS since_at, resolved_at
    FROM incidents
    WHERE (resolved_at IS NULL OR (? AND opened_at <= ? AND resolved_at >= ?)) AND merged_into IS NULL
        AND (len(?::VARCHAR[]) = 0
             OR id IN (SELECT incident_id FROM breaches WHERE flow IN (SELECT unnest(?::VARCHAR[]))))
    ORDER BY resolved_at IS NOT NULL, array_position(['critical', 'high', 'low'], severity), opened_at DESC
    LIMIT 500"""

_ONE = "SELECT * EXCLUDE (flow), coalesce(reopened_at, opened_at) AS since_at FROM incidents WHERE id = ?"
"""Without its flow, so that it is also found when the map no longer names that."""

_BREACHES = """
    SELECT breach, coalesce(flow, system) AS subject, coalesce(queue, '') AS queue, opened_at, ended_at, count, peak,
           detail, detail_at
    FROM breaches WHERE incident_id = ? ORDER BY ended_at IS NOT NULL, opened_at"""

_EVENTS = """
    SELECT acted_at, verb, who, coalesce(known_by, '') AS known_by, coalesce(assignee, '') AS assignee, until_at, text
    FROM incident_events WHERE incident_id = ? ORDER BY id"""

_CAME_BACK = """
    SELECT acted_at FROM incident_events WHERE incident_id = ? AND verb IN ('reopened', 'flapping') ORDER BY id"""

_FLOWS = "SELECT DISTINCT flow FROM breaches WHERE incident_id = ? AND flow IS NOT NULL ORDER BY flow"

_RECORDS = """
    SELECT data_type, key, flow, kind, cause, state, differences, detail, first_seen_at, closed_at
    FROM divergences WHERE flow IN (SELECT unnest(?::VARCHAR[])) AND incident_id = ?
    ORDER BY closed_at IS NOT NULL, closed_at DESC, first_seen_at LIMIT ?"""

_LETTERS = """
    SELECT flow, queue, signature AS reason, count(*)::INTEGER AS letters, min(first_failed_at) AS first_failed_at
    FROM dead_letters WHERE flow IN (SELECT unnest(?::VARCHAR[])) AND EXISTS (
        SELECT 1 FROM (SELECT unnest(?::TIMESTAMPTZ[]) AS since_at, unnest(?::TIMESTAMPTZ[]) AS until_at)
        WHERE first_seen_at <= until_at AND coalesce(gone_at, now()) >= since_at
    ) GROUP BY ALL ORDER BY letters DESC LIMIT 20"""

_MESSAGES = """
    SELECT transition, sender, state, created_at, sent_at, tries, error
    FROM alerts WHERE incident_id = ? ORDER BY id"""

_BEFORE = """
    SELECT id, severity, summary, peak, coalesce(reopened_at, opened_at) AS since_at, resolved_at
    FROM incidents WHERE fingerprint = ? AND id <> ? ORDER BY opened_at DESC LIMIT 20"""

_OPENED = """
    SELECT time_bucket(?, opened_at) AS bucket_at, family, count(*) AS opened
    FROM divergences WHERE flow IN (SELECT unnest(?::VARCHAR[])) AND opened_at BETWEEN ? AND ?
    GROUP BY ALL ORDER BY bucket_at"""


def page() -> None:
    """Draw the page."""
    components.framed("Incidents", lambda data, span: draw(data, span, acting.asks()), busy=_busy)


def _busy() -> bool:
    """Whether one incident is open, or several are selected, or the page shows the silences."""
    shown = st.session_state.get("list", st.query_params.get("list", SHOWN[0]))
    asked_for = "id" in st.query_params or shown != SHOWN[0]
    return asked_for or bool(tables.picked_in("incidents")) or incident_acts.chosen()


def draw(data: Data, span: TimeRange, asks: Person | Onlooker) -> None:
    """Draw the body for this viewer."""
    number = st.query_params.get("id", "")
    if number:
        _one(data, number, asks)
        return
    asked.refuse("list", SHOWN)
    shown = st.segmented_control(
        "Show", SHOWN, default=SHOWN[0], key="list", required=True, bind="query-params", label_visibility="collapsed"
    )
    incident_acts.draw_outcome()
    if shown == "Silences":
        silences.draw(data, asks)
    else:
        _list(data, span, asks)


def _list(data: Data, span: TimeRange, asks: Person | Onlooker) -> None:
    known = [each.value for each in Severity]
    asked.refuse("severity", known)
    asked.refuse("flow", data.map.flows)
    row = st.columns([2, 2, 2, 3, 1], vertical_alignment="bottom")
    over = row[0].toggle("Include resolved", key="all", bind="query-params")
    severities = row[1].multiselect("Severity", known, key="severity", bind="query-params")
    flows = row[2].multiselect("Flow", list(data.map.flows), key="flow", bind="query-params")
    search = row[3].text_input("Contains", key="search", bind="query-params")
    row[4].button("Refresh", icon=":material/refresh:", width="stretch")
    chosen = _Chosen(severities=severities, flows=flows, search=search)
    found = chosen.among(data, span, over=over)
    if found.empty:
        if chosen.any:
            _unmatched(data, span, chosen, over=over)
        else:
            components.nothing(_none(over, span), well=span.to_now and data.all_known())
        return
    now = datetime.now(UTC)
    picked = tables.pickable(
        pd.DataFrame(
            {
                "incident": [str(each) for each in found["id"]],
                "what": list(found["summary"]),
                "now": _present(found),
                "peak": list(found["peak"]),
                "began": list(found["since_at"]),
                "lasted": [_lasted(each, now) for each in found.itertuples()],
                "assigned to": list(found["assignee"]),
            }
        ),
        [int(each) for each in found["id"]],
        key="incidents",
        links={"incident": [navigation.incident(int(each)) for each in found["id"]]},
        signs={
            "severity": [look.SEVERITY[Severity(each)] for each in found["severity"]],
            "state": [look.INCIDENT[each] for each in found["state"]],
        },
        alt="Incidents, the gravest open one first",
        optional=("assigned to",),
        wraps="what",
        menu=_menu(found, asks),
        column_config={
            "what": st.column_config.TextColumn(width=460),
            **tables.instants("began"),
        },
    )
    incident_acts.draw_several(data, sorted(picked), asks)
    incident_acts.draw_chosen(data, asks)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen:
    """What the filters of the list let through; a filter without a value lets everything through."""

    severities: Sequence[str] = ()
    flows: Sequence[str] = ()
    search: str = ""

    @property
    def any(self) -> bool:
        """Whether there is a filter."""
        return bool(self.severities or self.flows or self.search)

    def among(self, data: Data, span: TimeRange, *, over: bool) -> pd.DataFrame:
        """The incidents that match: open ones, and if asked for those that were resolved in the time range."""
        flows = list(self.flows)
        found = data.query(_LISTED, [over, span.end, span.begin, flows, flows])
        if self.severities:
            found = found[found["severity"].isin(self.severities)]
        if self.search:
            found = found[found["summary"].str.contains(self.search, case=False, regex=False)]
        return found


def _unmatched(data: Data, span: TimeRange, chosen: _Chosen, *, over: bool) -> None:
    """Say what was asked for, and what there is instead."""
    ways = [asked.Way(label="Remove the filters", take=partial(asked.choose, severity=[], flow=[], search=""))]
    more = [f"None was resolved in {span.words} either. A longer time range may show earlier ones."]
    resolved = 0 if over else len(chosen.among(data, span, over=True))
    if resolved:
        were = "was" if resolved == 1 else "were"
        more = [
            f"{counted(resolved, 'incident')} that match{'es' * (resolved == 1)} {were} resolved in {span.words}."
        ]
        ways.insert(0, asked.Way(label="Include resolved", take=partial(asked.choose, all=True)))
    others = len(_Chosen().among(data, span, over=over))
    hidden = f"The filters hide {counted(others, 'other incident')}." if others else "No other incident is open."
    asked.unmatched(
        "open incident",
        {
            "severity": chosen.severities,
            "flow": chosen.flows,
            "text": [f'"{chosen.search}"'] if chosen.search else (),
        },
        [*more, hidden],
        ways,
    )


def _menu(found: pd.DataFrame, asks: Person | Onlooker) -> tables.Menu | None:
    """The verbs on each row; none for a viewer, and none on an incident that is over."""
    if isinstance(asks, Onlooker):
        return None
    words = [incident_acts.VERBS if state != "resolved" else () for state in found["state"]]
    return tables.Menu(words, incident_acts.choose)


def _none(over: bool, span: TimeRange) -> str:
    """Why the list is empty, and where there may be more."""
    if over:
        return f"No incident is open, and none was resolved in {span.words}."
    return "No incident is open. Include resolved ones to see what there was before."


def _one(data: Data, number: str, asks: Person | Onlooker) -> None:
    navigation.link("← All incidents", navigation.incidents())
    found = data.query(_ONE, [asked.number(number)])
    if found.empty:
        st.error(f"There is no incident {escaping.markdown(number)}.", icon=":material/error:")
        return
    incident = found.iloc[0]
    now = datetime.now(UTC)
    over = not pd.isna(incident["resolved_at"])
    flows = [str(each) for each in data.query(_FLOWS, [int(incident["id"])])["flow"]]
    st.header(escaping.markdown(incident["summary"]), anchor=False)
    state, severity = look.INCIDENT[incident["state"]], look.SEVERITY[Severity(incident["severity"])]
    until = f" to {incident['resolved_at']:%d %b %H:%M:%S}" if over else ""
    st.markdown(
        f"{severity.badge} {state.badge} {incident['since_at']:%d %b %Y %H:%M:%S}{until} UTC, "
        f"{'lasted' if over else 'for'} {_lasted(incident, now)}{_returns(data, incident)}"
    )
    if not pd.isna(incident["merged_into"]):
        navigation.link(
            f"It is part of incident {int(incident['merged_into'])}",
            navigation.incident(int(incident["merged_into"])),
        )
    _evidence(data, incident)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _chart(data, incident, flows, now)
    with right:
        _about(data, incident, flows)
        st.header("Act on it", anchor=False)
        incident_acts.draw(data, int(incident["id"]), incident["state"], incident["assignee"] or "", asks)
    _timeline(data, incident)
    _records(data, incident, flows)
    _letters(data, incident, flows, now)
    _messages(data, incident)
    _before(data, incident, now)


def _returns(data: Data, incident: pd.Series) -> str:
    """How often it came back after it was over, and when last; "" if never."""
    back_at = data.query(_CAME_BACK, [int(incident["id"])])["acted_at"]
    if back_at.empty:
        return ""
    often = "once," if len(back_at) == 1 else f"{len(back_at)} times, last"
    return f"; came back {often} {back_at.iloc[-1]:%d %b %H:%M:%S} UTC"


def _evidence(data: Data, incident: pd.Series) -> None:
    if incident["evidence"]:
        st.info(escaping.markdown(incident["evidence"]), icon=":material/hub:")
    breaches = data.query(_BREACHES, [int(incident["id"])])
    where = [
        f"{subject}, queue {queue}" if queue else subject
        for subject, queue in zip(breaches["subject"], breaches["queue"], strict=True)
    ]
    tables.table(
        pd.DataFrame(
            {
                "what": [MEANINGS[Breach(each)].words for each in breaches["breach"]],
                "where": where,
                "now": _present(breaches).where(breaches["ended_at"].isna()),
                "peak": list(breaches["peak"]),
                "began": list(breaches["opened_at"]),
                "ended": list(breaches["ended_at"]),
            }
        ),
        key="breaches",
        height=min(38 + 35 * max(1, len(breaches)), 700),
        alt="What does not hold, or did not, in this incident",
        optional=("ended",),
        column_config={
            **tables.instants("began", "ended"),
        },
    )
    read = breaches.assign(where=where)[breaches["detail"].fillna("") != ""]
    said = []
    for detail, alike in read.groupby("detail", sort=False):
        places, last_at = list(dict.fromkeys(alike["where"])), alike["detail_at"].max()
        more = f" and {len(places) - PLACES_SHOWN} more" if len(places) > PLACES_SHOWN else ""
        told = f"{', '.join(places[:PLACES_SHOWN])}{more}: {detail}"
        said.append((told, None if pd.isna(last_at) else last_at))
    for told in dated(said):
        st.caption(escaping.markdown(told))


def _about(data: Data, incident: pd.Series, flows: list[str]) -> None:
    """Cause, advice, and who is concerned."""
    cause = cause_named(incident["cause"])
    breaches = data.query(_BREACHES, [int(incident["id"])])
    present = [Breach(each.breach) for each in breaches.itertuples() if pd.isna(each.ended_at) and each.count]
    advice = ADVICE[cause] if incident["state"] == "resolved" else advice_for(cause, present)
    drawn = (
        look.cause(incident["cause"]).badge
        if incident["cause"] in {*Cause}
        else escaping.markdown(_words(incident["cause"]))
    )
    st.markdown(f"**Likely cause**  \n{drawn}")
    st.markdown(f"**What to do**  \n{advice}")
    shown = [data.map.flow(name) for name in flows if name in data.map.flows]
    readers = {
        consumer_text(reader): None
        for flow in shown
        for reader in flow.data_type.consumers
        if reader.reads == flow.target_name
    }
    if readers:
        st.markdown(f"**Who acts on it**  \n{escaping.markdown(', '.join(readers))}")
    teams = {flow.settings.team: None for flow in shown if flow.settings.team}
    if teams:
        st.markdown(f"**Team**  \n{escaping.markdown(', '.join(teams))}")
    for flow in shown:
        if flow.settings.runbook:
            st.link_button("Runbook", flow.settings.runbook, icon=":material/menu_book:")
            break
    if flows:
        navigation.link("Records that differ now →", navigation.drift(flow=flows[0]))


def _timeline(data: Data, incident: pd.Series) -> None:
    """What happened to it, and who did what."""
    events = data.query(_EVENTS, [int(incident["id"])])
    if events.empty:
        return
    st.header("Timeline", anchor=False)
    tables.table(
        pd.DataFrame(
            {
                "when": list(events["acted_at"]),
                "what": [_words(each) for each in events["verb"]],
                "who": list(events["who"]),
                "known by": list(events["known_by"]),
                "to": list(events["assignee"]),
                "until": list(events["until_at"]),
                "note": list(events["text"]),
            }
        ),
        key="timeline",
        alt="Everything that happened to this incident, oldest first",
        optional=("known by", "to", "until", "note"),
        column_config={
            **tables.instants("when", "until"),
            "note": st.column_config.TextColumn(width=700),
        },
    )


def _chart(data: Data, incident: pd.Series, flows: list[str], now: datetime) -> None:
    begin = incident["opened_at"] - AROUND
    end = now if pd.isna(incident["resolved_at"]) else min(now, incident["resolved_at"] + AROUND)
    width = bar_width(end - begin, BARS)
    opened = data.query(_OPENED, [width, flows, begin, end])
    if opened.empty:
        return
    st.subheader("New differences on these flows, the incident shaded", anchor=False)
    figure = view.timeline_chart(opened, begin, end, width, shaded=_spans(data, incident, now))
    st.plotly_chart(
        figure, key="opened", config={"displayModeBar": False}, alt="New differences before, during and after it"
    )


def _spans(data: Data, incident: pd.Series, now: datetime) -> list[tuple[datetime, datetime]]:
    """When it was open."""
    alone = pd.DataFrame([incident[["id", "opened_at", "resolved_at"]]])
    return open_spans(alone, data.query(TURNS, [[int(incident["id"])]]), now)[0]


def _records(data: Data, incident: pd.Series, flows: list[str]) -> None:
    records = data.query(_RECORDS, [flows, int(incident["id"]), RECORDS_SHOWN])
    if records.empty:
        return
    st.header("Records", anchor=False)
    tables.table(
        pd.DataFrame(
            {
                "record": list(records["key"]),
                "difference": evidence.difference_texts(records, data.map, brief=True),
                "flow": list(records["flow"]),
                "first seen": list(records["first_seen_at"]),
                "closed": list(records["closed_at"]),
            }
        ),
        key="records",
        links={
            "record": [
                navigation.record(data_type, key)
                for data_type, key in zip(records["data_type"], records["key"], strict=True)
            ]
        },
        signs={"cause": [look.cause(each) for each in records["cause"]]},
        alt="Records of this incident, those that still differ first",
        optional=("closed",),
        widest="difference",
        column_config={
            "record": st.column_config.TextColumn(width=110),
            "difference": st.column_config.TextColumn("owner → copy", width=245),
            "flow": st.column_config.TextColumn(width=150),
            **tables.instants("first seen", "closed"),
        },
    )
    if len(records) == RECORDS_SHOWN:
        st.caption(f"The first {RECORDS_SHOWN}.")


def _letters(data: Data, incident: pd.Series, flows: list[str], now: datetime) -> None:
    since, until = zip(*_spans(data, incident, now), strict=True)
    letters = data.query(_LETTERS, [flows, list(since), list(until)])
    if letters.empty:
        return
    st.header("Dead letters of these flows meanwhile", anchor=False)
    tables.table(
        letters.rename(columns={"first_failed_at": "first failed"}),
        key="letters",
        alt="Dead letters of these flows while the incident lasted, by reason",
        column_config={
            "reason": st.column_config.TextColumn(width="large"),
            **tables.instants("first failed"),
        },
    )


def _messages(data: Data, incident: pd.Series) -> None:
    st.header("Messages", anchor=False)
    messages = data.query(_MESSAGES, [int(incident["id"])])
    if messages.empty:
        st.caption(
            "No message was sent: no sender is configured, or the incident was over before its first message was due."
        )
        return
    messages["transition"] = [transition_text(each) for each in messages["transition"]]
    tables.table(
        messages.drop(columns="state").rename(columns={"created_at": "created", "sent_at": "sent"}),
        key="messages",
        signs={"state": [look.MESSAGE[each] for each in messages["state"]]},
        alt="Messages about this incident",
        optional=("error",),
        column_config={
            **tables.instants("created", "sent"),
        },
    )


def _before(data: Data, incident: pd.Series, now: datetime) -> None:
    before = data.query(_BEFORE, [incident["fingerprint"], int(incident["id"])])
    if before.empty:
        return
    st.header("The same cause before", anchor=False)
    tables.table(
        pd.DataFrame(
            {
                "incident": [str(each) for each in before["id"]],
                "what": list(before["summary"]),
                "peak": list(before["peak"]),
                "opened": list(before["since_at"]),
                "lasted": [_lasted(each, now) for each in before.itertuples()],
            }
        ),
        key="before",
        links={"incident": [navigation.incident(int(each)) for each in before["id"]]},
        signs={"severity": [look.SEVERITY[Severity(each)] for each in before["severity"]]},
        alt="Earlier incidents of the same cause",
        wraps="what",
        column_config={
            "what": st.column_config.TextColumn(width=560),
            **tables.instants("opened"),
        },
    )


def _present(rows: pd.DataFrame) -> pd.Series:
    """The counts of breaches, or of incidents with them; none where the count is not one of now."""
    return rows["count"].astype("Int64").where([MEANINGS[Breach(each)].present for each in rows["breach"]])


def _lasted(incident: Any, now: datetime) -> str:
    until = now if pd.isna(incident.resolved_at) else incident.resolved_at
    return view.span((until - incident.since_at).total_seconds())


def _words(name: str) -> str:
    return name.replace("_", " ")

"""SLA breaches: objectives kept and broken, how well everything is known, and the messages sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_CEILING, ROUND_FLOOR
from typing import Any

import streamlit as st

from auditor import escaping
from auditor.alerts.notices import transition_text
from auditor.dashboard import asked, calendar_chart, components, look, navigation, tables, view
from auditor.dashboard.calendar_chart import Cell
from auditor.dashboard.data import Data
from auditor.dashboard.frames import frame
from auditor.dashboard.time_range import TimeRange
from auditor.history.budgets import WHY_LEFT_OUT
from auditor.history.coverage import FlowCoverage
from auditor.history.figure_rows import coverage_row
from auditor.history.figure_text import ratio_text
from auditor.history.objective_days import DayFigure
from auditor.history.objectives import BURN_SPANS_S, ObjectiveFigure, left_text
from auditor.history.status import Standing
from checks.coverage_days import USUAL_GOAL, CoverageCounts
from checks.intervals import clopper_pearson
from checks.objective_days import Day, DayState
from checks.objectives import Standing as ObjectiveState
from checks.objectives import WindowCounts, underlying_share
from probes.wording import counted, figure, percent

SHORT_S, LONG_S = BURN_SPANS_S[0], BURN_SPANS_S[-1]
"""The time spans over which the page shows how fast error budgets are used."""


def page() -> None:
    """Draw the page."""
    components.framed("SLA breaches", _draw)


def _draw(data: Data, span: TimeRange) -> None:
    data.ahead(lambda: data.coverage(span))
    _objectives(data)
    _coverage(data, span)
    _budgets(data)
    _noise(data, span)
    _messages(data, span)


def _objectives(data: Data) -> None:
    st.header("Objectives", anchor=False)
    figures = sorted(data.objectives(), key=lambda each: look.WORST_OBJECTIVE_FIRST.index(each.standing))
    if not figures:
        components.nothing(
            "The map promises nothing that could be kept or broken: no flow has a window, and none has `sla:`. "
            "Give a data type a `window:` to promise when its copies agree."
        )
        return
    _sentence(figures)
    names = [_name(each) for each in figures]
    open_now = data.incidents_by_flow()
    tables.table(
        frame([_row(each, open_now.get(each.flow, 0)) for each in figures]),
        key="objectives",
        signs={"state": [look.OBJECTIVE[each.standing] for each in figures]},
        links={
            "flow": [navigation.drift(flow=each.flow) for each in figures],
            "incidents": [navigation.incidents(flow=each.flow) for each in figures],
        },
        acts={"objective": (names, _choose)},
        alt="Objectives of each flow, kept or broken, and what is left of their error budgets",
        column_config={
            "flow": st.column_config.TextColumn(width=165),
            "objective": st.column_config.TextColumn(width=212),
            "target": st.column_config.TextColumn(width=58),
            "met": st.column_config.TextColumn(
                width=192,
                help="The share of decided changes; in brackets where it lies in the long run, at 95 %, undecided "
                "changes counted either way",
            ),
            "budget": st.column_config.ImageColumn(
                "error budget", width=92, help="Full: nothing of it is used. Pale: left if all undecided arrived."
            ),
            "left": st.column_config.TextColumn(width=130, help="How much of the error budget is left"),
            "burn": st.column_config.TextColumn("burn 1 h / 3 d", width=86, help=_BURN),
            "incidents": st.column_config.TextColumn(width=72),
        },
    )
    st.caption(
        "Over the period of each flow's SLA, whatever time range is chosen; queues as they are now. A share is "
        "broken when even the upper end of the long-run estimate is below the target. Click an objective to see its "
        "days below."
    )
    asked.refuse("objective", names)
    chosen = st.selectbox("Objective", names, key="objective", bind="query-params")
    _one(data, figures[names.index(chosen)])


_BURN = "How many times faster than the target allows the error budget is used; at 1 it lasts just the period"


def _sentence(figures: list[ObjectiveFigure]) -> None:
    """How things stand, in one sentence."""
    of = counted(len(figures), "objective")
    broken = [each for each in figures if each.standing is ObjectiveState.BROKEN]
    undecided = sum(each.standing is ObjectiveState.UNDECIDED for each in figures)
    idle = sum(each.standing is ObjectiveState.NO_TRAFFIC for each in figures)
    if broken:
        named = escaping.markdown(", ".join(dict.fromkeys(each.flow for each in broken)))
        verb = "is" if len(broken) == 1 else "are"
        st.error(f"**{len(broken)} of {of} {verb} broken:** {named}.", icon=":material/cancel:")
    elif undecided:
        st.warning(
            f"**No objective is known to be broken, but {undecided} of {of} cannot be decided yet.**",
            icon=":material/help:",
        )
    elif idle == len(figures):
        st.info(f"**No change has been counted for any of {of} yet.**", icon=":material/remove:")
    else:
        without = f" {idle} without traffic." if idle else ""
        st.success(f"**All objectives are kept:** {len(figures) - idle} of {of}.{without}", icon=":material/check:")


def _name(each: ObjectiveFigure) -> str:
    return f"{each.flow}: {each.name}"


def _choose(name: str) -> None:
    st.session_state["objective"] = name


def _row(each: ObjectiveFigure, incidents: int) -> dict[str, object]:
    counts, burn = each.counts, each.burn or {}
    return {
        "flow": each.flow,
        "objective": each.name,
        "target": each.goal.replace("at least ", "≥ ").replace("at most ", "≤ "),
        "met": each.seen if counts is None else _met(each, counts),
        "budget": None if each.budget_left is None else look.budget(*each.budget_left),
        "left": left_text(each.budget_left),
        "burn": f"{_rate(burn.get(SHORT_S))} / {_rate(burn.get(LONG_S))}" if burn else "–",
        "incidents": f"{incidents} open" if incidents else "none",
    }


def _met(each: ObjectiveFigure, counts: WindowCounts) -> str:
    if not counts.total:
        return "no changes"
    best = f"{percent(counts.met / counts.decided)} " if counts.decided else ""
    return f"{best}({_long_run(each)}) of {counts.total:,}"


def _long_run(each: ObjectiveFigure) -> str:
    """Bounds of the share that is kept in the long run; "" for an objective that is none, and without changes."""
    if each.counts is None or each.goal_ratio is None or not each.counts.total:
        return ""
    least, most = underlying_share(each.counts, each.goal_ratio)
    return f"{percent(least, ROUND_FLOOR)} … {percent(most, ROUND_CEILING)}"


def _rate(burn: float | None) -> str:
    return "–" if burn is None else figure(burn, 2)


def _one(data: Data, each: ObjectiveFigure) -> None:
    """One objective over its period: its figures, a calendar, its error budget, and the days as a table."""
    days = data.objective_days(each)
    sign = look.OBJECTIVE[each.standing]
    st.subheader(f"{escaping.markdown(_name(each))} {sign.badge}", anchor=False)
    _figures(data, each)
    with st.container(horizontal=True):
        navigation.link("Records that differ →", navigation.drift(flow=each.flow))
        navigation.link("Incidents →", navigation.incidents(flow=each.flow))
        navigation.link("Lag →", navigation.lag(each.flow))
    length = view.days_text(data.map.flow(each.flow).settings.sla.period_s)
    if all(day.day.state is DayState.NO_DATA for day in days):
        components.nothing(
            f"Nothing is on file for the last {length}. Start the auditor with `auditor run`; each "
            "day appears here with its first audit."
        )
        return
    counts = Counter(day.day.state for day in days)
    found = ", ".join(f"{number} {state}" for state, number in counts.items())
    left, right = st.columns([1, 1], gap="medium")

    def of_day(point: Mapping[str, Any]) -> tuple[datetime, datetime]:
        day = days[point["point_index"]].day
        return day.begin, day.end

    with left:
        st.markdown(f"#### The last {length}")
        components.leading_chart(
            calendar_chart.calendar_chart([_cell(day) for day in days], components.ink()),
            key="days",
            alt=f"Calendar of the last {length}: {found}. The table below has the same figures.",
            what="a day",
            span=of_day,
            flows=[each.flow],
        )
        st.markdown(look.legend((sign, counts[state]) for state, sign in look.DAY.items()))
    known = [day.day for day in days if day.day.state is not DayState.NO_DATA]
    budget = [(day.end, day.left) for day in known if day.left is not None]
    with right:
        if budget:
            st.markdown("#### Error budget left")
            st.plotly_chart(
                calendar_chart.budget_chart(days[0].day.begin, known[0].begin, budget),
                key="burn",
                config={"displayModeBar": False},
                alt=f"Error budget left after each of the last {length}; now {left_text(each.budget_left)}",
            )
        else:
            components.nothing("This objective has no error budget, or no change has been counted for it yet.")
    st.markdown("#### Day by day")
    latest = days[::-1]
    tables.table(
        frame(
            [
                {
                    "day": f"{day.day.day:%a %-d %b}",
                    "seen": day.seen,
                    "budget left": left_text(_known_left(day.day)),
                    "audited": f"{day.day.hours} of 24 h",
                }
                for day in latest
            ]
        ),
        key="day-by-day",
        signs={"state": [look.DAY[day.day.state] for day in latest]},
        height=min(38 + 35 * len(days), 318),
        alt="The days of this objective, latest first: state, what was seen, error budget left, hours audited",
        column_config={
            "seen": st.column_config.TextColumn(width="large"),
            "audited": st.column_config.TextColumn(help="In how many hours of the day both systems could be read"),
        },
    )
    st.caption(
        f"{escaping.markdown(_dates_text(length, len(days)))} A change counts on the day its verdict became certain. "
        "Each day is judged by its own changes alone, with the rule of the whole period: a few late ones on a quiet "
        "day leave it undecided."
    )


def _figures(data: Data, each: ObjectiveFigure) -> None:
    """The figures of an objective in words."""
    counts, burn = each.counts, each.burn
    told = {"Target": (each.goal, "")}
    if counts is None:
        told["Now"] = each.seen, ""
    else:
        share = view.share_within(counts.met, counts.missed, counts.undecided)
        long_run = _long_run(each)
        told["Met"] = share, f"{counts.met:,} of {counted(counts.total, 'change')}, {counts.undecided:,} undecided"
        told["In the long run"] = long_run or "–", "bounds at 95 %, however often one looks"
        told["Error budget left"] = left_text(each.budget_left), _allowed(counts, each.goal_ratio)
    if burn:
        told["Burn"] = (
            f"{_rate(burn.get(SHORT_S))} in 1 h, {_rate(burn.get(LONG_S))} in 3 d",
            "at 1 the budget lasts just the period",
        )
    team = data.map.flows[each.flow].team
    if team:
        told["Team"] = team, ""
    with st.grid(len(told), min_column_width=165):
        for label, (value, more) in told.items():
            with st.container(border=True, height="stretch", gap="xxsmall"):
                st.caption(escaping.markdown(label))
                st.markdown(f"**{escaping.markdown(value)}**")
                if more:
                    st.caption(escaping.markdown(more))
    if each.burst:
        st.info(f"Fresh reads after the last missed change: {escaping.markdown(each.burst)}.", icon=":material/bolt:")


def _allowed(counts: WindowCounts, goal: float | None) -> str:
    """How many changes the error budget allows to miss, and how many did."""
    if goal is None or not counts.total:
        return ""
    return f"{counts.missed:,} missed, {figure((1 - goal) * counts.total, 2)} allowed"


def _known_left(day: Day) -> tuple[float, float] | None:
    """What was left of the error budget after a day; None for a day of which nothing is known."""
    return None if day.state is DayState.NO_DATA else day.left


def _cell(figure: DayFigure) -> Cell:
    day = figure.day
    told = [figure.seen]
    if _known_left(day) is not None:
        told.append(f"error budget left: {left_text(day.left)}")
    told.append(f"audited in {day.hours} of 24 h")
    return Cell(day=day.day, sign=look.DAY[day.state], told=told)


def _coverage(data: Data, span: TimeRange) -> None:
    now = datetime.now(UTC)
    st.header("Coverage", anchor=False)
    st.caption(
        "What is known, and how well. *Verified through*: every change up to then has its verdict. A sweep reads "
        "every record of both sides once; when it is complete, how many differ is certain."
    )
    covered = data.coverage(span)
    tables.table(
        frame([_covered(each, now) for each in covered]),
        key="coverage",
        signs={"state": [look.FLOW[Standing(each.state)] for each in covered]},
        alt="Coverage of each flow: verified through, undecided, sweep, records that differ",
        optional=("by sample",),
        column_config={  # all columns fit on a screen of 1440 pixels
            "flow": st.column_config.TextColumn(width=150),
            "unverified": st.column_config.NumberColumn(format="localized", width=74),
            "verified through": st.column_config.TextColumn("verified", width=84, help="Through when"),
            "cannot verify": st.column_config.NumberColumn(format="localized", width=84),
            "sweep": st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1, width=78),
            "swept": st.column_config.TextColumn(width=76, help="When the last complete sweep ended"),
            "left out": st.column_config.NumberColumn(
                format="localized",
                width=54,
                help=f"Reads that were left out because a budget was spent: {WHY_LEFT_OUT}",
            ),
            **{name: st.column_config.Column(help=more, width=width) for name, (width, more) in _COLUMNS.items()},
        },
    )
    _coverage_days(data)


_COLUMNS = {
    "conclusive": (120, "Readings that led to a verdict, of those that were due"),
    "undecided": (72, "Windows of which nobody can say whether they were kept"),
    "differ so far": (90, "Records that differ, in the sweep that goes on"),
    "last sweep": (78, "Records that differed in the last complete sweep"),
    "by sample": (76, "The share that differs, by the sample of the last day"),
}
"""Columns of the coverage: their widths in pixels, and what they mean."""


def _coverage_days(data: Data) -> None:
    """The share of due records with a verdict, day by day."""
    asked.refuse("covered", data.map.flows)
    flow = st.selectbox("Flow", list(data.map.flows), key="covered", bind="query-params")
    sla = data.map.flow(flow).settings.sla
    goal = USUAL_GOAL if sla.coverage is None else sla.coverage
    days = [(day, counts, look.COVERED[counts.covered(goal)]) for day, counts in data.coverage_days(flow)]
    length = view.days_text(sla.period_s)
    if not any(counts.audits for _, counts, _ in days):
        components.nothing(f"This flow was not audited in the last {length}. Start the auditor with `auditor run`.")
        return
    found = Counter(sign for *_, sign in days)
    left, right = st.columns([1, 1], gap="medium")
    with left:
        st.subheader(f"Verified, day by day, over the last {length}", anchor=False)
        st.plotly_chart(
            calendar_chart.calendar_chart(
                [Cell(day=day, sign=sign, told=_verified_texts(counts)) for day, counts, sign in days],
                components.ink(),
            ),
            key="covered-days",
            config={"displayModeBar": False},
            alt=f"Calendar of how much of {flow} was verified on each day. The table beside it has the same figures.",
        )
        st.markdown(look.legend((sign, found[sign]) for sign in look.COVERED.values()))
    with right:
        st.subheader("Day by day", anchor=False)
        latest = days[::-1]
        tables.table(
            frame(
                [
                    {
                        "day": f"{day:%a %-d %b}",
                        "verified": ratio_text(counts.share),
                        "due": counts.due,
                        "audits": counts.audits,
                        "failed": counts.failed,
                    }
                    for day, counts, _ in latest
                ]
            ),
            key="covered-day-by-day",
            signs={"state": [sign for *_, sign in latest]},
            height=min(38 + 35 * len(days), 318),
            alt="How much of the flow was verified on each day, latest first",
            column_config={
                "verified": st.column_config.TextColumn(help="Records with a verdict, of those that were due"),
                "failed": st.column_config.NumberColumn(
                    format="localized", help="Audits that could not read a system"
                ),
            },
        )
    st.caption(
        f"{escaping.markdown(_dates_text(length, len(days)))} *Verified*: at least {goal:.2%} of the "
        "records that were due have a verdict, and as large a share of the audits could read both systems; less is "
        "*in part*."
    )


def _dates_text(length: str, dates: int) -> str:
    """Why a period has one day more in a calendar than in its name."""
    if counted(dates, "day") == length:
        return "Days are UTC."
    return f"The last {length} up to now touch {dates} UTC dates, so the first and the last are not whole days."


def _verified_texts(counts: CoverageCounts) -> list[str]:
    if not counts.audits:
        return ["not audited"]
    failed = [f"{counts.failed:,} of them could not read a system"] if counts.failed else []
    due = f"{ratio_text(counts.share)} of {counts.due:,} due" if counts.due else "nothing was due"
    return [due, counted(counts.audits, "audit"), *failed]


def _budgets(data: Data) -> None:
    st.header("Budgets", anchor=False)
    st.caption(
        "What is used of each system's budget, on average over the last hour or since the auditor started, and how "
        "many reads audits of the last hour left out because it was spent (a key that waits for several audits "
        "counts in each). *By sample*: the share of records that differ at most, at 95 %, by the sample of the last "
        "day, of the flow with the highest share."
    )
    tables.table(
        frame([each.as_row() for each in data.budgets()]),
        key="budgets",
        alt="Budget of each system: records and calls used, reads left out, what the sample bounds",
        column_config={
            "records/s": st.column_config.TextColumn(
                help="Read by the audits of the last hour, on average since the first of them, and the limit"
            ),
            "reads left out in 1 h": st.column_config.TextColumn(help=f"Why: {WHY_LEFT_OUT}"),
        },
    )


def _messages(data: Data, span: TimeRange) -> None:
    alerts = data.alerts(span)
    st.header("Messages", anchor=False)
    if alerts.empty:
        components.nothing(
            "No message was sent in this range. `auditor alert test` sends a test message."
            if data.map.alerts.senders
            else "No alert channel is configured. Add `alerts: slack: webhook:` to the map to be notified."
        )
    else:
        alerts["transition"] = [transition_text(each) for each in alerts["transition"]]
        alerts["possible_repeat"] = ["possible duplicate" if each else "" for each in alerts["possible_repeat"]]
        tables.table(
            alerts.assign(incident_id=alerts["incident_id"].astype(str)).rename(
                columns={"incident_id": "incident", "possible_repeat": "note"}
            ),
            key="alerts",
            links={"incident": [navigation.incident(int(each)) for each in alerts["incident_id"]]},
            signs={"state": [look.MESSAGE[each] for each in alerts["state"]]},
            alt="Messages sent, waiting and not delivered",
            optional=("note", "error"),
            column_config={
                "created_at": st.column_config.DatetimeColumn("created", format=tables.INSTANT),
                "sent_at": st.column_config.DatetimeColumn("sent", format=tables.INSTANT),
                "transition": st.column_config.TextColumn(width="medium"),
            },
        )


def _noise(data: Data, span: TimeRange) -> None:
    """Fields that a system returns differently on each read; draws nothing if there are none."""
    noise = data.noise(span)
    if noise.empty:
        return
    st.header("Noise", anchor=False)
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
        "by sample": "" if row["by sample"] == "–" else row["by sample"],
        "swept": "–" if each.swept_at is None else view.ago(each.swept_at, now),
    }

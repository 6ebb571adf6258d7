"""Dead letters: queues, which messages failed and why, which records they explain, and what a replay would fix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import streamlit as st

from auditor import escaping
from auditor.dashboard import components, navigation, tables, view
from auditor.dashboard.data import Data
from auditor.dashboard.frames import frame
from auditor.dashboard.time_range import TimeRange
from auditor.history.backlogs import Backlog
from auditor.history.figure_rows import backlog_row, funnel_row, letter_row, reason_row
from auditor.history.letters import Funnel, Group, LetterRow, Waiting
from checks.funnel import STAGES
from checks.queue_states import Flowing
from checks.tables import complete
from probes.wording import counted

LIMIT = 500
OPENED = "opened_letter"
"""Session key for the number of the letter with its evidence shown."""

RATES = ("arriving", "leaving", "empty in")
"""Columns that only a broker fills that counts its messages."""

FLOWING = complete(
    {
        Flowing.OK: "✓ ok",
        Flowing.SLOW: "● slower than it fills",
        Flowing.STALLED: "✕ stalled",
        Flowing.UNKNOWN: "–",
    }
)


def page() -> None:
    """Draw the page."""
    components.framed("Dead letters", _draw)


def _draw(data: Data, span: TimeRange) -> None:
    if not data.map.queues:
        components.nothing(
            "The map names no queue. Add `queues:` to a flow to see its backlog and dead letters here."
        )
        return
    queues = data.backlogs()
    if not queues:
        components.nothing("The queues have not been read in the last hour. Start the auditor with `auditor run`.")
        return
    _queues(sorted(queues, key=lambda each: (each.depth is not None, -(each.depth or 0))), data.depths(span))
    _funnels(data.funnels(span))
    waiting = data.letters(span, LIMIT)
    st.header("Letters waiting", anchor=False)
    unseen = data.unseen_letters()
    for each in unseen:
        st.warning(escaping.markdown(each), icon=":material/help:")
    if not waiting.letters:
        if not unseen:
            components.nothing("No dead letter is waiting.", well=True)
        return
    _explained(data)
    _reasons(data, waiting.groups)
    _letters(data, waiting)


def _queues(queues: list[Backlog], depths: Mapping[tuple[str, str], list[int]]) -> None:
    now = datetime.now(UTC)
    uncounted = all(each.arriving is None and each.leaving is None for each in queues)
    tables.table(
        frame(
            [
                {
                    **backlog_row(each, now),
                    **(dict.fromkeys(RATES, "") if uncounted else {}),
                    "depth": each.depth,
                    "consumer": FLOWING[each.flowing],
                    "depth over time": depths.get((each.flow, each.queue), []),
                }
                for each in queues
            ]
        ),
        key="queues",
        alt="Queues with depth, oldest age, rates, trend and time to drain",
        optional=("inspected", "oldest expires in", *RATES),
        column_config={
            "depth over time": st.column_config.LineChartColumn(
                y_min=0, help="The largest in each part of the time range; each queue on a scale of its own"
            ),
            "oldest": st.column_config.TextColumn(help="Since it came into this queue, unless stated otherwise"),
            "trend": st.column_config.TextColumn(
                help="Of the depth, by a Mann-Kendall test at the 1 % significance level over the last readings; "
                "with a speed if the depth moves most of the time"
            ),
            "empty in": st.column_config.TextColumn(
                help="Depth divided by (leaving minus arriving), 95 % confidence"
            ),
        },
    )
    if uncounted:
        st.caption(
            "The brokers of these queues do not count what arrives and leaves, so rates and the time until a queue "
            "is empty are not known."
        )
    for each in queues:
        if each.message:
            st.error(
                f"**{_named(each)}** cannot be read: {escaping.markdown(each.message)}", icon=":material/cloud_off:"
            )
        elif each.notes:
            st.caption(f"**{_named(each)}**: {escaping.markdown(each.notes)}")


def _named(queue: Backlog) -> str:
    return escaping.markdown(f"{queue.flow}/{queue.queue}")


def _funnels(funnels: list[Funnel]) -> None:
    st.header("What happens to failed messages", anchor=False)
    failed = [each for each in funnels if not _nothing_failed(each)]
    quiet = [
        f"{escaping.markdown(each.flow)} ({each.stages[0].least or 0:,} emitted)"
        for each in funnels
        if _nothing_failed(each)
    ]
    if quiet:
        st.caption(f"No failed message was seen on: {', '.join(quiet)}.")
    if not failed:
        return
    tables.table(
        frame([funnel_row(each) for each in failed]),
        key="funnels",
        alt="How many messages came to each stage of the recovery, as bounds, by flow",
        column_config={
            name: st.column_config.TextColumn(
                help=escaping.markdown("; ".join(sorted({_why(each, name) for each in failed})))
            )
            for name in STAGES
        },
    )
    st.caption(
        "How many messages came to each stage in the time range, at least and at most, and how many per hour. "
        "Not seen: the stage cannot be observed from outside."
    )
    drawn = {each.flow: each.fates for each in failed if each.fates}
    if drawn:
        st.markdown("**Where the dead letters went**")
        st.plotly_chart(
            view.fates_chart(drawn, components.ink()),
            key="fates",
            config={"displayModeBar": False},
            alt="; ".join(
                f"Dead letters of {flow}: " + ", ".join(f"{letters:,} {fate}" for fate, letters in fates.items())
                for flow, fates in drawn.items()
            ),
        )


def _why(funnel: Funnel, name: str) -> str:
    """The basis of a stage's figure."""
    return next(stage.why for stage in funnel.stages if stage.name == name)


def _nothing_failed(funnel: Funnel) -> bool:
    """Whether every later stage can be seen, and nothing is known to have come there."""
    return all(stage.least == 0 and not stage.most for stage in funnel.stages[1:])


def _explained(data: Data) -> None:
    differing = [each for each in data.explained() if each.open]
    parts = [
        f"**{escaping.markdown(each.flow)}**: {each.explained} of {counted(each.open, 'record')} that "
        f"differ{'s' * (each.open == 1)}"
        for each in differing
    ]
    if parts:
        st.caption("Drift explained by dead letters. " + "; ".join(parts) + ".")


def _reasons(data: Data, groups: Sequence[Group]) -> None:
    st.subheader("By reason", anchor=False)
    tables.table(
        frame([reason_row(each) for each in groups]),
        key="reasons",
        alt="Dead letters by reason, with how many records they explain and what replaying them would do",
        column_config={
            "reason": st.column_config.TextColumn(width=280),
            "explain": st.column_config.NumberColumn(help="Records that differ now and that these letters explain"),
            **tables.instants("first", "last"),
            "if replayed": st.column_config.TextColumn(width="medium"),
        },
    )
    for name in sorted({each.flow for each in groups}):
        for warning in data.map.flow(name).replay_warnings:
            st.warning(f"**{escaping.markdown(name)}**: {escaping.markdown(warning)}.", icon=":material/warning:")


def _letters(data: Data, waiting: Waiting) -> None:
    st.subheader("One by one", anchor=False)
    st.caption(f"Estimated result of replaying all: {waiting.replay_text}.")
    shown = waiting.rows
    opened = st.session_state.get(OPENED)
    tables.table(
        frame(
            [
                {
                    "letter": f"▸ {each.id}" if each.id == opened else str(each.id),
                    **letter_row(each),
                }
                for each in shown
            ]
        ),
        key="letters",
        acts={"letter": ([each.id for each in shown], _open)},
        links={
            "record": [
                navigation.record(data.map.flows[each.flow].data_type, each.key) if each.key else None
                for each in shown
            ]
        },
        alt="Dead letters with their record, reason, age and prospect",
        optional=("remarks",),
        column_config={
            "reason": st.column_config.TextColumn("reason", width=300),
            **tables.instants("failed", "failed last"),
            "remarks": st.column_config.TextColumn(
                width="medium", help="What of it could not be read, and what it claims that the map does not confirm"
            ),
        },
    )
    if waiting.letters > LIMIT:
        st.caption(f"Only the latest {LIMIT} of {waiting.letters} are shown.")
    if opened is not None:
        _evidence(data, opened, next((each for each in shown if each.id == opened), None))


def _open(letter: int) -> None:
    """Show a letter's evidence below the table, even if the letter's row moves later."""
    st.session_state[OPENED] = letter


def _evidence(data: Data, letter: int, row: LetterRow | None) -> None:
    headers, payload = data.evidence(letter)
    named = f"Letter {letter}" + (f", message id {escaping.markdown(row.letter_id)}" if row else "")
    st.markdown(f"**{named}**" + ("" if row else " is not among those shown any more."))
    st.button("Close", on_click=lambda: st.session_state.pop(OPENED, None))
    if not headers and payload is None:
        st.info(
            "Its headers and payload are not kept. `evidence: masked` or `clear` of the queue in the map keeps them.",
            icon=":material/lock:",
        )
        return
    if headers:
        headers_frame = frame({"header": list(headers), "value": list(headers.values())})
        tables.table(headers_frame, key="headers", alt="Its headers")
    if payload is not None:
        st.code(escaping.block(payload), language=None, wrap_lines=True)

"""The story of one record as a picture: a lane for each system, and on a time axis what was seen of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pandas as pd
import plotly.graph_objects as go

from auditor import escaping
from auditor.dashboard import charts, look
from auditor.dashboard.look import Tone
from auditor.history.figure_text import interval
from checks.convergence import Verdict
from checks.record_history import DivergenceState
from checks.severity import Severity
from probes.durations import format_duration
from probes.wording import counted

LANE_HEIGHT, FRAME_HEIGHT = 64, 110
"""Pixels."""

INCIDENTS = "incidents"
"""The lane below those of the systems."""

_WINDOW = "rgba(76,125,217,0.22)"
_HOVER = "%{text}<extra></extra>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What is on file about one record.

    Attributes:
        owner: the system that owns it.
        routes: by flow, the system that it reads changes from, and the one that receives them.
        changes, divergences, letters, incidents: rows of the views of these names; incidents with `spans`, when each
            was open.
        begin, now: the time range that is shown; `now` is also the end of what is not over.
    """

    owner: str
    routes: Mapping[str, tuple[str, str]]
    changes: pd.DataFrame
    divergences: pd.DataFrame
    letters: pd.DataFrame
    incidents: pd.DataFrame
    begin: datetime
    now: datetime

    @property
    def lanes(self) -> list[str]:
        """The systems, the owner first, and the lane of incidents if there are any."""
        systems = list(dict.fromkeys([self.owner, *(name for route in self.routes.values() for name in route)]))
        return systems if self.incidents.empty else [*systems, INCIDENTS]

    @property
    def versions(self) -> list[tuple[str, datetime, datetime]]:
        """Every version that is on file: the system that made it, and the interval in which it was committed."""
        rows = self.changes.itertuples()
        return sorted({(self.routes[each.flow][0], each.committed_from_at, each.committed_to_at) for each in rows})

    @property
    def copies(self) -> dict[str, list[str]]:
        """By receiving system, the flows that bring it the record."""
        flows: dict[str, list[str]] = {}
        for name, (_, to) in self.routes.items():
            flows.setdefault(to, []).append(name)
        return flows

    def lane(self, flow: str) -> int:
        """The lane of the system that receives the copy of a flow."""
        return self.lanes.index(self.routes[flow][1])


@dataclass(slots=True)
class _Marks:
    """Points of one trace, or pieces of lines with gaps between them."""

    x: list[datetime | None] = field(default_factory=list)
    y: list[int | None] = field(default_factory=list)
    text: list[str] = field(default_factory=list)

    def point(self, lane: int, at: datetime, text: str) -> None:
        self.x.append(at)
        self.y.append(lane)
        self.text.append(text)

    def line(self, begin: tuple[datetime, int], end: tuple[datetime, int], text: str) -> None:
        self.x += [begin[0], end[0], None]
        self.y += [begin[1], end[1], None]
        self.text += [text, text, ""]


def chart(story: Story) -> go.Figure:
    """Draw it: windows and divergences as bars, versions, arrivals, letters and incidents as marks."""
    lanes = story.lanes
    at = {name: row for row, name in enumerate(lanes)}
    figure = charts.chart(
        [],
        FRAME_HEIGHT + LANE_HEIGHT * len(lanes),
        xaxis={"range": _shown(story), "type": "date"},
        yaxis={
            "tickvals": list(range(len(lanes))),
            "ticktext": [escaping.plotly(each) for each in lanes],
            "range": [len(lanes) - 0.4, -0.6],
            "showgrid": True,
            "zeroline": False,
            "fixedrange": True,
        },
    )
    _windows(figure, story)
    _divergences(figure, story)
    _changes(figure, story, at)
    _letters(figure, story)
    _incidents(figure, story, len(lanes) - 1)
    return figure


def text(story: Story) -> str:
    """The same in one sentence, for those who do not see the picture; the tables beside it have the rest."""
    parts = [counted(len(story.versions), "version")]
    for target, flows in story.copies.items():
        mine = story.changes[story.changes["flow"].isin(flows)]
        episodes = int(story.divergences["flow"].isin(flows).sum())
        arrived = int(mine["shown_at"].notna().sum())
        parts.append(f"{target} showed {arrived} of {len(mine)} changes and differed {counted(episodes, 'time')}")
    parts.append(f"{counted(len(story.letters), 'dead letter')}, {counted(len(story.incidents), 'incident')}")
    return f"History of the record on a time axis: {'; '.join(parts)}."


def _shown(story: Story) -> list[datetime] | None:
    """The part of the time axis that is shown first: what happened within the time range, or everything."""
    seen = [at for at in _instants(story) if at >= story.begin]
    if not seen:
        return None
    latest = story.now if _open(story) else max(seen)
    first = min(seen)
    margin = max((latest - first) * 0.04, timedelta(seconds=5))
    return [first - margin, latest + margin]


def _open(story: Story) -> bool:
    return bool(
        story.divergences["closed_at"].isna().any()
        or story.letters["gone_at"].isna().any()
        or (story.changes["verdict"] == Verdict.PENDING).any()
    )


def _instants(story: Story) -> Iterable[datetime]:
    for frame, columns in (
        (story.changes, ("committed_to_at", "shown_at")),
        (story.divergences, ("first_seen_at", "closed_at")),
        (story.letters, ("first_seen_at", "gone_at")),
    ):
        for column in columns:
            yield from frame[column].dropna()
    for each in story.changes.itertuples():
        yield each.committed_to_at + timedelta(seconds=float(each.window_s))


def _windows(figure: go.Figure, story: Story) -> None:
    marks = _Marks()
    for each in story.changes.itertuples():
        lane = story.lane(each.flow)
        until = each.committed_to_at + timedelta(seconds=float(each.window_s))
        words = f"window of {format_duration(each.window_s)} after the change, until {until:%H:%M:%S}"
        marks.line((each.committed_to_at, lane), (until, lane), words)
    _bars(figure, marks, name="window", colour=_WINDOW, width=30)


def _divergences(figure: go.Figure, story: Story) -> None:
    for family in look.FAMILY.values():
        marks = _Marks()
        for each in story.divergences[story.divergences["family"] == family.word].itertuples():
            over = not pd.isna(each.closed_at)
            until = each.closed_at if over else max(story.now, each.first_seen_at)
            sign = look.DIVERGENCE[DivergenceState(each.state)]
            words = (
                f"{look.cause(each.cause).word} ({sign.word}): {each.flow}, {each.first_seen_at:%d %b %H:%M:%S} "
                f"to {f'{until:%d %b %H:%M:%S}' if over else 'now'}"
            )
            lane = story.lane(each.flow)
            marks.line((each.first_seen_at, lane), (until, lane), words)
        _bars(figure, marks, name=family.word, colour=look.HEX[family.tone], width=10)


def _changes(figure: go.Figure, story: Story, at: Mapping[str, int]) -> None:
    ways, versions = _Marks(), _Marks()
    by_sign: dict[str, _Marks] = {}
    for system, begin, end in story.versions:
        words = f"version of {system}, committed {begin:%d %b %H:%M:%S} to {end:%H:%M:%S}"
        versions.point(at[system], end, words)
        ways.line((begin, at[system]), (end, at[system]), words)
    for each in story.changes.itertuples():
        if pd.isna(each.shown_at):
            continue
        lane = story.lane(each.flow)
        sign = look.VERDICT[Verdict(each.verdict)]
        lag = interval(each.lag_lower_s, each.lag_upper_s)
        words = f"{each.flow} showed it at {each.shown_at:%d %b %H:%M:%S}: {sign.word}, lag {lag}"
        by_sign.setdefault(str(each.verdict), _Marks()).point(lane, each.shown_at, words)
        ways.line((each.committed_to_at, at[story.routes[each.flow][0]]), (each.shown_at, lane), words)
    figure.add_scatter(
        x=ways.x,
        y=ways.y,
        mode="lines",
        line={"width": 1.5, "color": look.HEX[Tone.QUIET], "dash": "dot"},
        hoverinfo="skip",
        showlegend=False,
    )
    _points(figure, versions, name="version", colour=look.HEX[Tone.NOTE], symbol="diamond")
    for verdict, marks in by_sign.items():
        sign = look.VERDICT[Verdict(verdict)]
        _points(figure, marks, name=f"arrived: {sign.word}", colour=look.HEX[sign.tone], symbol=_SYMBOLS[sign.tone])


_SYMBOLS = {
    Tone.GOOD: "circle",
    Tone.BAD: "square",
    Tone.LATE: "triangle-right",
    Tone.UNKNOWN: "circle-open",
    Tone.QUIET: "circle-dot",
    Tone.NOTE: "pentagon",
}
"""Marks of an arrival that differ in shape, too."""


def _letters(figure: go.Figure, story: Story) -> None:
    marks = _Marks()
    for each in story.letters.itertuples():
        failed = each.first_seen_at if pd.isna(each.first_failed_at) else each.first_failed_at
        gone = "still waiting" if pd.isna(each.gone_at) else f"gone {each.gone_at:%d %b %H:%M:%S}"
        words = f"dead letter in {each.queue}, {failed:%d %b %H:%M:%S}, {gone}: {each.reason}"
        marks.point(story.lane(each.flow), failed, words)
    _points(figure, marks, name="dead letter", colour=look.HEX[Tone.BAD], symbol="x")


def _incidents(figure: go.Figure, story: Story, lane: int) -> None:
    marks, begun = _Marks(), _Marks()
    for each in story.incidents.itertuples():
        sign = look.SEVERITY[Severity(each.severity)]
        words = f"incident {each.id} ({sign.word}), {look.INCIDENT[each.state].word}: {each.summary}"
        for since, until in each.spans:
            marks.line((since, lane), (until, lane), words)
            begun.point(lane, since, words)
    _bars(figure, marks, name="incident", colour=look.HEX[Tone.BAD], width=4)
    _points(figure, begun, name="incident opened", colour=look.HEX[Tone.BAD], symbol="star", legend=False)


def _bars(figure: go.Figure, marks: _Marks, *, name: str, colour: str, width: float) -> None:
    if marks.x:
        figure.add_scatter(
            x=marks.x,
            y=marks.y,
            text=[escaping.plotly(each) for each in marks.text],
            mode="lines",
            line={"width": width, "color": colour},
            name=escaping.plotly(name),
            hovertemplate=_HOVER,
        )


def _points(figure: go.Figure, marks: _Marks, *, name: str, colour: str, symbol: str, legend: bool = True) -> None:
    if marks.x:
        figure.add_scatter(
            x=marks.x,
            y=marks.y,
            text=[escaping.plotly(each) for each in marks.text],
            mode="markers",
            marker={"size": 12, "color": colour, "symbol": symbol, "line": {"width": 1, "color": "white"}},
            name=escaping.plotly(name),
            showlegend=legend,
            hovertemplate=_HOVER,
        )

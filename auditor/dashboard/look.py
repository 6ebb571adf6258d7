"""One look: how every state, cause, severity and message is shown, by a sign, a word and a colour with a meaning.

A colour is never the only difference: each tone stands beside a word, and signs differ in shape. The tones are those
of Streamlit's theme (`site/.streamlit/config.toml`), so that they follow light and dark; charts, which do not know
the theme, take `HEX`, which is legible on both.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from auditor.dashboard.beats import Beat
from auditor.history.status import FlowStatus
from auditor.history.status import Standing as FlowState
from auditor.map.review import Severity as Weight
from checks.cause import MEANINGS, Cause
from checks.convergence import Verdict
from checks.coverage_days import Covered
from checks.funnel import Fate
from checks.objective_days import DayState
from checks.objectives import Standing as ObjectiveState
from checks.rechecks import RecheckState
from checks.record_history import DivergenceState
from checks.severity import Severity
from checks.silences import SilenceState
from checks.tables import complete


class Tone(StrEnum):
    """What a colour means. The values are names of Streamlit's colours."""

    GOOD = "green"
    BAD = "red"
    LATE = "orange"
    UNKNOWN = "violet"
    QUIET = "gray"
    NOTE = "blue"


HEX = complete(
    {
        Tone.GOOD: "#2E9E7E",
        Tone.BAD: "#DB4A42",
        Tone.LATE: "#C77A12",
        Tone.UNKNOWN: "#9066CF",
        Tone.QUIET: "#8491A3",
        Tone.NOTE: "#4C7DD9",
    }
)
"""The tones in charts; each has a contrast of at least 3 to the light and to the dark background, as WCAG 1.4.11 asks
of graphics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ink:
    """What a chart that draws its own boxes takes from the theme: text, quiet text, the page, a box and its rim."""

    text: str
    quiet: str
    paper: str
    box: str
    rim: str


LIGHT = Ink(text="#0E1622", quiet="#566273", paper="#FFFFFF", box="#F4F6FA", rim="#AAB4C3")
DARK = Ink(text="#E6EAF0", quiet="#A3AFC2", paper="#10151D", box="#1A212C", rim="#566273")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """How one state is shown.

    Attributes:
        glyph: a character that differs in shape from the others of its table.
    """

    word: str
    glyph: str
    tone: Tone

    @property
    def plain(self) -> str:
        """As plain text, for table cells and charts."""
        return f"{self.glyph} {self.word}"

    @property
    def badge(self) -> str:
        """As Markdown."""
        return self.badged(self.word)

    def badged(self, words: str) -> str:
        """As Markdown, with other words, which must be escaped for Markdown."""
        return f":{self.tone}-badge[{self.glyph} {words}]"


FLOW = complete(
    {
        FlowState.CONSISTENT: Sign(word="consistent", glyph="✓", tone=Tone.GOOD),
        FlowState.DRIFT: Sign(word="drift", glyph="≠", tone=Tone.BAD),
        FlowState.PENDING: Sign(word="pending", glyph="…", tone=Tone.LATE),
        FlowState.UNVERIFIED: Sign(word="unverified", glyph="?", tone=Tone.UNKNOWN),
        FlowState.NO_DATA: Sign(word="no data", glyph="–", tone=Tone.QUIET),
    }
)
"""The states of a flow."""

WORST_FIRST = (
    FlowState.DRIFT,
    FlowState.NO_DATA,
    FlowState.UNVERIFIED,
    FlowState.PENDING,
    FlowState.CONSISTENT,
)
"""The states of a flow, the one that asks most for a look first."""


def overall(flows: Sequence[FlowStatus]) -> str:
    """The state of all flows in one badge: how many are in the state that asks most for a look; "" without flows."""
    for state in WORST_FIRST:
        number = sum(each.state == state for each in flows)
        if number and number == len(flows):
            return FLOW[state].badged(f"{FLOW[state].word}, all {number} flows" if number > 1 else FLOW[state].word)
        if number:
            return FLOW[state].badged(f"{FLOW[state].word}, {number} of {len(flows)} flows")
    return ""


def worst(states: Iterable[FlowState]) -> Sign:
    """The sign of the state that asks most for a look."""
    return FLOW[min(states, key=WORST_FIRST.index)]


def legend(counts: Iterable[tuple[Sign, int]]) -> str:
    """What signs in a chart mean, with how often each is there, as Markdown."""
    return " ".join(sign.badged(f"{sign.word}: {number:,}") for sign, number in counts)


OWNER = Sign(word="owner", glyph="◆", tone=Tone.NOTE)
"""A system that owns the records of a data type, which cannot differ from itself."""

AUDITOR: Mapping[str, Sign] = {
    "auditing": Sign(word="auditing", glyph="✓", tone=Tone.GOOD),
    "silent": Sign(word="silent", glyph="!", tone=Tone.LATE),
    "nobody": Sign(word="nobody audits", glyph="✕", tone=Tone.BAD),
}
"""Whether the auditor is alive."""

INCIDENTS: Mapping[str, Sign] = {
    "none": Sign(word="no open incident", glyph="✓", tone=Tone.QUIET),
    "some": Sign(word="open incidents", glyph="●", tone=Tone.BAD),
}
"""Whether an incident is open."""

OBJECTIVE = complete(
    {
        ObjectiveState.KEPT: Sign(word="kept", glyph="✓", tone=Tone.GOOD),
        ObjectiveState.BROKEN: Sign(word="broken", glyph="✕", tone=Tone.BAD),
        ObjectiveState.UNDECIDED: Sign(word="undecided", glyph="?", tone=Tone.UNKNOWN),
        ObjectiveState.NO_TRAFFIC: Sign(word="no traffic", glyph="–", tone=Tone.QUIET),
    }
)
"""The states of an objective."""

WORST_OBJECTIVE_FIRST = (
    ObjectiveState.BROKEN,
    ObjectiveState.UNDECIDED,
    ObjectiveState.KEPT,
    ObjectiveState.NO_TRAFFIC,
)
"""The states of an objective, the one that asks most for a look first."""

DAY = complete(
    {
        DayState.KEPT: OBJECTIVE[ObjectiveState.KEPT],
        DayState.BROKEN: OBJECTIVE[ObjectiveState.BROKEN],
        DayState.UNDECIDED: OBJECTIVE[ObjectiveState.UNDECIDED],
        DayState.NO_TRAFFIC: Sign(word="no traffic", glyph="–", tone=Tone.NOTE),
        DayState.NO_DATA: Sign(word="no data", glyph="○", tone=Tone.QUIET),
    }
)
"""How an objective fared on a day."""

COVERED = complete(
    {
        Covered.ENOUGH: Sign(word="verified", glyph="✓", tone=Tone.GOOD),
        Covered.PART: Sign(word="in part", glyph="◐", tone=Tone.LATE),
        Covered.NONE: Sign(word="not verified", glyph="✕", tone=Tone.BAD),
        Covered.NOTHING_DUE: Sign(word="nothing due", glyph="–", tone=Tone.NOTE),
        Covered.NO_DATA: Sign(word="no data", glyph="○", tone=Tone.QUIET),
    }
)
"""How well a day is verified."""

SEVERITY = complete(
    {
        Severity.CRITICAL: Sign(word="critical", glyph="▲▲", tone=Tone.BAD),
        Severity.HIGH: Sign(word="high", glyph="▲", tone=Tone.LATE),
        Severity.LOW: Sign(word="low", glyph="▽", tone=Tone.QUIET),
    }
)
"""How severe an incident is."""

REMARK = complete(
    {
        Weight.HIGH: SEVERITY[Severity.HIGH],
        Weight.MEDIUM: Sign(word="medium", glyph="△", tone=Tone.NOTE),
        Weight.LOW: SEVERITY[Severity.LOW],
    }
)
"""How much a remark about the map's design matters."""

INCIDENT: Mapping[str, Sign] = {
    "open": Sign(word="open", glyph="●", tone=Tone.BAD),
    "acknowledged": Sign(word="acknowledged", glyph="◐", tone=Tone.NOTE),
    "snoozed": Sign(word="snoozed", glyph="◌", tone=Tone.QUIET),
    "resolved": Sign(word="resolved", glyph="✓", tone=Tone.GOOD),
}
"""The states of an incident."""

MESSAGE: Mapping[str, Sign] = {
    "pending": Sign(word="waiting", glyph="…", tone=Tone.LATE),
    "sending": Sign(word="being sent", glyph="→", tone=Tone.NOTE),
    "sent": Sign(word="sent", glyph="✓", tone=Tone.GOOD),
    "failed": Sign(word="not delivered", glyph="✕", tone=Tone.BAD),
    "silenced": Sign(word="silenced", glyph="◌", tone=Tone.QUIET),
    "withdrawn": Sign(word="over before it was due", glyph="–", tone=Tone.QUIET),
}
"""The states of a message of the outbox."""

MAP_FILE: Mapping[str, Sign] = {
    "valid": Sign(word="valid", glyph="✓", tone=Tone.GOOD),
}
"""Whether the map's file can be put in force."""

SETUP_STEP: Mapping[str, Sign] = {
    "done": Sign(word="done", glyph="✓", tone=Tone.GOOD),
    "now": Sign(word="now", glyph="→", tone=Tone.NOTE),
    "later": Sign(word="later", glyph="–", tone=Tone.QUIET),
}
"""How far a set-up has come with a step."""

MAP_LOAD: Mapping[str, Sign] = {
    "loaded": Sign(word="loaded", glyph="✓", tone=Tone.GOOD),
    "unchanged": Sign(word="unchanged", glyph="–", tone=Tone.QUIET),
    "refused": Sign(word="refused", glyph="✕", tone=Tone.BAD),
}
"""What became of a map that was read."""

CONFLICT: Mapping[str, Sign] = {
    "open": Sign(word="open", glyph="●", tone=Tone.BAD),
    "deferred": Sign(word="deferred", glyph="◌", tone=Tone.QUIET),
    "decided": Sign(word="decided", glyph="→", tone=Tone.NOTE),
    "overdue": Sign(word="decided, not carried out", glyph="✕", tone=Tone.BAD),
    "kept": Sign(word="kept", glyph="✓", tone=Tone.GOOD),
    "not_kept": Sign(word="not kept", glyph="✕", tone=Tone.BAD),
    "settled": Sign(word="settled by itself", glyph="✓", tone=Tone.GOOD),
}
"""The states of a conflict."""

DIVERGENCE = complete(
    {
        DivergenceState.OPEN: Sign(word="open", glyph="●", tone=Tone.BAD),
        DivergenceState.SUSPECTED: Sign(word="suspected", glyph="?", tone=Tone.UNKNOWN),
        DivergenceState.CLOSED: Sign(word="closed", glyph="✓", tone=Tone.GOOD),
        DivergenceState.DISMISSED: Sign(word="dismissed", glyph="–", tone=Tone.QUIET),
    }
)
"""The states of a divergence."""

VERDICT = complete(
    {
        Verdict.MET: Sign(word="in time", glyph="✓", tone=Tone.GOOD),
        Verdict.BREACH: Sign(word="missed its window", glyph="✕", tone=Tone.BAD),
        Verdict.BREACH_THEN_CONVERGED: Sign(word="late", glyph="◷", tone=Tone.LATE),
        Verdict.UNDECIDED: Sign(word="undecided", glyph="?", tone=Tone.UNKNOWN),
        Verdict.SUPERSEDED: Sign(word="superseded", glyph="–", tone=Tone.QUIET),
        Verdict.PENDING: Sign(word="pending", glyph="…", tone=Tone.NOTE),
    }
)
"""What became of a change."""

RECHECK = complete(
    {
        RecheckState.ASKED: Sign(word="asked", glyph="…", tone=Tone.NOTE),
        RecheckState.NOT_READ: Sign(word="not read", glyph="–", tone=Tone.QUIET),
        RecheckState.AGREES: Sign(word="agrees", glyph="✓", tone=Tone.GOOD),
        RecheckState.ON_ITS_WAY: Sign(word="on its way", glyph="→", tone=Tone.NOTE),
        RecheckState.MAY_DIFFER: Sign(word="may differ", glyph="◷", tone=Tone.LATE),
        RecheckState.DIFFERS: Sign(word="differs", glyph="≠", tone=Tone.BAD),
        RecheckState.CANNOT_VERIFY: Sign(word="cannot verify", glyph="?", tone=Tone.UNKNOWN),
        RecheckState.NOT_FOUND: Sign(word="not found", glyph="∅", tone=Tone.UNKNOWN),
    }
)
"""What became of a request to read a record."""

SILENCE = complete(
    {
        SilenceState.HOLDS: Sign(word="holds", glyph="◌", tone=Tone.NOTE),
        SilenceState.TO_COME: Sign(word="to come", glyph="◷", tone=Tone.LATE),
        SilenceState.ENDED: Sign(word="ended", glyph="–", tone=Tone.QUIET),
        SilenceState.OVER: Sign(word="over", glyph="✓", tone=Tone.QUIET),
    }
)
"""How a silence stands."""

FATE = complete(
    {
        Fate.WAITING: Tone.LATE,
        Fate.NOT_READ: Tone.QUIET,
        Fate.AGREES: Tone.GOOD,
        Fate.DIFFERS: Tone.BAD,
        Fate.NOT_KNOWN: Tone.UNKNOWN,
    }
)
"""What became of dead letters."""

FAMILY: Mapping[str, Sign] = {
    "timing": Sign(word="timing", glyph="◷", tone=Tone.LATE),
    "ownership": Sign(word="ownership", glyph="⚑", tone=Tone.BAD),
    "validity": Sign(word="validity", glyph="!", tone=Tone.UNKNOWN),
    "unexplained": Sign(word="unexplained", glyph="?", tone=Tone.QUIET),
}
"""The families of causes."""


def cause(name: Cause | str) -> Sign:
    """How a cause is shown: its own word, and the rest from its family."""
    family = FAMILY[MEANINGS[Cause(name)].family]
    return Sign(word=str(name).replace("_", " "), glyph=family.glyph, tone=family.tone)


BEATS = complete(
    {
        Beat.DIFFERS: (Tone.BAD, 1.0),
        Beat.LATE: (Tone.LATE, 0.8),
        Beat.CANNOT_VERIFY: (Tone.UNKNOWN, 0.6),
        Beat.AGREES: (Tone.GOOD, 0.4),
        Beat.NO_DATA: (Tone.QUIET, 0.1),
    }
)
"""Colour and height of a beat: the graver, the higher, so that no strip needs colours to be read."""

_BEAT_WIDTH, _BEAT_GAP, _STRIP_HEIGHT = 4, 1, 28


def strip(beats: Iterable[Beat]) -> str:
    """Draw beats as an image, oldest first.

    Returns:
        A `data:` address of an SVG, made of constants and numbers only.
    """
    bars = []
    across = 0
    for beat in beats:
        tone, height = BEATS[beat]
        tall = round(height * _STRIP_HEIGHT)
        bars.append(
            f'<rect x="{across}" y="{_STRIP_HEIGHT - tall}" width="{_BEAT_WIDTH}" height="{tall}" rx="1" '
            f'fill="{HEX[tone]}"/>'
        )
        across += _BEAT_WIDTH + _BEAT_GAP
    return _image("".join(bars), max(across - _BEAT_GAP, 1), _STRIP_HEIGHT)


_SPARK_WIDTH, _SPARK_HEIGHT, _SPARK_RIM = 240, 44, 2


def sparkline(figures: Sequence[float | None], *, bars: bool = False, least: float | None = None) -> str:
    """Draw figures over time, the first on the left: as bars from zero, or as a curve with a gap for each None.

    Args:
        figures: two or more, at least one of them known.
        least: what a curve begins at; by default the lowest figure.

    Returns:
        As `strip`.
    """
    known = [each for each in figures if each is not None]
    low, high = 0 if bars else min(known) if least is None else least, max(known)
    room = _SPARK_HEIGHT - 2 * _SPARK_RIM
    heights = [None if each is None else _SPARK_RIM + room * (each - low) / ((high - low) or 1) for each in figures]
    step = _SPARK_WIDTH / (len(figures) - (not bars))
    tone = HEX[Tone.NOTE]
    if bars:
        shapes = "".join(
            f'<rect x="{at * step:.1f}" y="{_SPARK_HEIGHT - tall:.1f}" width="{max(step - 1, 1):.1f}" '
            f'height="{tall - _SPARK_RIM:.1f}" fill="{tone}"/>'
            for at, (tall, figure) in enumerate(zip(heights, figures, strict=True))
            if figure and tall is not None
        )
        ground = f'<path d="M0 {_SPARK_HEIGHT - 1}H{_SPARK_WIDTH}" stroke="{tone}" stroke-opacity="0.5"/>'
        return _image(shapes + ground, _SPARK_WIDTH, _SPARK_HEIGHT)
    points = [None if tall is None else (at * step, _SPARK_HEIGHT - tall) for at, tall in enumerate(heights)]
    pieces = []
    for certain, stretch in itertools.groupby(points, lambda each: each is not None):
        if certain:
            pieces.append(_curve([each for each in stretch if each is not None], tone))
    return _image("".join(pieces), _SPARK_WIDTH, _SPARK_HEIGHT)


def _curve(points: Sequence[tuple[float, float]], colour: str) -> str:
    """A stretch of a curve without a gap, and the area below it; a single point is a dot."""
    (begin, first), (end, _) = points[0], points[-1]
    if len(points) == 1:
        across = min(max(begin, _SPARK_RIM), _SPARK_WIDTH - _SPARK_RIM)
        return f'<circle cx="{across:.1f}" cy="{first:.1f}" r="{_SPARK_RIM}" fill="{colour}"/>'
    line = " ".join(f"{across:.1f},{down:.1f}" for across, down in points)
    below = f"{line} {end:.1f},{_SPARK_HEIGHT} {begin:.1f},{_SPARK_HEIGHT}"
    return (
        f'<polygon points="{below}" fill="{colour}" fill-opacity="0.15"/>'
        f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>'
    )


_BUDGET_WIDTH, _BUDGET_HEIGHT = 74, 12

LOW = 0.25
"""Below this share an error budget is shown as running out."""


def budget(least: float, most: float) -> str:
    """Draw what is left of an error budget, at least and at most: a bar that is empty when it is used up.

    What may be left, because some changes are undecided, is paler.

    Returns:
        As `strip`.
    """
    certain, possible = (round(min(max(each, 0.0), 1.0) * _BUDGET_WIDTH) for each in (least, most))
    tone = Tone.BAD if most < 0 else Tone.UNKNOWN if least < 0 else Tone.LATE if least < LOW else Tone.GOOD
    top = (_STRIP_HEIGHT - _BUDGET_HEIGHT) // 2
    rim = (
        f'<rect x="0.5" y="{top + 0.5}" width="{_BUDGET_WIDTH - 1}" height="{_BUDGET_HEIGHT - 1}" rx="2" '
        f'fill="none" stroke="{HEX[tone]}"/>'
    )
    bars = "".join(
        f'<rect x="{begin}" y="{top}" width="{end - begin}" height="{_BUDGET_HEIGHT}" fill="{HEX[tone]}"{pale}/>'
        for begin, end, pale in ((0, certain, ""), (certain, possible, ' fill-opacity="0.4"'))
        if end > begin
    )
    return _image(rim + bars, _BUDGET_WIDTH, _STRIP_HEIGHT)


def _image(shapes: str, width: int, height: int) -> str:
    drawing = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">{shapes}</svg>'
    )
    return f"data:image/svg+xml;base64,{base64.b64encode(drawing.encode()).decode()}"

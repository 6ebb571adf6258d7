"""The integration map as an ECharts graph: what stands where, and how every flow does. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auditor import escaping
from auditor.dashboard import look
from auditor.history.status import Standing as FlowState
from auditor.map.diagram import BELOW_ROOM, LABEL_ROOM, NAME_ROOM, fit, readers, role, shortened
from auditor.map.integration_map import IntegrationMap
from auditor.map.layout import BOX_HEIGHT, BOX_WIDTH, Box, Layout, Line

SYSTEM, FLOW, CONSUMER = "system", "flow", "consumer"
"""What can be picked; each before a blank and its name."""

THINNEST, THICKEST = 1.5, 5.0
"""Lines of flows without changes, and with the most."""

SCALES = (1.3, 1.15, 1.0, 0.92, 0.84, 0.76, 0.7, 0.64, 0.62)
"""By how much the picture is drawn larger; the first that fits is taken."""

BESIDE_PANEL, ALONE = 860, 1110
"""The width that a picture has on a screen of 1440 pixels, beside the panel and without it."""

ROOM = ALONE / min(SCALES)
"""The width of a layout that can be shown whole on such a screen."""

_FONT, _SMALL, _LEAST_FONT = 13, 11.5, 10.5
_BADGE_HEIGHT = 17
_AROUND, _SHORTEST = 26, 380
"""Above and below the picture, for the toolbox; and the least height of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowFigures:
    """What the picture shows of a flow.

    Attributes:
        differing: records that differ now.
        changes: in the time range.
        lag: in words.
        dead: dead letters that wait, "" for none.
    """

    state: FlowState
    differing: int
    changes: int
    lag: str
    dead: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MapChart:
    """The picture.

    Attributes:
        options: for ECharts.
        height: in pixels.
        legible_width: in pixels, which a narrow screen gives it and scrolls; at just this width, a drag scrolls and
            does not move the picture.
        least_width: in pixels, which a large screen gives it at least, likewise.
        wide: it needs the whole width of a page.
        nodes, edges: by index in the chart, what a click picks; "" for nothing.
    """

    options: dict[str, Any]
    height: int
    legible_width: int
    least_width: int
    wide: bool
    nodes: Sequence[str]
    edges: Sequence[str]

    def picked(self, data_type: str, indices: Sequence[int]) -> str:
        """What a click on these picks, "" for nothing."""
        meant = self.edges if data_type == "edge" else self.nodes
        return next((meant[at] for at in indices if at < len(meant) and meant[at]), "")


def weight(changes: int, most: int) -> float:
    """The width of a flow's line in pixels: by orders of magnitude, as volumes differ by these."""
    if not changes or not most:
        return THINNEST
    return round(THINNEST + (THICKEST - THINNEST) * math.log1p(changes) / math.log1p(most), 1)


def draw(
    integration_map: IntegrationMap,
    layout: Layout,
    figures: Mapping[str, FlowFigures],
    *,
    unreadable: Collection[str],
    ink: look.Ink,
) -> MapChart:
    """Draw the map.

    Args:
        layout: of what is shown.
        figures: by flow.
        unreadable: systems that cannot be read now.
    """
    sheet = _Sheet(layout, ink)
    most = max((figures[name].changes for name in layout.flows), default=0)
    quiet = look.HEX[look.Tone.QUIET]
    rooms = _Rooms(_expected(layout.width))
    names = shortened(layout.systems, rooms.bold(NAME_ROOM))
    consumers = readers(integration_map)
    called = shortened({each.name for each in consumers.values()}, rooms.bold(NAME_ROOM - 2))
    types = shortened(integration_map.data_types, rooms.bold(LABEL_ROOM))
    for (_, who), line in layout.reads.items():
        sheet.line(line, f"{CONSUMER} {who}", colour=quiet, width=1, arrows=("none", "none"), opacity=0.65)
    for name, line in layout.flows.items():
        both = integration_map.flows[name].direction == "two-way"
        sheet.line(
            line,
            f"{FLOW} {name}",
            colour=look.HEX[look.FLOW[figures[name].state].tone],
            width=weight(figures[name].changes, most),
            arrows=("arrow" if both or line.back else "none", "arrow" if both or not line.back else "none"),
        )
    for name, box in layout.systems.items():
        failing = name in unreadable
        below = "cannot be read" if failing else role(integration_map, name, rooms.small(BELOW_ROOM))
        glyph = f"{escaping.echarts_styled('bad', '✕')} " if failing else ""
        told = escaping.echarts_styled("quiet", below)
        text = f"{escaping.echarts_styled('name', names[name])}\n{glyph}{told}"
        rim = look.HEX[look.Tone.BAD] if failing else ink.rim
        sheet.box(box, f"{SYSTEM} {name}", text, fill=ink.box, rim=rim, thick=2.5 if failing else 1.2)
    for who, consumer in consumers.items():
        if who in layout.consumers:
            text = (
                f"{escaping.echarts_styled('name', called[consumer.name])}\n"
                f"{escaping.echarts_styled('quiet', consumer.role.replace('-', ' '))}"
            )
            sheet.box(layout.consumers[who], f"{CONSUMER} {who}", text, fill=ink.paper, rim=ink.rim, round_=True)
    for name, line in layout.flows.items():
        _label(sheet, line, name, types[integration_map.flows[name].data_type], figures[name])
    for heading in layout.headings:
        text = escaping.echarts_styled("quiet", fit(heading.text, rooms.small(BELOW_ROOM)))
        sheet.text(heading.x, heading.y, text)
    return sheet.chart()


def _label(sheet: _Sheet, line: Line, name: str, data_type: str, figures: FlowFigures) -> None:
    """What stands on a flow's line: data type, state, lag against window, and a badge for dead letters."""
    if line.label is None:
        return
    sign = look.FLOW[figures.state]
    count = f" · {figures.differing:,}" if figures.differing else ""
    text = (
        f"{escaping.echarts_styled('name', data_type)}\n"
        f"{escaping.echarts_styled('glyph', sign.glyph)} {escaping.echarts_styled('word', sign.word + count)}\n"
        f"{escaping.echarts_styled('quiet', figures.lag)}"
    )
    colour = look.HEX[sign.tone]
    picks = f"{FLOW} {name}"
    sheet.box(line.label, picks, text, fill=sheet.ink.paper, rim=colour, thick=1.6, glyph=colour)
    if figures.dead:
        words = f"✉ {figures.dead}"
        badge = Box(
            x=line.label.right - 6,
            y=line.label.top,
            width=12 + 6.5 * len(words),
            height=_BADGE_HEIGHT,
        )
        bad = look.HEX[look.Tone.BAD]
        sheet.box(badge, picks, escaping.echarts_styled("badge", words), fill=bad, rim=sheet.ink.paper, round_=True)


class _Sheet:
    """The chart while it is being drawn."""

    def __init__(self, layout: Layout, ink: look.Ink) -> None:
        self.layout = layout
        self.ink = ink
        self.data: list[dict[str, Any]] = []
        self.links: list[dict[str, Any]] = []
        self.nodes: list[str] = []
        self.edges: list[str] = []
        for x, y in ((0, 0), (layout.width, layout.height)):  # the ends of the sheet, which the chart fits into view
            self._node(x, y, "", {})

    def _node(self, x: float, y: float, picks: str, more: Mapping[str, Any]) -> int:
        self.data.append({"x": round(x, 1), "y": round(y, 1), **more})
        self.nodes.append(picks)
        return len(self.data) - 1

    def line(
        self, line: Line, picks: str, *, colour: str, width: float, arrows: tuple[str, str], opacity: float = 1
    ) -> None:
        """A line, as a chain of short edges; a graph's own edges cannot bend twice."""
        points = [self._node(x, y, picks, {}) for x, y in line.points(8)]
        style = {"color": colour, "width": width, "opacity": opacity, "cap": "round"}
        for at, (begin, end) in enumerate(itertools.pairwise(points)):
            ends = [arrows[0] if at == 0 else "none", arrows[1] if at == len(points) - 2 else "none"]
            edge: dict[str, Any] = {"source": begin, "target": end, "lineStyle": style}
            if ends != ["none", "none"]:
                edge |= {"symbol": ends, "symbolSize": 7 + width}
            self.links.append(edge)
            self.edges.append(picks)

    def box(
        self,
        box: Box,
        picks: str,
        text: str,
        *,
        fill: str,
        rim: str,
        thick: float = 1.2,
        round_: bool = False,
        glyph: str = "",
    ) -> None:
        """A box with a text, which must be escaped for ECharts.

        Its rim is a larger box below it, because ECharts stretches a border with its symbol.
        """
        radius = min(box.height, BOX_HEIGHT) / 2 if round_ else 7
        label: dict[str, Any] = {"show": True, "formatter": text}
        if glyph:
            label["rich"] = {"glyph": {"color": glyph}}
        self._node(box.x, box.y, picks, _shape(box.width, box.height, radius, rim))
        inner = _shape(box.width - 2 * thick, box.height - 2 * thick, radius - thick, fill)
        self._node(box.x, box.y, picks, {**inner, "label": label})

    def text(self, x: float, y: float, text: str) -> None:
        """A text without a box, which must be escaped for ECharts."""
        label = {"show": True, "formatter": text}
        self._node(
            x, y, "", {"symbol": "rect", "symbolSize": 1, "itemStyle": {"color": "transparent"}, "label": label}
        )

    def chart(self) -> MapChart:
        """The finished chart."""
        width, height = self.layout.width, self.layout.height
        series = {
            "type": "graph",
            "layout": "none",
            "coordinateSystem": None,
            "selectedMode": "single",
            "roam": True,
            "scaleLimit": {"min": 0.5, "max": 4},
            "nodeScaleRatio": 1,
            "left": "center",
            "top": "middle",
            "width": width,
            "height": height,
            "symbolSize": 0,
            "edgeSymbol": ["none", "none"],
            "emphasis": {"disabled": True},
            "select": {"itemStyle": {"borderColor": look.HEX[look.Tone.NOTE], "borderWidth": 3}},
            "label": self._fonts(1.0),
            "data": self.data,
            "links": self.links,
        }
        return MapChart(
            options={
                "animation": False,
                "tooltip": {"show": False},
                "series": [series],
                "media": self._media(),
            },
            height=max(round(height * _expected(width)) + 2 * _AROUND, _SHORTEST),
            legible_width=self._legible_width(),
            least_width=self._least_width(),
            wide=width * min(SCALES) > BESIDE_PANEL,
            nodes=self.nodes,
            edges=self.edges,
        )

    def _fonts(self, scale: float) -> dict[str, Any]:
        """Fonts for a picture of this scale, never too small to read."""
        font, small = max(_LEAST_FONT, _FONT * scale), max(_LEAST_FONT, _SMALL * scale)
        ink, line = self.ink, max(_LEAST_FONT + 0.5, 15 * scale)
        return {
            "color": ink.text,
            "fontSize": small,
            "lineHeight": line,
            "width": round((BOX_WIDTH - 6) * scale),
            "overflow": "truncate",
            "rich": {
                "name": {"color": ink.text, "fontSize": font, "fontWeight": 600, "lineHeight": line},
                "quiet": {"color": ink.quiet, "fontSize": small, "lineHeight": line},
                "word": {"color": ink.text, "fontSize": small, "lineHeight": line},
                "glyph": {"color": ink.text, "fontSize": font, "fontWeight": 700, "lineHeight": line},
                "bad": {"color": look.HEX[look.Tone.BAD], "fontSize": font, "fontWeight": 700},
                "badge": {"color": "#FFFFFF", "fontSize": max(_LEAST_FONT, 11 * scale), "fontWeight": 700},
            },
        }

    def _media(self) -> list[dict[str, Any]]:
        """The scale for each size of the picture: of the rules that match, the last one counts.

        The one without a query counts if none matches; it shows the left part of a picture that is too wide.
        """
        width, height = self.layout.width, self.layout.height
        least = min(SCALES)
        views: list[dict[str, Any]] = [{"option": self._view(least, left=-width * (1 - least) / 2)}]
        for scale in sorted(SCALES):
            fits = {"minWidth": round(width * scale), "minHeight": round(height * scale)}
            views.append({"query": fits, "option": self._view(scale, left="center")})
        for scrolled, scale in ((self._least_width(), least), (self._legible_width(), _expected(width))):
            just = {"minWidth": scrolled, "maxWidth": scrolled}
            views.append({"query": just, "option": self._view(scale, left="center", roam=False)})
        return views

    def _view(self, scale: float, left: float | str, *, roam: bool = True) -> dict[str, Any]:
        return {"series": [{"zoom": scale, "left": left, "roam": roam, "label": self._fonts(scale)}]}

    def _least_width(self) -> int:
        return math.ceil(self.layout.width * min(SCALES))

    def _legible_width(self) -> int:
        return math.ceil(self.layout.width * _expected(self.layout.width))


@dataclass(frozen=True, slots=True)
class _Rooms:
    """How many columns of a font fit where so many fit at full size, given that fonts do not shrink with boxes."""

    scale: float

    def bold(self, columns: int) -> int:
        """Of names."""
        return math.floor(columns * min(1.0, self.scale * _FONT / _LEAST_FONT))

    def small(self, columns: int) -> int:
        """Of what stands below them."""
        return math.ceil(columns * min(1.0, self.scale * _SMALL / _LEAST_FONT))


def _expected(width: float) -> float:
    """The scale at which a picture of this width is shown on a screen of 1440 pixels."""
    room = ALONE if width * min(SCALES) > BESIDE_PANEL else BESIDE_PANEL
    return next((scale for scale in SCALES if scale <= 1 and width * scale <= room), min(SCALES))


def _shape(wide: float, tall: float, radius: float, colour: str) -> dict[str, Any]:
    """A node with round corners, as a path, because ECharts stretches the corners of its own boxes."""
    turn = f"A{radius} {radius} 0 0 1"
    path = (
        f"M{radius} 0H{wide - radius}{turn} {wide} {radius}V{tall - radius}{turn} {wide - radius} {tall}"
        f"H{radius}{turn} 0 {tall - radius}V{radius}{turn} {radius} 0Z"
    )
    return {"symbol": f"path://{path}", "symbolSize": [wide, tall], "itemStyle": {"color": colour}}

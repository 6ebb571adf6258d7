"""Where systems, flows and consumers stand in a picture of the map: in columns, from owners to readers. Pure.

Lengths are in pixels at full size. What a column holds is grouped by kind of system; its order and the heights follow
the layered method of Sugiyama, Tagawa and Toda (1981): long lines get a place of their own in the columns they pass,
barycentres reduce crossings, and everything then moves as near to its neighbours as it can without an overlap.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

BOX_WIDTH, BOX_HEIGHT = 132, 50
CONSUMER_WIDTH = 124
LABEL_WIDTH, LABEL_HEIGHT = 108, 54
HEADING_HEIGHT = 22
"""What the kind of a group of systems takes above it."""

MARGIN = 12
_BETWEEN = 20
"""Between two boxes of a group, and between two groups."""

_BETWEEN_LABELS = 10
_LINE_HEIGHT = 12
"""What a line without a label keeps free."""

_PORT_GAP = 12
_BEND_LEAST, _BEND_MOST, _BEND_PER_LINE = 24, 42, 2
"""The width in which lines bend, on each side of their labels."""

_BEND_TIGHT = 16
"""The least of it, where the picture would else be too wide."""

_SWEEPS = 12

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle by its centre."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> float:
        """Its left side."""
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        """Its right side."""
        return self.x + self.width / 2

    @property
    def top(self) -> float:
        """Its upper side."""
        return self.y - self.height / 2

    @property
    def bottom(self) -> float:
        """Its lower side."""
        return self.y + self.height / 2

    def overlaps(self, other: Box) -> bool:
        """Whether they have more than an edge in common."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line from the left to the right: bends and level stretches in turn, beginning and ending with a bend.

    Attributes:
        stops: where bends begin and end.
        back: the flow leads from the right end to the left one, because it closes a circle.
        label: where its label stands; None for a line without one.
    """

    stops: tuple[Point, ...]
    back: bool
    label: Box | None

    def points(self, per_bend: int = 10) -> list[Point]:
        """Points along the line, near enough to each other to look like a curve."""
        found = [self.stops[0]]
        for begin, end in zip(self.stops[::2], self.stops[1::2], strict=True):
            if found[-1] != begin:
                found.append(begin)
            straight = abs(end[1] - begin[1]) < 1
            steps = 1 if straight else per_bend
            found += [_bend(begin, end, step / steps) for step in range(1, steps + 1)]
        return found

    @property
    def path(self) -> str:
        """The line as the `d` of an SVG path."""
        parts = [f"M{self.stops[0][0]:.1f} {self.stops[0][1]:.1f}"]
        for at, ((x0, y0), (x1, y1)) in enumerate(zip(self.stops[::2], self.stops[1::2], strict=True)):
            middle = (x0 + x1) / 2
            parts.append(f"L{x0:.1f} {y0:.1f}" if at else "")
            parts.append(f"C{middle:.1f} {y0:.1f} {middle:.1f} {y1:.1f} {x1:.1f} {y1:.1f}")
        return "".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """The kind of the systems below it; centred."""

    text: str
    x: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where everything stands.

    Attributes:
        systems, consumers: their boxes, by name.
        flows: their lines, by name.
        reads: the lines from systems to consumers, by both.
    """

    width: float
    height: float
    systems: Mapping[str, Box]
    consumers: Mapping[str, Box]
    headings: Sequence[Heading]
    flows: Mapping[str, Line]
    reads: Mapping[tuple[str, str], Line]


def columns(systems: Sequence[str], flows: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Systems by their distance from an owner in flows; a flow that would close a circle does not count."""
    leads: dict[str, set[str]] = defaultdict(set)

    def reaches(begin: str, end: str) -> bool:
        seen, waiting = {begin}, [begin]
        while waiting:
            fresh = leads[waiting.pop()] - seen
            seen |= fresh
            waiting += fresh
        return end in seen

    for source, target in flows:
        if not reaches(target, source):
            leads[source].add(target)
    depth = dict.fromkeys(systems, 0)
    for _ in depth:
        for source, targets in leads.items():
            for target in targets:
                depth[target] = max(depth[target], depth[source] + 1)
    found: dict[int, list[str]] = defaultdict(list)
    for name, at in depth.items():
        found[at].append(name)
    return [found[at] for at in sorted(found)]


def lay_out(
    systems: Mapping[str, str],
    flows: Mapping[str, tuple[str, str]],
    reads: Sequence[tuple[str, str]],
    *,
    room: float = math.inf,
) -> Layout:
    """Lay a map out.

    Args:
        systems: the kind of each system, by its name.
        flows: source and target of each flow, by its name.
        reads: systems and who consumes their records.
        room: the width to keep to if columns that are nearer to each other suffice for that.
    """
    grid = _Grid(systems, flows, list(dict.fromkeys(reads)), room)
    grid.order()
    grid.align()
    return grid.drawn()


_Item = tuple[str, ...]
"""Something in a column: ("system", name), ("consumer", name), or ("line", number, column), a line that passes."""


class _Grid:
    """The columns while they are being arranged."""

    def __init__(
        self,
        systems: Mapping[str, str],
        flows: Mapping[str, tuple[str, str]],
        reads: Sequence[tuple[str, str]],
        room: float,
    ) -> None:
        self.room = room
        self.kinds = systems
        self.flows = flows
        self.reads = reads
        self.columns: list[list[_Item]] = [
            [("system", name) for name in column] for column in columns(list(systems), list(flows.values()))
        ]
        if reads:
            self.columns.append([("consumer", name) for name in dict.fromkeys(who for _, who in reads)])
        at = {item: number for number, column in enumerate(self.columns) for item in column}
        self.back: list[bool] = []
        self.links: list[list[_Item]] = []
        ends: list[tuple[_Item, _Item]] = [
            (("system", source), ("system", target)) for source, target in flows.values()
        ]
        ends += [(("system", system), ("consumer", who)) for system, who in reads]
        for number, (source, target) in enumerate(ends):
            back = at[source] > at[target]
            left, right = (target, source) if back else (source, target)
            passing = [("line", f"{number}", f"{column}") for column in range(at[left] + 1, at[right])]
            for item in passing:
                self.columns[int(item[2])].append(item)
            self.back.append(back)
            self.links.append([left, *passing, right])
        self.first = [at[link[0]] for link in self.links]
        self.neighbours: dict[_Item, list[_Item]] = defaultdict(list)
        self.ports: dict[tuple[_Item, bool], list[int]] = defaultdict(list)
        for number, link in enumerate(self.links):
            for left, right in itertools.pairwise(link):
                self.neighbours[left].append(right)
                self.neighbours[right].append(left)
            self.ports[link[0], True].append(number)
            self.ports[link[-1], False].append(number)
        self.column_of = {item: number for number, column in enumerate(self.columns) for item in column}
        self.y: dict[_Item, float] = {}

    def order(self) -> None:
        """Order each column by the barycentres of its neighbours, kinds together."""
        for number, column in enumerate(self.columns):
            self._sort(number, {item: float(at) for at, item in enumerate(column)})
        for sweep in range(_SWEEPS):
            numbers = range(1, len(self.columns)) if sweep % 2 == 0 else range(len(self.columns) - 2, -1, -1)
            for number in numbers:
                beside = number - 1 if sweep % 2 == 0 else number + 1
                place = {
                    item: at / max(len(self.columns[beside]) - 1, 1) for at, item in enumerate(self.columns[beside])
                }
                mine = len(self.columns[number])
                weight = {}
                for at, item in enumerate(self.columns[number]):
                    near = [place[each] for each in self.neighbours[item] if each in place]
                    weight[item] = sum(near) / len(near) if near else at / max(mine - 1, 1)
                self._sort(number, weight)

    def _sort(self, number: int, weight: Mapping[_Item, float]) -> None:
        groups: dict[_Item, list[_Item]] = defaultdict(list)
        for item in self.columns[number]:
            groups[self._group(item)].append(item)
        mean = {name: sum(weight[each] for each in group) / len(group) for name, group in groups.items()}
        loose = {name: not any(self.neighbours[each] for each in group) for name, group in groups.items()}
        ordered = sorted(groups, key=lambda name: (loose[name], mean[name]))
        self.columns[number] = [item for name in ordered for item in sorted(groups[name], key=weight.__getitem__)]

    def _group(self, item: _Item) -> _Item:
        return ("kind", self.kinds[item[1]]) if item[0] == "system" else item if item[0] == "line" else ("consumers",)

    def height(self, item: _Item) -> float:
        if item[0] == "line":
            return _LINE_HEIGHT
        ports = max(len(self.ports[item, side]) for side in (False, True))
        return max(BOX_HEIGHT, (ports + 1) * _PORT_GAP)

    def headed(self, number: int, at: int) -> bool:
        """Whether the item begins a group of systems."""
        column = self.columns[number]
        return column[at][0] == "system" and (at == 0 or self._group(column[at]) != self._group(column[at - 1]))

    def align(self) -> None:
        """Give each item its height in the picture, as near to its neighbours as possible."""
        for number, column in enumerate(self.columns):
            self._put(number, dict.fromkeys(column, 0.0))
        for sweep in range(_SWEEPS):
            numbers = range(len(self.columns)) if sweep % 2 == 0 else range(len(self.columns) - 1, -1, -1)
            for number in numbers:
                wanted = {}
                for item in self.columns[number]:
                    near = [self.y[each] for each in self.neighbours[item]]
                    wanted[item] = sum(near) / len(near) if near else self.y[item]
                self._put(number, wanted)

    def _put(self, number: int, wanted: Mapping[_Item, float]) -> None:
        column = self.columns[number]
        gaps = [
            (self.height(before) + self.height(item)) / 2
            + (_BETWEEN if {before[0], item[0]} != {"line"} else 4)
            + (HEADING_HEIGHT if self.headed(number, at + 1) else 0)
            for at, (before, item) in enumerate(itertools.pairwise(column))
        ]
        self.y.update(zip(column, spread([wanted[item] for item in column], gaps), strict=True))

    def drawn(self) -> Layout:
        """The finished picture."""
        lanes, labelled = self._lanes()
        x, width = self._across(lanes, labelled)
        boxes = {
            item: Box(
                x=x[number],
                y=self.y[item],
                width=CONSUMER_WIDTH if item[0] == "consumer" else BOX_WIDTH,
                height=self.height(item),
            )
            for number, column in enumerate(self.columns)
            for item in column
        }
        ports = self._port_heights(lanes)
        lines = []
        for number, link in enumerate(self.links):
            stops: list[Point] = [(boxes[link[0]].right, ports[number, True])]
            label = None
            for gap, (left, right) in enumerate(itertools.pairwise(link), self.first[number]):
                begin, end = boxes[left].right, boxes[right].left
                if left[0] == "line":
                    stops.append((begin, self.y[left]))
                level, middle, half = lanes[number, gap], (begin + end) / 2, self._lane_width(gap, labelled) / 2
                if half:
                    stops += [(middle - half, level), (middle + half, level)]
                if labelled.get(number) == gap:
                    label = Box(x=middle, y=level, width=LABEL_WIDTH, height=LABEL_HEIGHT)
                if right[0] == "line":
                    stops.append((end, self.y[right]))
            stops.append((boxes[link[-1]].left, ports[number, False]))
            lines.append(Line(stops=tuple(stops), back=self.back[number], label=label))
        headings = [
            Heading(text=self.kinds[item[1]], x=x[number], y=boxes[item].top - HEADING_HEIGHT / 2 - 1)
            for number, column in enumerate(self.columns)
            for at, item in enumerate(column)
            if self.headed(number, at)
        ]
        return _moved(
            Layout(
                width=width,
                height=0,
                systems={item[1]: box for item, box in boxes.items() if item[0] == "system"},
                consumers={item[1]: box for item, box in boxes.items() if item[0] == "consumer"},
                headings=headings,
                flows=dict(zip(self.flows, lines[: len(self.flows)], strict=True)),
                reads=dict(zip(self.reads, lines[len(self.flows) :], strict=True)),
            )
        )

    def _lanes(self) -> tuple[dict[tuple[int, int], float], dict[int, int]]:
        """The height of each line in each gap that it crosses, and the gap in which a flow has its label."""
        labels: dict[int, int] = defaultdict(int)
        labelled: dict[int, int] = {}
        for number in sorted(range(len(self.flows)), key=lambda each: len(self.links[each])):
            gaps = range(self.first[number], self.first[number] + len(self.links[number]) - 1)
            labelled[number] = min(gaps, key=lambda gap: (labels[gap], -gap))
            labels[labelled[number]] += 1
        lanes: dict[tuple[int, int], float] = {}
        for gap in range(len(self.columns) - 1):
            crossing = []
            for number, link in enumerate(self.links):
                at = gap - self.first[number]
                if 0 <= at < len(link) - 1:
                    left, right = self.y[link[at]], self.y[link[at + 1]]
                    crossing.append(((left + right) / 2, left, right, number))
            crossing.sort()
            tall = [LABEL_HEIGHT if labelled.get(each[3]) == gap else _LINE_HEIGHT for each in crossing]
            apart = [
                (above + below) / 2 + (_BETWEEN_LABELS if LABEL_HEIGHT in {above, below} else 0)
                for above, below in itertools.pairwise(tall)
            ]
            heights = spread([each[0] for each in crossing], apart)
            lanes.update({(each[3], gap): height for each, height in zip(crossing, heights, strict=True)})
        return lanes, labelled

    def _lane_width(self, gap: int, labelled: Mapping[int, int]) -> float:
        return LABEL_WIDTH if gap in labelled.values() else 0

    def _across(
        self, lanes: Mapping[tuple[int, int], float], labelled: Mapping[int, int]
    ) -> tuple[list[float], float]:
        """The middle of each column, and the width of all."""
        widths = [
            BOX_WIDTH if any(item[0] != "consumer" for item in column) else CONSUMER_WIDTH for column in self.columns
        ]
        gaps = range(len(self.columns) - 1)
        rigid = 2 * MARGIN + sum(widths) + sum(self._lane_width(gap, labelled) for gap in gaps)
        crossing = Counter(gap for _, gap in lanes)
        bends = [min(_BEND_MOST, _BEND_LEAST + _BEND_PER_LINE * crossing[gap]) for gap in gaps]
        most = max(_level(bends, (self.room - rigid) / 2), _BEND_TIGHT)
        x, left = [], float(MARGIN)
        for number, wide in enumerate(widths):
            x.append(left + wide / 2)
            if number in gaps:
                left += wide + 2 * min(bends[number], most) + self._lane_width(number, labelled)
        return x, (x[-1] + widths[-1] / 2 if x else 0.0) + MARGIN

    def _port_heights(self, lanes: Mapping[tuple[int, int], float]) -> dict[tuple[int, bool], float]:
        """The height at which each line leaves its left box (True) and arrives at its right one (False)."""
        heights = {}
        for (item, leaves), numbers in self.ports.items():
            gap = self.column_of[item] - (not leaves)
            ordered = sorted(numbers, key=lambda number: (lanes[number, gap], number))
            for at, number in enumerate(ordered):
                heights[number, leaves] = self.y[item] + (at - (len(ordered) - 1) / 2) * _PORT_GAP
        return heights


def spread(wanted: Sequence[float], gaps: Sequence[float]) -> list[float]:
    """Places in the given order, as near to the wanted ones as possible (least squares), at least so far apart.

    Pools adjacent violators, as isotonic regression does.
    """
    behind = [0.0]
    for gap in gaps:
        behind.append(behind[-1] + gap)
    pools: list[tuple[float, int]] = []
    for place, before in zip(wanted, behind, strict=False):
        mean, size = place - before, 1
        while pools and pools[-1][0] > mean:
            other, more = pools.pop()
            mean, size = (mean * size + other * more) / (size + more), size + more
        pools.append((mean, size))
    levels = [mean for mean, size in pools for _ in range(size)]
    return [level + before for level, before in zip(levels, behind, strict=False)]


def _level(parts: Sequence[float], total: float) -> float:
    """The height at which parts are cut off so that they add up to no more than a total."""
    for at, part in enumerate(sorted(parts)):
        share = total / (len(parts) - at)
        if part > share:
            return share
        total -= part
    return math.inf


def _bend(begin: Point, end: Point, share: float) -> Point:
    """A point of the curve that leaves and arrives level."""
    (x0, y0), (x1, y1) = begin, end
    rest, middle = 1 - share, (x0 + x1) / 2
    x = rest**3 * x0 + 3 * rest * share * middle + share**3 * x1
    return x, (rest**3 + 3 * rest**2 * share) * y0 + (3 * rest * share**2 + share**3) * y1


def _moved(layout: Layout) -> Layout:
    """The picture with its upper end at the margin."""
    boxes = [*layout.systems.values(), *layout.consumers.values()]
    lines = [*layout.flows.values(), *layout.reads.values()]
    labels = [line.label for line in lines if line.label is not None]
    tops = [box.top for box in [*boxes, *labels]] + [each.y - HEADING_HEIGHT / 2 for each in layout.headings]
    tops += [y for line in lines for _, y in line.stops]
    bottoms = [box.bottom for box in [*boxes, *labels]] + [y for line in lines for _, y in line.stops]
    by = MARGIN - min(tops, default=0.0)

    def box(each: Box) -> Box:
        return Box(x=each.x, y=each.y + by, width=each.width, height=each.height)

    def line(each: Line) -> Line:
        stops = tuple((x, y + by) for x, y in each.stops)
        return Line(stops=stops, back=each.back, label=None if each.label is None else box(each.label))

    return Layout(
        width=layout.width,
        height=max(bottoms, default=0.0) + by + MARGIN,
        systems={name: box(each) for name, each in layout.systems.items()},
        consumers={name: box(each) for name, each in layout.consumers.items()},
        headings=[Heading(text=each.text, x=each.x, y=each.y + by) for each in layout.headings],
        flows={name: line(each) for name, each in layout.flows.items()},
        reads={name: line(each) for name, each in layout.reads.items()},
    )

"""The integration map as a picture: systems, their flows and who reads what, in SVG. Pure."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from unicodedata import east_asian_width

from auditor import escaping
from auditor.map.consumers import told
from auditor.map.document import owned_by, part_of
from auditor.map.flow import Flow
from auditor.map.integration_map import IntegrationMap
from auditor.map.layout import Box, Layout, Line, lay_out
from auditor.map.settings import Consumer
from probes.durations import format_duration

STATE_COLOURS = {
    "consistent": "#2E9E7E",
    "drift": "#DB4A42",
    "pending": "#C77A12",
    "unverified": "#9066CF",
    "no data": "#8491A3",
    "": "#4C7DD9",
}
"""A flow's colour by state, the same as on the pages; "" without live states."""

STYLE = (
    "<style>text{fill:#16202e}.paper{fill:#fff}.box{fill:#f4f6fa;stroke:#aab4c3}.quiet{fill:#566273}"
    ".reads{stroke:#8491a3}@media (prefers-color-scheme: dark){text{fill:#e6eaf0}.paper{fill:#10151d}"
    ".box{fill:#1a212c;stroke:#566273}.quiet{fill:#a3afc2}}</style>"
)

NAME_ROOM, BELOW_ROOM, LABEL_ROOM = 19, 21, 15
"""Characters that fit into a box, of a name and of what stands below it, and into a label."""


def placed(
    integration_map: IntegrationMap, flows: Collection[str] | None = None, *, room: float = math.inf
) -> Layout:
    """Where everything stands in a picture of the map.

    Args:
        flows: the only flows to show, with their systems and who reads these; all of the map by default.
        room: the width to keep to, if possible.
    """
    shown = {name: flow for name, flow in integration_map.flows.items() if flows is None or name in flows}
    touched = {name for flow in shown.values() for name in (flow.from_, flow.to)}
    types = {flow.data_type for flow in shown.values()}
    return lay_out(
        {name: system.kind for name, system in integration_map.systems.items() if flows is None or name in touched},
        {name: (flow.from_, flow.to) for name, flow in shown.items()},
        [
            (consumer.reads, told(consumer))
            for name, data_type in integration_map.data_types.items()
            for consumer in data_type.consumers
            if flows is None or (name in types and consumer.reads in touched)
        ],
        room=room,
    )


def readers(integration_map: IntegrationMap) -> dict[str, Consumer]:
    """The consumers of a map, each once, by what they are called in a picture."""
    return {told(each): each for data_type in integration_map.data_types.values() for each in data_type.consumers}


def svg(
    integration_map: IntegrationMap,
    states: Mapping[str, str] | None = None,
    flows: Collection[str] | None = None,
) -> str:
    """Draw the map: systems from owners to readers, left to right, each flow an arrow.

    Args:
        states: by flow, its state (a key of `STATE_COLOURS`).
        flows: as for `placed`.
    """
    return "\n".join(_svg(integration_map, placed(integration_map, flows), states or {})) + "\n"


def _svg(integration_map: IntegrationMap, layout: Layout, states: Mapping[str, str]) -> Iterator[str]:
    width, height = round(layout.width), round(layout.height)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="12">'
    )
    names = shortened(layout.systems, NAME_ROOM)
    types = shortened(integration_map.data_types, LABEL_ROOM)
    called = shortened({each.name for each in readers(integration_map).values()}, NAME_ROOM)
    yield "<title>Integration map</title>"
    yield STYLE
    for state, colour in STATE_COLOURS.items():
        yield (
            f'<marker id="{_marker(state)}" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
            f'markerUnits="userSpaceOnUse" orient="auto-start-reverse"><path d="M0 0L8 4L0 8z" fill="{colour}"/>'
            "</marker>"
        )
    yield f'<rect class="paper" width="{width}" height="{height}"/>'
    for line in layout.reads.values():
        yield f'<path class="reads" d="{line.path}" fill="none" stroke-dasharray="3 4"/>'
    for name, line in layout.flows.items():
        yield from _arrow(integration_map.flow(name), line, states.get(name, ""), types)
    for heading in layout.headings:
        yield _text(heading.x, heading.y + 4, escaping.svg(fit(heading.text, BELOW_ROOM)), 'class="quiet"')
    for name, box in layout.systems.items():
        yield from _box(box, names[name], role(integration_map, name), rounded=6)
    for who, consumer in readers(integration_map).items():
        if who in layout.consumers:
            below = consumer.role.replace("-", " ")
            yield from _box(layout.consumers[who], called[consumer.name], below, rounded=25)
    yield "</svg>"


def role(integration_map: IntegrationMap, system: str, most: int = BELOW_ROOM) -> str:
    """A system's role in so many columns: as many of the data types that it owns as fit, and how many more."""
    owned = owned_by(integration_map)[system]
    if len(owned) < 2:
        return fit(part_of(integration_map, system), most)
    for named in range(len(owned), 0, -1):
        more = [f"{len(owned) - named} more"] if named < len(owned) else []
        text = f"owns {', '.join([*owned[:named], *more])}"
        if fit(text, most) == text:
            return text
    return fit(f"owns {len(owned)} data types", most)


def _marker(state: str) -> str:
    return "arrow-" + (state.replace(" ", "-") or "plain")


def _arrow(flow: Flow, line: Line, state: str, types: Mapping[str, str]) -> Iterator[str]:
    colour, both = STATE_COLOURS[state], flow.settings.direction == "two-way"
    arrow = f'"url(#{_marker(state)})"'
    ends = f" marker-end={arrow}" if both or not line.back else ""
    ends += f" marker-start={arrow}" if both or line.back else ""
    window = format_duration(flow.window_s) if flow.window_s else "no window"
    known = f": {state}" if state else ""
    yield f"<g><title>{escaping.svg(flow.name + known)}</title>"
    yield f'<path d="{line.path}" fill="none" stroke="{colour}" stroke-width="2"{ends}/>'
    if line.label is not None:
        label = line.label
        yield (
            f'<rect class="paper" x="{label.left:.1f}" y="{label.top:.1f}" width="{label.width:.0f}" '
            f'height="{label.height:.0f}" rx="6" style="stroke:{colour}"/>'
        )
        words = [escaping.svg(types[flow.settings.data_type]), state or flow.settings.pattern, window]
        for at, word in enumerate(words):
            look = 'font-weight="600"' if at == 0 else 'class="quiet" font-size="11"'
            yield _text(label.x, label.top + 17 + 15 * at, word, look)
    yield "</g>"


def _box(box: Box, name: str, below: str, *, rounded: int) -> Iterator[str]:
    yield (
        f'<rect class="box" x="{box.left:.1f}" y="{box.top:.1f}" width="{box.width:.0f}" height="{box.height:.0f}" '
        f'rx="{rounded}"/>'
    )
    yield _text(box.x, box.y - 3, escaping.svg(name), 'font-weight="600"')
    yield _text(box.x, box.y + 14, escaping.svg(fit(below, BELOW_ROOM)), 'class="quiet" font-size="11"')


def _text(x: float, y: float, words: str, look: str) -> str:
    """A line of text around its middle; the words are escaped."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" {look}>{words}</text>'


def fit(text: str, most: int) -> str:
    """The text, or as much of it as fits into so many columns, with an ellipsis; wide characters take two."""
    taken = 0
    for at, character in enumerate(text):
        taken += 2 if east_asian_width(character) in {"W", "F"} else 1
        if taken > most:
            return text[: max(at - 1, 0)] + "…"
    return text


def shortened(names: Iterable[str], most: int) -> dict[str, str]:
    """Each name in so many columns, shortened in its middle.

    Names that would then look alike are shortened elsewhere, where that tells more of them apart.
    """
    found = {name: _clipped(name, most, (most - 1) // 2) for name in names}
    alike: dict[str, list[str]] = defaultdict(list)
    for name, text in found.items():
        alike[text].append(name)
    for group in alike.values():
        if len(group) > 1:
            ends = sorted(range(most), key=lambda end: abs(2 * end - most + 1))
            best = max(ends, key=lambda end: len({_clipped(name, most, end) for name in group}))
            found.update({name: _clipped(name, most, best) for name in group})
    return found


def _clipped(name: str, most: int, end: int) -> str:
    """As much of a name as fits into so many columns, of which its end takes no more than `end`."""
    if sum(map(_breadth, name)) <= most:
        return name
    last = _leading(name[::-1], end)[::-1]
    return f"{_leading(name, most - 1 - sum(map(_breadth, last)))}…{last}"


def _leading(text: str, most: float) -> str:
    """As many of its characters as fit into so many columns."""
    for at, taken in enumerate(itertools.accumulate(map(_breadth, text))):
        if taken > most:
            return text[:at]
    return text


def _breadth(character: str) -> float:
    """The columns that a character takes at most in a proportional font."""
    if east_asian_width(character) in {"W", "F"}:
        return 2
    return 1.25 if character.isupper() or character in "mw@%" else 1

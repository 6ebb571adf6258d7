"""The integration map as a picture: systems, their flows and who reads what, in SVG. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from auditor import escaping
from auditor.map.document import consumers_of, part_of
from auditor.map.flow import Flow
from auditor.map.integration_map import IntegrationMap
from probes.durations import format_duration

BOX_WIDTH, BOX_HEIGHT = 170, 64
COLUMN_GAP, ROW_GAP = 230, 46
MARGIN = 24

STATE_COLOURS = {
    "consistent": "#2E8B74",
    "drift": "#D0453B",
    "pending": "#C9A227",
    "unverified": "#B7791F",
    "no data": "#7C8798",
    "": "#4C7DD9",
}
"""A flow's colour by state; "" without live states."""


def svg(integration_map: IntegrationMap, states: Mapping[str, str] | None = None) -> str:
    """Draw the map: systems from owners to readers, left to right, each flow an arrow.

    Args:
        states: by flow, its state (a key of `STATE_COLOURS`), for the arrows' colours.
    """
    columns = columns_of(integration_map)
    consumers = consumers_of(integration_map)
    places: dict[str, tuple[float, float]] = {}
    tallest = max([len(column) for column in columns] + [len(consumers)])
    for across, column in enumerate(columns):
        for down, name in enumerate(column):
            places[name] = _place(across, down, len(column), tallest)
    width = 2 * MARGIN + (len(columns) + bool(consumers)) * (BOX_WIDTH + COLUMN_GAP) - COLUMN_GAP
    height = 2 * MARGIN + tallest * (BOX_HEIGHT + ROW_GAP) - ROW_GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        "<title>Integration map</title>",
        "<style>text{fill:#1d2733}.box{fill:#f4f6f9;stroke:#8a94a3}.quiet{fill:#5b6675}"
        "@media (prefers-color-scheme: dark){text{fill:#e8ebef}.box{fill:#232a33;stroke:#6b7684}.quiet{fill:#a9b3c0}}"
        "</style>",
    ]
    for state, colour in STATE_COLOURS.items():
        parts.append(
            f'<marker id="{_marker(state)}" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
            f'orient="auto-start-reverse"><path d="M0 0L8 4L0 8z" fill="{colour}"/></marker>'
        )
    pairs: dict[frozenset[str], int] = defaultdict(int)
    for name in integration_map.flows:
        flow = integration_map.flow(name)
        pair = frozenset({flow.source_name, flow.target_name})
        parts += _arrow(flow, places, pairs[pair], (states or {}).get(name, ""))
        pairs[pair] += 1
    for name, (x, y) in places.items():
        parts += _box(x, y, name, part_of(integration_map, name), rounded=6)
    for down, (reads, consumer, role) in enumerate(consumers):
        x, y = _place(len(columns), down, len(consumers), tallest)
        x0, y0 = places[reads]
        parts.append(
            f'<path d="M{x0 + BOX_WIDTH} {y0 + BOX_HEIGHT / 2}C{x0 + BOX_WIDTH + 90} {y0 + BOX_HEIGHT / 2} '
            f'{x - 90} {y + BOX_HEIGHT / 2} {x} {y + BOX_HEIGHT / 2}" fill="none" stroke="#8a94a3" '
            'stroke-dasharray="3 4"/>'
        )
        parts += _box(x, y, consumer, role.replace("-", " "), rounded=30)
    return "\n".join([*parts, "</svg>"]) + "\n"


def columns_of(integration_map: IntegrationMap) -> list[list[str]]:
    """Systems by their distance from an owner in flows; a flow that would close a cycle does not count."""
    leads: dict[str, set[str]] = defaultdict(set)

    def reaches(begin: str, end: str) -> bool:
        return begin == end or any(reaches(each, end) for each in leads[begin])

    for flow in integration_map.flows.values():
        if not reaches(flow.to, flow.from_):
            leads[flow.from_].add(flow.to)
    depth = dict.fromkeys(integration_map.systems, 0)
    for _ in depth:
        for source, targets in list(leads.items()):
            for target in targets:
                depth[target] = max(depth[target], depth[source] + 1)
    columns: dict[int, list[str]] = defaultdict(list)
    for name, at in depth.items():
        columns[at].append(name)
    return [columns[at] for at in sorted(columns)]


def _place(across: int, down: int, of: int, tallest: int) -> tuple[float, float]:
    offset = (tallest - of) * (BOX_HEIGHT + ROW_GAP) / 2
    return MARGIN + across * (BOX_WIDTH + COLUMN_GAP), MARGIN + offset + down * (BOX_HEIGHT + ROW_GAP)


def _marker(state: str) -> str:
    return "arrow-" + (state.replace(" ", "-") or "plain")


def _arrow(flow: Flow, places: Mapping[str, tuple[float, float]], beside: int, state: str) -> list[str]:
    (x0, y0), (x1, y1) = places[flow.source_name], places[flow.target_name]
    shift = 14 * (beside + 1) // 2 * (-1 if beside % 2 else 1)
    y0, y1 = y0 + BOX_HEIGHT / 2 + shift, y1 + BOX_HEIGHT / 2 + shift
    if x1 > x0:
        begin, end, bend = x0 + BOX_WIDTH, x1, 80
    elif x1 < x0:
        begin, end, bend = x0, x1 + BOX_WIDTH, -80
    else:
        begin, end, bend = x0 + BOX_WIDTH, x1 + BOX_WIDTH, 80
    path = f"M{begin} {y0}C{begin + bend} {y0} {end - bend if x1 != x0 else end + bend} {y1} {end} {y1}"
    colour = STATE_COLOURS[state]
    both = f' marker-start="url(#{_marker(state)})"' if flow.settings.direction == "two-way" else ""
    window = format_duration(flow.window_s) if flow.window_s else "no window"
    told_state = f": {state}" if state else ""
    return [
        f"<g><title>{escaping.svg(flow.name + told_state)}</title>"
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2" '
        f'marker-end="url(#{_marker(state)})"{both}/>'
        f'<text x="{(begin + end) / 2}" y="{(y0 + y1) / 2 - 5}" text-anchor="middle" class="quiet" font-size="11">'
        f"{escaping.svg(flow.settings.data_type)} · {escaping.svg(flow.settings.pattern)} · {window}</text></g>"
    ]


def _box(x: float, y: float, name: str, below: str, *, rounded: int) -> list[str]:
    return [
        f'<rect class="box" x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="{rounded}"/>'
        f'<text x="{x + BOX_WIDTH / 2}" y="{y + 27}" text-anchor="middle" font-weight="600">'
        f"{escaping.svg(_fit(name, 22))}</text>"
        f'<text x="{x + BOX_WIDTH / 2}" y="{y + 46}" text-anchor="middle" class="quiet" font-size="11">'
        f"{escaping.svg(_fit(below, 28))}</text>"
    ]


def _fit(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"

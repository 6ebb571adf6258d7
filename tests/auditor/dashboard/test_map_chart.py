"""The map as an ECharts graph: what it shows of each flow, what a click picks, and how it fits into a page."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from auditor.dashboard import look, map_chart
from auditor.dashboard.map_chart import THICKEST, THINNEST, FlowFigures, MapChart, weight
from auditor.history.status import Standing
from auditor.map.diagram import placed
from auditor.map.integration_map import IntegrationMap
from tests.auditor.map.test_document import loaded

DRIFT = FlowFigures(state=Standing.DRIFT, differing=1234, changes=900, lag="40 s of 10 s", dead="12")
WELL = FlowFigures(state=Standing.CONSISTENT, differing=0, changes=0, lag="window 20 s", dead="")


def drawn(tmp_path: Path, *changes: tuple[str, str], unreadable: tuple[str, ...] = ()) -> MapChart:
    demo = loaded(tmp_path, *changes)
    figures = {name: DRIFT if name == "customer_to_billing" else WELL for name in demo.flows}
    return map_chart.draw(demo, placed(demo), figures, unreadable=unreadable, ink=look.LIGHT)


def series(chart: MapChart) -> dict[str, Any]:
    (only,) = chart.options["series"]
    assert isinstance(only, dict)
    return only


def texts(chart: MapChart, picks: str) -> list[str]:
    nodes = zip(series(chart)["data"], chart.nodes, strict=True)
    return [node["label"]["formatter"] for node, meant in nodes if meant == picks and "label" in node]


def test_a_flow_shows_its_state_lag_and_dead_letters(tmp_path: Path) -> None:
    label, badge = texts(drawn(tmp_path), "flow customer_to_billing")
    assert label == "{name|customer}\n{glyph|≠} {word|drift · 1,234}\n{quiet|40 s of 10 s}"
    assert badge == "{badge|✉ 12}"
    (label,) = texts(drawn(tmp_path), "flow customer_to_warehouse")
    assert label == "{name|customer}\n{glyph|✓} {word|consistent}\n{quiet|window 20 s}"


def test_a_line_has_the_colour_of_the_state_the_width_of_the_volume_and_its_arrows(tmp_path: Path) -> None:
    chart = drawn(tmp_path)
    lines: dict[str, list[dict[str, Any]]] = {}
    for edge, meant in zip(series(chart)["links"], chart.edges, strict=True):
        lines.setdefault(meant, []).append(edge)
    busy, idle = lines["flow customer_to_billing"], lines["flow customer_to_warehouse"]
    assert {each["lineStyle"]["color"] for each in busy} == {look.HEX[look.Tone.BAD]}
    assert {each["lineStyle"]["color"] for each in idle} == {look.HEX[look.Tone.GOOD]}
    assert busy[0]["lineStyle"]["width"] == THICKEST
    assert idle[0]["lineStyle"]["width"] == THINNEST
    assert (busy[0]["symbol"][0], busy[-1]["symbol"][1]) == ("arrow", "arrow")  # both ways
    assert "symbol" not in idle[0]
    assert idle[-1]["symbol"] == ["none", "arrow"]
    assert "consumer dunning (automation)" in lines


def test_a_click_picks_what_it_hits(tmp_path: Path) -> None:
    chart = drawn(tmp_path)
    for meant in ("flow invoice_to_warehouse", "system crm", "consumer sales (team)"):
        assert chart.picked("node", [chart.nodes.index(meant)]) == meant
    assert chart.picked("edge", [chart.edges.index("flow invoice_to_warehouse")]) == "flow invoice_to_warehouse"
    assert chart.picked("node", [0]) == chart.picked("node", []) == chart.picked("edge", [10**6]) == ""


def test_a_system_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    (shown,) = texts(drawn(tmp_path, unreadable=("billing",)), "system billing")
    assert "✕" in shown
    assert "cannot be read" in shown


def test_edges_name_nodes_and_every_node_has_a_place(tmp_path: Path) -> None:
    chart = drawn(tmp_path)
    nodes = series(chart)["data"]
    assert all(0 <= each["source"] < len(nodes) > each["target"] >= 0 for each in series(chart)["links"])
    width, height = series(chart)["width"], series(chart)["height"]
    assert all(0 <= node["x"] <= width and 0 <= node["y"] <= height for node in nodes)


def test_a_name_cannot_end_its_style_or_stand_for_another(tmp_path: Path) -> None:
    chart = drawn(tmp_path, ("name: dunning", 'name: "{b}{name|x}"'))
    (shown,) = texts(chart, "consumer {b}{name|x} (automation)")
    assert "{b}" not in shown
    assert shown.startswith("{name|{\u2060b}}")


@pytest.mark.parametrize(
    ("width", "height", "zoom", "left"),
    [(2000, 2000, 1.3, "center"), (2000, 300, 1.0, "center"), (390, 800, 0.62, None), (0.85, 2000, 0.84, "center")],
)
def test_the_largest_picture_that_fits_is_shown(
    width: float, height: float, zoom: float, left: str | None, tmp_path: Path
) -> None:
    chart = drawn(tmp_path)
    width = width * series(chart)["width"] if width < 1 else width
    default, *rules = chart.options["media"]
    assert "query" not in default
    matching = [
        each["option"]
        for each in rules
        if each["query"]["minWidth"] <= width <= each["query"].get("maxWidth", width)
        and each["query"].get("minHeight", 0) <= height
    ]
    (view,) = (matching or [default["option"]])[-1]["series"]
    assert view["zoom"] == zoom
    if left is None:  # the left end of the picture stands at the left end of the page
        least = view["zoom"]
        assert view["left"] + series(chart)["width"] * (1 - least) / 2 == pytest.approx(0)
    else:
        assert view["left"] == left


def test_a_picture_that_scrolls_has_the_scale_of_a_large_screen_and_is_not_dragged(tmp_path: Path) -> None:
    chart = drawn(tmp_path)
    *others, least, scrolled = chart.options["media"]
    assert least["query"] == {"minWidth": chart.least_width, "maxWidth": chart.least_width}
    assert least["option"]["series"][0]["roam"] is False
    width = chart.legible_width
    assert scrolled["query"] == {"minWidth": width, "maxWidth": width}
    (view,) = scrolled["option"]["series"]
    assert view["roam"] is False
    assert width == math.ceil(series(chart)["width"] * view["zoom"]) <= map_chart.BESIDE_PANEL
    assert series(chart)["height"] * view["zoom"] <= chart.height
    assert all(each["option"]["series"][0]["roam"] for each in others)


DEPARTMENTS = ("crm", "marketing", "finance", "analytics", "logistics")


@pytest.mark.parametrize("size", [3, 7, 30])
def test_a_map_of_any_size_is_whole_on_a_large_screen_with_names_that_differ(size: int, tmp_path: Path) -> None:
    names = [f"sys_{DEPARTMENTS[at % 5]}_{1 + at // 5:02d}" for at in range(size)]
    company = departments(loaded(tmp_path), names)
    figures = dict.fromkeys(company.flows, WELL)
    layout = placed(company, room=map_chart.ROOM)
    chart = map_chart.draw(company, layout, figures, unreadable=(), ink=look.LIGHT)
    assert chart.least_width <= map_chart.ALONE
    assert not chart.wide or size == 30
    told = {name: texts(chart, f"system {name}")[0].removeprefix("{name|").split("}")[0] for name in names}
    assert len(set(told.values())) == size
    (view,) = chart.options["media"][-1]["option"]["series"]
    room, font = view["label"]["width"], view["label"]["rich"]["name"]["fontSize"]
    for name, text in told.items():
        assert text[-3:] == name[-3:]
        assert len(text) * 0.5 * font <= room, "the browser would cut its end off"


def departments(company: IntegrationMap, names: list[str]) -> IntegrationMap:
    """Systems in columns of five, each filled from the one on its left; the last ones are read by consumers."""
    flow, data_type = company.flows["customer_to_warehouse"], company.data_types["customer"]
    readers = [each.model_copy(update={"reads": names[-1]}) for each in data_type.consumers]
    step = 5 if len(names) > 5 else 1
    return replace(
        company,
        systems=dict.fromkeys(names, company.systems["crm"]),
        data_types={"customer": data_type.model_copy(update={"owner": names[0], "consumers": readers})},
        flows={
            target: flow.model_copy(update={"from_": source, "to": target})
            for source, target in zip(names, names[step:], strict=False)
        },
        bindings={},
        queues={},
    )


def test_widths_grow_with_orders_of_magnitude() -> None:
    widths = [weight(changes, 10_000) for changes in (0, 1, 10, 100, 10_000)]
    assert widths == sorted(set(widths))
    assert (widths[0], widths[-1]) == (THINNEST, THICKEST)
    assert weight(0, 0) == THINNEST

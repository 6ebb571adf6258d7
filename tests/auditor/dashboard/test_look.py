"""The look: signs that differ without colours, colours that can be told from both backgrounds, images of numbers."""

from __future__ import annotations

import tomllib
from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import Any
from xml.etree import ElementTree

import pytest

from auditor.dashboard import look
from auditor.dashboard.beats import Beat
from auditor.dashboard.look import Sign, Tone
from auditor.dashboard.site import APP
from auditor.dashboard.tables import chips_width
from auditor.map.diagram import STATE_COLOURS
from checks.cause import Cause
from tests import HOME

GRAPHICS = 3.0
TEXT = 4.5
"""The least contrast of graphics and of text, WCAG 2.2, 1.4.11 and 1.4.3."""

THEME = tomllib.loads((APP.parent / ".streamlit" / "config.toml").read_text())["theme"]
TABLES: list[Mapping[Any, Sign]] = [
    look.FLOW,
    look.AUDITOR,
    look.INCIDENTS,
    look.OBJECTIVE,
    look.DAY,
    look.COVERED,
    look.SEVERITY,
    look.REMARK,
    look.INCIDENT,
    look.MESSAGE,
    look.DIVERGENCE,
    look.VERDICT,
    look.RECHECK,
    look.SILENCE,
]


def brightness(colour: str) -> float:
    """The relative luminance: https://www.w3.org/TR/WCAG22/#dfn-relative-luminance"""
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((brightness(one), brightness(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_colour_can_be_told_from_its_background(scheme: str) -> None:
    behind = THEME[scheme]["backgroundColor"]
    for tone in Tone:
        assert contrast(look.HEX[tone], behind) >= GRAPHICS, tone
        assert contrast(THEME[scheme][f"{tone}Color"], behind) >= TEXT, tone
    for name in ("textColor", "linkColor", "primaryColor"):
        assert contrast(THEME[scheme][name], behind) >= TEXT, name


@pytest.mark.parametrize("table", TABLES)
def test_the_signs_of_a_table_differ_without_their_colours(table: Mapping[Any, Sign]) -> None:
    assert len({each.glyph for each in table.values()}) == len(table)
    assert len({each.word for each in table.values()}) == len(table)


def test_a_sign_is_drawn_alike_in_tables_and_in_badges() -> None:
    for sign in signs():
        assert sign.plain == f"{sign.glyph} {sign.word}"
        assert sign.badge == f":{sign.tone}-badge[{sign.plain}]"


def test_a_divergence_has_the_name_on_pages_that_it_has_in_queries() -> None:
    assert {state.value for state in look.DIVERGENCE} == {sign.word for sign in look.DIVERGENCE.values()}


def signs() -> Iterable[Sign]:
    for table in (*TABLES, look.CONFLICT, look.FAMILY):
        yield from table.values()
    yield look.OWNER
    yield from map(look.cause, Cause)


def test_a_strip_is_an_image_with_a_bar_for_each_beat_the_graver_the_higher() -> None:
    address = look.strip(Beat)
    assert address.startswith("data:image/svg+xml;base64,")
    bars = list(ElementTree.fromstring(b64decode(address.partition(",")[2])))
    assert len(bars) == len(Beat)
    heights = [int(each.attrib["height"]) for each in bars]
    assert heights == sorted(heights, reverse=True)
    assert len({each.attrib["fill"] for each in bars}) == len(Beat)
    assert b"<svg" in b64decode(look.strip([]).partition(",")[2])


@pytest.mark.parametrize(
    ("least", "most", "widths", "tone"),
    [
        (1.0, 1.0, [74], Tone.GOOD),
        (0.5, 1.0, [37, 37], Tone.GOOD),
        (0.2, 0.2, [15], Tone.LATE),
        (-0.1, 0.5, [37], Tone.UNKNOWN),
        (-9.0, -3.0, [], Tone.BAD),
    ],
)
def test_an_error_budget_is_a_bar_as_long_as_what_is_left_of_it(
    least: float, most: float, widths: list[int], tone: Tone
) -> None:
    rim, *bars = ElementTree.fromstring(b64decode(look.budget(least, most).partition(",")[2]))
    assert [int(each.attrib["width"]) for each in bars] == widths
    assert rim.attrib["stroke"] == look.HEX[tone]
    assert ["fill-opacity" in each.attrib for each in bars] == [False, True][: len(bars)] if least > 0 else True


def test_the_stylesheet_loads_nothing() -> None:
    sheet = (HOME / "auditor" / "dashboard" / "site" / "look.css").read_text()
    assert "url(" not in sheet
    assert "@import" not in sheet


@pytest.mark.parametrize(("scheme", "ink"), [("light", look.LIGHT), ("dark", look.DARK)])
def test_what_a_chart_draws_itself_has_the_colours_of_the_theme(scheme: str, ink: look.Ink) -> None:
    theme = THEME[scheme]
    assert (ink.text, ink.paper, ink.box) == tuple(
        theme[name] for name in ("textColor", "backgroundColor", "secondaryBackgroundColor")
    )
    assert all(contrast(text, below) >= TEXT for text in (ink.text, ink.quiet) for below in (ink.paper, ink.box))


def test_the_picture_of_the_map_has_the_colours_of_the_pages() -> None:
    assert {state: STATE_COLOURS[state] for state in look.FLOW} == {
        state: look.HEX[sign.tone] for state, sign in look.FLOW.items()
    }
    assert STATE_COLOURS[""] == look.HEX[Tone.NOTE]


def test_the_column_of_signs_is_as_wide_as_its_longest_sign() -> None:
    few, all_causes = chips_width(["cause", "◷ late"]), chips_width([look.cause(each).plain for each in Cause])
    assert few < chips_width(["⚑ foreign write"]) <= all_causes < 200

"""The small pictures of a figure's course: what they draw, and what they tell who cannot see them."""

from __future__ import annotations

from base64 import b64decode
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from auditor.dashboard import look


def shapes(address: str) -> list[ElementTree.Element]:
    assert address.startswith("data:image/svg+xml;base64,")
    return list(ElementTree.fromstring(b64decode(address.partition(",")[2])))


def test_bars_stand_on_zero_and_are_as_high_as_their_figures() -> None:
    drawn = shapes(look.sparkline([0, 2, 4], bars=True))
    bars = [each for each in drawn if each.tag.endswith("rect")]
    assert len(bars) == 2  # what is 0 has none
    low, high = (float(each.attrib["height"]) for each in bars)
    assert high == pytest.approx(2 * low, abs=0.2)


def test_a_curve_goes_from_the_lowest_to_the_highest_figure() -> None:
    (line,) = [each for each in shapes(look.sparkline([3, 1, 2])) if each.tag.endswith("polyline")]
    down = [float(each.partition(",")[2]) for each in line.attrib["points"].split()]
    assert down.index(max(down)) == 1
    assert down.index(min(down)) == 0


@given(st.lists(st.floats(0, 1e12) | st.integers(0, 10**12), min_size=2, max_size=60), st.booleans())
def test_any_figures_stay_inside_the_picture(figures: list[float], bars: bool) -> None:
    for each in shapes(look.sparkline(figures, bars=bars)):
        if each.tag.endswith("rect"):
            assert 0 <= float(each.attrib["y"]) <= 44
            assert 0 <= float(each.attrib["x"]) < 240
        if each.tag.endswith("polyline"):
            for point in each.attrib["points"].split():
                across, down = map(float, point.split(","))
                assert 0 <= across <= 240
                assert 0 <= down <= 44


def two() -> None:
    from auditor.dashboard import sparkline

    sparkline.draw([0.5, 1.0, 0.75], "Share", "{:.0%}".format)
    sparkline.draw([7], "Nothing to compare with")


def test_the_picture_is_told_in_words() -> None:
    app = AppTest.from_function(two).run()
    assert not app.exception
    (image,) = app.get("image")
    (drawn,) = image.proto.imgs
    assert drawn.alt == "Share: lowest 50%, highest 100%, last 75%"

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


def lines(figures: list[float | None]) -> list[list[tuple[float, float]]]:
    """The points of each line of a curve."""
    drawn = [each for each in shapes(look.sparkline(figures)) if each.tag.endswith("polyline")]
    pairs = [[point.split(",") for point in each.attrib["points"].split()] for each in drawn]
    return [[(float(across), float(down)) for across, down in line] for line in pairs]


def test_a_curve_has_a_gap_where_nothing_is_known_and_keeps_to_its_time() -> None:
    before, after = lines([None, 1, 2, None, None, 4, 3, None, None])
    assert [across for across, _ in before] == [30, 60]
    assert [across for across, _ in after] == [150, 180]
    assert after[0][1] < before[1][1] < before[0][1]
    areas = [each for each in shapes(look.sparkline([None, 1, 2])) if each.tag.endswith("polygon")]
    assert [each.attrib["points"].split()[-2:] for each in areas] == [["240.0,44", "120.0,44"]]


def test_a_known_figure_between_two_gaps_is_a_dot() -> None:
    dots = [each for each in shapes(look.sparkline([5, None, 7, None, 5, 6])) if each.tag.endswith("circle")]
    assert [float(each.attrib["cx"]) for each in dots] == [2, 96]
    assert float(dots[1].attrib["cy"]) < float(dots[0].attrib["cy"])


@given(
    st.lists(st.none() | st.floats(0, 1e12) | st.integers(0, 10**12), min_size=2, max_size=60).filter(
        lambda figures: any(each is not None for each in figures)
    ),
    st.booleans(),
)
def test_any_figures_stay_inside_the_picture(figures: list[float | None], bars: bool) -> None:
    for each in shapes(look.sparkline(figures, bars=bars)):
        if each.tag.endswith("circle"):
            assert 2 <= float(each.attrib["cx"]) <= 238
            assert 2 <= float(each.attrib["cy"]) <= 42
        if each.tag.endswith("rect"):
            assert 0 <= float(each.attrib["y"]) <= 44
            assert 0 <= float(each.attrib["x"]) < 240
        if each.tag.endswith("polyline"):
            for point in each.attrib["points"].split():
                across, down = map(float, point.split(","))
                assert 0 <= across <= 240
                assert 0 <= down <= 44


def drawn() -> None:
    from auditor.dashboard import sparkline

    sparkline.draw([0.5, 1.0, 0.75], "Share", "{:.0%}".format)
    sparkline.draw([None, 12, None, 0, None], "Waiting")
    sparkline.draw([7], "Nothing to compare with")
    sparkline.draw([None, 7, None], "Nothing to compare with")
    sparkline.draw([None, None], "Nothing at all")


def test_what_is_known_in_the_picture_is_told_in_words() -> None:
    app = AppTest.from_function(drawn).run()
    assert not app.exception
    assert [shown.alt for image in app.get("image") for shown in image.proto.imgs] == [
        "Share: lowest 50%, highest 100%, last 75%",
        "Waiting: lowest 0, highest 12, last 0",
    ]

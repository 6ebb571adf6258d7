"""Plain figures: no exponents, and no share that is rounded to none or to all."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, ROUND_FLOOR
from pathlib import Path

import pytest

from probes.durations import format_duration
from probes.wording import at_most, counted, did_you_mean, few, figure, heading, percent

ROOT = Path(__file__).parents[2]
EXACT = {"probes/wording.py", "probes/records/sql/column_types.py", "auditor/map/diff.py"}
"""They format for programs, or with all digits that a number has."""


@pytest.mark.parametrize(
    ("number", "digits", "said"),
    [
        (99.6, 2, "100"),
        (127.4, 2, "127"),
        (12_345.6, 3, "12,346"),
        (987_654_321_098_765, 3, "987,654,321,098,765"),
        (2.345, 2, "2.3"),
        (0, 2, "0"),
        (0.000012345, 2, "0.000012"),
        (-4.56, 2, "-4.6"),
        (float("inf"), 2, "inf"),
    ],
)
def test_a_figure_has_no_exponent(number: float, digits: int, said: str) -> None:
    assert figure(number, digits) == said


def test_only_none_and_all_are_shown_as_0_and_100_percent() -> None:
    assert [percent(each) for each in (0, 0.00001, 0.0001, 0.5, 0.9999, 0.99999, 1)] == [
        "0%",
        "< 0.01%",
        "0.01%",
        "50%",
        "99.99%",
        "> 99.99%",
        "100%",
    ]
    digits = (0.0034, 0.153, 0.1075, 0.5, 0.9474, 0.9966)
    assert [percent(each) for each in digits] == ["0.34%", "15%", "11%", "50%", "94.7%", "99.66%"]
    assert [percent(0.153, each) for each in (ROUND_FLOOR, ROUND_CEILING)] == ["15%", "16%"]
    assert [percent(0.9474, each) for each in (ROUND_FLOOR, ROUND_CEILING)] == ["94.7%", "94.8%"]
    assert [at_most(each) for each in (0.99999, 1)] == ["less than 100%", "at most 100%"]
    assert [at_most(each) for each in (0, 0.00009, 0.012)] == ["less than 0.01%", "less than 0.01%", "at most 1.2%"]


def test_of_many_names_the_first_are_told_and_the_rest_counted() -> None:
    assert few(["a", "b", "c"], 2) == "a, b, c"
    assert few(["a", "b", "c", "d"], 2) == "a, b and 2 more"
    assert few([f"flow_{number}" for number in range(72)]) == "flow_0, flow_1, flow_2, flow_3, flow_4 and 67 more"


def test_a_long_duration_has_no_exponent() -> None:
    assert format_duration(86_400 * 20_800) == "20,800 d"


def test_no_text_formats_a_number_in_few_digits_by_itself() -> None:
    """`:.2g` writes 100 as 1e+02."""
    found = [
        str(path.relative_to(ROOT))
        for folder in ("auditor", "checks", "probes")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if re.search(r":,?\.[1-5]g\}", path.read_text())
    ]
    assert set(found) <= EXACT


def test_a_number_of_things_agrees_with_its_word() -> None:
    assert (counted(1, "flow"), counted(2_000, "flow")) == ("1 flow", "2,000 flows")


def test_the_nearest_known_word_is_named() -> None:
    assert did_you_mean("slak", ["slack", "email"]) == "; did you mean 'slack'?"
    assert did_you_mean("zzz", ["b", "a"]) == "; known: a, b"
    assert did_you_mean("slak", ["slack"], then="or ask") == "; did you mean 'slack'? Or ask"
    assert did_you_mean("zzz", ["a"], then="or ask") == "; known: a; or ask"
    assert did_you_mean("zzz", [], then="or ask") == "; or ask"
    many = [f"n{number:02}" for number in range(20)]
    assert did_you_mean("zzz", many).endswith("n13, n14 and 5 more")
    assert did_you_mean("zzz", many, most=20) == f"; known: {', '.join(many)}"


def test_a_heading_is_in_words_and_keeps_names_of_the_map() -> None:
    assert [heading(each) for each in ("cannot_verify", "key", "table in crm_eu")] == [
        "cannot verify",
        "key",
        "table in crm_eu",
    ]

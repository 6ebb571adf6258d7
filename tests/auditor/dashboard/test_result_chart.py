"""Which chart a result gets, and what is said where none is drawn."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pandas as pd
import pytest

from auditor.dashboard.result_chart import (
    MOST_BARS,
    MOST_POINTS,
    MOST_SERIES,
    Plan,
    alternative,
    chart,
    columns_of,
    left_out,
    proposed,
    what_it_lacks,
    why_not_drawn,
)

HOURS = [datetime(2026, 3, 1, hour, tzinfo=UTC) for hour in range(4)]


def plan_of(frame: pd.DataFrame) -> Plan:
    columns = columns_of(frame)
    assert what_it_lacks(frame, columns) == ""
    return proposed(frame, columns)


def test_columns_are_told_apart_by_their_values() -> None:
    frame = pd.DataFrame(
        {
            "hour": HOURS[:2],
            "day": [date(2026, 3, 1), date(2026, 3, 2)],
            "flow": ["a", None],
            "superseded": [True, False],
            "records": pd.Series([1, None], dtype=object),
            "share": [0.5, float("nan")],
            "sum": [Decimal(1), Decimal("2.5")],
            "nothing": [None, None],
            "list": [[1], [2]],
        }
    )
    columns = columns_of(frame)
    assert columns.times == ("hour", "day")
    assert columns.words == ("flow", "superseded")
    assert columns.numbers == ("records", "share", "sum")


def test_times_are_proposed_as_lines_and_words_as_bars() -> None:
    assert plan_of(pd.DataFrame({"id": [1, 2], "hour": HOURS[:2], "records": [3, 4]})) == Plan(
        form="Line", across="hour", up=("records",)
    )
    assert plan_of(pd.DataFrame({"flow": ["a", "b"], "records": [3, 4]})) == Plan(
        form="Bar", across="flow", up=("records",)
    )
    assert plan_of(pd.DataFrame({"hour": [1, 2], "records": [3, 4]})) == Plan(
        form="Line", across="hour", up=("records",)
    )
    assert plan_of(pd.DataFrame({"flow": ["a", "b"], "incident_id": [3, 4]})).up == ("incident_id",)


def test_what_is_grouped_by_stands_before_what_is_measured() -> None:
    frame = pd.DataFrame(
        {"flow": ["a", "a", "b"], "cause": ["x", "y", "x"], "records": [3, 4, 5], "since": HOURS[:3]}
    )
    assert plan_of(frame) == Plan(form="Bar", across="flow", up=("records",), by="cause")
    frame = pd.DataFrame({"flow": ["a", "b"], "hour": [HOURS[0]] * 2, "records": [3, 4]})
    assert plan_of(frame) == Plan(form="Bar", across="flow", up=("records",))
    frame = pd.DataFrame({"flow": ["a", "a"], "key": ["1", "2"], "lag_s": [3.5, 4]})
    assert plan_of(frame) == Plan(form="Bar", across="key", up=("lag_s",))


def test_a_column_that_tells_repeated_times_apart_becomes_the_series() -> None:
    frame = pd.DataFrame({"hour": HOURS[:2] * 2, "flow": ["a", "a", "b", "b"], "records": [1, 2, 3, None]})
    plan = plan_of(frame)
    assert plan == Plan(form="Line", across="hour", up=("records",), by="flow")
    assert why_not_drawn(frame, plan) == ""
    drawn = chart(frame, plan)
    assert [each.name for each in drawn.data] == ["a", "b"]
    assert [list(each.y) for each in drawn.data] == [[1, 2], [3, None]]
    assert alternative(frame, plan) == "Lines of records over hour, one series for each flow, from 4 rows"


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (pd.DataFrame({"flow": ["a"], "records": [1]}), "at least two rows"),
        (pd.DataFrame({"flow": ["a", "b"]}), "a column of numbers"),
        (pd.DataFrame({"records": [1, 2]}), "a column of times or of words"),
    ],
)
def test_a_result_without_the_columns_for_a_chart_says_which_it_lacks(frame: pd.DataFrame, said: str) -> None:
    assert said in what_it_lacks(frame, columns_of(frame))


def bars(number: int) -> pd.DataFrame:
    return pd.DataFrame({"x": [f"k{each}" for each in range(number)], "y": range(number)})


@pytest.mark.parametrize(
    ("frame", "plan", "said"),
    [
        (bars(2), Plan(form="Bar", across="x", up=()), "choose at least one column of numbers"),
        (pd.concat([bars(2), bars(1)]), Plan(form="Bar", across="x", up=("y",)), "1 row would lie on top"),
        (bars(MOST_BARS + 1), Plan(form="Bar", across="x", up=("y",)), "61 bars are too many"),
        (bars(MOST_POINTS + 1), Plan(form="Line", across="x", up=("y",)), "5,001 points are too many"),
        (
            bars(MOST_SERIES + 1).assign(z=1),
            Plan(form="Line", across="z", up=("y",), by="x"),
            "11 series are too many",
        ),
        (bars(2).assign(z=1), Plan(form="Line", across="x", up=("y", "z"), by="x"), "choose one column of numbers"),
    ],
)
def test_what_could_not_be_read_or_would_mislead_is_not_drawn(frame: pd.DataFrame, plan: Plan, said: str) -> None:
    assert said in why_not_drawn(frame, plan)


def test_rows_without_a_place_are_left_out_and_counted() -> None:
    frame = pd.DataFrame({"flow": ["b", None, "a"], "records": [1, 2, 3], "more": [4, 5, 6]})
    plan = Plan(form="Bar", across="flow", up=("records", "more"))
    assert why_not_drawn(frame, plan) == ""
    assert left_out(frame, plan) == 1
    drawn = chart(frame, plan)
    assert [list(each.x) for each in drawn.data] == [["b", "a"], ["b", "a"]]
    assert [each.name for each in drawn.data] == ["records", "more"]


def test_names_and_values_cannot_act_as_html() -> None:
    frame = pd.DataFrame({"flow": ["<b>a</b>", "2026-01-01"], "<i>n</i>": [1, 2]})
    drawn = chart(frame, plan_of(frame))
    assert "<b>" not in drawn.to_json()
    assert "<i>" not in drawn.to_json()
    assert drawn.layout.xaxis.type == "category"

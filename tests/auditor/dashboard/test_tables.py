"""Tables of the pages: counts, optional columns, and widths."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from streamlit.testing.v1 import AppTest

from auditor.dashboard import tables
from tests import HOME
from tests.auditor.dashboard.page_runs import drift, run
from tests.stand import Stand

LEAST_EVIDENCE = 245
"""The width in pixels in which a brief difference of two instants can be read."""


def widths(shown: Any) -> dict[str, int]:
    """The widths of a table's columns that have one, in pixels."""
    config = json.loads(shown.proto.columns)
    return {name: each["width"] for name, each in config.items() if isinstance(each.get("width"), int)}


def test_the_columns_of_drift_and_coverage_fit_on_a_laptop_screen(watched: Stand) -> None:
    drift(watched)
    slack = 8
    (drawn,) = (each for each in run("drift").dataframe if "difference" in each.value)
    found = widths(drawn)
    around = tables.CHECKBOX + tables.INSTANT_WIDTH
    shown = [width for name, width in found.items() if name in drawn.value]
    assert sum(shown) + around == tables.BODY
    assert found["difference"] >= LEAST_EVIDENCE
    (coverage,) = (each for each in run("sla").dataframe if "unverified" in each.value)
    assert set(coverage.value.columns) - widths(coverage).keys() == set()
    assert sum(widths(coverage).values()) <= tables.BODY + slack


def test_evidence_has_the_room_that_the_other_columns_leave(watched: Stand) -> None:
    drift(watched)
    for page, query, name in (
        ("incidents", {"id": "1"}, "first seen"),
        ("record", {"type": "customer", "key": "3"}, "first seen"),
    ):
        (found,) = (each for each in run(page, **query).dataframe if name in each.value)
        instants = len(found.value.select_dtypes("datetimetz").columns)
        shown = {column: width for column, width in widths(found).items() if column in found.value}
        assert shown["difference"] > LEAST_EVIDENCE
        assert shown["flow"] >= 24 + 7 * len("to_billing")
        assert sum(shown.values()) + instants * tables.INSTANT_WIDTH == tables.BODY


def counted_rows() -> None:
    """A page with one table."""
    import pandas as pd

    from auditor.dashboard import tables

    rows = pd.DataFrame({"what": ["a", "b"], "records": [55208, 1], "note": ["", ""], "ended": [None, None]})
    tables.table(rows, key="one", alt="one", optional=("note", "ended"))
    tables.table(rows.assign(note=["", "x"]), key="two", alt="two", optional=("note", "ended"), figures=False)


def test_a_table_groups_the_digits_of_counts_and_leaves_out_optional_columns_that_hold_nothing() -> None:
    app = AppTest.from_function(counted_rows).run()
    assert not app.exception
    one, two = app.dataframe
    assert list(one.value.columns) == ["what", "records"]
    assert list(two.value.columns) == ["what", "records", "note"]
    assert "localized" in one.proto.columns
    assert "localized" not in two.proto.columns


def rows_with_a_text(text: str) -> None:
    """A page with a table whose texts may take a second line."""
    import pandas as pd
    import streamlit as st

    from auditor.dashboard import tables

    config = {"what": st.column_config.TextColumn(width=200)}
    tables.table(pd.DataFrame({"what": [text]}), key="one", alt="one", wraps="what", column_config=config)


def test_a_text_that_its_column_would_cut_off_takes_a_second_line() -> None:
    def height(text: str) -> int:
        app = AppTest.from_function(rows_with_a_text, args=(text,)).run()
        assert not app.exception
        return int(app.dataframe[0].proto.row_height)

    config = tomllib.loads((HOME / "auditor/dashboard/site/.streamlit/config.toml").read_text("utf-8"))
    assert height("short") == 0
    assert height("changes do not arrive between these systems") == tables.TWO_LINES
    assert 4 * config["theme"]["baseFontSize"] < tables.TWO_LINES, "lower rows have one line"

"""Tables of the pages: counts, optional columns, and widths."""

from __future__ import annotations

import json
from typing import Any

from streamlit.testing.v1 import AppTest

from auditor.dashboard import look, tables
from tests.auditor.dashboard.page_runs import drift, run
from tests.stand import Stand

SCREEN = 1440 - 260 - 2 * 32
"""The width of a page's body, in pixels, on a screen of 1440 beside the sidebar."""


def widths(shown: Any) -> dict[str, int]:
    """The widths of a table's columns that have one, in pixels."""
    config = json.loads(shown.proto.columns)
    return {name: each["width"] for name, each in config.items() if isinstance(each.get("width"), int)}


def test_the_columns_of_drift_and_coverage_fit_on_a_laptop_screen(watched: Stand) -> None:
    drift(watched)
    checkbox, instant, slack = 32, 102, 8
    found = widths(run("drift").dataframe[0])
    found["cause"] = max(tables.chips_width([look.cause(each).plain]) for each in ("foreign_write", "late"))
    assert checkbox + sum(found.values()) + instant <= SCREEN + slack
    (coverage,) = (each for each in run("sla").dataframe if "unverified" in each.value)
    assert set(coverage.value.columns) - widths(coverage).keys() == set()
    assert sum(widths(coverage).values()) <= SCREEN + slack


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

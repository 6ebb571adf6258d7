"""Figures in words: a share as far as it is known, and a period."""

from __future__ import annotations

import numpy as np
import pytest

from auditor.dashboard import view
from checks.lag import count_cells, fit


@pytest.mark.parametrize(
    ("met", "breach", "undecided", "said"),
    [(0, 0, 0, "no traffic"), (9, 1, 0, "90%"), (8, 1, 1, "80% … 90%")],
)
def test_a_share_is_told_as_far_as_it_is_known(met: int, breach: int, undecided: int, said: str) -> None:
    assert view.share_within(met, breach, undecided) == said


@pytest.mark.parametrize(("days", "told"), [(1, "1 day"), (28, "28 days"), (1.5, "1.5 days")])
def test_a_period_is_told_in_days(days: float, told: str) -> None:
    assert view.days_text(days * 86_400) == told


def test_the_axis_of_lags_says_times_as_people_do() -> None:
    upper = np.array([0.5, 50.0, 4_000.0, 100_000.0])
    curve = fit(count_cells(upper / 2, upper))
    assert curve is not None
    drawn = view.lag_chart(curve, 600.0)
    axis = drawn.layout.xaxis
    assert axis.title.text == "time after the change"
    told = dict(zip(axis.tickvals, axis.ticktext, strict=True))
    assert [told[each] for each in (1, 10, 60, 600, 3_600, 86_400)] == [
        "1 s",
        "10 s",
        "1 min",
        "10 min",
        "1 h",
        "1 d",
    ]
    assert axis.unifiedhovertitle.text == "not visible yet"  # by itself it says the number of seconds
    after = next(trace for trace in drawn.data if trace.name == "after")
    assert {"63 s", "112 s", "31 h"} <= set(after.customdata)
    assert not any("e+" in each for each in after.customdata)

"""Figures in words: a share as far as it is known, and a period."""

from __future__ import annotations

import pytest

from auditor.dashboard import view


@pytest.mark.parametrize(
    ("met", "breach", "undecided", "said"),
    [(0, 0, 0, "no traffic"), (9, 1, 0, "90.0%"), (8, 1, 1, "80.0% – 90.0%")],
)
def test_a_share_is_told_as_far_as_it_is_known(met: int, breach: int, undecided: int, said: str) -> None:
    assert view.share_within(met, breach, undecided) == said


@pytest.mark.parametrize(("days", "told"), [(1, "1 day"), (28, "28 days"), (1.5, "1.5 days")])
def test_a_period_is_told_in_days(days: float, told: str) -> None:
    assert view.days_text(days * 86_400) == told

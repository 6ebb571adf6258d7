"""A schedule as cron writes it is read as the longest time between two runs."""

from __future__ import annotations

import pytest

from auditor.map.crontab import longest_gap_s


@pytest.mark.parametrize(
    ("line", "gap_s"),
    [
        ("*/5 * * * *", 300),
        ("*/7 * * * *", 420),
        ("15,45 8 * * *", 84_600),
        ("30 9-17 * * 1-5", 64 * 3600),
        ("0 2 * * mon", 7 * 86_400),
        ("0 0 13 * 5", 7 * 86_400),
        ("0 2 1 * *", 31 * 86_400),
        ("0 0 29 2 *", 1461 * 86_400),
        ("0 0 * * 7", 7 * 86_400),
        ("0 24 * * *", None),
        ("0 0 31 2 *", None),
        ("*/0 * * * *", None),
        ("on every single last change", None),
    ],
)
def test_a_cron_line_is_read_as_its_longest_gap(line: str, gap_s: float | None) -> None:
    assert longest_gap_s(line) == gap_s

"""Sharing out one audit's reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from auditor.plan import CHANGES_LIMIT, plan

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_the_overlap_reaches_back_behind_the_watermark() -> None:
    made = plan(watermark_at=NOW, owner_now=NOW, overlap_s=10, sample=100, due=0, every_s=5, records_per_s=1000)
    assert made.changes_since == NOW - timedelta(seconds=10)
    assert (made.sample, made.shed) == (100, 0)


def test_before_the_first_audit_only_what_changes_from_now_on_is_followed() -> None:
    made = plan(watermark_at=None, owner_now=NOW, overlap_s=10, sample=0, due=0, every_s=5, records_per_s=1000)
    assert made.changes_since == NOW - timedelta(seconds=10)


@given(st.integers(0, 5000), st.integers(0, 5000), st.floats(0.1, 10_000), st.floats(1, 300))
def test_the_sample_gives_way_and_what_is_shed_is_counted(
    due: int, sample: int, records_per_s: float, every_s: float
) -> None:
    made = plan(
        watermark_at=NOW,
        owner_now=NOW,
        overlap_s=0,
        sample=sample,
        due=due,
        every_s=every_s,
        records_per_s=records_per_s,
    )
    assert made.sample + made.shed == sample
    assert 1 <= made.changes <= CHANGES_LIMIT
    assert made.sample <= 1 or due + 2 * made.sample <= max(1, records_per_s * every_s)

"""Sharing out one audit's reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from auditor.audit.budget import CHANGES_LIMIT, Plan, plan

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def share(**given: object) -> Plan:
    usual: dict[str, object] = {
        "watermark_at": NOW,
        "owner_now": NOW,
        "overlap_s": 10,
        "deadlines": 0,
        "rechecks": 0,
        "panel": 0,
        "sample": 0,
        "every_s": 5,
        "records_per_s": 1000,
    }
    return plan(**{**usual, **given})  # type: ignore[arg-type]


def test_the_overlap_reaches_back_behind_the_watermark() -> None:
    made = share(sample=100, every_s=5, records_per_s=1000)
    assert made.changes_since == NOW - timedelta(seconds=10)
    assert (made.sample, made.shed) == (100, 0)


def test_before_the_first_audit_only_what_changes_from_now_on_is_followed() -> None:
    made = share(watermark_at=None)
    assert made.changes_since == NOW - timedelta(seconds=10)


@given(
    deadlines=st.integers(0, 5000),
    rechecks=st.integers(0, 2000),
    panel=st.integers(0, 500),
    sample=st.integers(0, 5000),
    records_per_s=st.floats(0.1, 10_000),
    every_s=st.floats(1, 300),
)
def test_what_is_not_urgent_gives_way_and_is_counted(
    deadlines: int, rechecks: int, panel: int, sample: int, records_per_s: float, every_s: float
) -> None:
    made = share(
        deadlines=deadlines,
        rechecks=rechecks,
        panel=panel,
        sample=sample,
        records_per_s=records_per_s,
        every_s=every_s,
    )
    assert made.shed == (rechecks - made.rechecks) + (panel - made.panel) + (sample - made.sample)
    assert 1 <= made.changes <= CHANGES_LIMIT
    least = min(rechecks, 1) + min(sample, 1) * 2
    spent = deadlines + made.rechecks + made.panel + 2 * made.sample + made.extra
    assert spent <= max(records_per_s * every_s, deadlines) + least

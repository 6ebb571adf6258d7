"""Changes whose lag is known, in a ledger and the lens over it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from auditor.history.lens import Lens
from checks.convergence import Change, shows, still_differs
from tests.stand import Stand

NOW = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
DAY = NOW - timedelta(days=1)


def followed(key: int, lag_s: float | None, hours_ago: float = 1, superseded: bool = False) -> Change:
    begun = NOW - timedelta(hours=hours_ago)
    change = Change(
        key=key,
        fingerprint=b"f%d" % key,
        committed_from_at=begun,
        committed_to_at=begun,
        window_s=4,
        enrolled_at=begun,
    )
    if lag_s is None:
        return still_differs(change, begun + timedelta(seconds=3), begun + timedelta(seconds=3))
    before = begun + timedelta(seconds=lag_s * 0.9)
    seen = still_differs(change, before, before)
    return shows(seen, begun + timedelta(seconds=lag_s * 1.1), by_later_version=superseded)


def save(stand: Stand, changes: list[Change]) -> Lens:
    with stand.ledger.write() as transaction:
        stand.ledger.records.save_changes(transaction, "to_billing", [(change, NOW) for change in changes])
        stand.ledger.measurements.count_lags(transaction, "to_billing", changes)
    lens = Lens(stand.ledger)
    lens.refresh()
    return lens

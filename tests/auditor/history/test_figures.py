"""The figures of timing and coverage, from a ledger and its archive."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from auditor.history.archive import archive_settled
from auditor.history.figures import coverage, heat, lags
from auditor.history.lens import Lens
from checks.convergence import Change, Verdict, shows, still_differs
from checks.lag import EDGES_S
from checks.objectives import underlying_share
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
    with stand.ledger.write() as connection:
        rev = stand.ledger.next_revision(connection)
        stand.ledger.save_changes(connection, rev, "to_billing", [(change, NOW) for change in changes])
        stand.ledger.count_lags(connection, rev, "to_billing", changes)
    lens = Lens(stand.ledger)
    lens.refresh()
    return lens


@pytest.mark.parametrize("since", [NOW - timedelta(hours=3), DAY])
def test_a_lag_is_told_the_same_from_changes_and_from_cells(stand: Stand, since: datetime) -> None:
    lens = save(stand, [followed(key, 1.0) for key in range(60)] + [followed(key, 20.0) for key in range(60, 80)])
    (told,) = lags(stand.map, lens, since, NOW)
    lens.close()
    assert (told.changes, told.waiting, told.superseded, told.clamped) == (80, 0, 0, 0)
    row = told.as_row()
    assert row["state"] == "measured"
    assert row["p50_lower_s"] < 1.0 < row["p50_upper_s"] < 2
    assert row["p95_lower_s"] < 20 < row["p95_upper_s"]
    assert row["beyond_lower"] < 0.25 < row["beyond_upper"]


def test_no_traffic_is_a_state_of_its_own(stand: Stand) -> None:  # C2.7
    lens = save(stand, [])
    (told,) = lags(stand.map, lens, DAY, NOW)
    assert told.as_row()["state"] == "no data"
    stand.audit()
    lens.refresh()
    (told,) = lags(stand.map, lens, DAY, NOW)
    lens.close()
    row = told.as_row()
    assert (row["state"], row["changes"], row["p50_s"], row["beyond_window"]) == ("no traffic", 0, None, None)


def test_what_has_not_arrived_yet_is_in_the_curve(stand: Stand) -> None:
    lens = save(stand, [followed(key, 1.0) for key in range(50)] + [followed(key, None) for key in range(50, 100)])
    (told,) = lags(stand.map, lens, DAY, NOW)
    lens.close()
    assert (told.waiting, told.changes) == (50, 100)
    row = told.as_row()
    assert row["p95_s"] is None
    assert row["p95_upper_s"] is None
    assert row["p95_lower_s"] >= 1


def test_superseded_versions_are_counted_apart(stand: Stand) -> None:
    lens = save(stand, [followed(1, 1.0), followed(2, 2.0, superseded=True)])
    (told,) = lags(stand.map, lens, DAY, NOW)
    lens.close()
    assert (told.changes, told.superseded) == (1, 1)


def test_a_lag_below_nothing_is_flagged(stand: Stand) -> None:  # C2.8
    begun = followed(1, None)
    lens = save(stand, [shows(begun, begun.committed_from_at - timedelta(seconds=2), by_later_version=False)])
    (told,) = lags(stand.map, lens, DAY, NOW)
    lens.close()
    assert told.clamped == 1
    assert told.as_row()["p50_lower_s"] == 0


def test_cells_in_the_archive_count_as_before(stand: Stand) -> None:
    changes = [followed(key, 1.0, hours_ago=5) for key in range(30)]
    lens = save(stand, changes)
    before = lags(stand.map, lens, DAY, NOW)[0].as_row()
    archive = str(stand.place / "archive")
    archive_settled(stand.ledger, archive, NOW, keep_live_s=0)
    lens.refresh()
    after = lags(stand.map, lens, DAY, NOW)[0].as_row()
    lens.close()
    assert after == before
    assert stand.rows("lag_cells") == []


def test_heat_shows_every_hour_also_those_without_traffic(stand: Stand) -> None:
    lens = save(stand, [followed(1, 1.0, hours_ago=4), followed(2, 20.0, hours_ago=2), followed(3, 1.0, hours_ago=2)])
    hours, shares = heat(lens, "to_billing", DAY, NOW)
    lens.close()
    assert [hour.hour for hour in hours] == [8, 9, 10]
    assert np.asarray(shares).sum(axis=0) == pytest.approx([1, 0, 1])
    (cell,) = np.nonzero(shares[:, 0])[0]
    assert EDGES_S[cell] < 1.1 <= EDGES_S[cell + 1]


def test_coverage_before_the_first_audit_claims_nothing(stand: Stand) -> None:
    lens = save(stand, [])
    (told,) = coverage(stand.map, stand.ledger, lens, DAY, NOW)
    lens.close()
    row = told.as_row()
    assert (row["verified_through"], row["verdict_ratio"], row["sweep_ratio"], told.agreement) == (None,) * 4
    assert (row["differ_ratio"], row["differ_ratio_upper"]) == (None, 1)


def test_coverage_counts_what_is_undecided(stand: Stand) -> None:
    met, pending = followed(1, 1.0), followed(2, None)
    assert (met.verdict, pending.verdict) == (Verdict.MET, Verdict.PENDING)
    lens = save(stand, [met, pending])
    (told,) = coverage(stand.map, stand.ledger, lens, DAY, NOW)
    lens.close()
    assert (told.changes, told.undecided, told.undecided_ratio) == (2, 1, 0.5)


def test_a_sweep_under_way_bounds_what_differs_and_a_whole_one_is_certain(stand: Stand) -> None:
    stand.remap("pattern: real-time", "pattern: real-time\n    sampling: {panel: 0}")
    stand.agree(40)
    now = datetime.now(UTC)

    def told() -> tuple[tuple[int, int] | None, tuple[int, int] | None, float | None]:
        lens = Lens(stand.ledger)
        lens.refresh()
        (found,) = coverage(stand.map, stand.ledger, lens, now - timedelta(hours=1), datetime.now(UTC))
        lens.close()
        return found.differing, found.differed, found.sweep_ratio

    stand.auditor.begin_sweep()
    widths = []
    for _ in range(4):
        stand.auditor.audit(datetime.now(UTC), sample=10)
        differing, differed, ratio = told()
        assert differing is not None
        assert ratio is not None
        widths.append(differing[1] - differing[0])
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > widths[-1] == 0
    assert (differed, ratio) == ((0, 0), 1.0)


def test_the_long_run_is_told_with_bounds_that_shrink_with_evidence() -> None:
    few, many = underlying_share(10, 0, 0, 0.99), underlying_share(10_000, 0, 0, 0.99)
    assert few[0] < many[0] < 1
    assert few[1] == many[1] == 1
    least, most = underlying_share(900, 80, 20, 0.99)
    assert least < 0.9 < 0.92 < most
    assert underlying_share(0, 0, 0, 0.99) == (0, 1)

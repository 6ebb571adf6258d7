"""How long changes take to arrive, from a ledger and its archive."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest

from auditor.history.archive import archive_settled
from auditor.history.lag import heat, lags, weekly
from auditor.history.lens import Lens
from checks.convergence import Verdict, shows
from checks.lag import EDGES_S
from checks.objectives import WindowCounts
from tests.auditor.history.changes import DAY, NOW, followed, save
from tests.stand import Stand


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


def test_no_traffic_is_a_state_of_its_own(stand: Stand) -> None:
    lens = save(stand, [])
    (told,) = lags(stand.map, lens, DAY, NOW)
    assert told.as_row()["state"] == "no data"
    stand.audit()
    lens.refresh()
    (told,) = lags(stand.map, lens, DAY, stand.clock.now())
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


def test_a_lag_below_nothing_is_flagged(stand: Stand) -> None:
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


def test_the_hours_of_the_week_add_up_what_was_counted_in_them(stand: Stand) -> None:
    counted = [
        (NOW, Verdict.MET, 5),  # a Monday
        (NOW - timedelta(days=7, minutes=20), Verdict.BREACH, 2),
        (NOW - timedelta(days=7), Verdict.UNDECIDED, 1),
        (NOW - timedelta(hours=13), Verdict.MET, 3),
        (NOW - timedelta(days=40), Verdict.MET, 100),  # before the period
    ]
    with stand.ledger.write() as transaction:
        for at, verdict, changes in counted:
            stand.ledger.measurements.count_windows(transaction, "to_billing", {verdict: changes}, at)
            stand.ledger.measurements.count_windows(transaction, "other", {verdict: 50}, at)
    lens = Lens(stand.ledger)
    lens.refresh()
    found = weekly(lens, "to_billing", NOW - timedelta(days=28))
    lens.close()
    assert found == {(0, 12): WindowCounts(5, 2, 1), (6, 23): WindowCounts(3)}
    by_hand: dict[tuple[int, int], WindowCounts] = {}
    for at, verdict, changes in counted[:-1]:
        hour = at.weekday(), at.hour
        by_hand[hour] = by_hand.get(hour, WindowCounts()) + WindowCounts.of({verdict: changes})
    assert found == by_hand

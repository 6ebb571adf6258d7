"""Bursts in the ledger, and the records that can be drawn for them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from auditor.ledger import Ledger
from checks.bursts import Burst, Ending
from checks.causes import Baseline
from checks.convergence import Change
from checks.objectives import WindowCounts
from probes.contract import Key

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def burst(at: datetime) -> Burst:
    return Burst(begun_at=at, after_at=at, size=83, false_ratio=0.003, draws=True, waiting=4, left_out=5)


def change(key: int, *, settled: bool) -> Change:
    return Change(
        key=key,
        fingerprint=b"1",
        committed_from_at=NOW,
        committed_to_at=NOW,
        window_s=4,
        enrolled_at=NOW,
        settled_at=NOW if settled else None,
    )


def test_the_latest_burst_of_a_flow_is_kept_as_it_was(ledger: Ledger) -> None:
    assert ledger.bursts.latest("a") is None
    first, second = burst(NOW), burst(NOW + timedelta(hours=1))
    done = replace(
        second,
        changes=WindowCounts(1, 2, 3),
        records=WindowCounts(4, 5, 6),
        ended_at=NOW + timedelta(hours=2),
        ending=Ending.PAGED,
    )
    with ledger.write() as transaction:
        for each in (first, second, done):
            ledger.bursts.save(transaction, "a", each)
        ledger.bursts.save(transaction, "b", burst(NOW + timedelta(hours=3)))
    assert ledger.bursts.latest("a") == done
    assert ledger.bursts.latest("b") == burst(NOW + timedelta(hours=3))


def test_records_are_drawn_from_those_that_have_agreed_and_those_that_changed_lately_come_first(
    ledger: Ledger,
) -> None:
    agreed: dict[Key, Baseline] = {key: Baseline(owner=b"1", target=b"1") for key in range(50)}
    with ledger.write() as transaction:
        ledger.records.save_baselines(transaction, "a", agreed, (), NOW)
        ledger.records.save_baselines(transaction, "b", {99: Baseline(owner=b"1", target=b"1")}, (), NOW)
        changes = [*(change(key, settled=True) for key in (3, 7)), change(9, settled=False), change(77, settled=True)]
        ledger.records.save_changes(transaction, "a", [(each, None) for each in changes])
    all_drawn = ledger.bursts.draw("a", 100, since=NOW)
    assert set(all_drawn[:2]) == {"3", "7"}
    assert sorted(map(int, all_drawn)) == [key for key in range(50) if key != 9]
    assert set(ledger.bursts.draw("a", 2, since=NOW)) == {"3", "7"}
    later = {tuple(ledger.bursts.draw("a", 5, since=NOW + timedelta(seconds=1))) for _ in range(5)}
    assert len(later) > 1, "another draw is another sample"

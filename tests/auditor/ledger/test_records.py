"""What is known of every record, and when it is due."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from auditor.ledger import Ledger, LedgerError
from checks.cause import Cause
from checks.causes import Baseline
from checks.convergence import Verdict
from checks.record_history import DivergenceState
from tests.auditor.ledger.rows import NOW, change, divergence, fingerprint, save


def test_histories_come_back_as_they_were(ledger: Ledger) -> None:
    baseline = Baseline(
        owner=fingerprint(1),
        target=fingerprint(1),
        ring=(fingerprint(8), fingerprint(9)),
        unshown=(fingerprint(2), b"", fingerprint(3)),
        unshown_until_at=NOW,
    )
    with ledger.write() as transaction:
        ledger.records.save_baselines(transaction, "f", {1: baseline}, [], NOW)
    save(ledger, changes=[change(2)], divergences=[divergence(3)])
    found, _ = ledger.records.histories("f", [1, 2, 3, 4])
    assert found[1].baseline == replace(baseline, agreed_at=NOW)
    assert [each.change_id > 0 for each in found[2].changes] == [True]
    assert found[3].divergence is not None
    assert replace(found[3].divergence, divergence_id=0) == divergence(3)
    assert 4 not in found
    assert ledger.records.histories("other", [1, 2, 3]) == ({}, set())


def test_what_agrees_as_it_did_and_has_nothing_pending_needs_no_history(ledger: Ledger) -> None:
    same = Baseline(owner=fingerprint(1), target=fingerprint(1))
    with ledger.write() as transaction:
        ledger.records.save_baselines(transaction, "f", dict.fromkeys([1, 2, 3], same), [], NOW)
    save(ledger, changes=[change(2)])
    found, settled = ledger.records.histories(
        "f", [1, 2, 3], agreed={1: fingerprint(1), 2: fingerprint(1), 3: fingerprint(9)}
    )
    assert settled == {1}
    assert set(found) == {2, 3}


def test_settled_and_closed_are_history_no_more(ledger: Ledger) -> None:
    save(ledger, changes=[change(1)], divergences=[divergence(1)])
    known = ledger.records.histories("f", [1])[0][1]
    assert known.divergence is not None
    settled = replace(known.changes[0], settled_at=NOW, verdict=Verdict.MET)
    closed = replace(known.divergence, closed_at=NOW, state=DivergenceState.CLOSED)
    save(ledger, changes=[settled], divergences=[closed])
    assert ledger.records.histories("f", [1]) == ({}, set())
    rows, _ = ledger.exports.snapshot({"changes": 0, "divergences": 0}, files_since=0)
    assert (len(rows["changes"]), len(rows["divergences"])) == (1, 1)


def test_what_is_due_longest_comes_first(ledger: Ledger) -> None:
    save(ledger, changes=[change(2)], divergences=[replace(divergence(1), next_check_at=NOW - timedelta(seconds=9))])
    assert ledger.records.due("f", NOW, 10) == ([], ["1", "2"])
    assert ledger.records.due("f", NOW - timedelta(seconds=5), 10) == ([], ["1"])
    assert ledger.records.due("f", NOW, 1) == ([], ["1"])


def test_a_window_that_has_run_out_is_due_whatever_the_limit(ledger: Ledger) -> None:
    out = [replace(change(key), committed_to_at=NOW - timedelta(seconds=60)) for key in (3, 4)]
    save(ledger, changes=[*out, change(2)])
    assert ledger.records.due("f", NOW, 0) == (["3", "4"], [])
    assert ledger.records.next_deadline("f") == NOW
    with ledger.write() as transaction:
        assert ledger.records.undecided_since(transaction, "f") == change(2).committed_from_at


def test_only_one_live_divergence_of_a_record(ledger: Ledger) -> None:
    save(ledger, divergences=[divergence(1)])
    with pytest.raises(LedgerError, match="refused a row"):
        save(ledger, divergences=[divergence(1)])


def test_the_records_that_have_been_overdue_longest_are_told_without_those_that_were_overwritten(
    ledger: Ledger,
) -> None:
    late = [
        replace(change(key), verdict=Verdict.BREACH, committed_to_at=NOW + timedelta(seconds=key))
        for key in (1, 2, 3)
    ]
    save(ledger, changes=[*late, change(4), replace(late[0], key=2, committed_to_at=NOW - timedelta(seconds=9))])
    assert ledger.records.overdue("f") == [("2", NOW - timedelta(seconds=9)), ("1", late[0].committed_to_at)]
    save(ledger, divergences=[replace(divergence(2), cause=Cause.WRITE_CONFLICT)])
    assert ledger.records.overdue("f") == [("1", late[0].committed_to_at), ("3", late[2].committed_to_at)]
    assert ledger.records.overdue("other") == []

"""The sample: the same records whichever way it goes, from both sides, through restarts, and its accounts."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from auditor.audit.sample_counts import settle
from auditor.history.coverage import coverage
from auditor.history.lens import Lens
from auditor.ledger import FlowState
from checks.judgement import Outcome
from checks.sampling import BASE, Drawn
from probes.contract import Key, Page, ProbeError, ReadSpec, Reason
from probes.ranking import rank_of, seed_of
from probes.records.sql.probe import SqlProbe
from tests.stand import Stand

SEED = seed_of(b"k" * 32)
IN_FLIGHT_AB: dict[Key, Outcome] = dict.fromkeys("ab", Outcome.IN_FLIGHT)


def ranked(keys: range) -> list[int]:
    return sorted(keys, key=lambda key: rank_of(SEED, "integer", key))


def walk_by_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("probes.records.sql.probe.RANK_SCAN_LIMIT", 0)


def state(stand: Stand) -> FlowState:
    return stand.ledger.flows.state("to_billing")


def test_a_small_collection_is_walked_by_rank_and_another_by_key(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.agree(5)
    assert (state(stand).sweep.walk, state(stand).swept.read) == ("rank", 5)
    walk_by_key(monkeypatch)
    assert stand.sweep().counts[Outcome.AGREED] == 5
    assert (state(stand).sweep.walk, state(stand).swept.read) == ("key", 5)


@pytest.mark.parametrize("by", ["rank", "key"])
def test_both_sides_are_walked_and_orphans_found(stand: Stand, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    if by == "key":
        walk_by_key(monkeypatch)
    stand.agree(5)
    stand.put("billing", 77)
    stand.auditor.begin_sweep()
    seen: list[Outcome] = []
    for _ in range(10):
        result = stand.auditor.audit(stand.clock.now(), sample=2)
        seen += [outcome for outcome, count in result.counts.items() if count and outcome is not Outcome.AGREED]
        if result.swept:
            break
    assert Outcome.SUSPECTED in seen
    assert state(stand).swept.read == 6


def test_the_panel_is_the_same_whichever_way_the_sweep_goes(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    stand.remap("pattern: real-time", "pattern: real-time\n    sampling: {panel: 4}")
    stand.agree(30)
    by_rank = stand.auditor.memory.sample.panel_read
    walk_by_key(monkeypatch)
    stand.auditor = stand.new_auditor()
    stand.sweep()
    assert by_rank == stand.auditor.memory.sample.panel_read == set(ranked(range(1, 31))[:4])


def test_a_sweep_goes_on_after_a_restart_where_it_stood(stand: Stand) -> None:
    stand.remap("pattern: real-time", "pattern: real-time\n    sampling: {panel: 0}")
    stand.agree(30)
    stand.auditor.begin_sweep()
    order = ranked(range(1, 31))
    for at in range(0, 30, 10):
        result = stand.auditor.audit(stand.clock.now(), sample=10)
        assert result.taken == set(order[at : at + 10])
        stand.auditor = stand.new_auditor()
    assert state(stand).swept.count == 2


def test_what_was_suspected_is_counted_once_it_is_certain(stand: Stand) -> None:
    stand.remap("pattern: real-time", "pattern: real-time\n    sampling: {past_error: 0, recent: 0}")
    stand.agree(10)
    stand.run("billing", "UPDATE customers SET name = 'Eve' WHERE id = 3")
    stand.sweep()
    (found,) = stand.rows("samples")
    assert (found["divergent"], found["undecided"]) == (0, 1)
    stand.clock.advance(1.1)
    stand.auditor.recheck(stand.clock.now() + timedelta(seconds=2))
    (found,) = stand.rows("samples")
    assert (found["divergent"], found["undecided"]) == (1, 0)
    lens = Lens(stand.ledger)
    lens.refresh()
    now = stand.clock.now()
    (told,) = coverage(stand.map, stand.ledger, lens, now - timedelta(hours=1), now)
    lens.close()
    assert told.differed == (1, 1)
    assert told.agreement == (0.9, 0.9)
    assert told.disagreement.share is not None
    assert told.disagreement.lower < told.disagreement.share < told.disagreement.upper


def test_a_change_on_its_way_is_undecided_until_it_has_arrived_or_has_not() -> None:
    """A copy that is missing at first sight may still arrive; until then it never counts as one that agrees."""
    how, state = Drawn(policy=BASE, probability=0.5), FlowState()
    first, _, waiting = settle({}, dict.fromkeys("abcdef", how), set(), set("abcdef"), IN_FLIGHT_AB, state)
    assert (first[BASE].read, first[BASE].divergent, first[BASE].undecided) == (6, 0, 2)
    again, _, waiting = settle(waiting, {"a": how}, set(), {"a"}, {"a": Outcome.IN_FLIGHT}, state)
    last, _, waiting = settle(waiting, {}, set(), {"a", "b"}, {"a": Outcome.DIVERGENT}, state)
    whole = first[BASE] + again[BASE] + last[BASE]
    assert (whole.read, whole.divergent, whole.undecided) == (7, 2, 0)
    assert waiting == {}


def test_records_that_differed_and_records_worth_more_are_read_more_often(stand: Stand) -> None:
    stand.remap(
        "pattern: real-time",
        "pattern: real-time\n    sampling: {panel: 0, recent: 0, past_error: 1, "
        "value: {field: amount, above: 500, share: 1}}",
    )
    for key in range(1, 41):
        stand.put("crm", key, amount="1000" if key == 7 else "1.00")
        stand.put("billing", key, amount="1000" if key == 7 else "1.00")
    stand.sweep()
    stand.run("billing", "UPDATE customers SET name = 'Eve' WHERE id = 9")
    stand.sweep()
    stand.clock.advance(1.1)
    stand.auditor.recheck(stand.clock.now() + timedelta(seconds=2))
    stand.auditor = stand.new_auditor()
    stand.sweep()
    for _ in range(3):
        memory = stand.auditor.memory
        stand.auditor.memory = replace(memory, sample=replace(memory.sample, pools_at=None))
        result = stand.auditor.audit(stand.clock.now(), sample=3)
        assert {7, 9} <= set(result.drawn)
    policies = {row["policy"] for row in stand.rows("samples")}
    assert policies >= {"base", "past_error", "value"}


def test_a_budget_sheds_the_sample_and_never_a_window_that_has_run_out(stand: Stand) -> None:
    stand.agree(20)
    stand.remap('crm.sqlite", zone: UTC}', 'crm.sqlite", zone: UTC, budget: {records_per_s: 4}}')
    for key in range(1, 11):
        stand.put("crm", key, "Grace", ago_s=0)
    for _ in range(5):
        stand.audit()
    assert sum(change["settled_at"] is None for change in stand.rows("changes")) == 10
    stand.clock.advance(4.2)
    result = stand.audit()
    assert result.deadlines == 10
    assert result.shed > 0
    assert {change["verdict"] for change in stand.rows("changes")} == {"breach"}
    run = stand.rows("probe_runs")[-1]
    assert (run["deadlines"], run["shed"]) == (10, result.shed)


def test_a_pool_that_is_full_keeps_what_it_knows(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditor.audit.sample.POOL_LIMIT", 2)
    stand.remap(
        "pattern: real-time",
        "pattern: real-time\n    sampling: {value: {field: amount, above: 500, share: 1}}",
    )
    for key in (1, 2, 3):
        stand.put("crm", key, amount="1000")
        stand.put("billing", key, amount="1000")
    stand.sweep()
    known = set(stand.auditor.memory.sample.valued)
    stand.sweep()
    assert len(known) == 2
    assert set(stand.auditor.memory.sample.valued) == known
    stand.put("crm", 1 if 1 in known else 2, amount="1")
    stand.sweep()
    assert set(stand.auditor.memory.sample.valued) != known


def test_money_is_worth_its_amount(stand: Stand) -> None:
    stand.remap(
        "amount: {type: decimal, evidence: clear, valid: {min: 0}}",
        "amount: {type: money, currency: EUR, minor_units: [crm], evidence: clear}",
    )
    stand.remap(
        "pattern: real-time",
        "pattern: real-time\n    sampling: {value: {field: amount, above: 500, share: 1}}",
    )
    for key, cents in ((1, "49900"), (2, "50000")):
        stand.put("crm", key, amount=cents)
        stand.put("billing", key, amount=str(int(cents) // 100))
    assert stand.sweep().counts[Outcome.AGREED] == 2
    assert set(stand.auditor.memory.sample.valued) == {2}


def test_a_sweep_whose_cursor_is_lost_begins_anew_and_concludes_nothing(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk_by_key(monkeypatch)
    stand.agree(9)
    stand.auditor.begin_sweep()
    stand.auditor.audit(stand.clock.now(), sample=4)
    before = state(stand)
    torn = replace(before, sweep=replace(before.sweep, owner_after="4", target_after="4"))
    with stand.ledger.write() as transaction:
        stand.ledger.flows.save_state(transaction, "to_billing", torn)
    stand.auditor = stand.new_auditor()
    seen: Counter[Outcome] = Counter()
    for _ in range(4):
        result = stand.auditor.audit(stand.clock.now(), sample=4)
        assert result.error is None
        seen.update(result.counts)
    assert set(+seen) == {Outcome.AGREED}
    assert (state(stand).swept.count, state(stand).swept.read) == (torn.swept.count + 1, 9)


def test_a_sweep_whose_cursor_is_lost_every_time_fails_its_audit_and_goes_on_with_the_next(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk_by_key(monkeypatch)
    stand.agree(9)
    probe = stand.readers["crm"].probe
    page = type(probe).page

    def forgetful(self: SqlProbe, spec: ReadSpec, after: str | None, limit: int) -> Page:
        if after is not None:
            raise ProbeError(Reason.CURSOR_LOST, "who are you?")
        return page(self, spec, after, limit)

    monkeypatch.setattr(type(probe), "page", forgetful)
    stand.auditor.begin_sweep()
    failed = [stand.auditor.audit(stand.clock.now(), sample=4).error for _ in range(12)]
    reasons = [None if error is None else error[1].reason for error in failed]
    assert set(reasons) == {None, Reason.CURSOR_LOST}
    assert state(stand).swept.count == 1

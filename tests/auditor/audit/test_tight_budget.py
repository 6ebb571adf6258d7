"""An audit whose owner allows few more calls: the urgent is read, the rest is shed, and none of it looks verified."""

from __future__ import annotations

from typing import Any

import pytest

from auditor.audit import once
from auditor.audit.flow_audit import Auditor
from auditor.audit.once import LEAST_PAGE, SWEEP_PAGE, _page, _room_s, audit_once
from auditor.audit.result import AuditResult
from auditor.map.loader import load_map
from auditor.systems.allowance import open_allowances
from auditor.systems.reader import SystemReader
from checks.judgement import Outcome
from probes.metering import RateLimit
from tests.auditor.systems.test_allowance import Time
from tests.stand import Stand

LIMIT = 1_000
"""Of the vendor; the sweep stops at 150 calls left, the panel at 100, changes at 50, rechecks at 20."""


class World:
    """A stand whose owner says how many calls it still allows."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand

    @property
    def owner(self) -> SystemReader:
        return self.stand.readers["crm"]

    def left(self, calls: int) -> None:
        self.owner.allowance.learned(RateLimit(limit=LIMIT, left=calls, resets_in_s=3_600))

    def audit(self) -> AuditResult:
        return self.stand.audit()


@pytest.fixture
def world(stand: Stand) -> World:
    stand.agree(20)
    return World(stand)


def test_the_sweep_is_shed_first_and_changes_are_still_found(world: World) -> None:
    world.stand.put("crm", 3, "Grace", ago_s=0)
    sweeps = world.stand.ledger.flows.state("to_billing").sweep
    world.left(140)
    result = world.audit()
    assert result.error is None
    assert result.changes == 1
    assert result.shed >= world.stand.map.flow("to_billing").settings.sample
    after = world.stand.ledger.flows.state("to_billing")
    assert (after.sweep.rank_after, after.sweep.owner_after) == (sweeps.rank_after, sweeps.owner_after)


def test_where_changes_are_not_asked_for_the_watermark_stays_and_what_is_due_is_read(world: World) -> None:
    world.stand.put("crm", 3, "Grace", ago_s=0)
    assert world.audit().changes == 1
    before = world.stand.ledger.flows.state("to_billing").watermark
    world.stand.put("crm", 4, "Grace", ago_s=0)
    world.stand.clock.advance(2)
    world.left(45)
    result = world.audit()
    assert result.error is None
    assert result.changes == 0
    assert result.shed > 0
    assert world.stand.ledger.flows.state("to_billing").watermark == before
    assert result.counts[Outcome.IN_FLIGHT] + result.counts[Outcome.SUSPECTED] >= 1  # record 3, which is due


def test_without_any_call_nothing_is_verified_and_the_system_is_not_blamed(world: World) -> None:
    world.stand.put("crm", 3, "Grace", ago_s=0)
    world.audit()
    through = world.stand.ledger.flows.state("to_billing").verified_through_at
    world.stand.clock.advance(10)
    world.left(0)
    result = world.audit()
    assert result.counts[Outcome.AGREED] == 0
    assert world.owner.health.failures == 0
    assert world.stand.ledger.flows.state("to_billing").verified_through_at == through
    world.left(LIMIT)
    assert world.audit().error is None


def test_a_sweep_does_not_change_its_way_because_a_call_was_refused(world: World) -> None:
    walk = world.stand.ledger.flows.state("to_billing").sweep.walk
    world.left(100)
    for _ in range(3):
        world.stand.auditor.begin_sweep()
        assert world.audit().error is None
    world.left(LIMIT)
    world.stand.sweep()
    assert world.stand.ledger.flows.state("to_billing").sweep.walk == walk


def test_once_ends_with_what_it_read_where_the_calls_of_a_day_are_spent(stand: Stand) -> None:
    stand.fill(2_000)
    text = stand.map_file.read_text()
    stand.map_file.write_text(text.replace("zone: UTC}", "zone: UTC, budget: {calls_per_day: 8}}", 1))
    loaded = load_map(stand.map_file, {})
    told: list[str] = []
    (report,) = audit_once(loaded, stand.ledger, b"k" * 32, flows=["to_billing"], wait_s=0, tell=told.append)
    assert "crm: over_budget" in report.error
    assert report.records < 2_000
    assert report.unverified
    assert stand.ledger.spending.counted(stand.clock.now())["crm"] <= 8


def test_once_takes_slices_that_the_calls_which_are_left_can_read(stand: Stand) -> None:
    assert _page(stand.auditor, {}) == SWEEP_PAGE
    stand.readers["crm"].allowance.learned(RateLimit(limit=100, left=21, resets_in_s=60))
    batch, _ = stand.readers["crm"].costs(stand.map.flow("to_billing").source_spec)
    assert _page(stand.auditor, {}) == 2 * batch
    stand.readers["crm"]._more_calls = 1.0  # each record costs a call
    assert _page(stand.auditor, {}) == 1


def test_once_waits_for_a_slice_that_is_worth_its_calls_and_takes_whole_pages(stand: Stand) -> None:
    owner = stand.readers["crm"].allowance
    assert _room_s(stand.auditor, {}) == 0.0
    owner.learned(RateLimit(limit=100, left=16, resets_in_s=30))
    assert 0.0 < _room_s(stand.auditor, {}) <= 30.0
    owner.learned(RateLimit(limit=100, left=16, resets_in_s=600))
    assert _room_s(stand.auditor, {}) == 0.0  # that is not waited for
    owner.learned(RateLimit(limit=100, left=90, resets_in_s=30))
    assert _room_s(stand.auditor, {}) == 0.0
    assert _page(stand.auditor, {}) % LEAST_PAGE == 0


def test_once_takes_no_small_slices_and_no_panel_where_calls_per_minute_are_few(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.fill(450)
    text = stand.map_file.read_text()
    stand.map_file.write_text(text.replace("zone: UTC}", "zone: UTC, budget: {calls_per_minute: 20}}", 1))
    loaded, time = load_map(stand.map_file, {}), Time()
    slices: list[tuple[int | None, int | None]] = []
    audit = Auditor.audit

    def noted(auditor: Auditor, *args: Any, **named: Any) -> AuditResult:
        slices.append((named["sample"], named["panel"]))
        return audit(auditor, *args, **named)

    monkeypatch.setattr(Auditor, "audit", noted)
    monkeypatch.setattr(SystemReader, "costs", lambda reader, spec: (10, 0.0))
    monkeypatch.setattr(once, "open_allowances", lambda systems, book: open_allowances(systems, book, time.clocks()))
    monkeypatch.setattr("auditor.audit.once.time.sleep", time.sleep)
    (report,) = audit_once(loaded, stand.ledger, b"k" * 32, flows=["to_billing"], wait_s=0, tell=lambda _: None)
    assert (report.error, report.records, report.as_row()["verdict"]) == ("", 450, "consistent")
    assert all(sample is not None and sample >= LEAST_PAGE and panel == 0 for sample, panel in slices)
    assert len(slices) <= 5

"""The state of a flow whose budget keeps it from being read: never consistent for longer than its window allows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from auditor.audit.flow_audit import Auditor
from auditor.audit.once import Report, audit_once
from auditor.audit.shares import Shares
from auditor.cli import app
from auditor.daemon.daemon import Daemon
from auditor.history.coverage import coverage
from auditor.history.findings import Findings
from auditor.history.lens import Lens
from auditor.history.status import WELL, FlowStatus, Standing, flow_status, system_status
from auditor.history.verified import RecordState, record_verdict
from auditor.map.loader import load_map
from auditor.systems.allowance import Clocks, open_allowances
from auditor.systems.reader import open_readers
from auditor.workspace import Workspace
from tests.stand import Stand
from tests.waiting import wait_until

PER_DAY = "zone: UTC, budget: {calls_per_day: 60}}"
"""One call about every half hour."""


class World:
    """A stand that is in step, audited every second of its clock from now on by an auditor with few calls."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        stand.agree(20)
        stand.map_file.write_text(stand.map_file.read_text().replace("zone: UTC}", PER_DAY, 1))
        stand.map = load_map(stand.map_file, {})
        clocks = Clocks(
            steady=lambda: stand.clock.now().timestamp(),
            now=stand.clock.now,
            sleep=stand.clock.advance,
        )
        allowances = open_allowances(stand.map.systems, stand.ledger.spending, clocks)
        self.readers = open_readers(stand.map, allowances, now=stand.clock.now)
        flow = stand.map.flow("to_billing")
        self.auditor = Auditor(
            flow=flow,
            source=self.readers["crm"],
            target=self.readers["billing"],
            ledger=stand.ledger,
            digest_key=b"k" * 32,
            others=self.readers,
            shares=Shares([flow], self.readers),
            now=stand.clock.now,
        )
        self.series = {flow.name: flow.comparer(b"k" * 32).series}

    def audit(self, seconds: int) -> int:
        """Audit every second; returns how many records were read."""
        read = 0
        for _ in range(seconds):
            read += self.auditor.audit(self.stand.clock.now()).read
            self.stand.clock.advance(1)
        return read

    @property
    def status(self) -> FlowStatus:
        (found,) = flow_status(self.stand.map, self.stand.ledger, self.stand.clock.now())
        return found


@pytest.fixture
def world(stand: Stand) -> Iterator[World]:
    made = World(stand)
    yield made
    for reader in made.readers.values():
        reader.close()


def test_a_flow_that_its_budget_keeps_from_being_read_is_unverified(world: World) -> None:
    world.audit(1)
    before = world.status
    assert before.state is Standing.CONSISTENT  # changes have just been listed
    world.stand.put("crm", 3, "Grace", ago_s=0)
    world.stand.run("billing", "DELETE FROM customers WHERE id = 7")
    assert world.audit(60) == 0
    held = world.status
    assert (held.state, held.stale, held.audited_at) == (
        *(Standing.UNVERIFIED, False),
        before.audited_at,
    )
    assert "changes of crm were last listed at" in held.why
    assert "the audit of crm is slow: 60 calls_per_day" in held.why
    assert "about one call every 30 m" in held.why
    assert held.verified_through_at == before.verified_through_at


def test_it_is_consistent_within_its_window_and_unverified_from_then_on(world: World) -> None:
    world.audit(1)
    states = []
    for _ in range(30):
        world.audit(1)
        states.append(world.status.state)
    first = states.index(Standing.UNVERIFIED)
    assert states == [Standing.CONSISTENT] * first + [Standing.UNVERIFIED] * (30 - first)
    assert first <= 15  # its window of 4 s, and the 10 s without an audit that every flow may have


def test_all_that_shows_a_flow_follows_from_its_state(world: World) -> None:
    world.audit(61)
    stand, now = world.stand, world.stand.clock.now()
    lens = Lens(stand.ledger)
    lens.refresh()
    (found,) = coverage(stand.map, stand.ledger, lens, now - timedelta(hours=1), now)
    lens.close()
    assert found.state is Standing.UNVERIFIED
    verdict = record_verdict(stand.map, stand.ledger, "customer", "5", now=now, series=world.series)
    assert verdict.verdict is RecordState.UNKNOWN
    assert "but the flow is held back: changes of crm were last listed at" in verdict.flows[0].reasons[0]


def test_it_is_consistent_again_once_its_changes_have_been_listed(world: World) -> None:
    world.audit(30)
    assert world.status.state is Standing.UNVERIFIED
    states = []
    for _ in range(24):
        world.stand.clock.advance(1_800)
        world.audit(1)
        states.append(world.status.state)
    assert set(states) == {Standing.CONSISTENT, Standing.UNVERIFIED}


def test_without_any_audit_there_is_no_data_whatever_the_budget_holds_back(world: World) -> None:
    world.audit(30)
    world.stand.clock.advance(11)
    assert world.status.state is Standing.NO_DATA


def test_where_the_owner_lists_no_changes_records_must_be_read(stand: Stand) -> None:
    stand.remap(", changed_at: updated_at", "")
    world = World(stand)
    world.audit(60)
    held = world.status
    assert (held.state, held.stale) == (Standing.UNVERIFIED, False)
    assert "nothing has been read since" in held.why
    for reader in world.readers.values():
        reader.close()


def test_a_difference_known_already_is_still_drift(world: World) -> None:
    world.stand.put("billing", 7, "Alan")
    world.stand.clock.advance(5)
    world.stand.sweep()
    world.stand.audit_until(world.stand.ledger.findings.open_by_cause)
    world.audit(60)
    assert (world.status.state, world.status.unknown) == (Standing.DRIFT, Standing.UNVERIFIED)


def test_once_waits_for_what_was_pending_when_it_had_read_all_and_for_nothing_later(stand: Stand) -> None:
    stand.fill(20)
    loaded = load_map(stand.map_file, {})
    stand.put("crm", 1, "Grace", ago_s=0)
    told: list[str] = []

    def tell(text: str) -> None:
        """While the auditor waits, one record after the other changes, and each arrives in time."""
        if "pending" in text:
            told.append(text)
            stand.put("billing", len(told), "Grace", ago_s=0)
            stand.put("crm", len(told) + 1, "Grace", ago_s=0)

    (report,) = audit_once(loaded, stand.ledger, b"k" * 32, flows=["to_billing"], wait_s=60, tell=tell)
    assert 0 < len(told) < 18
    assert report.pending > 0
    assert (report.undecided, report.unverified, report.as_row()["verdict"]) == (0, False, "consistent")


@pytest.mark.parametrize("lists", [True, False])
def test_once_follows_what_was_pending_to_its_verdict(stand: Stand, lists: bool) -> None:
    stand.fill(20)
    if not lists:
        stand.remap(", changed_at: updated_at}", "}")
    stand.put("crm", 1, "Grace", ago_s=0)
    loaded = load_map(stand.map_file, {})
    (report,) = audit_once(loaded, stand.ledger, b"k" * 32, flows=["to_billing"], wait_s=60, tell=lambda _: None)
    assert (sum(report.open_by_cause.values()), report.pending, report.undecided) == (1, 0, 0)


def test_once_that_does_not_wait_says_what_is_pending(stand: Stand) -> None:
    stand.fill(20)
    stand.put("crm", 1, "Grace", ago_s=0)
    loaded = load_map(stand.map_file, {})
    (report,) = audit_once(loaded, stand.ledger, b"k" * 32, flows=["to_billing"], wait_s=0, tell=lambda _: None)
    assert (report.pending, report.undecided, report.as_row()["verdict"]) == (1, 1, "pending")


def test_once_and_then_the_daemon_never_call_unread_changes_consistent(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.fill(20)
    stand.map_file.write_text(stand.map_file.read_text().replace("zone: UTC}", PER_DAY, 1))
    loaded = load_map(stand.map_file, {})
    (report,) = audit_once(loaded, stand.ledger, b"k" * 32, flows=["to_billing"], wait_s=0, tell=lambda _: None)
    assert report.as_row()["verdict"] == "consistent"
    monkeypatch.setenv("AUDITOR_LEDGER", stand.ledger_url)
    monkeypatch.setenv("AUDITOR_DIGEST_KEY", "k" * 32)
    daemon = Daemon(loaded, Workspace.at(stand.place / "var", ledger_url=stand.ledger_url))
    daemon.start()

    def state() -> Standing:
        (found,) = flow_status(loaded, stand.ledger, datetime.now(UTC))
        return found.state

    try:
        wait_until(lambda: daemon.vitals.all_recorded_since(0))
        stand.put("crm", 3, "Grace", ago_s=0)
        wait_until(lambda: state() is Standing.UNVERIFIED)
        for command in (["status"], ["drift"], ["coverage"], ["lag"], ["objectives"]):
            where = ["--map", str(stand.map_file), "--data", str(stand.place / "var")]
            shown = CliRunner(env={"COLUMNS": "400"}).invoke(app, [*command, *where])
            assert (shown.exit_code, "unverified" in shown.output) == (3, True), shown.output
    finally:
        daemon.stop()


def test_an_audit_of_a_time_that_has_not_come_is_no_data(stand: Stand) -> None:
    """A clock that was ahead when it was recorded must not hide that nothing has been audited since."""
    stand.agree(3)
    now = stand.clock.now()
    [right] = flow_status(stand.map, stand.ledger, now - timedelta(seconds=60))
    assert right.state is Standing.CONSISTENT, "two machines may differ by as much"
    [ahead] = flow_status(stand.map, stand.ledger, now - timedelta(hours=1))
    assert ahead.state is Standing.NO_DATA
    assert ahead.why == "its last audit has a time that has not come yet: a clock was set"


def test_the_words_of_a_verdict_are_explained() -> None:
    nothing = Findings(flow="f", divergent=[], pending=[], unverified=[], counts={})
    report = Report(
        flow="f", records=9, open_by_cause={}, pending=0, undecided=0, cannot_verify=0, error="", findings=nothing
    )
    for words, of in (
        (["consistent"], report),
        (["pending"], replace(report, pending=2, undecided=2)),
        (["unverified"], replace(report, pending=2, undecided=2, cannot_verify=1)),
        (["late", "lost", "pending"], replace(report, pending=2, undecided=2, open_by_cause={"lost": 1, "late": 3})),
    ):
        assert [*of.meanings] == words
    assert "a change may still be on its way" in replace(report, pending=2, undecided=2).meanings["pending"]


def test_a_system_that_no_flow_uses_says_so(stand: Stand) -> None:
    crm = stand.map.systems["crm"]
    wider = replace(stand.map, systems={**stand.map.systems, "attic": crm})
    states = {each["system"]: each["state"] for each in system_status(wider, stand.ledger, stand.clock.now())}
    assert states["attic"] == "used by no flow"
    assert states["crm"] == "never read"
    assert set(states.values()) <= WELL

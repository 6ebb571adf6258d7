"""Vital signs: what counts as dead, as not ready, and as silent, on a clock that the test moves."""

from __future__ import annotations

from auditor.daemon.vitals import NO_PULSE_S, STARTING, Vitals, silent_after_s
from tests.stand import Stand


class Watch:
    """A monotonic clock."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def vitals_and_clock() -> tuple[Vitals, Watch]:
    watch = Watch()
    return Vitals({"orders": 120.0, "rates": 1200.0}, now_s=watch), watch


def test_a_daemon_that_waits_for_the_lease_lives_but_is_not_ready() -> None:
    vitals, _ = vitals_and_clock()
    assert vitals.health().unready == (STARTING,)
    vitals.waits("another auditor is using the ledger")
    health = vitals.health()
    assert (health.live, health.ready, vitals.leads) == (True, False, False)
    assert health.as_document()["checks"]["ready"]["reasons"] == ["another auditor is using the ledger"]


def test_a_stuck_timetable_is_dead() -> None:
    vitals, watch = vitals_and_clock()
    vitals.begins(lambda: False)
    assert vitals.health().as_document()["status"] == "pass"
    watch.now_s += NO_PULSE_S + 1
    health = vitals.health()
    assert not health.live
    assert health.as_document()["checks"]["ready"]["status"] == "fail"
    vitals.pulse()
    assert vitals.health().well


def test_a_flow_without_recorded_audits_is_silent_and_one_that_fails_is_a_warning() -> None:
    vitals, watch = vitals_and_clock()
    vitals.begins(lambda: False)
    watch.now_s += 121
    vitals.pulse()
    assert vitals.health().silent == ("orders: no audit recorded for 2 min",)
    assert vitals.health().ready
    vitals.recorded("orders", "crm: unreachable")
    health = vitals.health()
    assert (health.well, health.warnings) == (True, ("orders: crm: unreachable",))
    assert health.as_document()["status"] == "warn"
    watch.now_s += 1200
    vitals.pulse()
    assert [each.partition(":")[0] for each in vitals.health().silent] == ["orders", "rates"]


def test_a_ledger_that_cannot_be_written_is_not_ready() -> None:
    vitals, _ = vitals_and_clock()
    vitals.begins(lambda: True)
    assert vitals.health().unready == ("the ledger cannot be written",)


def test_a_cycle_is_complete_when_something_was_recorded_and_nothing_is_overdue() -> None:
    vitals, watch = vitals_and_clock()
    begun_s = vitals.now_s()
    assert not vitals.all_recorded_since(begun_s)
    vitals.begins(lambda: False)
    assert not vitals.all_recorded_since(begun_s)
    watch.now_s += 5
    vitals.recorded("orders", "")
    assert vitals.all_recorded_since(begun_s)
    assert not vitals.all_recorded_since(vitals.now_s())


def test_a_flow_is_silent_after_two_intervals_and_not_while_its_systems_may_hang(stand: Stand) -> None:
    assert silent_after_s(stand.map.flow("to_billing")) == 120
    stand.remap("window: 4s", "window: 1h")
    stand.remap("    every: 1s", "    every: 5m")
    assert silent_after_s(stand.map.flow("to_billing")) == 600
    stand.remap("crm: {kind: sql, ", "crm: {kind: sql, budget: {timeout: 5m}, ")
    assert silent_after_s(stand.map.flow("to_billing")) == 4 * 305


def test_jobs_that_hang_senders_that_do_not_deliver_and_a_lost_drill_are_failures() -> None:
    vitals, _ = vitals_and_clock()
    hanging: list[str] = []
    vitals.begins(lambda: False, lambda: hanging)
    assert vitals.health().well
    hanging.append("alerts to slack: runs for 2 min")
    assert vitals.health().as_document()["checks"]["jobs"]["reasons"] == hanging
    hanging.clear()
    vitals.delivers(["slack: 1 message not delivered"])
    vitals.drilled("two different copies are seen as equal")
    health = vitals.health()
    assert (health.ready, health.well) == (True, False)
    assert health.as_document()["checks"]["alerts"]["reasons"] == [
        "slack: 1 message not delivered",
        "the last drill did not arrive: two different copies are seen as equal",
    ]
    vitals.delivers([])
    vitals.drilled("")
    assert vitals.health().well


def test_under_another_map_flows_of_both_keep_their_signs_and_new_ones_get_their_time() -> None:
    vitals, watch = vitals_and_clock()
    vitals.begins(lambda: False)
    vitals.recorded("rates", "crm: unreachable")
    watch.now_s += 100
    vitals.follows({"orders": 120.0, "new": 120.0}, lambda: False, tuple)
    assert vitals.health().warnings == ()  # that flow has gone
    watch.now_s += 21
    vitals.pulse()
    assert [each.partition(":")[0] for each in vitals.health().silent] == ["orders"]
    watch.now_s += 100
    vitals.pulse()
    assert [each.partition(":")[0] for each in vitals.health().silent] == ["orders", "new"]


def test_a_map_that_was_refused_is_a_warning() -> None:
    vitals, _ = vitals_and_clock()
    vitals.begins(lambda: False)
    vitals.refuses("a newer map was refused")
    assert (vitals.health().well, vitals.health().warnings) == (True, ("a newer map was refused",))
    vitals.refuses("")
    assert vitals.health().as_document()["status"] == "pass"

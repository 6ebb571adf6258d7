"""From signals to breaches, incidents and messages, in a real ledger."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from auditor.alerts.leftovers import end_leftovers
from auditor.alerts.reporter import Reporter, places_of
from auditor.map.loader import load_map
from checks.breach_life import BreachSignal
from checks.breaches import Breach
from checks.convergence import Verdict
from tests.stand import Stand

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def signal(what: str, count: int, flow: str | None = "to_billing", **words: Any) -> BreachSignal:
    queue, system = words.get("queue"), words.get("system")
    parts = ("flow", flow, what, queue) if system is None else ("system", system, what)
    fixed = {"threshold": 1, "clear_after_s": 60, "flow": None if system else flow}
    return BreachSignal(
        breach=Breach(what), fingerprint="/".join(filter(None, parts)), count=count, **{**fixed, **words}
    )


class Desk:
    """A reporter and its ledger."""

    def __init__(self, stand: Stand, hold_s: float = 0) -> None:
        self.stand, self.ledger = stand, stand.ledger
        self.reporter = Reporter.of_map(stand.ledger, stand.map, ["slack"], hold_s=hold_s)

    def report(self, at_s: float, *signals: BreachSignal) -> None:
        with self.ledger.write() as transaction:
            self.reporter.report(transaction, signals, later(at_s))

    @property
    def incidents(self) -> list[tuple[object, object]]:
        return [(row["cause"], row["state"]) for row in self.rows("incidents")]

    @property
    def messages(self) -> list[tuple[object, object]]:
        return [(row["incident_id"], row["transition"]) for row in self._sendable()]

    @property
    def notices(self) -> list[dict[str, Any]]:
        return [json.loads(str(row["notice"])) for row in self._sendable()]

    def _sendable(self) -> Sequence[dict[str, Any]]:
        return [row for row in self.rows("alerts") if row["state"] != "withdrawn"]

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The rows of a table, oldest first."""
        return sorted(self.stand.rows(table), key=lambda row: int(str(row["id"])))


@pytest.fixture
def desk(stand: Stand) -> Desk:
    return Desk(stand)


def test_one_stopped_consumer_is_one_incident_and_is_explained_when_it_is_certain(desk: Desk) -> None:
    desk.report(0, signal("not_arriving", 5))
    desk.report(5, signal("not_arriving", 75), signal("objective", 80))
    desk.report(70, signal("stalled", 100, queue="dead"))
    desk.report(71, signal("stalled", 400, queue="dead"))
    assert desk.incidents == [("stopped_consumer", "open")]
    assert [each for _, each in desk.messages] == [
        "opened",
        "grown 10x from 5",
        "explained",
        "grown 2x from 75 records and 100 messages",
    ]
    last = desk.notices[-1]
    assert (last["cause"], last["severity"]) == ("stopped_consumer", "high")
    assert last["summary"].startswith("to_billing, queue dead: no consumer is reading from it (400 messages, 75 cu")
    assert "These changes pass through the queue" in last["evidence"]
    assert len(last["breaches"]) == 3
    gone = [signal("not_arriving", 0), signal("objective", 0), signal("stalled", 0, queue="dead")]
    desk.report(710, *gone)
    desk.report(771, *gone)
    assert desk.incidents == [("stopped_consumer", "resolved")]
    assert [each for _, each in desk.messages][-1] == "resolved"
    assert all(row["ended_at"] is not None for row in desk.rows("breaches"))


def test_changes_that_were_late_while_a_consumer_stood_still_are_no_second_incident(desk: Desk) -> None:
    desk.report(0, signal("not_arriving", 5))
    missed(desk, 5, at_s=30)
    desk.report(60, signal("not_arriving", 0))
    desk.report(121, signal("not_arriving", 0))
    assert desk.incidents == [("not_arriving", "resolved")]
    told = desk.messages
    desk.report(130, signal("objective", 5))
    desk.report(190, signal("objective", 5))
    assert desk.incidents == [("not_arriving", "resolved")]
    assert desk.messages == told
    (objective,) = (row for row in desk.rows("breaches") if row["breach"] == "objective")
    assert (objective["incident_id"], objective["peak"], objective["count"]) == (1, 5, 0)
    missed(desk, 1, at_s=1500)
    desk.report(1510, signal("objective", 6))
    assert desk.incidents == [("not_arriving", "resolved"), ("objective", "open")]


def test_changes_that_are_late_after_the_cause_was_over_are_an_incident(desk: Desk) -> None:
    desk.report(0, signal("not_arriving", 5))
    desk.report(60, signal("not_arriving", 0))
    desk.report(121, signal("not_arriving", 0))
    missed(desk, 5, at_s=900)
    desk.report(910, signal("objective", 5))
    assert desk.incidents == [("not_arriving", "resolved"), ("objective", "open")]


@pytest.mark.parametrize("judged_s", [30, 130])
def test_an_objective_of_a_further_flow_of_what_stood_still_is_no_second_incident(desk: Desk, judged_s: int) -> None:
    flow = desk.stand.map.flow("to_billing")
    flows = [replace(flow, name=name) for name in ("to_billing", "second", "third")]
    desk.reporter = Reporter(desk.ledger, flows, senders=["slack"])
    reports = {0: 5, 60: 0, 121: 0, judged_s: 0 if judged_s > 60 else 5}
    missed(desk, 5, at_s=20)
    for at_s, late in sorted(reports.items()):
        objective = [signal("objective", 5)] if at_s >= judged_s else []
        desk.report(at_s, signal("not_arriving", late, "second"), signal("not_arriving", late, "third"), *objective)
    assert desk.incidents == [("nothing_arrives", "resolved")]
    assert [transition for _, transition in desk.messages] == ["opened", "resolved"]


def test_messages_rejected_after_a_pause_are_an_incident_with_the_records_that_they_kept_back(desk: Desk) -> None:
    stalled, letters = {"queue": "jobs"}, {"queue": "dead"}
    desk.report(0, signal("not_arriving", 174), signal("objective", 3))
    desk.report(70, signal("stalled", 170, **stalled))
    assert desk.incidents == [("stopped_consumer", "open")]
    desk.report(90, signal("stalled", 0, **stalled), signal("not_arriving", 4))
    (row,) = desk.rows("incidents")
    assert row["summary"].endswith(
        "jobs: it is read again, and not all changes have arrived yet (4 customer records affected)"
    )
    assert desk.notices[-1]["advice"].startswith("Wait for what was held up.")
    desk.report(160, signal("stalled", 0, **stalled), signal("not_arriving", 4))
    desk.report(300, signal("dead_letters", 6, **letters))
    desk.report(310, signal("not_arriving", 4))
    assert desk.incidents == [("stopped_consumer", "resolved"), ("rejected_messages", "open")]
    assert {row["breach"] for row in desk.rows("breaches") if row["incident_id"] == 2} == {
        "dead_letters",
        "not_arriving",
    }
    assert desk.rows("incidents")[0]["summary"].endswith(
        "no consumer is reading from it (at most 170 messages; none now)"
    )
    assert desk.rows("incidents")[1]["summary"].endswith("(6 messages, 4 customer records affected)")
    assert "fewer changes" not in desk.rows("incidents")[1]["evidence"]
    assert [each for each in desk.messages if each[1] != "explained"] == [
        (1, "opened"),
        (2, "opened"),
        (1, "resolved"),
    ]


def test_a_queue_that_stands_still_soon_after_deletions_were_carried_over_is_an_incident_of_its_own(
    desk: Desk,
) -> None:
    flow, stalled = desk.stand.map.flow("to_billing"), {"queue": "jobs"}
    desk.reporter = Reporter(desk.ledger, [replace(flow, name=name) for name in ("one", "two")], senders=["slack"])
    desk.report(0, *(signal("not_arriving", 3, name, reason="deletions") for name in ("one", "two")))
    desk.report(30, *(signal("not_arriving", 0, name) for name in ("one", "two")))
    desk.report(50, signal("not_arriving", 1, "one"))
    desk.report(53, signal("stalled", 12, "one", **stalled))
    desk.report(60, signal("not_arriving", 8, "one"), signal("stalled", 30, "one", **stalled))
    assert desk.incidents == [("deletions_missing", "open"), ("stopped_consumer", "open")]
    desk.report(95, signal("not_arriving", 0, "two"))
    deleted, paused = desk.rows("incidents")
    assert (deleted["state"], paused["state"]) == ("resolved", "open")
    assert deleted["summary"].endswith("(at most 6 customer records affected on 2 flows; none now)")
    assert paused["summary"].endswith("(30 messages, 8 customer records affected)")
    assert [each for each in desk.messages if "grown" not in str(each[1])] == [
        (1, "opened"),
        (2, "opened"),
        (2, "explained"),
        (1, "resolved"),
    ]


def test_an_incident_that_comes_back_lasts_since_then(desk: Desk) -> None:
    for at_s, late in ((0, 12), (10, 0), (71, 0), (400, 3)):
        desk.report(at_s, signal("not_arriving", late))
    (row,) = desk.rows("incidents")
    assert (row["reopened_at"] - row["opened_at"], row["reopened"]) == (400_000_000, 1)
    desk.report(410, signal("not_arriving", 40))
    assert desk.notices[-1]["since_at"] == later(400).isoformat()
    assert desk.notices[-1]["opened_at"] == later(0).isoformat()


def missed(desk: Desk, number: int, *, at_s: float) -> None:
    with desk.ledger.write() as transaction:
        desk.ledger.measurements.count_windows(transaction, "to_billing", {Verdict.BREACH: number}, later(at_s))


def test_what_an_incident_says_of_its_size_is_what_its_count_says(desk: Desk) -> None:
    desk.report(0, signal("not_arriving", 12), signal("objective", 40))
    (row,) = desk.rows("incidents")
    assert (row["count"], row["peak"]) == (12, 12)
    assert row["summary"] == "to_billing: changes do not arrive within the window (12 customer records)"
    desk.report(10, signal("not_arriving", 0))
    (row,) = desk.rows("incidents")
    assert row["count"] == 0
    assert (
        row["summary"]
        == "to_billing: changes do not arrive within the window (at most 12 customer records; none now)"
    )
    desk.report(71, signal("not_arriving", 0))
    assert desk.notices[-1]["transition"] == "resolved"
    assert desk.notices[-1]["summary"] == row["summary"]


def test_what_clears_up_says_how_many_of_each_there_were(desk: Desk) -> None:
    desk.report(0, signal("dead_letters", 16, queue="dead"), signal("not_arriving", 7))
    desk.report(10, signal("dead_letters", 0, queue="dead"), signal("not_arriving", 0))
    (row,) = desk.rows("incidents")
    assert row["summary"].endswith("were dead-lettered (at most 16 messages, 7 customer records affected; none now)")


def test_what_clears_up_in_one_flow_after_the_other_says_how_large_it_was_in_all(desk: Desk) -> None:
    flow = desk.stand.map.flow("to_billing")
    desk.reporter = Reporter(desk.ledger, [replace(flow, name=name) for name in ("one", "two")], senders=["slack"])
    desk.report(0, signal("not_arriving", 40, "one"), signal("not_arriving", 7, "two"))
    (row,) = desk.rows("incidents")
    assert row["summary"].endswith("(47 customer records affected on 2 flows)")
    desk.report(10, signal("not_arriving", 0, "one"), signal("not_arriving", 9, "two"))
    desk.report(80, signal("not_arriving", 0, "one"), signal("not_arriving", 5, "two"))  # the first is over
    desk.report(90, signal("not_arriving", 0, "two"))
    desk.report(151, signal("not_arriving", 0, "two"))
    (row,) = desk.rows("incidents")
    assert row["state"] == "resolved"
    assert row["summary"].endswith("(at most 47 customer records affected on 2 flows; none now)"), (
        "40 and 9 were not there at once"
    )


def test_conflicts_that_are_left_of_a_second_writer_are_no_flow_that_cannot_be_verified(desk: Desk) -> None:
    desk.report(0, signal("foreign_write", 2), signal("conflicts_waiting", 3, clear_after_s=0))
    assert desk.rows("incidents")[0]["summary"].endswith("does not own (2 customer records affected)")
    desk.report(10, signal("foreign_write", 0), signal("conflicts_waiting", 3, clear_after_s=0))
    assert desk.rows("incidents")[0]["summary"].endswith("does not own (3 conflicts waiting)")


def test_the_first_message_waits_and_says_what_is_so_by_then(stand: Stand) -> None:
    desk = Desk(stand, hold_s=30)
    desk.report(0, signal("not_arriving", 5))
    assert desk.ledger.outbox.claim(later(29)) is None
    desk.report(20, signal("not_arriving", 500), signal("stalled", 7, queue="dead"))
    assert desk.messages == [(1, "opened")]
    sent = desk.ledger.outbox.claim(later(30))
    assert sent is not None
    assert (sent.notice["count"], sent.notice["cause"]) == (500, "stopped_consumer")


def test_a_message_that_waits_for_its_turn_is_kept_up_to_date(desk: Desk) -> None:
    desk.report(0, signal("not_arriving", 5))
    sent = desk.ledger.outbox.claim(later(1))
    assert sent is not None
    desk.ledger.outbox.settle(sent, state="sent", sent_at=later(1), next_try_at=None)
    desk.report(2, signal("not_arriving", 11))
    desk.report(60, signal("not_arriving", 190))
    waiting = desk.ledger.outbox.claim(later(61))
    assert waiting is not None
    assert (waiting.notice["transition"], waiting.notice["count"]) == ("grown", 190)


def test_what_is_over_before_it_was_reported_is_never_reported(stand: Stand) -> None:
    desk = Desk(stand, hold_s=120)
    desk.report(0, signal("not_arriving", 5))
    desk.report(10, signal("not_arriving", 0))
    desk.report(70, signal("not_arriving", 0))
    assert desk.incidents == [("not_arriving", "resolved")]
    assert desk.messages == []
    assert desk.ledger.outbox.claim(later(1000)) is None


def test_what_has_cleared_up_by_then_is_not_reported_unless_it_returns(stand: Stand) -> None:
    desk = Desk(stand, hold_s=30)
    desk.report(0, signal("not_arriving", 3))
    for at_s in range(20, 60, 5):
        desk.report(at_s, signal("not_arriving", 0))
        assert stand.ledger.outbox.claim(later(at_s)) is None
    desk.report(60, signal("not_arriving", 4))
    assert stand.ledger.outbox.claim(later(60)) is None
    assert stand.ledger.outbox.claim(later(90)) is not None
    (notice,) = desk.notices
    assert (notice["transition"], notice["count"]) == ("opened", 4)


def test_what_returns_after_nobody_heard_of_it_is_reported_as_new(stand: Stand) -> None:
    desk = Desk(stand, hold_s=120)
    desk.report(0, signal("not_arriving", 5))
    desk.report(10, signal("not_arriving", 0))
    desk.report(70, signal("not_arriving", 0))
    desk.report(100, signal("not_arriving", 6))
    desk.report(110, signal("not_arriving", 7))
    sent = desk.ledger.outbox.claim(later(220))
    assert sent is not None
    assert (sent.notice["transition"], sent.notice["count"], sent.incident_id) == ("opened", 7, 1)


def test_a_strict_flow_does_not_wait(stand: Stand) -> None:
    stand.remap("sla: {dead_letters: 1}", "sla: {dead_letters: 1, strict: true}")
    desk = Desk(stand, hold_s=120)
    desk.report(0, signal("not_arriving", 1))
    sent = desk.ledger.outbox.claim(NOW)
    assert sent is not None
    assert sent.notice["severity"] == "critical"


def test_two_incidents_become_one_when_their_common_cause_is_seen(desk: Desk) -> None:
    desk.report(0, signal("unverified", 3))
    desk.report(1, signal("dead_letters", 2, queue="dead"))
    assert desk.incidents == [("unverified", "open"), ("rejected_messages", "open")]
    desk.report(2, signal("unreachable", 3, None, system="billing", reason="timeout"))
    assert desk.incidents == [("unreachable_system", "open"), ("rejected_messages", "resolved")]
    assert desk.rows("incidents")[1]["merged_into"] == 1
    assert desk.messages == [(1, "opened"), (2, "opened"), (2, "resolved"), (1, "worse high")]
    closed = next(each for each in desk.notices if each["transition"] == "resolved")
    assert closed["detail"].startswith("it is part of incident 1: billing: the system cannot be read")


def test_a_cause_that_returns_soon_is_the_same_incident_and_flapping_is_said_once(desk: Desk) -> None:
    at = 0.0
    for _ in range(5):
        desk.report(at, signal("not_arriving", 3))
        desk.report(at + 10, signal("not_arriving", 0))
        desk.report(at + 70, signal("not_arriving", 0))
        at += 80
    assert [each for _, each in desk.messages] == ["opened", "resolved", "reopened 1", "resolved 1", "flapping 2"]
    desk.report(at + 900, signal("not_arriving", 0))
    assert [each for _, each in desk.messages][-1] == "resolved 2"
    assert desk.incidents == [("not_arriving", "resolved")]


def test_what_was_read_of_a_breach_keeps_the_time_at_which_it_was_so(desk: Desk) -> None:
    alike = "name in billing is cut short in {} of 12 records"
    desk.report(0, signal("transformation", 12, detail=alike.format(12)))
    desk.report(30, signal("transformation", 4))
    (breach,) = desk.ledger.breaches.rows(1)
    assert (breach["count"], breach["detail"], breach["detail_at"]) == (4, alike.format(12), later(0))
    desk.report(60, signal("transformation", 9, detail=alike.format(9)), signal("stalled", 8, queue="dead"))
    desk.report(90, signal("transformation", 0, detail=alike.format(0)))
    desk.report(150, signal("transformation", 0))
    (breach,) = desk.ledger.breaches.rows(1)
    assert (breach["ended_at"], breach["count"]) == (later(150), 0)
    assert (breach["detail"], breach["detail_at"]) == (alike.format(9), later(60))
    told = {each["transition"]: each for each in desk.notices if each["incident"] == 1}
    assert told["opened"]["detail"] == f"as of 2026-03-01 00:01:00 UTC: {alike.format(9)}"
    assert told["resolved"]["detail"] == told["opened"]["detail"], "what is told again keeps the time of its counts"


def test_missed_changes_that_belong_to_an_incident_that_is_over_say_when_they_were_counted(desk: Desk) -> None:
    desk.report(0, signal("not_arriving", 5))
    missed(desk, 5, at_s=30)
    desk.report(60, signal("not_arriving", 0))
    desk.report(121, signal("not_arriving", 0))
    desk.report(130, signal("objective", 5, detail="5 of 9 changes missed their window"))
    (objective,) = (each for each in desk.ledger.breaches.rows(1) if each["breach"] == "objective")
    assert objective["detail_at"] == later(130)


def test_without_a_change_nothing_is_written(desk: Desk) -> None:
    desk.report(0, signal("not_arriving", 3))
    rows = desk.rows("incidents"), desk.rows("breaches"), desk.rows("alerts")
    desk.report(1, signal("not_arriving", 3))
    assert (desk.rows("incidents"), desk.rows("breaches"), desk.rows("alerts")) == rows


def test_an_incident_that_stays_apart_takes_in_nothing(desk: Desk) -> None:
    desk.report(0, signal("not_arriving", 3))
    with desk.ledger.write() as transaction:
        desk.ledger.incidents.save(transaction, 1, {"apart": True})
    desk.report(5, signal("stalled", 9, queue="dead"))
    assert desk.incidents == [("not_arriving", "open"), ("stopped_consumer", "open")]
    desk.report(6, signal("not_arriving", 0))
    desk.report(70, signal("not_arriving", 0))
    assert desk.incidents == [("not_arriving", "resolved"), ("stopped_consumer", "open")]


def test_a_restart_goes_on_with_the_open_incidents(desk: Desk) -> None:
    desk.report(0, signal("not_arriving", 3))
    again = Desk(desk.stand)
    again.report(10, signal("not_arriving", 0))
    again.report(80, signal("not_arriving", 0))
    assert [each for _, each in again.messages] == ["opened", "resolved"]


def test_breaches_of_what_the_map_no_longer_has_are_ended_with_the_reason(desk: Desk) -> None:
    desk.report(
        0,
        signal("orphan", 3),
        signal("orphan", 3, "to_shop"),
        signal("unreachable", 3, None, system="shop"),
        signal("unread_queue", 3, queue="retry"),
    )
    assert end_leftovers(desk.stand.map, desk.ledger, desk.reporter, later(5)) == 3
    assert end_leftovers(desk.stand.map, desk.ledger, desk.reporter, later(6)) == 0
    states = {row["fingerprint"]: row["state"] for row in desk.rows("incidents")}
    assert [state for state in states.values()].count("resolved") == 3
    reasons = {each["detail"] for each in desk.notices if each["transition"] == "resolved"}
    assert any("flow to_shop is no longer in the map" in each for each in reasons)


def test_queues_with_equal_settings_are_one_queue(stand: Stand) -> None:
    loaded = load_map(stand.map_file, {})
    flow = loaded.flow("to_billing")
    (settings,) = loaded.queues.values()
    queues = {("to_billing", "a"): settings, ("to_billing", "b"): settings}
    assert {each.identity for each in places_of([flow], queues)["to_billing"].queues.values()} == {"to_billing/a"}

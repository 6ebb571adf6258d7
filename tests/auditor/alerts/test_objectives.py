"""A promised share of changes within the window: when its incident opens and closes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from auditor.alerts.objectives import evidence_text, judge_objective
from checks.objectives import ShareObjective, Standing
from tests.stand import Stand


def objective(stand: Stand, after: timedelta = timedelta()) -> ShareObjective:
    return judge_objective(stand.map.flow("to_billing"), stand.ledger, stand.clock.now() + after).period


def rename(stand: Stand, system: str, first: int, last: int) -> None:
    """Change many records at once."""
    at = stand.clock.now().strftime("%Y-%m-%d %H:%M:%S.%f")
    stand.run(system, f"UPDATE customers SET name = 'Grace', updated_at = '{at}' WHERE id BETWEEN {first} AND {last}")


def incident(stand: Stand) -> dict[str, object]:
    found = stand.breaches("objective")
    return found[0] if found else {"state": None}


def test_123_changes_none_of_which_arrived_in_time_break_the_promise(stand: Stand) -> None:
    stand.agree(123)
    stand.audit()
    for key in range(1, 124):
        stand.put("crm", key, "Grace", ago_s=0)
    stand.audit_until(lambda: incident(stand)["state"], 60)
    found = incident(stand)
    assert found["state"] == "open"
    assert "fewer changes arrive within the window than promised" in str(found["summary"])
    stand.audit_until(lambda: objective(stand).counts.missed == 123, 60)
    counted = objective(stand)
    assert (counted.counts.met, counted.standing) == (0, Standing.BROKEN)
    text = evidence_text(judge_objective(stand.map.flow("to_billing"), stand.ledger, stand.clock.now()), 4)
    assert text.startswith(
        "123 of 123 changes missed their window in the last 1 h, and 123 of 123 in the last 5 min: "
    )
    assert "of 123 changes in the period 0 met the window of 4 s; in the long run " in text
    opened = [row for row in stand.rows("alerts") if row["incident_id"] == found["incident_id"]]
    assert [row["transition"] for row in opened].count("opened") == 1
    for key in range(1, 124):
        stand.put("billing", key, "Grace")
    stand.audit_until(lambda: all(row["settled_at"] for row in stand.rows("changes")), 60)
    assert objective(stand).counts.missed == 123, "each counts once, also when it arrives later"
    assert objective(stand, timedelta(days=27)).counts.missed == 123, "it stays counted for the period"
    assert objective(stand, timedelta(days=29)).standing is Standing.NO_TRAFFIC


def test_it_closes_when_an_hour_keeps_the_promise_again(stand: Stand) -> None:
    stand.remap("sla: {dead_letters: 1}", "sla: {dead_letters: 1, within_window: 0.8}")
    stand.agree(60)
    stand.audit()
    rename(stand, "crm", 1, 10)
    stand.audit_until(lambda: incident(stand)["state"], 60)
    assert incident(stand)["state"] == "open"
    rename(stand, "billing", 1, 10)
    rename(stand, "crm", 11, 60)
    stand.audit()
    rename(stand, "billing", 11, 60)
    stand.audit_until(lambda: incident(stand)["state"] == "resolved", 90)
    assert incident(stand)["state"] == "resolved"
    assert objective(stand).standing is Standing.KEPT


def test_one_late_change_of_a_quiet_day_breaks_nothing(stand: Stand) -> None:
    stand.agree(5)
    stand.audit()
    stand.put("crm", 3, "Grace", ago_s=0)
    stand.audit_until(lambda: objective(stand).counts.missed == 1, 60)
    assert objective(stand).standing is Standing.UNDECIDED
    stand.audit()
    assert incident(stand)["state"] is None


@pytest.mark.parametrize("word", ["strict: true", "within_window: 1"])
def test_one_late_change_of_strict_data_is_one_incident_until_it_has_arrived(stand: Stand, word: str) -> None:
    stand.remap("sla: {dead_letters: 1}", f"sla: {{dead_letters: 1, {word}}}")
    stand.agree(5)
    stand.audit()
    stand.put("crm", 3, "Grace", ago_s=0)
    stand.audit_until(lambda: incident(stand)["state"] and stand.breaches("not_arriving"), 60)
    assert incident(stand)["state"] == "open"
    stand.put("billing", 3, "Grace")
    stand.clock.stand_at(stand.clock.now())
    stand.audit_until(lambda: all(row["settled_at"] for row in stand.rows("changes")), 60)
    stand.audit()
    assert incident(stand)["state"] == "open"
    stand.audit_until(lambda: incident(stand)["state"] == "resolved", 60)
    assert [row["transition"] for row in stand.rows("alerts")].count("opened") == 1
    for _ in range(4):
        stand.audit()
    assert incident(stand)["state"] == "resolved"
    assert objective(stand).counts.missed == 1


def test_a_promise_of_every_change_is_broken_by_many(stand: Stand) -> None:
    stand.remap("sla: {dead_letters: 1}", "sla: {dead_letters: 1, within_window: 1}")
    stand.agree(20)
    stand.audit()
    rename(stand, "crm", 1, 12)
    stand.audit_until(lambda: objective(stand).counts.missed == 12, 60)
    stand.audit_until(lambda: incident(stand)["state"], 60)
    assert objective(stand).standing is Standing.BROKEN

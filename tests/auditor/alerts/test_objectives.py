"""A promised share of changes within the window, over the last day: its incident opens and closes."""

from __future__ import annotations

from datetime import timedelta

from auditor.alerts.objectives import evidence_text, within_window
from checks.objectives import Standing, WindowObjective
from tests.stand import Stand


def objective(stand: Stand, after: timedelta = timedelta()) -> WindowObjective:
    return within_window(stand.map.flow("to_billing"), stand.ledger, stand.clock.now() + after)


def incident(stand: Stand) -> dict[str, object]:
    found = [row for row in stand.rows("incidents") if row["breach"] == "objective"]
    return found[0] if found else {"state": None}


def test_123_changes_none_of_which_arrived_in_time_break_the_promise(stand: Stand) -> None:
    stand.agree(123)
    stand.audit()
    for key in range(1, 124):
        stand.put("crm", key, "Grace", ago_s=0)
    stand.audit_until(lambda: incident(stand)["state"], 60)
    found = incident(stand)
    assert found["state"] == "open"
    assert str(found["summary"]).startswith("to_billing: fewer changes arrive within the window than promised (")
    stand.audit_until(lambda: objective(stand).breach == 123, 60)
    counted = objective(stand)
    assert (counted.met, counted.breach, counted.standing) == (0, 123, Standing.BROKEN)
    assert evidence_text(counted, 4).startswith(
        "0 of 123 changes met the window of 4 s in the last day; in the long run "
    )
    opened = [row for row in stand.rows("alerts") if row["incident_id"] == found["id"]]
    assert [row["transition"] for row in opened] == ["opened"]
    for key in range(1, 124):
        stand.put("billing", key, "Grace")
    stand.audit_until(lambda: all(row["settled_at"] for row in stand.rows("changes")), 60)
    assert objective(stand, timedelta(hours=23)).breach == 123, "it stays counted for the day"
    assert objective(stand, timedelta(hours=26)).standing is Standing.NO_TRAFFIC


def test_it_closes_when_the_day_keeps_the_promise_again(stand: Stand) -> None:
    stand.remap("sla: {dead_letters: 1}", "sla: {dead_letters: 1, within_window: 0.5}")
    stand.agree(40)
    stand.audit()
    for key in range(1, 11):
        stand.put("crm", key, "Grace", ago_s=0)
    stand.audit_until(lambda: incident(stand)["state"], 60)
    assert incident(stand)["state"] == "open"
    for key in range(1, 11):
        stand.put("billing", key, "Grace")
    for key in range(11, 41):
        stand.put("crm", key, "Grace", ago_s=0)
    stand.audit()
    for key in range(11, 41):
        stand.put("billing", key, "Grace")
    stand.audit_until(lambda: incident(stand)["state"] == "resolved", 90)
    assert incident(stand)["state"] == "resolved"
    assert objective(stand).standing is Standing.KEPT


def test_one_late_change_of_a_quiet_day_breaks_nothing(stand: Stand) -> None:
    stand.agree(5)
    stand.audit()
    stand.put("crm", 3, "Grace", ago_s=0)
    stand.audit_until(lambda: objective(stand).breach == 1, 60)
    assert objective(stand).standing is Standing.UNDECIDED
    stand.audit()
    assert incident(stand)["state"] is None

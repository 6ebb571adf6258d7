"""An incident that nobody acknowledges goes to further senders, once."""

from __future__ import annotations

from datetime import timedelta

from auditor.alerts.escalation import escalate
from auditor.map.settings import AlertSettings
from tests.auditor.alerts.test_digest import storm
from tests.auditor.senders.receivers import NOW
from tests.stand import Stand

ALERTS = {
    "slack": {"webhook": "https://hooks.example/x"},
    "pagerduty": {"routing_key": "k"},
    "default": {"to": "slack", "escalate_after": "15m", "escalate_to": "pagerduty"},
}


def queued(stand: Stand) -> list[tuple[object, object]]:
    return [(row["sender"], str(row["transition"]).partition(" ")[0]) for row in stand.rows("alerts")]


def test_it_is_escalated_once_after_its_time(stand: Stand) -> None:
    routing = AlertSettings.model_validate(ALERTS).routing
    storm(stand, 1)
    assert escalate(stand.ledger, routing, NOW + timedelta(minutes=14)) == 0
    assert escalate(stand.ledger, routing, NOW + timedelta(minutes=15)) == 1
    assert escalate(stand.ledger, routing, NOW + timedelta(minutes=30)) == 0
    assert queued(stand) == [("slack", "opened"), ("pagerduty", "escalated")]
    (_, escalated) = stand.rows("alerts")
    assert escalated["transition"] == f"escalated at {NOW + timedelta(minutes=15):%Y-%m-%dT%H:%M:%S}"
    alert = stand.ledger.outbox.claim(NOW + timedelta(minutes=15), to="pagerduty")
    assert alert is not None
    assert "nobody has acknowledged it for 15 min" in alert.notice["detail"]


def test_what_is_over_is_not_escalated(stand: Stand) -> None:
    routing = AlertSettings.model_validate(ALERTS).routing
    storm(stand, 1)
    with stand.ledger.write() as transaction:
        (incident,) = stand.rows("incidents")
        stand.ledger.incidents.save(transaction, int(str(incident["id"])), {"state": "resolved"})
    assert escalate(stand.ledger, routing, NOW + timedelta(hours=1)) == 0


def test_without_escalation_in_the_map_nothing_is_read(stand: Stand) -> None:
    storm(stand, 1)
    plain = AlertSettings.model_validate({"slack": ALERTS["slack"]}).routing
    assert escalate(stand.ledger, plain, NOW + timedelta(days=1)) == 0

"""What the ledger holds of drills, and that their messages count nowhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from auditor.alerts.trial import trial_notice
from auditor.history.lens import Lens
from auditor.ledger import Ledger

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_it_fails_from_the_first_failure_until_one_arrives(ledger: Ledger) -> None:
    assert str(ledger.drills.state()) == "none has arrived yet"
    ledger.drills.request(AT)
    assert ledger.drills.state().requested_at == AT
    ledger.drills.begin(AT)
    state = ledger.drills.state()
    assert (state.requested_at, state.begun_at, state.under_way) == (None, AT, True)
    for minutes in (5, 6):
        ledger.drills.fail(AT + timedelta(minutes=minutes), f"no {minutes}")
    state = ledger.drills.state()
    assert (state.under_way, state.failing_since_at, state.error) == (False, AT + timedelta(minutes=5), "no 6")
    assert str(state) == "none has arrived yet, failing since 2026-03-01 12:05:00 UTC (no 6)"
    ledger.drills.arrive(AT + timedelta(minutes=7))
    state = ledger.drills.state()
    assert (state.failing_since_at, state.error, state.arrived_at) == (None, None, AT + timedelta(minutes=7))


def test_its_messages_go_through_the_outbox_and_count_nowhere(ledger: Ledger) -> None:
    ledger.outbox.queue_drill("slack", trial_notice(AT), AT)
    claimed = ledger.outbox.claim(AT, to="slack")
    assert claimed is not None
    assert (claimed.incident_id, claimed.transition) == (None, "test")
    ledger.outbox.settle(claimed, state="failed", error="HTTP 404", next_try_at=None)
    assert ledger.outbox.drill_messages() == [("failed", "HTTP 404")]
    assert ledger.outbox.undelivered() == []
    assert ledger.outbox.counts() == {}
    assert ledger.incidents.rows(live_only=False, limit=10) == []
    lens = Lens(ledger)
    lens.refresh()
    assert lens.query("SELECT * FROM alerts", []).num_rows == 0
    lens.close()
    ledger.outbox.forget_drill()
    assert ledger.outbox.drill_messages() == []

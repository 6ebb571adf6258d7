"""What the ledger holds of the heartbeat."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from auditor.ledger import Ledger

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_failures_are_counted_from_the_first_until_one_is_accepted(ledger: Ledger) -> None:
    state = ledger.heartbeats.state()
    assert (state.sent_at, state.failures, str(state)) == (None, 0, "never accepted")
    ledger.heartbeats.note(AT, "")
    for minutes in (1, 2):
        ledger.heartbeats.note(AT + timedelta(minutes=minutes), f"HTTP 50{minutes}")
    state = ledger.heartbeats.state()
    assert (state.sent_at, state.failing_since_at, state.failures) == (AT, AT + timedelta(minutes=1), 2)
    assert str(state) == "last accepted at 2026-03-01 12:00:00 UTC, failing since 2026-03-01 12:01:00 UTC (HTTP 502)"
    ledger.heartbeats.note(AT + timedelta(minutes=3), "")
    state = ledger.heartbeats.state()
    assert (state.failing_since_at, state.failures, state.error) == (None, 0, None)

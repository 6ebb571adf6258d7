"""What the ledger holds of listening to buttons."""

from __future__ import annotations

from datetime import UTC, datetime

from auditor.ledger import Ledger

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_it_is_known_whether_somebody_listens_since_when_and_why_not(ledger: Ledger) -> None:
    assert str(ledger.listening.state()) == "not listened to yet"
    ledger.listening.note(AT, "Slack: invalid_auth")
    assert str(ledger.listening.state()) == "do nothing since 2026-03-01 12:00:00 UTC (Slack: invalid_auth)"
    ledger.listening.note(AT, "")
    state = ledger.listening.state()
    assert (state.since_at, state.error, str(state)) == (AT, None, "listened to since 2026-03-01 12:00:00 UTC")

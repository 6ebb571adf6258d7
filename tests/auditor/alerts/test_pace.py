"""The pace of a sender: a message a second and channel, waits that a receiver asks for, gathering after a digest."""

from __future__ import annotations

from datetime import timedelta

from auditor.alerts.pace import DIGEST_EVERY, EVERY, SINGLE, Pace
from tests.auditor.senders.receivers import NOW


def test_each_channel_has_a_pace_of_its_own() -> None:
    pace = Pace()
    pace.tried("#a", NOW)
    pace.tried("#b", NOW, wait_s=30)
    assert pace.held(NOW) == ["#a", "#b"]
    assert pace.ready_at(NOW) == NOW + EVERY
    assert pace.held(NOW + EVERY) == ["#b"]
    assert pace.held(NOW + timedelta(seconds=30)) == []
    assert pace.ready_at(NOW + timedelta(seconds=30)) is None


def after_singles(pace: Pace, channel: str) -> None:
    """Post the messages that are not gathered yet."""
    for _ in range(SINGLE):
        assert channel not in pace.gathering(NOW)
        pace.tried(channel, NOW)


def test_after_a_digest_messages_are_gathered_also_by_a_successor() -> None:
    pace = Pace({"#a": NOW})
    after_singles(pace, "#a")
    assert pace.gathering(NOW + DIGEST_EVERY / 2) == ["#a"]
    assert pace.gathering(NOW + DIGEST_EVERY) == []
    pace.digested("#a", NOW + DIGEST_EVERY)
    assert pace.gathering(NOW + DIGEST_EVERY) == []
    after_singles(pace, "#a")
    assert pace.gathering(NOW + DIGEST_EVERY) == ["#a"]

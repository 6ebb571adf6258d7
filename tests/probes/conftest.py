"""What the tests of several kinds of probe share."""

from __future__ import annotations

import pytest


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, all messages are read into."""
    monkeypatch.setattr("probes.queues.message.READ_S", 600.0)

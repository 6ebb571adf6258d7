"""An installation that the dashboard finds, closed after each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from auditor.dashboard.installations import forget
from tests.stand import Stand


@pytest.fixture(autouse=True)
def released() -> Iterator[None]:
    """Each test opens its own installation and closes it."""
    yield
    forget()


@pytest.fixture
def watched(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> Stand:
    monkeypatch.setenv("AUDITOR_MAP", str(stand.map_file))
    monkeypatch.setenv("AUDITOR_DATA", str(stand.place / "var"))
    monkeypatch.setenv("AUDITOR_LEDGER", stand.ledger_url)
    # However long the machine takes to draw a page, what was just audited is current.
    monkeypatch.setattr("auditor.history.status.STALE_FLOOR_S", 3600.0)
    return stand


@pytest.fixture
def disputed(watched: Stand) -> Stand:
    """One record twice in billing, which no rule decides, and consumers who read it."""
    consumers = (
        "consumers: [{name: dunning, role: automation, reads: billing}, {name: sales, role: team, reads: crm}]"
    )
    watched.remap("    key_type: integer\n", f"    key_type: integer\n    {consumers}\n")
    watched.clock.advance(-1.1)
    watched.agree(5)
    watched.run("billing", "INSERT INTO customers SELECT * FROM customers WHERE id = 3")
    watched.sweep()
    watched.clock.advance(1.1)
    watched.sweep()
    return watched

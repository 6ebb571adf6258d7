"""The small stand of two SQLite systems, and a ledger of either kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from auditor.ledger import Ledger
from tests.stand import Stand


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path)
    yield made
    made.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    """A ledger on SQLite and on PostgreSQL: every test that takes it runs on both."""
    made = Ledger(request.getfixturevalue(f"{request.param}_ledger_url"))
    yield made
    made.close()

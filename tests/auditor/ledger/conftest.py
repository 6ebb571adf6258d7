"""A ledger on SQLite and on PostgreSQL: every test that takes it runs on both."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from auditor.ledger import Ledger


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    made = Ledger(request.getfixturevalue(f"{request.param}_url"))
    made.migrate()
    yield made
    made.close()

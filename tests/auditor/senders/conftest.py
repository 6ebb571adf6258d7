"""A receiver for the tests of the senders."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.auditor.senders.receivers import FakeSlack


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    made = FakeSlack()
    yield made
    made.close()

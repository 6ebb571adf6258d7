"""The words that lead a command to the stand of a test."""

from __future__ import annotations

import pytest

from tests.auditor.cli.process import places_of
from tests.stand import Stand


@pytest.fixture
def places(stand: Stand) -> list[object]:
    return places_of(stand)

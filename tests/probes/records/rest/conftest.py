"""APIs that a test serves, closed at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.http_api import Api
from tests.probes.records.rest.apis import Answer


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], Api]]:
    opened: list[Api] = []

    def make(answer: Answer) -> Api:
        opened.append(Api(answer))
        return opened[-1]

    yield make
    for each in opened:
        each.close()

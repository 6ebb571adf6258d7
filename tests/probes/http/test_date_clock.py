"""A server's clock by its `Date`: between sending and receiving, to the second, and never an old response's."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from probes.contract import ProbeError, Reason
from probes.http.date_clock import read_clock


def test_a_date_is_the_servers_clock_to_the_second() -> None:
    before = datetime.now(UTC)
    sample = read_clock(lambda: {"date": "Fri, 27 Nov 2026 20:00:00 GMT"})
    assert sample.server_at == datetime(2026, 11, 27, 20, tzinfo=UTC)
    assert sample.resolution_s == 1.0
    assert before <= sample.sent_at <= sample.received_at <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, "no Date of its own"),
        ({"date": "Fri, 27 Nov 2026 20:00:00 GMT", "age": "30"}, "no Date of its own"),
        ({"date": "yesterday"}, "is not one"),
    ],
)
def test_no_clock_is_made_up(headers: dict[str, str], said: str) -> None:
    with pytest.raises(ProbeError, match=said) as caught:
        read_clock(lambda: headers)
    assert caught.value.reason is Reason.DECODE

"""Figures of messages as whoever wrote them made them: what is none leaves a message readable."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from probes.queues.message import MOST_ATTEMPTS, counted, dropped_at, instant_at

AT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("told", "count"),
    [
        (3, 3),
        ("12", 12),
        (MOST_ATTEMPTS, MOST_ATTEMPTS),
        (MOST_ATTEMPTS + 1, None),
        ("9" * 30, None),
        ("9" * 10, None),
        ("\u00b2", None),
        ("", None),
        (-1, None),
        (True, None),
        (1.5, None),
        (None, None),
        (["1"], None),
    ],
)
def test_a_count_is_one_that_could_be_true(told: object, count: int | None) -> None:
    assert counted(told) == count


def test_a_queue_that_keeps_its_messages_for_ever_never_drops_them() -> None:
    for_ever_s = (2**63 - 1) / 1000  # Kafka's retention.ms, as it is often set
    assert dropped_at(AT, for_ever_s) is None
    assert dropped_at(AT, 60) == AT.replace(minute=1)
    assert dropped_at(AT, None) is None


@pytest.mark.parametrize("beyond", [1e300, -1e300, float("inf"), float("nan"), 10**400, 253_402_300_800, None])
def test_what_lies_beyond_the_calendar_is_no_instant(beyond: float | None) -> None:
    assert instant_at(beyond) is None


def test_an_instant_is_counted_from_1970() -> None:
    assert instant_at(AT.timestamp()) == AT

"""Queues and dead letters as the pages and the command line tell them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from auditor.lens import Lens
from auditor.letters import backlogs, explained, letters
from auditor.queue_audit import STALLED_READINGS, QueueAuditor
from auditor.words import age_text, drain_text, per_second
from checks.letters import Prospect
from checks.queue_health import Flowing, Trend
from probes.contract import Letter, QueueReading
from tests.auditor.test_audit import open_causes, wait_until
from tests.stand import Stand

NOW = datetime.now(UTC).replace(microsecond=0)


class Scripted:
    """A queue that answers what the test says."""

    def __init__(self) -> None:
        self.reading = QueueReading(depth=0, oldest_at=None)

    def read(self, peek: int) -> QueueReading:
        return self.reading

    def close(self) -> None:
        """Nothing to release."""


@pytest.fixture
def queue(stand: Stand) -> Iterator[tuple[Stand, Scripted, QueueAuditor, Lens]]:
    probe = Scripted()
    settings = stand.map.queues["to_billing", "dead"]
    auditor = QueueAuditor(
        flow=stand.map.flow("to_billing"), queue="dead", settings=settings, probe=probe, ledger=stand.ledger
    )
    lens = Lens(stand.ledger)
    yield stand, probe, auditor, lens
    lens.close()


def letter(number: int, key: int, reason: str) -> Letter:
    return Letter(letter_id=str(number), key=key, reason=reason, attempts=5, first_failed_at=NOW)


def test_letters_are_grouped_by_reason_and_told_what_sending_again_would_do(queue: Any) -> None:
    stand, probe, auditor, lens = queue
    first = [letter(n, 100 + n, f"409: cus_{n} is locked") for n in range(4)]
    stuck = [letter(10 + n, 7, "422: no e-mail") for n in range(3)]
    probe.reading = QueueReading(depth=7, oldest_at=NOW, letters=(*first, *stuck))
    auditor.audit(NOW)
    probe.reading = QueueReading(depth=6, oldest_at=NOW, letters=(*first[1:], *stuck))
    auditor.audit(NOW + timedelta(seconds=5))
    lens.refresh()
    waiting, groups = letters(stand.map, lens, NOW - timedelta(hours=1))
    assert [(each.signature, each.letters, each.recovered) for each in groups] == [
        ("409: <id> is locked", 3, 1),
        ("422: no e-mail", 3, 0),
    ]
    assert {each.key: each.prospect for each in waiting} == {
        "101": Prospect.REPLAYABLE,
        "102": Prospect.REPLAYABLE,
        "103": Prospect.REPLAYABLE,
        "7": Prospect.POISON,
    }
    assert groups[1].prospects == {"poison": 3}


def test_letters_are_joined_to_the_records_they_explain(queue: Any) -> None:
    stand, probe, auditor, lens = queue
    stand.agree(5)
    for key in (2, 3):
        stand.run("billing", f"UPDATE customers SET name = 'Eve' WHERE id = {key}")
    stand.sweep()
    wait_until(lambda: sum(open_causes(stand).values()) == 2, stand)
    probe.reading = QueueReading(depth=2, oldest_at=NOW, letters=(letter(1, 3, "no"), letter(2, 99, "no")))
    auditor.audit(NOW)
    lens.refresh()
    waiting, (group,) = letters(stand.map, lens, NOW)
    assert {each.key: each.divergence_id is not None for each in waiting} == {"3": True, "99": False}
    assert (group.letters, group.explains) == (2, 1)
    (share,) = explained(stand.map, lens)
    assert (share.explained, share.open) == (1, 2)


def test_a_queue_is_told_with_rates_trend_and_time_to_drain(queue: Any) -> None:
    stand, probe, auditor, lens = queue
    for number in range(10):
        at = NOW + timedelta(seconds=10 * number)
        probe.reading = QueueReading(
            depth=100 - 5 * number,
            oldest_at=NOW,
            age_of="since it was first sent",
            arrived=1000 + 100 * number,
            taken=900 + 105 * number,
            retention_s=3600,
        )
        auditor.audit(at)
    lens.refresh()
    (told,) = backlogs(stand.map, lens, NOW - timedelta(hours=1))
    assert (told.depth, told.trend) == (55, Trend.FALLING)
    assert told.arriving is not None
    assert told.arriving.per_s == pytest.approx(10)
    assert told.leaving is not None
    assert told.leaving.lower < 10.5 < told.leaving.upper
    assert told.drain is not None
    assert told.drain[0] < 55 / 0.5
    assert told.drops_at == NOW + timedelta(hours=1)
    assert age_text(told) == "90 s since it was first sent"
    assert per_second(told.arriving).startswith("10/s (9.")
    assert "…" in drain_text(told) or drain_text(told).startswith(">")
    assert told.as_row()["drain"][1] is None or math.isfinite(told.as_row()["drain"][1])


def test_what_a_queue_does_not_tell_is_unknown_and_never_0(queue: Any) -> None:
    stand, probe, auditor, lens = queue
    probe.reading = QueueReading(depth=3, oldest_at=None)
    auditor.audit(NOW)
    lens.refresh()
    (told,) = backlogs(stand.map, lens, NOW - timedelta(hours=1))
    assert (age_text(told), per_second(told.arriving), drain_text(told)) == ("unknown", "unknown", "unknown")
    assert (told.trend, told.flowing, told.drops_at) == (Trend.UNKNOWN, Flowing.UNKNOWN, None)


def test_a_queue_that_nobody_takes_from_is_one_incident(stand: Stand) -> None:
    stand.remap("reason: error}", "reason: error, role: main}")
    probe = Scripted()
    auditor = QueueAuditor(
        flow=stand.map.flow("to_billing"),
        queue="dead",
        settings=stand.map.queues["to_billing", "dead"],
        probe=probe,
        ledger=stand.ledger,
        senders=["slack"],
    )
    for number in range(STALLED_READINGS + 3):
        probe.reading = QueueReading(depth=5 + number, oldest_at=None, arrived=5 + number, taken=0)
        auditor.audit(NOW + timedelta(seconds=number))
    (incident,) = [each for each in stand.rows("incidents") if each["breach"] == "stalled"]
    assert incident["state"] == "open"
    assert "nobody takes messages" in str(incident["summary"])
    for number in range(20, 24):
        probe.reading = QueueReading(depth=0, oldest_at=None, arrived=18, taken=18)
        auditor.audit(NOW + timedelta(seconds=number))
    (incident,) = [each for each in stand.rows("incidents") if each["breach"] == "stalled"]
    assert incident["state"] == "resolved"
    assert len([each for each in stand.rows("alerts") if each["incident_id"] == incident["id"]]) == 2

"""Queues and dead letters as the pages and the command line tell them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from auditor.alerts.reporter import Reporter
from auditor.audit import letter_scan
from auditor.audit.queue_audit import QueueAuditor
from auditor.history.backlogs import backlogs
from auditor.history.figure_text import (
    age_text,
    drain_text,
    looked_text,
    per_second,
    stage_text,
    trend_text,
    waiting_letters,
)
from auditor.history.lens import Lens
from auditor.history.letters import explained, funnels, letters
from auditor.history.status import Standing, flow_status
from checks.letters import Prospect
from checks.queue_health import STALLED_READINGS
from checks.queue_states import Flowing, Trend
from probes.contract import ProbeError, Reason
from probes.queue_contract import Letter, QueueReading
from probes.registry import open_queue_probe
from tests.auditor.audit.test_flow_audit import open_causes
from tests.stand import Stand

NOW = datetime.now(UTC).replace(microsecond=0)


class Scripted:
    """A queue that answers what the test says."""

    page_limit = 100

    def __init__(self) -> None:
        self.reading = QueueReading(depth=0, oldest_at=None)

    def read(self, peek: int, after: str | None = None) -> QueueReading:
        return self.reading

    def prove_read_only(self) -> str:
        return "it is only played"

    def close(self) -> None:
        """Nothing to release."""


def watching(stand: Stand, probe: Scripted, *, senders: Sequence[str] = (), **changed: Any) -> QueueAuditor:
    return QueueAuditor(
        flow=stand.map.flow("to_billing"),
        queue="dead",
        settings=stand.map.queues["to_billing", "dead"].model_copy(update=changed),
        probe=probe,
        ledger=stand.ledger,
        reporter=Reporter.of_map(stand.ledger, stand.map, senders, hold_s=0),
    )


@pytest.fixture
def queue(stand: Stand) -> Iterator[tuple[Stand, Scripted, QueueAuditor, Lens]]:
    probe = Scripted()
    auditor = watching(stand, probe)
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
    auditor.audit(NOW + timedelta(seconds=15))
    lens.refresh()
    told = letters(stand.map, lens, NOW - timedelta(hours=1))
    assert (told.letters, told.replayable, told.explains, told.fixes) == (6, 3, 0, 0)
    assert told.replay_text == "3 of 6 messages would succeed; no record that differs is explained by them"
    assert [(each.signature, each.letters, each.recovered) for each in told.groups] == [
        ("409: <id> is locked", 3, 1),
        ("422: no e-mail", 3, 0),
    ]
    assert {each.key: each.prospect for each in told.rows} == {
        "101": Prospect.REPLAYABLE,
        "102": Prospect.REPLAYABLE,
        "103": Prospect.REPLAYABLE,
        "7": Prospect.POISON,
    }
    assert told.groups[1].prospects == {"poison": 3}


def test_letters_are_joined_to_the_records_they_explain(queue: Any) -> None:
    stand, probe, auditor, lens = queue
    stand.agree(5)
    for key in (2, 3):
        stand.run("billing", f"UPDATE customers SET name = 'Eve' WHERE id = {key}")
    stand.sweep()
    stand.audit_until(lambda: sum(open_causes(stand).values()) == 2)
    probe.reading = QueueReading(depth=2, oldest_at=NOW, letters=(letter(1, 3, "no"), letter(2, 99, "no")))
    auditor.audit(NOW)
    lens.refresh()
    told = letters(stand.map, lens, NOW)
    (group,) = told.groups
    assert {each.key: each.divergence_id is not None for each in told.rows} == {"3": True, "99": False}
    assert (group.letters, group.explains, told.explains) == (2, 1, 1)
    assert (told.replayable, told.unknown, told.fixes, told.fixes_most) == (0, 2, 0, 1)
    assert told.replay_text == "not known: none of the 2 messages has a reason with which another succeeded"
    mixed = replace(told, replayable=1, unknown=1)
    assert mixed.replay_text == "1 … 2 of 2 messages would succeed and fix 0 … 1 of the 1 record that differs"
    assert len(letters(stand.map, lens, NOW, limit=1).rows) == 1
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
            drops_at=NOW + timedelta(hours=1),
        )
        auditor.audit(at)
    lens.refresh()
    (told,) = backlogs(stand.map, lens, NOW - timedelta(hours=1))
    assert (told.depth, told.trend, trend_text(told)) == (55, Trend.FALLING, "falling, −1,800/h")
    assert trend_text(replace(told, trend=Trend.RISING, slope_per_s=0.0)) == "rising"
    assert trend_text(replace(told, trend=Trend.RISING, slope_per_s=1 / 7200)) == "rising, +0.5/h"
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
    auditor = watching(stand, probe, senders=["slack"])
    for number in range(STALLED_READINGS + 3):
        probe.reading = QueueReading(depth=5 + number, oldest_at=None, arrived=5 + number, taken=0)
        auditor.audit(NOW + timedelta(seconds=10 * number))
    (incident,) = stand.breaches("stalled")
    assert incident["state"] == "open"
    assert "no consumer is reading" in str(incident["summary"])
    for number in range(20, 24):
        probe.reading = QueueReading(depth=0, oldest_at=None, arrived=18, taken=18)
        auditor.audit(NOW + timedelta(seconds=10 * number))
    (incident,) = stand.breaches("stalled")
    assert incident["state"] == "resolved"
    assert len([each for each in stand.rows("alerts") if each["incident_id"] == incident["incident_id"]]) == 2


def breaches(stand: Stand, breach: str) -> list[object]:
    return [each["state"] for each in stand.breaches(breach)]


def test_a_head_that_stays_the_same_is_no_stall_within_a_minute_or_while_changes_arrive(stand: Stand) -> None:
    stand.agree(5)
    stand.remap("reason: error}", "reason: error, role: main}")
    probe = Scripted()
    auditor = watching(stand, probe)
    probe.reading = QueueReading(depth=3, oldest_at=NOW - timedelta(minutes=1))
    for number in range(29):
        auditor.audit(NOW + timedelta(seconds=2 * number))
    assert breaches(stand, "stalled") == []
    stand.put("crm", 3, "Grace", ago_s=0)
    stand.audit()
    stand.put("billing", 3, "Grace")
    stand.audit_until(lambda: stand.rows("changes")[0]["settled_at"])
    begun_at = stand.clock.now() + timedelta(seconds=1)
    for number in range(STALLED_READINGS):
        auditor.audit(begun_at + timedelta(seconds=20 * number))
    assert breaches(stand, "stalled") == ["open"]  # nothing has arrived for more than a minute


def shown_flowing(stand: Stand, at: datetime) -> Flowing:
    with closing(Lens(stand.ledger)) as lens:
        lens.refresh()
        (shown,) = backlogs(stand.map, lens, at - timedelta(hours=1))
    return shown.flowing


def test_a_queue_that_stalls_after_it_was_empty_is_shown_as_stalled_with_its_incident(stand: Stand) -> None:
    stand.remap("reason: error}", "reason: error, role: main}")
    probe = Scripted()
    auditor = watching(stand, probe)
    for number in range(3 * STALLED_READINGS):
        depth = max(0, number - 5)
        probe.reading = QueueReading(depth=depth, oldest_at=None, arrived=depth, taken=0)
        auditor.audit(NOW + timedelta(seconds=5 * number))
        stalled = breaches(stand, "stalled") == ["open"]
        assert (shown_flowing(stand, NOW) is Flowing.STALLED) is stalled
    assert stalled


def test_a_window_without_a_consumer_is_a_stall_where_changes_are_late(stand: Stand) -> None:
    stand.agree(5)
    stand.remap("reason: error}", "reason: error, role: main}")
    probe = Scripted()
    auditor = watching(stand, probe)
    stand.put("crm", 3, "Grace", ago_s=0)
    stand.audit_until(lambda: open_causes(stand))
    begun_at = stand.clock.now()
    for number in range(6):
        probe.reading = QueueReading(depth=3 + number, oldest_at=begun_at - timedelta(minutes=1), taken=7)
        auditor.audit(begun_at + timedelta(seconds=number))
        assert breaches(stand, "stalled") == ([] if number < 4 else ["open"])  # the window is 4 s
        assert shown_flowing(stand, begun_at) is (Flowing.UNKNOWN if number < 4 else Flowing.STALLED)


def test_a_change_that_is_taken_back_has_not_come_through_a_queue_that_nobody_reads(stand: Stand) -> None:
    stand.agree(5)
    stand.remap("reason: error}", "reason: error, role: main}")
    probe = Scripted()
    auditor = watching(stand, probe)
    stand.put("crm", 3, "Grace", ago_s=0)
    stand.put("crm", 4, "Grace", ago_s=0)
    stand.audit_until(lambda: sum(open_causes(stand).values()) == 2)
    begun_at = stand.clock.now()
    stand.put("crm", 4, ago_s=0)
    stand.audit_until(lambda: sum(open_causes(stand).values()) == 1)
    assert stand.ledger.records.arrived_at("to_billing", begun_at) is None
    for number in range(STALLED_READINGS + 1):
        probe.reading = QueueReading(depth=3 + number, oldest_at=begun_at - timedelta(minutes=1), taken=7)
        auditor.audit(begun_at + timedelta(seconds=10 * number))
    assert breaches(stand, "stalled") == ["open"]
    assert shown_flowing(stand, begun_at) is Flowing.STALLED


def test_a_worker_that_works_off_a_queue_with_an_old_head_opens_nothing(stand: Stand) -> None:
    stand.agree(5)
    stand.remap("reason: error}", "reason: error, role: main}")
    probe = Scripted()
    auditor = watching(stand, probe)
    probe.reading = QueueReading(depth=3, oldest_at=NOW - timedelta(minutes=1))
    at = stand.clock.now()
    for key in (1, 2, 3, 4):
        stand.put("crm", key, f"Grace {key}", ago_s=0)
        stand.audit()
        stand.put("billing", key, f"Grace {key}")
        stand.audit_until(lambda: all(row["settled_at"] for row in stand.rows("changes")))
    for number in range(2 * STALLED_READINGS):  # ends before the last change arrived
        auditor.audit(at - timedelta(seconds=8 * (2 * STALLED_READINGS - number)))
    assert breaches(stand, "stalled") == []


def test_a_depth_that_stays_unknown_is_unverified_and_an_incident_with_the_reason(stand: Stand) -> None:
    stand.agree(5)
    probe = Scripted()
    auditor = watching(stand, probe, senders=["slack"])
    probe.reading = QueueReading(depth=None, oldest_at=None, notes=("statistics are switched off",))
    now = stand.clock.now()
    auditor.audit(now)
    assert breaches(stand, "unmeasured_queue") == []
    (found,) = flow_status(stand.map, stand.ledger, now)
    assert found.state is Standing.PENDING
    for number in range(1, 4):
        auditor.audit(now + timedelta(seconds=2 * number))
    (found,) = flow_status(stand.map, stand.ledger, now + timedelta(seconds=6))
    assert found.state is Standing.UNVERIFIED
    assert "how many messages wait is not known; statistics are switched off" in found.why
    assert breaches(stand, "unmeasured_queue") == ["open"]
    (row,) = stand.rows("unverified")
    assert (row["subject"], row["name"], row["cleared_at"]) == ("queue", "dead", None)
    probe.reading = QueueReading(depth=0, oldest_at=None)
    for number in range(4, 8):
        auditor.audit(now + timedelta(seconds=2 * number))
    assert breaches(stand, "unmeasured_queue") == ["resolved"]
    (found,) = flow_status(stand.map, stand.ledger, stand.clock.now())
    assert found.state is Standing.CONSISTENT


def test_an_age_that_is_promised_and_stays_unknown_is_unverified(stand: Stand) -> None:
    stand.agree(5)
    stand.remap("sla: {dead_letters: 1}", "sla: {dead_letters: 9, oldest_letter: 1h}")
    auditor = watching(stand, probe := Scripted())
    probe.reading = QueueReading(depth=2, oldest_at=None)
    auditor.audit(stand.clock.now())
    (row,) = stand.rows("unverified")
    assert "sla.oldest_letter cannot be judged" in str(row["reason"])
    probe.reading = QueueReading(depth=2, oldest_at=NOW)
    auditor.audit(stand.clock.now())
    (row,) = stand.rows("unverified")
    assert row["cleared_at"] is not None


def test_a_queue_that_cannot_be_read_makes_its_flow_unverified(stand: Stand) -> None:
    stand.agree(5)
    probe = Paged(1)
    probe.fails_behind = 0
    auditor = watching(stand, probe)
    auditor.audit(stand.clock.now())
    (found,) = flow_status(stand.map, stand.ledger, stand.clock.now() + timedelta(seconds=5))
    assert (found.state, found.unverified) == (Standing.UNVERIFIED, 1)
    assert "queue dead: cannot be read: timeout: no answer" in found.why


class Paged(Scripted):
    """A queue of many letters that is read page by page, and counts what it is asked."""

    def __init__(self, count: int, *, marks: bool = True) -> None:
        super().__init__()
        self.letters = [letter(number, number, "no") for number in range(count)]
        self.left = 0
        self.marks = marks
        self.fails_behind: int | None = None
        self.asked: list[int] = []

    def read(self, peek: int, after: str | None = None) -> QueueReading:
        begin = int(after) if after else 0
        if peek and self.fails_behind is not None and begin >= self.fails_behind:
            raise ProbeError(Reason.TIMEOUT, "no answer")
        found = [each for each in self.letters if int(each.letter_id) >= begin][:peek]
        last = int(found[-1].letter_id) + 1 if found else begin
        self.asked.append(len(found))
        return QueueReading(
            depth=len(self.letters),
            oldest_at=NOW,
            letters=tuple(found),
            truncated=any(int(each.letter_id) >= last for each in self.letters),
            next=str(last),
            left_mark=str(self.left) if self.marks else None,
        )


def waiting(stand: Stand) -> int:
    return sum(each["gone_at"] is None for each in stand.rows("dead_letters"))


def test_all_letters_of_a_large_queue_become_known_and_are_not_read_again(stand: Stand) -> None:
    probe = Paged(1_050)
    auditor = watching(stand, probe)
    auditor.audit(NOW)
    assert (waiting(stand), sum(probe.asked)) == (1_050, 1_050)
    probe.asked.clear()
    auditor.audit(NOW + timedelta(seconds=5))
    assert sum(probe.asked) == 0, "nothing came and nothing left"
    probe.letters += [letter(number, number, "no") for number in range(1_050, 1_053)]
    auditor.audit(NOW + timedelta(seconds=10))
    assert (waiting(stand), sum(probe.asked)) == (1_053, 3)
    del probe.letters[10:20]
    probe.left += 10
    auditor.audit(NOW + timedelta(seconds=15))
    assert waiting(stand) == 1_043
    assert [each["looked_at"] for each in stand.rows("backlogs")] == [1_050, 1_050, 1_053, 1_043]


def test_a_large_queue_that_does_not_tell_what_left_is_looked_through_when_its_depth_changes(stand: Stand) -> None:
    probe = Paged(300, marks=False)
    auditor = watching(stand, probe)
    auditor.audit(NOW)
    probe.asked.clear()
    auditor.audit(NOW + timedelta(seconds=5))
    assert sum(probe.asked) == 0
    del probe.letters[:2]
    auditor.audit(NOW + timedelta(seconds=10))
    assert (sum(probe.asked), waiting(stand)) == (298, 298)
    probe.letters[5] = letter(900, 900, "no")
    probe.letters.sort(key=lambda each: int(each.letter_id))
    auditor.audit(NOW + timedelta(minutes=10))
    assert {each["letter_id"] for each in stand.rows("dead_letters") if each["gone_at"] is None} == {
        each.letter_id for each in probe.letters
    }


def test_a_look_that_breaks_off_goes_on_from_there_and_loses_nothing(stand: Stand) -> None:
    probe = Paged(500)
    probe.fails_behind = 200
    auditor = watching(stand, probe)
    reading = auditor.audit(NOW)
    assert isinstance(reading, QueueReading)
    assert (reading.depth, waiting(stand)) == (500, 200)
    assert "letters behind the first 200: timeout" in reading.notes[-1]
    probe.fails_behind = None
    auditor.audit(NOW + timedelta(seconds=5))
    assert waiting(stand) == 500


def test_of_an_endless_queue_the_first_letters_are_followed_and_that_is_told(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letter_scan, "LETTERS_FOLLOWED", 300)
    probe = Paged(1_000)
    auditor = watching(stand, probe)
    auditor.audit(NOW)
    auditor.audit(NOW + timedelta(seconds=5))
    lens = Lens(stand.ledger)
    lens.refresh()
    (told,) = backlogs(stand.map, lens, NOW - timedelta(hours=1))
    lens.close()
    assert (told.depth, told.looked_at, waiting(stand)) == (1_000, 300, 300)


@pytest.mark.parametrize(
    ("evidence", "headers", "payload"),
    [
        ("private", None, None),
        ("masked", '{"error": "n***l (7)"}', "{***} (16)"),
        ("clear", '{"error": "no mail"}', '{"id": "cus_21"}'),
    ],
)
def test_headers_and_payload_are_kept_as_the_evidence_policy_says(
    stand: Stand, evidence: str, headers: str | None, payload: str | None
) -> None:
    probe = Scripted()
    told = Letter(letter_id="1", key=7, headers={"error": "no mail"}, payload='{"id": "cus_21"}')
    probe.reading = QueueReading(depth=1, oldest_at=NOW, letters=(told,))
    watching(stand, probe, evidence=evidence).audit(NOW)
    (row,) = stand.rows("dead_letters")
    assert (row["headers"], row["payload"], row["key"]) == (headers, payload, "7")


def test_letters_about_to_be_dropped_are_one_incident(stand: Stand) -> None:
    probe = Scripted()
    auditor = watching(stand, probe)
    for left in (30, 20, 10):
        drops_at = NOW + timedelta(hours=left)
        probe.reading = QueueReading(depth=3, oldest_at=NOW, retention_s=14 * 86_400, drops_at=drops_at)
        auditor.audit(NOW)
    (incident,) = stand.breaches("expiring")
    assert "its oldest dead letters are about to expire unread" in str(incident["summary"])
    assert incident["state"] == "open"


def test_the_funnel_says_what_was_seen_and_what_was_not(queue: Any) -> None:
    stand, probe, auditor, lens = queue
    probe.reading = QueueReading(depth=4, oldest_at=NOW, letters=tuple(letter(n, 100 + n, "no") for n in range(4)))
    auditor.audit(NOW)
    without_key = Letter(letter_id="5", reason="no")
    remaining = (letter(3, 103, "no"), without_key)
    probe.reading = QueueReading(depth=2, oldest_at=NOW, letters=remaining)
    auditor.audit(NOW + timedelta(seconds=15))
    probe.reading = QueueReading(depth=1, oldest_at=NOW, letters=remaining[:1])
    auditor.audit(NOW + timedelta(seconds=30))
    lens.refresh()
    (told,) = funnels(stand.map, lens, NOW - timedelta(minutes=59), NOW + timedelta(minutes=1))
    assert told.as_row() == {
        "flow": "to_billing",
        "hours": 1,
        "emitted": [0, 0],
        "failed": [5, None],
        "queued": [5, 5],
        "retried": [3, 4],
        "delivered": [3, 4],
        "updated": [3, 4],
    }
    assert [stage_text(stage, 2) for stage in told.stages] == [
        "0 (0/h)",
        "≥ 5 (≥ 2.5/h)",
        "5 (2.5/h)",
        *["3 … 4 (1.5 … 2/h)"] * 3,
    ]
    probe.reading = QueueReading(depth=900, oldest_at=NOW, truncated=True)
    auditor.audit(NOW + timedelta(minutes=6))
    lens.refresh()
    (told,) = funnels(stand.map, lens, NOW - timedelta(hours=1), NOW + timedelta(minutes=6))
    (backlog,) = backlogs(stand.map, lens, NOW - timedelta(hours=1))
    assert told.as_row()["queued"][1] > 5
    assert (looked_text(backlog), waiting_letters([backlog])) == ("0 of 900", "900")


def test_a_flow_whose_queue_cannot_be_read_has_no_funnel(stand: Stand) -> None:
    lens = Lens(stand.ledger)
    lens.refresh()
    (told,) = funnels(stand.map, lens, NOW - timedelta(hours=1), NOW)
    lens.close()
    assert [stage_text(stage, told.hours) for stage in told.stages[1:]] == ["not seen"] * 5
    assert waiting_letters([]) == "no queue"


def test_a_letter_from_the_future_has_age_0_and_a_clock_is_said_to_be_wrong(queue: Any) -> None:
    stand, probe, auditor, lens = queue
    probe.reading = QueueReading(depth=1, oldest_at=NOW + timedelta(minutes=5))
    auditor.audit(NOW)
    lens.refresh()
    (told,) = backlogs(stand.map, lens, NOW - timedelta(hours=1))
    assert told.oldest_age_s == 0
    assert "stamped 5 min in the future: a clock is wrong" in told.notes


def test_every_queue_of_dead_letters_is_watched_without_being_asked_for(stand: Stand) -> None:  # D: any
    """Of eleven queues only two were alarmed: here a letter is a breach wherever the map does not allow it."""
    stand.remap("    sla: {dead_letters: 1}\n", "")
    probe = Scripted()
    watched = watching(stand, probe)
    probe.reading = QueueReading(depth=1, oldest_at=NOW, letters=(letter(1, 1, "no"),))
    watched.audit(NOW)
    (incident,) = stand.breaches("dead_letters")
    assert incident["state"] == "open"


def test_an_attempt_count_and_a_look_that_is_not_whole_are_told(queue: Any) -> None:  # D: RocketMQ dash
    stand, probe, auditor, lens = queue
    probe.reading = QueueReading(depth=700, oldest_at=NOW, letters=(letter(1, 1, "no"),), truncated=True)
    auditor.audit(NOW)
    lens.refresh()
    (told,) = letters(stand.map, lens, NOW - timedelta(hours=1)).rows
    (backlog,) = backlogs(stand.map, lens, NOW - timedelta(hours=1))
    assert (told.attempts, told.reason, looked_text(backlog)) == (5, "no", "1 of 700")


def test_a_queue_that_cannot_be_read_is_unknown_and_after_a_while_one_incident(queue: Any) -> None:
    stand, probe, auditor, lens = queue
    probe.reading = QueueReading(depth=1, oldest_at=NOW, letters=(letter(1, 1, "no"),))
    auditor.audit(NOW)
    fails = Paged(1)
    fails.fails_behind = 0
    broken = watching(stand, fails)
    for number in range(1, 5):
        assert isinstance(broken.audit(NOW + timedelta(seconds=number)), ProbeError)
    lens.refresh()
    (told,) = backlogs(stand.map, lens, NOW - timedelta(hours=1))
    assert (told.depth, told.message, waiting_letters([told])) == (None, "no answer", "unknown")
    assert waiting(stand) == 1, "a letter that cannot be seen is not gone"
    (incident,) = stand.breaches("unread_queue")
    assert (incident["state"], incident["count"]) == ("open", 4)
    assert "to_billing, queue dead: cannot be read (" in str(incident["summary"])
    fails.fails_behind = None
    for number in (9, 11):
        broken.audit(NOW + timedelta(seconds=number))
    (incident,) = stand.breaches("unread_queue")
    assert incident["state"] == "resolved"


class Spared(Scripted):
    """A queue whose age only a look tells, and where every look does something to the letters."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0
        self.depth = 2

    def read(self, peek: int, after: str | None = None) -> QueueReading:
        self.looks += bool(peek)
        if not peek:
            return QueueReading(depth=self.depth, oldest_at=None, retention_s=86_400, truncated=True)
        found = tuple(letter(number, number, "no") for number in range(self.depth))
        drops_at = NOW + timedelta(days=1)
        return QueueReading(depth=self.depth, oldest_at=NOW, retention_s=86_400, drops_at=drops_at, letters=found)


def test_a_queue_in_which_a_look_does_something_is_looked_into_seldom(stand: Stand) -> None:
    probe = Spared()
    auditor = watching(stand, probe)
    for seconds in (0, 2, 4, 8):
        auditor.audit(NOW + timedelta(seconds=seconds))
    assert probe.looks == 1
    assert {row["oldest_at"] is not None for row in stand.rows("backlogs")} == {True}, "the last look still holds"
    assert {row["drops_at"] is not None for row in stand.rows("backlogs")} == {True}
    probe.depth = 3
    auditor.audit(NOW + timedelta(seconds=9))
    assert (probe.looks, stand.rows("backlogs")[-1]["oldest_at"]) == (1, None), "with another depth it holds no more"
    auditor.audit(NOW + timedelta(seconds=12))
    assert probe.looks == 2
    auditor.audit(NOW + timedelta(minutes=6))
    assert probe.looks == 3


def test_the_message_about_dead_letters_names_the_queue_and_the_main_reason(stand: Stand) -> None:
    probe = Scripted()
    told = [letter(1, 1, "422: no e-mail of cus_1"), letter(2, 2, "422: no e-mail of cus_2"), letter(3, 3, "timeout")]
    probe.reading = QueueReading(depth=3, oldest_at=NOW, letters=tuple(told))
    auditor = watching(stand, probe, senders=["slack"])
    auditor.audit(NOW)
    (alert,) = stand.rows("alerts")
    notice = json.loads(str(alert["notice"]))
    assert notice["summary"] == "to_billing, queue dead: messages were dead-lettered (3 messages)"
    assert notice["detail"] == f"as of {NOW:%Y-%m-%d %H:%M:%S} UTC: 2 of 3: 422: no e-mail of <id>"


@pytest.mark.parametrize(("counted", "failed"), [([100, 140, 5, 25], "≥ 60 (≥ 60/h)"), ([None, None], "not seen")])
def test_what_came_into_a_retry_queue_failed(stand: Stand, counted: list[int | None], failed: str) -> None:
    stand.remap("reason: error}", "reason: error, role: retry}")
    probe = Scripted()
    auditor = watching(stand, probe)
    for number, arrived in enumerate(counted):
        probe.reading = QueueReading(depth=3, oldest_at=NOW, arrived=arrived)
        auditor.audit(NOW + timedelta(seconds=number))
    lens = Lens(stand.ledger)
    lens.refresh()
    (told,) = funnels(stand.map, lens, NOW - timedelta(minutes=59), NOW + timedelta(minutes=1))
    lens.close()
    assert [stage_text(stage, told.hours) for stage in told.stages[1:3]] == [failed, "not seen"], (
        "a counter that goes back was reset"
    )


def test_letters_of_which_none_names_its_record_are_noted(stand: Stand) -> None:
    """Against the database itself: `key` names a place in the payload where nothing stands."""
    stand.remap("key: record, since", "key: $.customer.id, payload: document, since")
    stand.run("billing", "ALTER TABLE letters ADD COLUMN document text")
    stand.run("billing", "INSERT INTO letters VALUES (1, 3, '2026-03-01T10:00:00', 'no', '{\"id\": 3}')")
    stand.run(
        "billing", "INSERT INTO letters VALUES (2, 4, '2026-03-01T10:00:01', 'no', '{\"customer\": {\"id\": []}}')"
    )
    probe = open_queue_probe(stand.map.queues["to_billing", "dead"], stand.map.systems["billing"])
    auditor = QueueAuditor(
        flow=stand.map.flow("to_billing"),
        queue="dead",
        settings=stand.map.queues["to_billing", "dead"],
        probe=probe,
        ledger=stand.ledger,
    )
    auditor.audit(NOW)
    assert (
        stand.rows("backlogs")[-1]["notes"]
        == "1 letter could not be read whole: what stands at $.customer.id is a list and no key; "
        "no usable key at $.customer.id in 2 letters, so they explain no record"
    )
    stand.run("billing", 'UPDATE letters SET document = \'{"customer": {"id": 3}}\' WHERE id = 1')
    auditor.audit(NOW + timedelta(minutes=10))
    notes = stand.rows("backlogs")[-1]["notes"]
    assert notes == "1 letter could not be read whole: what stands at $.customer.id is a list and no key"
    probe.close()


@pytest.mark.parametrize(
    ("reason", "told"),
    [(None, "its key is not an integer"), ("rejected", "rejected; its key is not an integer")],
)
def test_a_letter_whose_key_is_of_another_type_says_so_without_the_key(
    stand: Stand, reason: str | None, told: str
) -> None:
    probe = Scripted()
    letters = (Letter(letter_id="1", key="sesame", reason=reason), Letter(letter_id="2", key="7"))
    probe.reading = QueueReading(depth=2, oldest_at=NOW, letters=letters)
    watching(stand, probe).audit(NOW)
    kept = {row["letter_id"]: (row["key"], row["reason"]) for row in stand.rows("dead_letters")}
    assert kept == {"1": (None, told), "2": ("7", None)}

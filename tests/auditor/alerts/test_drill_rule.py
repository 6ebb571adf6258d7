"""When a drill is due, and when something is wrong with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from auditor.alerts.drill_rule import SLACK_S, is_due, problem
from auditor.ledger import DrillState
from auditor.map.settings import AlertSettings, Drill

DRILL = Drill.model_validate({"to": "slack", "at": "06:00", "within": "5m"})
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NEVER = DrillState(
    requested_at=None, begun_at=None, under_way=False, arrived_at=None, failing_since_at=None, error=None
)
TODAY = replace(NEVER, begun_at=NOON.replace(hour=6, second=3), arrived_at=NOON.replace(hour=6, second=9))


@pytest.mark.parametrize(
    ("state", "now", "due"),
    [
        (NEVER, NOON, True),
        (TODAY, NOON, False),
        (TODAY, NOON + timedelta(hours=17, minutes=59), False),
        (TODAY, NOON + timedelta(hours=18), True),
        (TODAY, NOON - timedelta(hours=8), True),  # the clock was set back behind the last one
        (replace(TODAY, requested_at=NOON), NOON, True),
        (replace(TODAY, requested_at=NOON, under_way=True), NOON, False),
    ],
)
def test_it_is_due_once_a_day_at_its_time_and_whenever_requested(state: DrillState, now: datetime, due: bool) -> None:
    assert is_due(DRILL, state, now) is due


def test_a_failed_one_and_one_that_does_not_end_are_wrong() -> None:
    assert problem(DRILL, TODAY, NOON, NOON) == ""
    failed = replace(TODAY, failing_since_at=NOON, error="two different copies are seen as equal")
    assert problem(DRILL, failed, NOON, NOON) == (
        "failing since 2026-03-01 12:00:00 UTC: two different copies are seen as equal"
    )
    hangs = replace(TODAY, begun_at=NOON, under_way=True)
    assert problem(DRILL, hangs, NOON + timedelta(seconds=300 + SLACK_S), NOON) == ""
    late = problem(DRILL, hangs, NOON + timedelta(seconds=301 + SLACK_S), NOON)
    assert late == "the one begun at 2026-03-01 12:00:00 UTC has not ended"


def test_none_at_all_is_wrong_while_a_daemon_audits() -> None:
    tomorrow = NOON + timedelta(hours=18, minutes=7)
    running_since_at = NOON - timedelta(days=3)
    assert problem(DRILL, TODAY, NOON, running_since_at) == ""
    assert problem(DRILL, TODAY, tomorrow, running_since_at) == "none has begun since 2026-03-02 06:00:00 UTC"
    assert problem(DRILL, TODAY, tomorrow, None) == "", "nobody audits, which is another problem"
    assert problem(DRILL, TODAY, tomorrow, tomorrow - timedelta(minutes=1)) == "", "the daemon has just begun"
    assert problem(DRILL, NEVER, NOON, running_since_at) == "none has begun since 2026-03-01 06:00:00 UTC"


def test_its_receiver_is_a_sender_that_is_set() -> None:
    for wrong in ({"to": "slak"}, {"to": "slack", "at": "6 am"}, {"to": "slack", "within": "1s"}):
        with pytest.raises(ValidationError):
            Drill.model_validate(wrong)
    unset = AlertSettings.model_validate({"slack": {"webhook": ""}, "drill": {"to": "slack"}})
    assert unset.held_drill is None
    given = AlertSettings.model_validate({"slack": {"webhook": "https://h.example/x"}, "drill": {"to": "slack"}})
    assert given.held_drill == Drill(to="slack")

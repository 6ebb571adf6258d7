"""Conflicts: how they come to people, what people may do, and whether what they decided was kept."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from auditor.conflicts.brief import brief_of
from auditor.conflicts.decisions import act, decide_waiting
from checks.cause import Cause
from checks.escalation import Act, Conflict, RefusedError, State, check_act, due_at, follow
from tests.stand import Stand

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OPEN = Conflict(
    conflict_id=1,
    flow="to_billing",
    data_type="customer",
    key="3",
    divergence_id=1,
    cause=Cause.WRITE_CONFLICT,
    why="the map leaves the decision to a person",
    opened_at=NOW,
    state=State.OPEN,
)
DECIDED = replace(OPEN, state=State.DECIDED, choice="crm", expected=b"a", due_at=NOW + timedelta(minutes=15))


@pytest.mark.parametrize(
    ("conflict", "agreed", "after_min", "state"),
    [
        (OPEN, None, 60, None),
        (OPEN, b"a", 1, State.SETTLED),
        (replace(OPEN, state=State.DEFERRED), b"a", 1, State.SETTLED),
        (DECIDED, None, 1, None),
        (DECIDED, b"a", 1, State.KEPT),
        (DECIDED, b"b", 1, State.NOT_KEPT),
        (DECIDED, b"", 1, State.NOT_KEPT),
        (DECIDED, None, 16, State.OVERDUE),
        (replace(DECIDED, state=State.OVERDUE), None, 17, None),
        (replace(DECIDED, state=State.OVERDUE), b"a", 17, State.KEPT),
        (replace(DECIDED, expected=None, choice="other"), b"z", 1, State.KEPT),
        (replace(DECIDED, expected=b""), b"", 1, State.KEPT),
        (replace(OPEN, cause=Cause.LOST_UPDATE), b"a", 1, None),
        (replace(DECIDED, cause=Cause.LOST_UPDATE), b"b", 1, None),
        (replace(DECIDED, cause=Cause.LOST_UPDATE), b"b", 16, State.NOT_KEPT),
        (replace(DECIDED, cause=Cause.LOST_UPDATE), b"a", 16, State.KEPT),
    ],
)
def test_a_conflict_is_held_against_later_readings(
    conflict: Conflict, agreed: bytes | None, after_min: float, state: State | None
) -> None:
    step = follow(conflict, agreed, NOW + timedelta(minutes=after_min))
    assert (step.state if step else None) == state
    if step is not None and step.state is not State.OVERDUE:
        assert step.closes


def test_a_late_agreement_is_told_as_late() -> None:
    step = follow(DECIDED, b"a", NOW + timedelta(minutes=20))
    assert step is not None
    assert "later than decided" in step.text


def test_acts_that_make_no_sense_are_refused_with_the_reason() -> None:
    systems = ["crm", "billing"]
    with pytest.raises(RefusedError, match="not for shop"):
        check_act(OPEN, Act.DECIDE, choice="shop", systems=systems)
    with pytest.raises(RefusedError, match="nothing to defer"):
        check_act(DECIDED, Act.DEFER, choice=None, systems=systems)
    with pytest.raises(RefusedError, match="is over"):
        check_act(replace(DECIDED, closed_at=NOW), Act.ASSIGN, choice=None, systems=systems)
    check_act(replace(DECIDED, closed_at=NOW), Act.COMMENT, choice=None, systems=systems)


def test_people_are_given_time_to_carry_a_decision_out() -> None:
    assert due_at(NOW, 4, None) == NOW + timedelta(minutes=15)
    assert due_at(NOW, 3600, None) == NOW + timedelta(hours=1)
    assert due_at(NOW, 4, 60) == NOW + timedelta(minutes=1)


MANUAL = "    every: 1s\n    conflict_policy: manual\n    team: billing\n"


@pytest.fixture
def disputed(stand: Stand) -> Stand:
    """A record that both systems changed, and that the map leaves to people."""
    stand.remap("    every: 1s\n", MANUAL)
    stand.remap("name: {type: string, evidence: clear}", "name: {type: string, writers: [billing], evidence: clear}")
    stand.agree(5)
    _dispute(stand)
    return stand


def state_of(stand: Stand, conflict_id: int) -> State:
    found = stand.ledger.conflicts.find(conflict_id)
    assert found is not None
    return found[0].state


def _dispute(stand: Stand) -> None:
    stand.put("crm", 3, "Grace", ago_s=0)
    stand.put("billing", 3, "Eve")
    stand.audit_until(stand.ledger.conflicts.listed)


def test_a_conflict_that_no_rule_decides_comes_to_people_with_its_evidence(disputed: Stand) -> None:
    (conflict,) = disputed.ledger.conflicts.listed()
    assert (conflict.key, conflict.cause, conflict.state) == ("3", Cause.WRITE_CONFLICT, State.OPEN)
    assert conflict.assignee == "billing"
    found = disputed.ledger.conflicts.find(conflict.conflict_id)
    assert found is not None
    brief = brief_of(disputed.map, *found[::2])
    assert [(each.field, each.owner, each.target, each.cause) for each in brief.fields] == [
        ("name", "Grace", "Eve", "write_conflict")
    ]
    assert brief.writers == "billing, crm"
    assert re.fullmatch(r"[\d-]{10} [\d:]{8}\.\d{3} UTC, within .+", brief.owner_written), brief.owner_written
    told = dict(brief.lines())
    assert told["why it needs a person"] == "the map leaves the decision to a person"
    (incident,) = disputed.breaches("conflicts_waiting")
    assert incident["state"] == "open"


def test_a_decision_is_written_down_and_checked_against_later_readings(disputed: Stand) -> None:
    (conflict,) = disputed.ledger.conflicts.listed()
    act(
        disputed.map,
        disputed.ledger,
        conflict.conflict_id,
        Act.COMMENT,
        who="ada",
        known_by="test",
        now=disputed.clock.now(),
        text="hm",
    )
    act(
        *(disputed.map, disputed.ledger, conflict.conflict_id, Act.DECIDE),
        who="ada",
        known_by="test",
        now=disputed.clock.now(),
        choice="billing",
        text="they called",
    )
    disputed.audit()
    assert [each["state"] for each in disputed.breaches("conflicts_waiting")] == ["resolved"]
    disputed.put("crm", 3, "Eve", ago_s=0)
    disputed.audit_until(lambda: state_of(disputed, conflict.conflict_id) is State.KEPT)
    found = disputed.ledger.conflicts.find(conflict.conflict_id)
    assert found is not None
    assert found[0].state is State.KEPT
    assert [(each.act, each.who) for each in found[1]] == [
        (Act.OPENED, "auditor"),
        (Act.COMMENT, "ada"),
        (Act.DECIDE, "ada"),
        (Act.KEPT, "auditor"),
    ]


def test_a_decision_that_was_not_kept_and_a_conflict_that_comes_back_say_so(disputed: Stand) -> None:
    (first,) = disputed.ledger.conflicts.listed()
    now = disputed.clock.now()
    act(
        disputed.map,
        disputed.ledger,
        first.conflict_id,
        Act.DECIDE,
        who="ada",
        known_by="test",
        now=now,
        choice="billing",
    )
    disputed.put("billing", 3, "Grace")
    disputed.audit_until(lambda: state_of(disputed, first.conflict_id) is State.NOT_KEPT)
    found = disputed.ledger.conflicts.find(first.conflict_id)
    assert found is not None
    assert found[0].state is State.NOT_KEPT
    disputed.put("crm", 3, "Hedy", ago_s=0)
    disputed.put("billing", 3, "Mary")
    disputed.audit_until(
        lambda: any(each.came_back_of == first.conflict_id for each in disputed.ledger.conflicts.listed())
    )
    again = disputed.ledger.conflicts.listed()[0]
    assert again.came_back_of == first.conflict_id
    history = disputed.ledger.conflicts.find(again.conflict_id)
    assert history is not None
    assert history[1][0].act is Act.CAME_BACK


@pytest.mark.parametrize("choice", ["crm", "billing", None])
def test_an_update_that_a_person_decided_to_overwrite_is_no_new_conflict(disputed: Stand, choice: str | None) -> None:
    (conflict,) = disputed.ledger.conflicts.listed()
    words: dict[str, Any] = {"who": "ada", "known_by": "test", "now": disputed.clock.now()}
    if choice:
        act(disputed.map, disputed.ledger, conflict.conflict_id, Act.DECIDE, choice=choice, **words)
    disputed.put("billing", 3, "Grace")
    disputed.audit_until(lambda: state_of(disputed, conflict.conflict_id) not in {State.OPEN, State.DECIDED})
    for _ in range(5):
        disputed.audit()
        disputed.clock.advance(1)
    over = {"crm": State.KEPT, "billing": State.NOT_KEPT, None: State.SETTLED}[choice]
    assert state_of(disputed, conflict.conflict_id) is over
    lost = [] if choice == "crm" else [Cause.LOST_UPDATE]
    assert [each.cause for each in disputed.ledger.conflicts.listed()] == lost
    (ended,) = [row for row in disputed.rows("divergences") if row["id"] == conflict.divergence_id]
    assert ended["state"] == "closed"
    assert ended["cause"] == ("write_conflict" if choice == "crm" else "lost_update")
    assert (ended["detail"] == "the systems agree on what crm held") == (choice == "crm")


def test_all_that_came_up_since_and_waits_is_decided_at_once(disputed: Stand) -> None:
    (earlier,) = disputed.ledger.conflicts.listed()
    disputed.clock.advance(1)
    since = disputed.clock.now()
    disputed.put("crm", 4, "Grace", ago_s=0)
    disputed.put("billing", 4, "Eve")
    disputed.audit_until(lambda: len(disputed.ledger.conflicts.listed()) == 2)

    def decided() -> int:
        return decide_waiting(
            disputed.map,
            disputed.ledger,
            since=since,
            choice="billing",
            who="ada",
            known_by="test",
            now=disputed.clock.now(),
        )

    assert (decided(), decided()) == (1, 0)
    by_key = {each.key: each for each in disputed.ledger.conflicts.listed()}
    assert (by_key["4"].state, by_key["4"].choice) == (State.DECIDED, "billing")
    assert by_key[earlier.key].state is State.OPEN


def test_a_conflict_put_off_comes_back_by_itself(disputed: Stand) -> None:
    (conflict,) = disputed.ledger.conflicts.listed()
    now = disputed.clock.now()
    until_at = now + timedelta(hours=1)
    act(
        disputed.map,
        disputed.ledger,
        conflict.conflict_id,
        Act.DEFER,
        who="ada",
        known_by="test",
        now=now,
        until_at=until_at,
    )
    disputed.audit()
    assert disputed.ledger.conflicts.listed()[0].state is State.DEFERRED
    disputed.clock.advance(3600)
    disputed.audit()
    assert disputed.ledger.conflicts.listed()[0].state is State.OPEN


def test_of_two_people_who_act_at_once_the_second_is_told(disputed: Stand) -> None:
    found = disputed.ledger.conflicts.find(disputed.ledger.conflicts.listed()[0].conflict_id)
    assert found is not None
    stale = found[0]
    now = disputed.clock.now()
    act(
        disputed.map,
        disputed.ledger,
        stale.conflict_id,
        Act.DECIDE,
        who="ada",
        known_by="test",
        now=now,
        choice="crm",
    )
    decision = found[1][0]
    assert not disputed.ledger.conflicts.act_on(stale, decision, {"state": State.DEFERRED.value})
    assert disputed.ledger.conflicts.listed()[0].state is State.DECIDED


def test_acts_on_what_is_not_there_are_refused(disputed: Stand) -> None:
    now = disputed.clock.now()
    with pytest.raises(RefusedError, match="no conflict 99"):
        act(disputed.map, disputed.ledger, 99, Act.COMMENT, who="ada", known_by="test", now=now, text="x")
    number = disputed.ledger.conflicts.listed()[0].conflict_id
    with pytest.raises(RefusedError, match="in the future"):
        act(disputed.map, disputed.ledger, number, Act.DEFER, who="ada", known_by="test", now=now, until_at=now)
    with pytest.raises(RefusedError, match="name the person to assign it to"):
        act(disputed.map, disputed.ledger, number, Act.ASSIGN, who="ada", known_by="test", now=now)
    with pytest.raises(RefusedError, match="comment is empty"):
        act(disputed.map, disputed.ledger, number, Act.COMMENT, who="ada", known_by="test", now=now)

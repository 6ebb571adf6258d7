"""What the ledger holds of the maps that a daemon loaded and refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from auditor.ledger import Ledger
from auditor.ledger.map_loads import COMMAND, KEPT, LOADED, REFUSED, SIGNAL, START, UNCHANGED

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
MISTAKE = {"file": "map.yaml", "line": 3, "column": 5, "path": "flows.x", "message": "unknown word"}
CHANGE = {"path": "flows.x.every", "change": "changed", "before": "1s", "after": "2s"}


def note(ledger: Ledger, outcome: str, minutes: int = 0, **more: Any) -> None:
    words = {"at": AT + timedelta(minutes=minutes), "cause": SIGNAL, "location": "map.yaml", **more}
    ledger.map_loads.note(outcome=outcome, **words)


def test_the_map_in_force_stays_when_a_newer_one_is_refused(ledger: Ledger) -> None:
    assert str(ledger.map_loads.standing()) == "no map recorded yet"
    note(ledger, LOADED, cause=START, digest="d1", document={"flows": {"x": {}}})
    note(ledger, REFUSED, 1, mistakes=[MISTAKE])
    note(ledger, REFUSED, 2, mistakes=[MISTAKE, MISTAKE])
    standing = ledger.map_loads.standing()
    assert standing.in_force is not None
    assert (standing.in_force.digest, standing.in_force.document) == ("d1", {"flows": {"x": {}}})
    assert standing.refused is not None
    assert standing.refused.mistakes == [MISTAKE, MISTAKE]
    assert standing.refused_since_at == AT + timedelta(minutes=1)
    assert str(standing) == (
        "a newer map was refused at 2026-03-01 12:02:00 UTC (2 mistakes); "
        "in force: map loaded at 2026-03-01 12:00:00 UTC"
    )


def test_a_file_that_is_put_back_is_refused_no_longer(ledger: Ledger) -> None:
    note(ledger, LOADED, digest="d1", document={})
    note(ledger, REFUSED, 1, mistakes=[MISTAKE])
    note(ledger, UNCHANGED, 2, digest="d1")
    standing = ledger.map_loads.standing()
    assert (standing.refused, standing.refused_since_at) == (None, None)
    assert standing.in_force is not None
    assert standing.in_force.at == AT


def test_only_the_map_in_force_is_kept_whole(ledger: Ledger) -> None:
    note(ledger, LOADED, digest="d1", document={"flows": {}})
    note(ledger, LOADED, 1, digest="d2", document={"flows": {"x": {}}}, changes=[CHANGE])
    latest, first = ledger.map_loads.listed(10)
    assert (first.document, latest.document, latest.changes) == (None, {"flows": {"x": {}}}, [CHANGE])


def test_requests_are_answered_together_and_each_asker_sees_how_it_went(ledger: Ledger) -> None:
    first, second = ledger.map_loads.ask(AT), ledger.map_loads.ask(AT)
    assert ledger.map_loads.asked() == [first, second]
    assert ledger.map_loads.listed(10) == []
    note(ledger, LOADED, digest="d", document={"flows": {}}, changes=[CHANGE], answers=[first, second])
    assert ledger.map_loads.asked() == []
    for number in (first, second):
        answer = ledger.map_loads.load(number)
        assert answer is not None
        assert (answer.outcome, answer.cause, answer.changes) == (LOADED, COMMAND, [CHANGE])
    standing = ledger.map_loads.standing()
    assert standing.in_force is not None
    assert standing.in_force.number == second


def test_a_request_can_be_taken_back_until_it_is_answered(ledger: Ledger) -> None:
    number, answered = ledger.map_loads.ask(AT), ledger.map_loads.ask(AT)
    note(ledger, UNCHANGED, answers=[answered])
    for each in (number, answered):
        ledger.map_loads.withdraw(each)
    assert ledger.map_loads.load(number) is None
    assert ledger.map_loads.load(answered) is not None


def test_old_loads_are_forgotten_and_never_the_one_in_force(ledger: Ledger) -> None:
    note(ledger, LOADED, digest="d1", document={"flows": {}})
    for minute in range(KEPT + 5):
        note(ledger, UNCHANGED, minute)
    assert len(ledger.map_loads.listed(10 * KEPT)) == KEPT + 1
    assert ledger.map_loads.standing().in_force is not None

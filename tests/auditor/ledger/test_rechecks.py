"""What the ledger holds of requests to read records."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from auditor.ledger import Ledger
from checks.escalation import RefusedError
from checks.judgement import Outcome
from checks.rechecks import KEPT, LIMIT, NOT_FOUND, STALE, Result

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def ask(ledger: Ledger, *keys: str, at: datetime = AT, who: str = "ada") -> None:
    ledger.rechecks.ask([("to_billing", key) for key in keys], who=who, known_by="test", at=at)


def answer(ledger: Ledger, key: str, outcome: Result, *, begun_at: datetime = AT) -> None:
    with ledger.write() as transaction:
        found: dict[str, tuple[Result, str]] = {key: (outcome, "late")}
        ledger.rechecks.answer(transaction, "to_billing", found, begun_at=begun_at, at=begun_at)


def test_a_request_waits_until_it_is_answered_and_says_who_asked(ledger: Ledger) -> None:
    ask(ledger, "2", "1")
    ask(ledger, "3", at=AT + timedelta(seconds=1))
    assert ledger.rechecks.waiting(AT) == {"to_billing": ["1", "2", "3"]}
    answer(ledger, "1", Outcome.DIVERGENT)
    assert ledger.rechecks.waiting(AT) == {"to_billing": ["2", "3"]}
    (read,) = ledger.rechecks.listed([("to_billing", "1")])
    assert (read.who, read.known_by, read.outcome, read.detail, read.read_at) == (
        "ada",
        "test",
        Outcome.DIVERGENT,
        "late",
        AT,
    )
    assert [each.key for each in ledger.rechecks.listed()] == ["3", "1", "2"]
    answer(ledger, "2", NOT_FOUND)
    assert [each.outcome for each in ledger.rechecks.listed([("to_billing", "2")])] == [NOT_FOUND]


def test_what_is_asked_for_again_waits_again_and_an_audit_that_had_begun_does_not_answer_it(ledger: Ledger) -> None:
    ask(ledger, "1")
    answer(ledger, "1", Outcome.AGREED)
    ask(ledger, "1", at=AT + timedelta(seconds=5), who="bob")
    answer(ledger, "1", Outcome.AGREED, begun_at=AT + timedelta(seconds=4))
    (read,) = ledger.rechecks.listed()
    assert (read.who, read.read_at, read.outcome) == ("bob", None, None)


def test_no_more_wait_than_may_and_those_that_wait_already_count_once(ledger: Ledger) -> None:
    ask(ledger, *map(str, range(LIMIT)))
    ask(ledger, *map(str, range(LIMIT)))
    with pytest.raises(RefusedError, match="500 records already wait"):
        ask(ledger, "another")
    answer(ledger, "7", Outcome.AGREED)
    ask(ledger, "another")


def test_a_stale_request_is_not_read_and_makes_room(ledger: Ledger) -> None:
    ask(ledger, *map(str, range(LIMIT)))
    late = AT + STALE
    assert ledger.rechecks.waiting(late) == {}
    ask(ledger, "another", at=late)
    assert ledger.rechecks.waiting(late) == {"to_billing": ["another"]}


def test_what_is_done_is_forgotten(ledger: Ledger) -> None:
    ask(ledger, "1", "2")
    answer(ledger, "1", Outcome.AGREED)
    ledger.rechecks.forget(AT + KEPT - timedelta(seconds=1))
    assert len(ledger.rechecks.listed()) == 2
    ledger.rechecks.forget(AT + KEPT)
    assert [each.key for each in ledger.rechecks.listed()] == ["2"]
    ledger.rechecks.forget(AT + STALE + KEPT)
    assert ledger.rechecks.listed() == []


def test_any_key_is_kept_as_it_is(ledger: Ledger) -> None:
    for key in ("a\x00b", "\ud800", "a/b%2Fc"):
        ask(ledger, key)
        answer(ledger, key, Outcome.AGREED)
        assert ledger.rechecks.waiting(AT) == {}
        ledger.rechecks.forget(AT + KEPT)

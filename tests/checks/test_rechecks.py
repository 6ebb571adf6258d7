"""Requests to read records: how many may wait, how long, and what is said of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from checks.escalation import RefusedError
from checks.judgement import Outcome
from checks.rechecks import LIMIT, NOT_FOUND, STALE, Recheck, RecheckState, check_room, found_of, result_of, summary

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def asked(**more: Any) -> Recheck:
    return Recheck(**{"flow": "f", "key": "1", "who": "ada", "known_by": "test", "asked_at": AT, **more})


def test_a_request_is_not_waited_for_without_end() -> None:
    assert asked().state(AT) is RecheckState.ASKED
    assert asked().state(AT + STALE - timedelta(seconds=1)) is RecheckState.ASKED
    assert asked().state(AT + STALE) is RecheckState.NOT_READ
    read = asked(read_at=AT, outcome=Outcome.AGREED)
    assert read.state(AT + 10 * STALE) is RecheckState.AGREES


def test_as_many_wait_as_may() -> None:
    check_room(LIMIT, 0)
    check_room(1, LIMIT - 1)
    with pytest.raises(RefusedError, match="at most 500 can wait"):
        check_room(LIMIT + 1, 0)
    with pytest.raises(RefusedError, match="ask for at most 2 more"):
        check_room(3, LIMIT - 2)


@pytest.mark.parametrize(
    ("outcome", "words", "told"),
    [
        (Outcome.AGREED, {}, ""),
        (Outcome.AGREED, {"known": False}, ""),
        (Outcome.AGREED, {"held": False}, "neither system holds it"),
        (Outcome.DIVERGENT, {"cause": "foreign_write"}, "foreign write"),
        (Outcome.INCONCLUSIVE, {}, "it was being written during the reading"),
        (Outcome.CANNOT_VERIFY, {"reason": "2 rows"}, "2 rows"),
    ],
)
def test_a_result_says_why(outcome: Outcome, words: dict[str, Any], told: str) -> None:
    assert found_of(outcome, **words) == (outcome, told)


def test_a_key_that_nobody_knows_does_not_agree() -> None:
    kept, why = found_of(Outcome.AGREED, held=False, known=False)
    assert (result_of(str(kept)), why) == (NOT_FOUND, "neither system holds it, and no audit has seen it")
    assert asked(read_at=AT, outcome=kept).state(AT) is RecheckState.NOT_FOUND
    assert result_of("agreed") is Outcome.AGREED


def test_results_are_counted_in_words() -> None:
    rechecks = [asked(), asked(read_at=AT, outcome=Outcome.DIVERGENT), asked(read_at=AT, outcome=Outcome.DIVERGENT)]
    assert summary(rechecks, AT) == "1 asked, 2 differ"
    assert summary([], AT) == ""
    assert asked().as_row(AT)["state"] == "asked"

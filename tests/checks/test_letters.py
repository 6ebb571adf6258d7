"""What dead letters have in common, and what sending them again would come to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.letters import NO_REASON, POISON_TIMES, SIGNATURE_LENGTH, LetterFate, Prospect, prospects, signature


@pytest.mark.parametrize(
    ("reason", "same"),
    [
        ("422 from billing: email of cus_00042 is not valid", "422 from billing: email of <id> is not valid"),
        ("Timeout after 30s calling https://x/y?a=1", "Timeout after <n> calling <address>"),
        ("at 2026-01-01T00:00:00Z: a@b.co bounced", "at <time>: <e-mail> bounced"),
        ('violates "customers_pkey" (id)=(42)', "violates <text> (id)=(<n>)"),
        ("order 3f2504e0-4f89-11d3-9a0c-0305e82c3301: 1,234.50 > 500.00", "order <id>: <n> > <n>"),
        ("connection  reset\n0x7fab12cd", "connection reset <id>"),
        ("HTTP 503", "HTTP 503"),
        ("", NO_REASON),
        (None, NO_REASON),
    ],
)
def test_what_is_of_one_letter_alone_is_taken_out(reason: str | None, same: str) -> None:
    assert signature(reason) == same


@given(reason=st.text(max_size=400), number=st.integers(1_000, 10**9))
def test_a_signature_is_bounded_stable_and_blind_to_numbers(reason: str, number: int) -> None:
    assert len(signature(reason)) <= SIGNATURE_LENGTH
    assert signature(f"row {number} failed") == signature("row 7 failed")
    assert signature(reason) == signature(reason)


def test_another_status_is_another_reason() -> None:
    assert signature("409 from billing") != signature("422 from billing")


def fate(key: str | None, *, flow: str = "f", reason: str = "r", recovered: bool = False) -> LetterFate:
    return LetterFate(flow=flow, key=key, signature=reason, recovered=recovered)


def test_a_record_that_fails_again_and_again_for_one_reason_is_poison() -> None:
    told = prospects([fate("a")] * POISON_TIMES + [fate("b")])
    assert told == [Prospect.POISON] * POISON_TIMES + [Prospect.UNKNOWN]
    assert prospects([fate(None)] * 5) == [Prospect.UNKNOWN] * 5


def test_what_succeeded_later_for_others_is_replayable_unless_something_else_happens_too() -> None:
    letters = [fate("a"), fate("b", recovered=True), fate("c", reason="other")]
    assert prospects(letters) == [Prospect.REPLAYABLE, Prospect.REPLAYABLE, Prospect.UNKNOWN]
    assert prospects(letters, unsafe_flows=["f"]) == [Prospect.REPLAY_UNSAFE] * 3

"""Dead letters of a queue, from when they are seen until they are gone."""

from __future__ import annotations

from auditor.ledger import Ledger
from probes.queue_contract import Letter
from tests import ledgers
from tests.auditor.ledger.rows import NOW


def test_dead_letters_are_followed_until_they_are_gone(ledger: Ledger) -> None:
    letters = [Letter(letter_id=str(number), key=number) for number in range(3)]

    def seen(some: list[Letter], complete: bool) -> list[object]:
        with ledger.write() as transaction:
            ledger.queues.save_letters(transaction, "f", "q", some, NOW)
            if complete:
                ledger.queues.end_letters(transaction, "f", "q", {letter.letter_id for letter in some}, NOW)
        return [row["gone_at"] is not None for row in ledgers.rows(ledger, "dead_letters")]

    assert seen(letters, True) == [False] * 3
    assert sorted(map(bool, seen(letters[:1], False))) == [False] * 3  # a cut peek proves nothing gone
    assert sorted(map(bool, seen(letters[:1], True))) == [False, True, True]

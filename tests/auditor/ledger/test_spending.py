"""The calls of a day in the ledger: reserved before they are sent, settled afterwards, never more than allowed."""

from __future__ import annotations

import contextlib
import threading
from datetime import UTC, datetime, timedelta

import pytest

from auditor.ledger import LeaseLostError, Ledger
from auditor.systems.allowance import Allowance, Clocks, Worth, spending
from probes.metering import SpentError
from probes.settings import Budget

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def test_calls_are_granted_up_to_the_limit_of_all_holders_together(ledger: Ledger) -> None:
    book = ledger.spending
    first = book.reserve("crm", "a", AT, calls=6, limit=10, sent={})
    second = book.reserve("crm", "b", AT, calls=6, limit=10, sent={})
    third = book.reserve("crm", "a", AT + MINUTE, calls=6, limit=10, sent={})
    assert (first.calls, second.calls, third.calls) == (6, 4, 0)
    assert third.free_at == AT + timedelta(days=1, minutes=1)
    assert book.reserve("billing", "a", AT, calls=6, limit=10, sent={}).calls == 6
    assert book.counted(AT) == {"crm": 10, "billing": 6}


def test_what_was_not_sent_is_given_back_to_its_holder_alone(ledger: Ledger) -> None:
    book = ledger.spending
    book.reserve("crm", "a", AT, calls=6, limit=10, sent={})
    book.reserve("crm", "b", AT, calls=4, limit=10, sent={})
    later = book.reserve("crm", "a", AT + MINUTE, calls=9, limit=10, sent={AT: 1})
    assert (later.calls, later.counted) == (5, 10)


def test_a_minutes_calls_count_until_the_last_of_them_is_a_day_old(ledger: Ledger) -> None:
    book = ledger.spending
    book.reserve("crm", "a", AT, calls=10, limit=10, sent={})
    day = timedelta(days=1)
    assert book.reserve("crm", "a", AT + day, calls=1, limit=10, sent={}).calls == 0
    assert book.reserve("crm", "a", AT + day + MINUTE, calls=1, limit=10, sent={}).calls == 1
    assert book.counted(AT + day + MINUTE) == {"crm": 1}


def test_holders_that_reserve_at_once_are_granted_no_call_twice(ledger: Ledger) -> None:
    granted: list[int] = []

    def reserve(holder: str) -> None:
        while found := ledger.spending.reserve("crm", holder, AT, calls=3, limit=50, sent={}).calls:
            granted.append(found)

    threads = [threading.Thread(target=reserve, args=(str(number),)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(granted) == 50


def test_processes_share_a_day_and_a_crash_forgets_nothing(ledger: Ledger) -> None:
    clocks = Clocks(steady=lambda: 0.0, now=lambda: AT)
    budget = Budget(calls_per_day=2_000)
    spent = 0
    with spending(Worth.DEADLINE):
        for crashed in (True, False, True):
            made = Allowance("crm", budget, ledger.spending, clocks)
            for _ in range(101):
                made.spend()
            spent += 101
            if not crashed:
                made.close()
        last = Allowance("crm", budget, ledger.spending, clocks)
        with contextlib.suppress(SpentError):
            while spent <= 2_000:
                last.spend()
                spent += 1
    assert 2_000 - 4 <= spent <= 2_000
    assert ledger.spending.counted(AT) == {"crm": 2_000}


def test_a_daemon_that_has_lost_its_lease_spends_nothing_more(ledger: Ledger) -> None:
    ledger.database.token = 99
    with pytest.raises(LeaseLostError):
        ledger.spending.reserve("crm", "a", AT, calls=1, limit=10, sent={})
    made = Allowance("crm", Budget(calls_per_day=10), ledger.spending)
    with pytest.raises(SpentError, match="taken over the ledger"):
        made.spend()
    ledger.database.token = None
    assert ledger.spending.counted(AT) == {}

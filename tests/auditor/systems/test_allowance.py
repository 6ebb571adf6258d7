"""One account of calls for a system: never one over, whoever asks, and the more urgent first."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.storage.ledger_error import LedgerError
from auditor.systems.allowance import (
    KEPT,
    Allowance,
    CallMeter,
    Clocks,
    Reserved,
    Worth,
    spender,
    spending,
)
from probes.contract import Reason
from probes.metering import RateLimit, SpentError, operation
from probes.settings import Budget, OperationLimits
from tests.waiting import PATIENCE_S

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
DEEDS = ["spend", "crash", "restart", "set"]


class Time:
    """A clock that only tests move; who sleeps moves it on."""

    def __init__(self) -> None:
        self.s = 0.0
        self.offset = timedelta()
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.s += seconds

    def clocks(self) -> Clocks:
        return Clocks(
            steady=lambda: self.s, now=lambda: BEGIN + self.offset + timedelta(seconds=self.s), sleep=self.sleep
        )


class Book:
    """Keeps calls as the ledger does, for one system; `broken` writes nothing."""

    def __init__(self) -> None:
        self.rows: dict[tuple[datetime, str], int] = {}
        self.broken = False
        self.asked = 0

    def reserve(
        self, system: str, holder: str, slot_at: datetime, *, calls: int, limit: int, sent: Mapping[datetime, int]
    ) -> Reserved:
        self.asked += 1
        if self.broken:
            raise LedgerError("the disk is full")
        for at, number in sent.items():
            self.rows[at, holder] = number
        lives = timedelta(days=1, minutes=1)
        self.rows = {row: n for row, n in self.rows.items() if row[0] > slot_at - lives and n}
        before = sum(self.rows.values())
        granted = max(0, min(calls, limit - before))
        oldest = min((at for at, _ in self.rows), default=None)
        self.rows[slot_at, holder] = self.rows.get((slot_at, holder), 0) + granted
        return Reserved(calls=granted, counted=before + granted, free_at=None if oldest is None else oldest + lives)


@pytest.fixture
def at() -> Time:
    return Time()


def allowance(at: Time, book: Book | None = None, **words: int) -> Allowance:
    return Allowance("crm", Budget(**words), book, at.clocks())


def refused(call: Callable[[], object]) -> SpentError:
    with pytest.raises(SpentError) as caught:
        call()
    return caught.value


def spend_all(of: Allowance, worth: Worth) -> int:
    """Spend until nothing of this worth may be spent now."""
    count = 0
    with spending(worth):
        while True:
            try:
                of.spend()
            except SpentError:
                return count
            count += 1


def test_without_a_limit_calls_are_only_counted(at: Time) -> None:
    made = allowance(at)
    with spending(Worth.SWEEP, flow="to_billing"):
        for _ in range(1_000):
            made.spend()
        made.read(40)
    made.spend(2)
    assert (made.used("to_billing").calls, made.used("to_billing").records) == (1_000, 40)
    assert made.used().calls == 1_002
    assert made.calls_per_s is None


def test_a_seconds_calls_are_waited_for_and_a_minutes_are_refused_with_the_time(at: Time) -> None:
    made = allowance(at, calls_per_s=2, calls_per_minute=20)
    for _ in range(10):
        made.spend()
    assert at.s == pytest.approx(4.4)
    with spending(Worth.DEADLINE):
        for _ in range(10):
            made.spend()
        error = refused(made.spend)
    assert at.s == pytest.approx(9.9)
    assert error.reason is Reason.OVER_BUDGET
    assert error.retry_after_s == pytest.approx(61.0 - 9.9)
    assert "calls_per_minute: 20" in error.message
    at.s += error.retry_after_s or 0
    with spending(Worth.DEADLINE):
        made.spend()


def test_calls_that_are_more_than_a_limit_are_never_waited_for(at: Time) -> None:
    error = refused(lambda: allowance(at, calls_per_s=2).spend(3))
    assert error.retry_after_s is None
    assert at.slept == []


def test_threads_together_never_send_one_call_more() -> None:
    made = Allowance("crm", Budget(calls_per_day=500), Book())
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(spend_all(made, Worth.DEADLINE))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 500


@pytest.mark.parametrize("limit", ["calls_per_minute", "calls_per_day"])
@pytest.mark.parametrize("kept_in_book", [True, False])
def test_the_more_urgent_goes_on_where_the_less_urgent_is_refused(at: Time, limit: str, kept_in_book: bool) -> None:
    made = allowance(at, Book() if kept_in_book else None, **{limit: 1_000})
    spent = 0
    for worth in reversed(Worth):
        spent += spend_all(made, worth)
        assert spent == 1_000 - int(1_000 * KEPT[worth])
    assert spent == 1_000


def test_a_less_urgent_call_lets_a_more_urgent_one_go_first(at: Time) -> None:
    made = allowance(at, calls_per_s=1)
    made.spend()
    turns: list[str] = []

    def sleep(seconds: float) -> None:
        at.s += seconds
        if not turns:
            turns.append("sweep slept")
            with spending(Worth.DEADLINE):
                made.spend()
            turns.append("deadline went")

    made._clocks = Clocks(steady=lambda: at.s, sleep=sleep)
    with spending(Worth.SWEEP):
        made.spend()
    assert turns == ["sweep slept", "deadline went"]
    assert at.s >= 2.0


# -- a day


def test_a_crash_costs_at_most_the_rest_of_a_block(at: Time) -> None:
    book = Book()
    first = allowance(at, book, calls_per_day=10_000)
    with spending(Worth.DEADLINE):
        for _ in range(25):
            first.spend()
        del first  # nobody closes it
        assert spend_all(allowance(at, book, calls_per_day=10_000), Worth.DEADLINE) >= 10_000 - 30
    assert sum(book.rows.values()) == 10_000


def test_a_restart_costs_nothing(at: Time) -> None:
    book = Book()
    for _ in range(5):
        made = allowance(at, book, calls_per_day=10_000)
        with spending(Worth.DEADLINE):
            for _ in range(25):
                made.spend()
        made.close()
        at.s += 30
    assert sum(book.rows.values()) == 125
    made.close()
    assert spend_all(made, Worth.DEADLINE) == 10_000 - 125


def test_what_was_reserved_for_a_minute_is_not_sent_in_a_later_one(at: Time) -> None:
    book = Book()
    made = allowance(at, book, calls_per_day=10_000)
    made.spend()
    at.s += 3_600
    made.spend()
    assert {(slot - BEGIN).total_seconds(): n for (slot, _), n in book.rows.items()} == {0: 1, 3_600: 10}


def test_nothing_is_sent_that_cannot_be_written_down(at: Time) -> None:
    book = Book()
    made = allowance(at, book, calls_per_day=10_000)
    made.spend(10)
    book.broken = True
    error = refused(made.spend)
    assert "the disk is full" in error.message
    book.broken = False
    made.spend()
    assert made.used().calls == 11


def test_a_clock_that_is_set_gives_no_call_twice(at: Time) -> None:
    book = Book()
    made = allowance(at, book, calls_per_day=100)
    assert spend_all(made, Worth.DEADLINE) == 100
    for jump in (timedelta(hours=30), timedelta(hours=-40)):
        at.offset += jump
        at.s += 120
        assert spend_all(made, Worth.DEADLINE) == 0


def test_without_a_book_a_day_is_counted_by_the_process_and_said_so(at: Time) -> None:
    made = allowance(at, calls_per_day=100)
    assert made.forgets
    assert not allowance(at, Book(), calls_per_day=100).forgets
    assert not allowance(at, calls_per_s=1).forgets
    assert spend_all(made, Worth.DEADLINE) == 100
    at.s += 86_400 + 61
    assert spend_all(made, Worth.DEADLINE) == 100


@given(
    limit=st.integers(1, 60),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["spend", "crash", "restart", "set"]), st.integers(0, 20_000), st.sampled_from(Worth)
        ),
        max_size=60,
    ),
)
def test_no_day_ever_holds_one_call_more_whatever_happens(limit: int, steps: list[tuple[str, int, Worth]]) -> None:
    at, book = Time(), Book()
    made = allowance(at, book, calls_per_day=limit)
    sent: list[float] = []
    for what, seconds, worth in steps:
        at.s += seconds
        if what == "restart":
            made.close()
        if what in {"crash", "restart"}:
            made = allowance(at, book, calls_per_day=limit)
        elif what == "set":
            at.offset -= timedelta(seconds=seconds)  # only ever back: forward, a new process knows no better
        else:
            sent += [at.s] * spend_all(made, worth)
    assert max((sum(1 for each in sent if begin <= each < begin + 86_400) for begin in sent), default=0) <= limit


@given(
    per_s=st.integers(1, 6),
    per_minute=st.integers(6, 40),
    steps=st.lists(st.tuples(st.floats(0, 20), st.floats(0, 1)), max_size=80),
)
def test_no_window_holds_one_call_more_at_a_system_that_calls_reach_later(
    per_s: int, per_minute: int, steps: list[tuple[float, float]]
) -> None:
    at = Time()
    made = allowance(at, calls_per_s=per_s, calls_per_minute=per_minute)
    arrived: list[float] = []
    for pause_s, share in steps:
        at.s += pause_s * share**4  # mostly none
        try:
            made.spend()
        except SpentError:
            continue
        arrived.append(at.s + 0.099 * share)  # a tenth of a second under way, or no time at all
    for limit, seconds in ((per_s, 1.0), (per_minute, 60.0)):
        assert (
            max((sum(begin <= each < begin + seconds for each in arrived) for begin in arrived), default=0) <= limit
        )


# -- the vendor's word


def test_a_vendors_word_takes_away_and_never_gives(at: Time) -> None:
    made = allowance(at, calls_per_minute=100)
    made.learned(RateLimit(limit=10_000, left=5_000, per=86_400))
    assert spend_all(made, Worth.DEADLINE) == 100
    at.s += 61
    made.learned(RateLimit(limit=10, left=3, resets_in_s=30, per=60))
    assert spend_all(made, Worth.DEADLINE) == 3
    at.s += 30
    assert spend_all(made, Worth.DEADLINE) == 97


def test_a_vendors_word_counts_where_the_map_sets_no_limit(at: Time) -> None:
    made = allowance(at)
    made.learned(RateLimit(limit=100, left=40, per=86_400))
    assert spend_all(made, Worth.SWEEP) == 25
    assert spend_all(made, Worth.DEADLINE) == 15
    at.s += 900
    made.spend()


def test_a_word_without_what_is_left_says_nothing(at: Time) -> None:
    made = allowance(at)
    made.learned(RateLimit(limit=1, resets_in_s=60))
    made.spend(10)


# -- who spends


def test_who_spends_is_known_to_what_is_called_and_no_longer() -> None:
    with spending(Worth.PANEL, flow="f", keys={7: Worth.DEADLINE}):
        assert spender().worth_of(7) is Worth.DEADLINE
        assert spender().worth_of(8) is Worth.PANEL
        with spending(Worth.RECHECK):
            assert (spender().flow, spender().worth_of(7)) == ("f", Worth.RECHECK)
    assert spender().flow == ""


def test_the_meter_of_a_call_counts_what_was_allowed(at: Time) -> None:
    meter = CallMeter(allowance(at, calls_per_day=3))
    meter.spend(2)
    refused(lambda: meter.spend(2))
    assert meter.calls == 2


def test_looks_at_the_clock_cost_a_small_part_of_a_day(at: Time) -> None:
    assert allowance(at).clock_keeps_s == 0
    assert 86_400 / allowance(at, calls_per_day=15_000).clock_keeps_s <= 750.001


def test_looks_at_the_clock_are_refused_beyond_their_part_of_a_day_unless_a_verdict_needs_them(at: Time) -> None:
    made = allowance(at, calls_per_day=120)
    assert made.looks_left == 6
    assert [made.look() for _ in range(8)] == [True] * 6 + [False] * 2
    assert made.look(needed=True)
    assert allowance(at, calls_per_day=10).looks_left == 1
    assert all(allowance(at).look() for _ in range(100))


# -- limits of single operations


def limited(at: Time, budget: Budget | None = None, **operations: dict[str, int]) -> Allowance:
    limits = {name: OperationLimits.model_validate(words) for name, words in operations.items()}
    return Allowance("crm", budget or Budget(), None, at.clocks(), limits)


def test_an_operation_waits_for_its_own_limit_and_holds_up_nothing_else(at: Time) -> None:
    made = limited(at, search={"calls_per_s": 2})
    with operation("search"):
        made.spend(2)
    for _ in range(20):
        made.spend()
    with operation("export"):
        made.spend(5)
    assert at.slept == []
    with operation("search"):
        made.spend()
    assert at.s == pytest.approx(1.1)
    assert made.used().calls == 28
    assert made.limited


def test_a_refusal_names_the_limit_of_the_operation(at: Time) -> None:
    made = limited(at, Budget(calls_per_minute=100), export={"calls_per_minute": 2})
    with operation("export"), spending(Worth.DEADLINE):
        made.spend(2)
        error = refused(made.spend)
    assert error.retry_after_s == pytest.approx(61.0)
    assert "calls_per_minute: 100, export calls_per_minute: 2" in error.message
    made.spend()


def test_of_an_operations_minute_a_part_is_kept_for_the_more_urgent(at: Time) -> None:
    made = limited(at, many={"calls_per_minute": 20})
    with operation("many"):
        assert spend_all(made, Worth.SWEEP) == 17
        assert spend_all(made, Worth.DEADLINE) == 3


def test_who_waits_for_an_operation_holds_back_only_that_operation() -> None:
    """The more urgent search waits first; other calls of less worth pass."""
    asleep, awake = threading.Event(), threading.Event()
    now = [0.0]

    def sleep(seconds: float) -> None:
        asleep.set()
        assert awake.wait(PATIENCE_S)
        now[0] += seconds

    clocks = Clocks(steady=lambda: now[0], sleep=sleep)
    limits = {"search": OperationLimits(calls_per_s=1)}
    made = Allowance("crm", Budget(calls_per_s=10), None, clocks, limits)

    def urgent() -> None:
        with operation("search"), spending(Worth.DEADLINE):
            made.spend()

    with operation("search"):
        made.spend()
    thread = threading.Thread(target=urgent)
    thread.start()
    assert asleep.wait(PATIENCE_S)
    with operation("export"), spending(Worth.SWEEP):
        made.spend(3)
    awake.set()
    thread.join(PATIENCE_S)
    assert made.used().calls == 5


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["search", "export", ""]), st.integers(1, 2), st.floats(0, 5)), max_size=60
    ),
    limits=st.tuples(st.integers(2, 5), st.integers(5, 12), st.integers(3, 9)),
)
def test_no_operation_and_not_all_together_are_ever_one_call_over(
    steps: list[tuple[str, int, float]], limits: tuple[int, int, int]
) -> None:
    at = Time()
    per_s, per_minute, together = limits
    made = limited(
        at,
        Budget(calls_per_s=together),
        search={"calls_per_s": per_s, "calls_per_minute": per_minute},
        export={"calls_per_minute": per_minute},
    )
    sent: list[tuple[float, str, int]] = []
    for name, calls, pause_s in steps:
        at.s += pause_s
        with operation(name), spending(Worth.DEADLINE):
            try:
                made.spend(calls)
            except SpentError:
                continue
        sent.append((at.s, name, calls))

    def most(seconds: float, *names: str) -> int:
        mine = [(when, calls) for when, name, calls in sent if not names or name in names]
        return max((sum(n for when, n in mine if begin <= when <= begin + seconds) for begin, _ in mine), default=0)

    assert most(1.0) <= together
    assert most(1.0, "search") <= per_s
    assert most(60.0, "search") <= per_minute
    assert most(60.0, "export") <= per_minute


def test_room_is_waited_for_until_so_many_calls_are_free_or_all_that_ever_are() -> None:
    time = Time()
    allowance = Allowance("crm", Budget(calls_per_minute=20), None, time.clocks())
    with spending(Worth.SWEEP):
        for _ in range(10):
            allowance.spend()
    assert allowance.room_s(Worth.SWEEP, 7) == 0.0
    assert allowance.room_s(Worth.SWEEP, 8) == pytest.approx(61.0)
    assert allowance.room_s(Worth.SWEEP, 1_000) == pytest.approx(61.0)
    time.s += 61
    assert allowance.room_s(Worth.SWEEP, 1_000) == 0.0

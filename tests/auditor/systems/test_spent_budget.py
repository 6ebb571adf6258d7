"""Reading a system whose budget is spent: what is read all the same, and what follows about the system: nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from auditor.systems.allowance import Allowance, Worth, spender, spending
from auditor.systems.reader import SystemReader
from probes.contract import ClockSample, Key, ProbeError, ReadSpec, Reason, Row
from probes.metering import RateLimit, SpentError, learned, spend
from probes.settings import Budget, SystemSettings
from tests.auditor.systems.test_allowance import Time
from tests.auditor.systems.test_reader import SPEC, Scripted


class Metered(Scripted):
    """Sends a call for each key, or one for all of them, and one for its clock."""

    def __init__(self) -> None:
        super().__init__()
        self.each = self.whole_seconds = False
        self.sent = 0
        self.worths: list[tuple[Worth, str]] = []
        self.read: list[Key] = []

    def _send(self) -> None:
        spend()
        self.sent += 1

    def fetch(self, spec: ReadSpec, keys: Sequence[Key]) -> list[Row]:
        for _ in keys if self.each else keys[:1]:
            self._send()
        self.worths.append((spender().worth, spender().flow))
        self.read += keys
        return super().fetch(spec, keys)

    def clock(self) -> ClockSample:
        self._send()
        sample = super().clock()
        return replace(sample, resolution_s=1.0) if self.whole_seconds else sample


@pytest.fixture
def probe() -> Metered:
    return Metered()


@pytest.fixture
def at() -> Time:
    return Time()


@pytest.fixture
def readers(probe: Metered, at: Time) -> Iterator[list[SystemReader]]:
    made: list[SystemReader] = []
    yield made
    for reader in made:
        reader.close()


def opened(readers: list[SystemReader], probe: Metered, at: Time, **limits: int) -> SystemReader:
    budget = Budget(timeout_s=60, **limits)
    settings = SystemSettings(kind="sql", budget=budget)
    readers.append(SystemReader("crm", settings, probe, Allowance("crm", budget, None, at.clocks())))
    return readers[-1]


def test_a_spent_budget_says_nothing_about_the_system(readers: list[SystemReader], probe: Metered, at: Time) -> None:
    reader = opened(readers, probe, at, calls_per_day=100)
    with spending(Worth.SWEEP):
        for _ in range(85):
            assert reader.fetch(SPEC, [1]).error is None
        refused = reader.fetch(SPEC, [1]).error
    assert isinstance(refused, SpentError)
    assert reader.health.failures == 0
    with spending(Worth.DEADLINE):
        assert reader.fetch(SPEC, [1]).error is None
    assert probe.sent == 86


def test_calls_that_take_many_requests_become_as_small_as_the_budget_bears(
    readers: list[SystemReader], probe: Metered, at: Time
) -> None:
    probe.each = True
    reader = opened(readers, probe, at, calls_per_minute=40)
    read: set[Key] = set()
    for _ in range(8):
        left = [key for key in range(200) if key not in read]
        reading = reader.fetch(SPEC, left)
        read |= set(reading.instants)
        assert set(reading.unreadable) <= set(left) - read
        at.s += 60
    assert len(read) == 200
    assert probe.sent <= 8 * 40


def test_what_was_read_before_the_budget_was_spent_stands_and_the_rest_cannot_be_verified(
    readers: list[SystemReader], probe: Metered, at: Time
) -> None:
    reader = opened(readers, probe, at, calls_per_day=3)
    reading = reader.fetch(SPEC, list(range(500)))
    assert reading.error is None
    assert len(reading.rows) == 300
    assert len(reading.unreadable) == 200
    assert "calls_per_day: 3" in reading.unreadable[499]


def test_the_more_urgent_records_are_read_first_and_each_batch_for_what_it_is_worth(
    readers: list[SystemReader], probe: Metered, at: Time
) -> None:
    reader = opened(readers, probe, at, calls_per_day=1_000)
    keys: dict[Key, Worth] = {key: Worth.SWEEP if key < 150 else Worth.DEADLINE for key in range(250)}
    with spending(Worth.SWEEP, flow="to_billing", keys=keys):
        reader.fetch(SPEC, list(keys))
    assert probe.read[:100] == list(range(150, 250))
    assert probe.worths == [(Worth.DEADLINE, "to_billing"), (Worth.SWEEP, "to_billing"), (Worth.SWEEP, "to_billing")]
    used = reader.allowance.used("to_billing")
    assert (used.calls, used.records) == (3, 250)


def test_what_is_asked_aside_is_spent_from_the_same_budget(
    readers: list[SystemReader], probe: Metered, at: Time
) -> None:
    reader = opened(readers, probe, at, calls_per_day=1)
    with spending(Worth.RECHECK, flow="f"):
        first = reader.fetch_aside(SPEC, [1], 60)
        second = reader.fetch_aside(SPEC, [1], 60)
    assert first is not None
    assert first.error is None
    assert second is not None
    assert isinstance(second.error, SpentError)
    assert reader.allowance.used("f").calls == 1


def test_a_clock_is_asked_more_seldom_where_calls_are_few(
    readers: list[SystemReader], probe: Metered, at: Time
) -> None:
    reader = opened(readers, probe, at, calls_per_day=1_000)
    now = datetime.now(UTC)
    reader.read_clock(now)
    reader.read_clock(now + timedelta(seconds=1_000))
    assert probe.sent == 1
    reader.read_clock(now + timedelta(seconds=2_000))
    assert probe.sent == 2


def test_aiming_at_a_clock_leaves_half_of_its_looks_for_the_day(
    readers: list[SystemReader], probe: Metered, at: Time
) -> None:
    probe.whole_seconds = True
    reader = opened(readers, probe, at, calls_per_day=120)
    reader.aim_clock(lambda _: False)
    assert probe.sent == 3
    for later in range(1, 20):
        reader.read_clock(datetime.now(UTC) + timedelta(days=later))
        reader.aim_clock(lambda _: False)
    assert probe.sent == 6


def test_no_flow_alone_pays_for_the_clock_that_all_go_by(
    readers: list[SystemReader], probe: Metered, at: Time
) -> None:
    reader = opened(readers, probe, at, calls_per_day=1_000)
    with spending(Worth.RECHECK, flow="to_billing"):
        reader.read_clock(datetime.now(UTC))
    assert (reader.allowance.used("to_billing").calls, reader.allowance.used().calls) == (0, 1)


def test_what_a_record_costs_is_learned(readers: list[SystemReader], probe: Metered, at: Time) -> None:
    reader = opened(readers, probe, at, calls_per_day=100_000)
    reader.fetch(SPEC, list(range(500)))
    assert reader.costs(SPEC) == (100, 0.0)
    probe.each = True
    for _ in range(4):
        reader.fetch(SPEC, list(range(500)))
    batch, more = reader.costs(SPEC)
    assert batch == 100
    assert 0.9 < more <= 1


def test_a_clock_that_may_not_be_read_is_known_as_before(
    readers: list[SystemReader], probe: Metered, at: Time
) -> None:
    reader = opened(readers, probe, at, calls_per_day=1)
    now = datetime.now(UTC)
    assert reader.read_clock(now) is not None
    assert reader.read_clock(now, afresh=True) is not None
    assert reader.health.failures == 0


def test_a_silent_system_is_not_taken_to_answer_because_nobody_may_ask(
    readers: list[SystemReader], probe: Metered, at: Time
) -> None:
    probe.hang.clear()
    probe.clock_hangs = True
    budget = Budget(timeout_s=0.2, calls_per_day=2)
    reader = SystemReader(
        "crm", SystemSettings(kind="sql", budget=budget), probe, Allowance("crm", budget, None, at.clocks())
    )
    readers.append(reader)
    for _ in range(2):
        error = reader.fetch(SPEC, [1]).error
        assert error is not None
        assert error.reason is Reason.TIMEOUT
    while not isinstance(reader.fetch(SPEC, [1]).error, SpentError):
        pass  # it is told at once that the system gave no answer, until somebody is to ask again
    assert not reader.answers
    assert probe.sent == 2
    probe.hang.set()


def test_what_a_vendor_says_reaches_the_allowance(readers: list[SystemReader], probe: Metered, at: Time) -> None:
    reader = opened(readers, probe, at)

    def read() -> None:
        learned(RateLimit(left=0, resets_in_s=3_600))

    reader.call(read)
    assert isinstance(reader.fetch(SPEC, [1]).error, SpentError)


def test_a_refusal_of_the_vendor_itself_is_still_one(readers: list[SystemReader], probe: Metered, at: Time) -> None:
    reader = opened(readers, probe, at)
    probe.raises = ProbeError(Reason.OVER_BUDGET, "HTTP 429")
    assert reader.fetch(SPEC, [1]).error is not None
    assert reader.health.failures == 1

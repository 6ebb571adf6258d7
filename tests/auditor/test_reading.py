"""Reading: pools, deadlines, halving, clocks."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler

import pytest

from auditor.reading import REQUESTS_PER_LISTING, ReaderClosedError, SystemReader
from probes.contract import (
    Budget,
    ClockSample,
    CollectionSchema,
    Key,
    Page,
    ProbeError,
    ReadSpec,
    Reason,
    Row,
    SystemSettings,
)
from tests.probes.harness import RestHarness
from tests.waiting import wait_until

SPEC = ReadSpec(data_type="t", collection="t", key="id", changed_at=None, fields=("a",))


class Scripted:
    """A probe of our own protocol that does what the test says."""

    delay_floor_s = 0.0

    def __init__(self) -> None:
        self.poison: set[Key] = set()
        self.spoils = Reason.DECODE
        self.hang = threading.Event()
        self.hang.set()
        self.calls: list[int] = []
        self.raises: Exception | None = None
        self.ahead_s = 0.0
        self.clock_hangs = False

    def batch_limit(self, spec: ReadSpec) -> int:
        return 100

    def inspect(self, spec: ReadSpec) -> tuple[str, ...]:
        return ()

    def fetch(self, spec: ReadSpec, keys: Sequence[Key]) -> list[Row]:
        self.calls.append(len(keys))
        self.hang.wait(10)
        if self.raises:
            raise self.raises
        if self.poison & set(keys):
            raise ProbeError(self.spoils, "a value cannot be read")
        return [(key, None, "x") for key in keys]

    def changed(self, spec: ReadSpec, since: datetime | int | None, limit: int, after: str | None = None) -> Page:
        return Page(rows=self.fetch(spec, list(range(limit))), more=True)

    def page(self, spec: ReadSpec, after: str | None, limit: int) -> Page:
        """Pages of three records at most, and an empty one in between."""
        at = int(after or 0)
        rows = [] if at == 3 else self.fetch(spec, range(at, at + min(limit, 3)))
        return Page(rows=rows, next=str(at + 3), more=True)

    def clock(self) -> ClockSample:
        if self.clock_hangs:
            self.hang.wait(10)
        now = datetime.now(UTC)
        server_at = now + timedelta(seconds=self.ahead_s)
        return ClockSample(sent_at=now, received_at=now, server_at=server_at, resolution_s=0)

    def collections(self) -> list[CollectionSchema]:
        return []

    def highest_version(self, spec: ReadSpec) -> int | None:
        return None

    def can_rank(self, spec: ReadSpec, seed: str) -> bool:
        return False

    def rank_index(self, spec: ReadSpec, seed: str) -> str | None:
        return None

    def ranked(self, spec: ReadSpec, seed: str, lower: int, upper: int, limit: int) -> list[tuple[object, int]]:
        return []

    def prove_read_only(self, spec: ReadSpec | None) -> str:
        return "scripted"

    def close(self) -> None:
        self.hang.set()


class HtmlHarness(RestHarness):
    """An API whose proxy answers every request with a page for people, status 200."""

    requests = 0

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.requests += 1
        body = b"<html>Please log in</html>"
        request.send_response(200)
        request.send_header("Content-Type", "text/html")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)


@pytest.fixture
def probe() -> Scripted:
    return Scripted()


@pytest.fixture
def reader(probe: Scripted):  # type: ignore[no-untyped-def]
    settings = SystemSettings(budget=Budget(timeout_s=0.2, connections=2))
    made = SystemReader("crm", settings, probe)
    yield made
    made.close()


def test_keys_are_read_in_batches_that_the_probe_takes(reader: SystemReader, probe: Scripted) -> None:
    reading = reader.fetch(SPEC, list(range(250)))
    assert len(reading.rows) == 250
    assert probe.calls == [100, 100, 50]


@pytest.mark.parametrize("reason", [Reason.DECODE, Reason.TOO_LARGE])
def test_a_record_that_spoils_its_batch_is_found_and_the_rest_is_read(  # C1.25: never equal on a cut value
    reader: SystemReader, probe: Scripted, reason: Reason
) -> None:
    probe.poison, probe.spoils = {17, 60}, reason
    reading = reader.fetch(SPEC, list(range(100)))
    assert reading.error is None
    assert set(reading.unreadable) == {17, 60}
    assert {row[0] for row in reading.rows} == set(range(100)) - {17, 60}


def test_a_system_of_which_nothing_can_be_read_is_not_asked_for_every_record(
    reader: SystemReader, probe: Scripted
) -> None:
    probe.poison = set(range(10_000))
    reading = reader.fetch(SPEC, list(range(10_000)))
    assert reading.error is not None
    assert reading.error.reason is Reason.DECODE
    assert not reading.rows
    assert len(probe.calls) == 4


@pytest.mark.parametrize("batch", [True, False])
def test_pages_of_html_from_an_api_end_a_reading_after_a_few_requests(batch: bool) -> None:
    harness = HtmlHarness(batch=batch)
    probe = harness.probe()
    reader = SystemReader("billing", SystemSettings(), probe)
    reading = reader.fetch(harness.spec, list(range(10_000)))
    reader.close()
    harness.close()
    assert reading.error is not None
    assert reading.error.reason is Reason.DECODE
    assert harness.requests < 40


def test_records_that_spoil_their_batches_are_looked_for_within_bounds(reader: SystemReader, probe: Scripted) -> None:
    probe.poison = set(range(1, 10_000, 2))
    reading = reader.fetch(SPEC, list(range(10_000)))
    assert reading.error is None
    assert {row[0] for row in reading.rows} | set(reading.unreadable) == set(range(10_000))
    assert {row[0] for row in reading.rows} & set(reading.unreadable) == set()
    assert len(probe.calls) < 1_000


def test_a_hung_probe_is_given_up_on_and_its_pool_is_bounded(reader: SystemReader, probe: Scripted) -> None:
    probe.hang.clear()
    for _ in range(3):
        reading = reader.fetch(SPEC, [1])
        assert reading.error is not None
        assert reading.error.reason is Reason.TIMEOUT
    assert len(probe.calls) <= 2
    assert reader.health.failures == 3
    probe.hang.set()
    answers(reader)
    assert reader.health.failures == 0


def answers(reader: SystemReader) -> None:
    """Wait until the system is asked again and answers."""
    deadline = time.monotonic() + 60
    while reader.fetch(SPEC, [1]).error is not None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_silent_system_is_waited_for_by_one_and_the_others_are_told_at_once(
    reader: SystemReader, probe: Scripted
) -> None:
    probe.hang.clear()
    probe.clock_hangs = True
    for _ in range(2):  # a read in vain, and then the clock
        assert reader.fetch(SPEC, [1]).error is not None
    failures, calls = reader.health.failures, len(probe.calls)
    told = [reader.fetch(SPEC, [1]).error for _ in range(3)]
    assert all(error is not None and error.reason is Reason.TIMEOUT for error in told)
    assert "last tried" in str(told[0])
    assert (reader.health.failures, len(probe.calls)) == (failures, calls)  # nobody asked, so nothing new failed
    probe.hang.set()
    answers(reader)


def test_a_read_that_is_slow_by_itself_silences_nobody(probe: Scripted) -> None:
    reader = SystemReader("crm", SystemSettings(budget=Budget(timeout_s=0.2, connections=4)), probe)
    probe.hang.clear()
    for _ in range(2):
        assert reader.fetch(SPEC, [1]).error is not None
    assert len(probe.calls) == 2  # the clock answers, so the second was really asked
    reader.close()


def test_a_read_that_a_stop_cuts_off_says_nothing_about_the_system(reader: SystemReader, probe: Scripted) -> None:
    probe.hang.clear()
    raised: list[BaseException] = []

    def read() -> None:
        try:
            reader.fetch(SPEC, [1])
        except BaseException as error:
            raised.append(error)

    reading = threading.Thread(target=read)
    reading.start()
    wait_until(lambda: probe.calls)
    reader.close()
    reading.join(60)
    assert [type(error) for error in raised] == [ReaderClosedError]
    assert reader.health.failures == 0


def test_anything_a_probe_raises_becomes_a_named_error(reader: SystemReader, probe: Scripted) -> None:
    probe.raises = ZeroDivisionError("oops")
    error = reader.fetch(SPEC, [1, 2]).unreadable
    assert "ZeroDivisionError" in error[1]


def test_a_listing_goes_on_through_short_and_empty_pages_until_it_is_full(reader: SystemReader) -> None:
    page = reader.page(SPEC, None, 7)
    assert [row[0] for row in page.rows] == [0, 1, 2, 6, 7, 8, 9]
    assert (page.truncated, page.next) == (True, "12")
    assert reader.changed(SPEC, None, 10).truncated


def test_a_listing_in_which_pages_follow_without_records_ends(reader: SystemReader, probe: Scripted) -> None:
    asked: list[str | None] = []

    def empty(spec: ReadSpec, after: str | None, limit: int) -> Page:
        asked.append(after)
        return Page(next=str(len(asked)), more=True)

    probe.page = empty  # type: ignore[method-assign]
    reading = reader.page(SPEC, None, 7)
    assert (reading.error, reading.rows, reading.next) == (None, [], str(REQUESTS_PER_LISTING))
    assert len(asked) == REQUESTS_PER_LISTING


def test_the_clock_is_kept_and_asked_again_when_it_has_aged(reader: SystemReader, probe: Scripted) -> None:
    probe.ahead_s = 5
    now = datetime.now(UTC)
    first = reader.read_clock(now)
    assert first is not None
    assert first.lower_s <= 5 <= first.upper_s
    known = reader.clock
    reader.read_clock(now + timedelta(seconds=20))
    assert reader.clock is known
    reader.read_clock(now + timedelta(seconds=60))
    assert reader.clock is not known


def test_a_closed_reader_reads_nothing_more(reader: SystemReader) -> None:
    reader.close()
    with pytest.raises(ReaderClosedError):
        reader.fetch(SPEC, [1])
    with pytest.raises(ReaderClosedError):
        reader.read_clock(datetime.now(UTC))


def test_every_key_carries_the_instants_of_its_own_batch(reader: SystemReader, probe: Scripted) -> None:
    probe.poison = {7}
    reading = reader.fetch(SPEC, list(range(250)))
    assert set(reading.instants) == set(range(250)) - {7}
    assert reading.when(150) == reading.when(199) != reading.when(200)
    whole = reading.sent_at, reading.received_at
    spans = [reading.when(key) for key in (0, 6, 8, 150, 249)]
    assert all(whole[0] <= sent_at <= received_at <= whole[1] for sent_at, received_at in spans)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans) if before != after)
    assert reading.when(7) == whole

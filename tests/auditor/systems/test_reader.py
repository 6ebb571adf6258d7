"""Reading: pools, deadlines, halving, clocks."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler

import pytest

from auditor.systems.caller import Patience, ReaderClosedError
from auditor.systems.reader import REQUESTS_PER_LISTING, SystemReader
from probes.contract import ClockSample, CollectionSchema, Key, Page, ProbeError, ReadSpec, Reason, Row
from probes.records.rest.probe import RestProbe
from probes.records.rest.settings import RestBinding, RestSettings
from probes.settings import Budget, SystemSettings
from tests.http_api import Api, Request, Response
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
    settings = SystemSettings(kind="sql", budget=Budget(timeout_s=0.2, connections=2))
    made = SystemReader("crm", settings, probe)
    yield made
    made.close()


def test_keys_are_read_in_batches_that_the_probe_takes(reader: SystemReader, probe: Scripted) -> None:
    reading = reader.fetch(SPEC, list(range(250)))
    assert len(reading.rows) == 250
    assert probe.calls == [100, 100, 50]


@pytest.mark.parametrize("reason", [Reason.DECODE, Reason.TOO_LARGE])
def test_a_record_that_spoils_its_batch_is_found_and_the_rest_is_read(  # a value that was cut short never agrees
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
    reader = SystemReader("billing", SystemSettings(kind="sql"), probe)
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
    reader = SystemReader("crm", SystemSettings(kind="sql", budget=Budget(timeout_s=0.2, connections=4)), probe)
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


def test_a_listing_whose_pages_come_slowly_ends_and_goes_on_the_next_time(
    reader: SystemReader, probe: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auditor.systems.reader.LISTING_S", 0.3)
    asked: list[str | None] = []

    def slow(spec: ReadSpec, after: str | None, limit: int) -> Page:
        asked.append(after)
        time.sleep(0.1)
        return Page(rows=[(len(asked), None, "a")], next=str(len(asked)), more=True)

    probe.page = slow  # type: ignore[method-assign]
    reading = reader.page(SPEC, None, 1000)
    assert 0 < len(reading.rows) < 10
    assert (reading.error, reading.truncated, reading.next) == (None, True, str(len(asked)))
    reader.page(SPEC, reading.next, 1)
    assert asked[-1] == reading.next


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


# -- systems that ask to be left alone: a real HTTP server on loopback, by a stand-in of ours


def rate_limited(told: str, *, allows: int) -> tuple[Api, list[float]]:
    """An API that answers so many requests, then refuses one with a `Retry-After`, and then goes on."""
    asked_at: list[float] = []

    def answer(request: Request) -> object:
        if request.method == "HEAD":
            return {}
        asked_at.append(time.monotonic())
        if len(asked_at) == allows + 1:
            return Response(document={}, status=429, headers={"Retry-After": told})
        values = request.values
        if "ids" in values:
            return [{"id": int(key), "a": "x"} for key in values["ids"].split(",")]
        start = int(values["offset"])
        return [{"id": key, "a": "x"} for key in range(start, min(90, start + 10))]

    return Api(answer), asked_at


def rest_reader(api: Api, timeout_s: float = 5) -> SystemReader:
    settings = RestSettings.model_validate({"kind": "rest", "url": api.url, "budget": {"timeout": timeout_s}})
    return SystemReader("shop", settings, RestProbe(settings))


def rest_spec(**words: object) -> ReadSpec:
    told = {"collection": "c", "key": "id", "many": "/c?ids={keys}", "batch": 10, **words}
    return RestBinding.model_validate(told).spec("customer", ["a"], zone="UTC", key_type="integer")


def test_a_wait_that_the_server_asks_for_is_kept_and_what_was_read_stands() -> None:
    api, asked_at = rate_limited("1", allows=3)
    reader = rest_reader(api)
    reading = reader.fetch(rest_spec(), list(range(100)))
    assert (reading.error, reading.unreadable) == (None, {})
    assert [row[0] for row in reading.rows] == list(range(100))
    assert len(asked_at) == 11
    assert asked_at[4] - asked_at[3] >= 1
    reader.close()
    api.close()


@pytest.mark.parametrize("told", ["1e300", "inf", "315360000", "3600"])
def test_a_wait_beyond_all_patience_is_told_and_what_was_read_stands(told: str) -> None:
    api, asked_at = rate_limited(told, allows=3)
    reader = rest_reader(api)
    reading = reader.fetch(rest_spec(), list(range(100)))
    assert reading.error is None
    assert [row[0] for row in reading.rows] == list(range(30))
    assert set(reading.unreadable) == set(range(30, 100))
    assert "over_budget: HTTP 429" in reading.unreadable[99]
    assert "the server requests a pause" in reading.unreadable[99]
    assert len(asked_at) == 4
    again = reader.fetch(rest_spec(), [1])
    assert again.error is not None
    assert (again.error.reason, "it is asked again in" in again.error.hint) == (Reason.OVER_BUDGET, True)
    assert len(asked_at) == 4
    reader.close()
    api.close()


def test_a_server_that_asks_to_wait_no_time_at_all_is_not_asked_without_end() -> None:
    api, _ = rate_limited("0", allows=0)
    api.answer = lambda _: Response(document={}, status=429, headers={"Retry-After": "0"})
    reader = rest_reader(api)
    reading = reader.fetch(rest_spec(), [1, 2])
    assert reading.error is not None
    assert reading.error.reason is Reason.OVER_BUDGET
    assert len(api.asked) <= 10
    reader.close()
    api.close()


def test_a_listing_that_is_over_budget_goes_on_the_next_time_where_it_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("auditor.systems.caller.LONGEST_REST_S", 0.2)
    monkeypatch.setattr("auditor.systems.reader.Patience", lambda: Patience(0.1))
    api, _ = rate_limited("3600", allows=3)
    reader = rest_reader(api)
    spec = rest_spec(list="/c?offset={offset}", limit=10)
    first = reader.page(spec, None, 90)
    assert (first.error, first.truncated) == (None, True)
    assert [row[0] for row in first.rows] == list(range(30))
    wait_until(lambda: time.monotonic() >= (reader._rest.until if reader._rest else 0))
    second = reader.page(spec, first.next, 90)
    assert [row[0] for row in second.rows] == list(range(30, 90))
    reader.close()
    api.close()


def test_each_request_of_a_fetch_has_a_deadline_of_its_own() -> None:
    def answer(request: Request) -> object:
        time.sleep(0.3)
        return {"id": int(request.path.rpartition("/")[2]), "a": "x"}

    api = Api(answer)
    reader = rest_reader(api, timeout_s=2)
    reading = reader.fetch(rest_spec(many=None, one="/c/{key}"), list(range(30)))  # 4.8 s, two at a time
    assert reading.error is None
    assert sorted(row[0] for row in reading.rows) == list(range(30))
    reader.close()
    api.close()


def test_a_key_that_cannot_be_asked_for_says_nothing_about_the_system(reader: SystemReader) -> None:
    api = Api(lambda request: {"id": request.path.rpartition("/")[2], "a": "x"})
    rest = rest_reader(api)
    spec = replace(rest_spec(many=None, one="/c/{key}"), key_type="string")
    reading = rest.fetch(spec, [".", "..", "", ".", "..", "a"])
    assert reading.error is None
    assert set(reading.unreadable) == {".", "..", ""}
    assert [row[0] for row in reading.rows] == ["a"]
    rest.close()
    api.close()

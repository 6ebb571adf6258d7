"""One suite that every record probe must pass, against the real servers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from checks.delete_flags import flag_of, parted
from probes import registry
from probes.contract import Page, ProbeError, Reason, RecordProbe, Row
from probes.metering import SpentError, metered
from probes.records.rest.probe import RestProbe
from probes.records.sql.database_url import DIALECTS
from probes.settings import DeleteFlag
from tests.probes.harness import (
    TIMEOUT_S,
    Harness,
    HubSpotHarness,
    MongoDbHarness,
    MongoDbStreamHarness,
    Record,
    RestHarness,
    SalesforceHarness,
    SqlHarness,
    StripeHarness,
)
from tests.probes.meters import CountingMeter
from tests.proxy import Proxy
from tests.servers import free_port
from tests.waiting import wait_until

DAY = "2026-03-01T00:00:0"
RECORDS: list[Record] = [
    (1, "one", f"{DAY}1+00:00"),
    (2, "two", f"{DAY}2+00:00"),
    (3, None, f"{DAY}3+00:00"),
    (4, "ναι 'quoted' \\ %s ${x}", f"{DAY}4+00:00"),
    (5, "five", f"{DAY}5+00:00"),
]
KINDS = [
    "postgresql",
    "mariadb",
    "sqlite",
    "rest-many",
    "rest-one",
    "mongodb",
    "mongodb-stream",
    "salesforce",
    "salesforce-job",
    "stripe-id",
    "stripe-email",
    "hubspot",
]
SERVED = {**dict.fromkeys(DIALECTS, "sql"), "rest-many": "rest", "rest-one": "rest"}
SERVED |= {
    "stripe-id": "stripe",
    "stripe-email": "stripe",
    "mongodb-stream": "mongodb",
    "salesforce-job": "salesforce",
}
"""The registered kind of what is not called by it."""

OVER_THE_WIRE = [kind for kind in KINDS if kind != "sqlite"]


ANY_FIELD = [kind for kind in KINDS if registry.RECORD_KINDS[SERVED.get(kind, kind)].reads_by_any_field]


def make(kind: str, request: pytest.FixtureRequest) -> Harness:
    if kind.startswith("rest"):
        return RestHarness(batch=kind == "rest-many")
    if kind.startswith("stripe"):
        return StripeHarness(by_id=kind == "stripe-id")
    if kind == "hubspot":
        return HubSpotHarness()
    if kind.startswith("salesforce"):
        return SalesforceHarness(by_job=kind == "salesforce-job")
    if kind == "mongodb-stream":
        return MongoDbStreamHarness()
    if kind == "mongodb":
        return MongoDbHarness(request.getfixturevalue("ferretdb_url"))
    return SqlHarness(request.getfixturevalue(f"{kind}_url"))


def test_every_kind_and_every_dialect_passes_this_suite() -> None:
    assert {SERVED.get(kind, kind) for kind in KINDS} == {*registry.RECORD_KINDS}
    assert {*DIALECTS} - {*KINDS} == {"mysql"}  # MariaDB's sister, of which no server is at hand


@pytest.fixture(params=KINDS)
def system(request: pytest.FixtureRequest) -> Iterator[Harness]:
    made = make(request.param, request)
    made.fill(RECORDS)
    yield made
    made.close()


@pytest.fixture(params=OVER_THE_WIRE)
def remote(request: pytest.FixtureRequest) -> Iterator[Harness]:
    made = make(request.param, request)
    made.fill(RECORDS)
    yield made
    made.close()


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"])
def database(request: pytest.FixtureRequest) -> Iterator[Harness]:
    """The systems that page by their own key order; an API pages as it likes, and MongoDB by `_id`."""
    made = make(request.param, request)
    made.fill(RECORDS)
    yield made
    made.close()


@pytest.fixture
def probe(system: Harness) -> Iterator[RecordProbe]:
    opened = system.probe()
    yield opened
    opened.close()


def names(rows: list) -> dict[int, object]:  # type: ignore[type-arg]
    return {int(row[0]): row[2] for row in rows}


def test_keeps_to_the_contract(probe: RecordProbe) -> None:
    assert isinstance(probe, RecordProbe)


def test_fetches_the_records_asked_for_and_no_others(system: Harness, probe: RecordProbe) -> None:
    assert names(probe.fetch(system.spec, [2, 3, 4])) == {2: "two", 3: None, 4: RECORDS[3][1]}


def test_what_is_marked_as_deleted_is_answered_with_its_flag(system: Harness, probe: RecordProbe) -> None:
    system.mark_deleted(2)
    flag = flag_of(DeleteFlag(field=str(system.flagged.deleted), optional=True), "it")
    assert flag is not None

    def keys(rows: Sequence[Row]) -> tuple[set[int], set[int]]:
        live, marked, doubtful = parted(flag, rows)
        assert not doubtful
        return {int(row[0]) for row in live}, {int(row[0]) for row in marked}

    assert keys(probe.fetch(system.flagged, [1, 2, 9])) == ({1}, {2})
    assert keys(probe.fetch(system.flagged.keys_only(), [1, 2, 9])) == ({1}, {2})
    assert keys(_all(lambda after: probe.page(system.flagged.keys_only(), after, 2)))[1] == {2}
    since = datetime(2026, 2, 1, tzinfo=UTC)
    assert keys(_all(lambda after: probe.changed(system.flagged, since, 10, after)))[1] == {2}
    probe.inspect(system.flagged)


def _all(read: Callable[[str | None], Page]) -> list[Row]:
    rows: list[Row] = []
    page = read(None)
    while True:
        rows += page.rows
        if page.next is None:
            return rows
        page = read(page.next)


def test_does_not_answer_a_key_that_is_not_there(system: Harness, probe: RecordProbe) -> None:
    assert names(probe.fetch(system.spec, [99, 1])) == {1: "one"}


def test_answers_nothing_for_no_keys(system: Harness, probe: RecordProbe) -> None:
    assert probe.fetch(system.spec, []) == []


def test_answers_changes_since_an_instant_oldest_first(system: Harness, probe: RecordProbe) -> None:
    def keys(since: datetime, limit: int) -> list[int]:
        found: list[int] = []
        after = None
        while len(found) < limit:
            page = probe.changed(system.spec, since, limit - len(found), after)
            found += [int(row[0]) for row in page.rows]
            after = page.next
            if after is None:
                break
        return found

    since = datetime(2026, 3, 1, 0, 0, 3, tzinfo=UTC)
    assert keys(since, 10) == [3, 4, 5]
    assert keys(since, 2) == [3, 4]
    assert keys(since - timedelta(days=1), 10) == [1, 2, 3, 4, 5]


def test_pages_through_everything_once(system: Harness, probe: RecordProbe) -> None:
    seen: list[int] = []
    after = None
    while True:
        page = probe.page(system.spec, after, 2)
        seen += [int(row[0]) for row in page.rows]
        after = page.next
        if after is None:
            break
    assert seen == [1, 2, 3, 4, 5]


def test_reads_keys_alone(system: Harness, probe: RecordProbe) -> None:
    rows = _all(lambda after: probe.page(system.spec.keys_only(), after, 3))
    assert [len(row) for row in rows] == [2] * 5
    assert {int(row[0]) for row in rows} == {1, 2, 3, 4, 5}


def test_tells_the_clock_between_sending_and_receiving(system: Harness, probe: RecordProbe) -> None:
    probe.fetch(system.spec, [1])
    sample = probe.clock()
    latest = sample.server_at + timedelta(seconds=sample.resolution_s)
    assert sample.sent_at - timedelta(seconds=0.01) <= latest
    assert sample.server_at <= sample.received_at + timedelta(seconds=0.01)


def test_proves_that_it_cannot_write(system: Harness, probe: RecordProbe) -> None:
    assert probe.prove_read_only(system.spec)


def test_inspects_what_is_there(system: Harness, probe: RecordProbe) -> None:
    assert isinstance(probe.inspect(system.spec), tuple)


def test_names_the_close_name_for_a_wrong_one(system: Harness, probe: RecordProbe) -> None:
    if isinstance(probe, RestProbe):
        assert "nam is missing in the first record" in " ".join(probe.inspect(replace(system.spec, fields=("nam",))))
        return
    with pytest.raises(ProbeError, match="did you mean 'name'") as failed:
        probe.inspect(replace(system.spec, fields=("nam",)))
    assert failed.value.reason is Reason.QUERY
    collection = system.spec.collection
    with pytest.raises(ProbeError, match=f"did you mean '{collection}'"):
        probe.inspect(replace(system.spec, collection=collection[:-1]))


def test_answers_every_row_of_a_duplicate_key(system: Harness, probe: RecordProbe) -> None:
    system.fill([*RECORDS, (2, "two again", f"{DAY}6+00:00")])
    rows = probe.fetch(system.spec, [2])
    if system.spec.options.get("one") or not system.tells_duplicates:
        assert len(rows) == 1  # an API asked for one record cannot tell
    else:
        assert sorted(row[2] for row in rows) == ["two", "two again"]


def test_never_splits_a_duplicate_key_over_two_pages(database: Harness) -> None:
    probe = database.probe()
    database.fill([*RECORDS, *[(2, f"two {n}", f"{DAY}6+00:00") for n in range(4)]])
    first = probe.page(database.spec, None, 3)
    assert [row[0] for row in first.rows] == [1, 2, 2, 2, 2, 2]
    last = probe.page(database.spec, first.next, 3)
    assert [row[0] for row in last.rows] == [3, 4, 5]
    assert (last.next, last.more) == (None, False)
    probe.close()


def test_answers_records_without_a_key_with_the_first_page(database: Harness) -> None:
    probe = database.probe()
    database.fill([*RECORDS, (None, "nameless", f"{DAY}6+00:00")])
    first = probe.page(database.spec, None, 2)
    assert None in [row[0] for row in first.rows]
    assert None not in [row[0] for row in probe.page(database.spec, first.next, 10).rows]


def test_refuses_a_cursor_that_it_did_not_write(database: Harness) -> None:
    probe = database.probe()
    with pytest.raises(ProbeError) as failed:
        probe.page(database.spec, "17", 3)
    assert failed.value.reason is Reason.CURSOR_LOST
    probe.close()


def test_spends_a_call_before_it_sends_one(system: Harness, probe: RecordProbe) -> None:
    meter = CountingMeter()
    reads: list[Callable[[], object]] = [
        lambda: probe.fetch(system.spec, [1]),
        lambda: probe.page(system.spec, None, 2),
        lambda: probe.changed(system.spec, datetime(2026, 3, 1, tzinfo=UTC), 2),
        probe.clock,
    ]
    for read in reads:
        with metered(meter):
            read()
    allowed = meter.spent
    assert allowed >= (len(reads) if system.port else len(reads) - 1)  # SQLite's clock is the machine's own
    meter.left = 0
    for read in reads if system.port else reads[:-1]:
        with metered(meter), pytest.raises(SpentError):
            read()
    assert meter.spent == allowed
    meter.left = None
    with metered(meter):
        assert names(probe.fetch(system.spec, [2])) == {2: "two"}


def _fails(call: Callable[[], object]) -> tuple[ProbeError, float]:
    begun = time.monotonic()
    with pytest.raises(ProbeError) as failed:
        call()
    return failed.value, time.monotonic() - begun


def test_says_unreachable_where_nobody_listens(remote: Harness) -> None:
    probe = remote.probe(port=free_port())
    error, took_s = _fails(lambda: probe.fetch(remote.spec, [1]))
    assert error.reason is Reason.UNREACHABLE
    assert error.retryable
    assert took_s < TIMEOUT_S + 1


def test_keeps_its_deadline_when_the_server_swallows_everything(remote: Harness) -> None:
    proxy = Proxy(remote.port)
    probe = remote.probe(port=proxy.port)
    try:
        wait_until(lambda: len(_tolerant(lambda: probe.fetch(remote.spec, [1]))) == 1)
        proxy.mode = "swallow"
        error, took_s = _fails(lambda: probe.fetch(remote.spec, [1]))
        assert error.reason is Reason.TIMEOUT
        assert took_s < TIMEOUT_S + 1
        proxy.mode = "pass"
        wait_until(lambda: [int(row[0]) for row in _tolerant(lambda: probe.fetch(remote.spec, [1]))] == [1])
    finally:
        probe.close()
        proxy.close()


def _tolerant(call: Callable[[], list]) -> list:  # type: ignore[type-arg]
    try:
        return call()
    except ProbeError:
        return []


def test_keeps_its_deadline_when_the_server_never_lets_it_in(remote: Harness) -> None:
    proxy = Proxy(remote.port)
    proxy.mode = "swallow"
    probe = remote.probe(port=proxy.port)
    try:
        error, took_s = _fails(lambda: probe.fetch(remote.spec, [1]))
        assert error.reason in {Reason.TIMEOUT, Reason.UNREACHABLE}
        assert took_s < max(TIMEOUT_S, 2) + 1  # libpq waits two seconds for a connection at the least
    finally:
        probe.close()
        proxy.close()


def test_keeps_its_deadline_when_the_answer_drips(remote: Harness) -> None:
    proxy = Proxy(remote.port)
    probe = remote.probe(port=proxy.port)
    try:
        wait_until(lambda: _tolerant(lambda: probe.fetch(remote.spec, [1])))
        proxy.mode = "drip"
        keys = [1, 2, 3, 4, 5][: probe.batch_limit(remote.spec)]
        error, took_s = _fails(lambda: probe.fetch(remote.spec, keys))
        assert error.reason is Reason.TIMEOUT
        assert took_s < TIMEOUT_S + 1
    finally:
        probe.close()
        proxy.close()


@pytest.mark.parametrize("mode", ["reset", "garbage"])
def test_names_an_error_for_a_broken_or_lying_server(remote: Harness, mode: str) -> None:
    proxy = Proxy(remote.port)
    proxy.mode = mode  # type: ignore[assignment]
    probe = remote.probe(port=proxy.port)
    try:
        error, took_s = _fails(lambda: probe.fetch(remote.spec, [1]))
        assert error.reason in {Reason.UNREACHABLE, Reason.DECODE, Reason.TIMEOUT, Reason.QUERY}
        assert took_s < max(TIMEOUT_S, 2) + 1
    finally:
        probe.close()
        proxy.close()


def test_never_says_its_secret(remote: Harness) -> None:
    secret = "very-secret-word"
    probe = remote.probe(port=free_port(), secret=secret)
    error, _ = _fails(lambda: probe.fetch(remote.spec, [1]))
    assert secret not in str(error) + repr(error)


@pytest.mark.parametrize("kind", ANY_FIELD)
def test_a_system_that_may_hold_pairs_of_keys_is_read_by_either_of_two_fields(
    kind: str, request: pytest.FixtureRequest
) -> None:
    with closing(make(kind, request)) as system, closing(system.probe()) as probe:
        system.fill(RECORDS)
        number = system.spec.key
        by_number = replace(system.spec, changed_at=None)
        by_name = replace(by_number, key="name", fields=(number,))
        assert sorted((row[0], row[2]) for row in probe.fetch(by_number, [1, 5, 9])) == [(1, "one"), (5, "five")]
        assert sorted((row[0], row[2]) for row in probe.fetch(by_name, ["one", "five", "nine"])) == [
            ("five", 5),
            ("one", 1),
        ]

"""One deadline for a whole call: every probe of records and of queues, against its real server, dripping or slow."""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
import sqlalchemy as sa

from probes import call_deadline
from probes.call_deadline import Watchdog, left, one_call, within
from probes.contract import ProbeError, ReadSpec, Reason
from probes.records.rest.probe import RestProbe
from probes.records.rest.settings import RestBinding, RestSettings
from probes.records.sql.probe import SqlProbe
from probes.records.sql.queue_table import QueueTable
from probes.records.sql.settings import SqlSettings
from probes.settings import Budget
from tests.http_api import Api, Request, Response
from tests.probes.harness import SPEC, SqlHarness
from tests.probes.queues.test_queue_faults import Make, _probe, broker
from tests.proxy import Proxy
from tests.servers import free_port
from tests.waiting import PATIENCE_S, wait_until

TIMEOUT_S = 1.5
FOREVER_S = 30.0
"""Far beyond any deadline here and any slowness of a machine: what ends before it was ended by a deadline."""

__all__ = ["broker"]


def ended(call: Callable[[], object]) -> ProbeError | None:
    """How a call ends, which must end however long its server goes on; in the thread that made it."""
    failures: list[ProbeError | None] = []

    def run() -> None:
        try:
            call()
            failures.append(None)
        except ProbeError as failure:
            failures.append(failure)

    thread = threading.Thread(target=run, daemon=True)
    begun = time.monotonic()
    thread.start()
    thread.join(PATIENCE_S)
    assert failures, "the call does not end"
    assert time.monotonic() - begun < FOREVER_S / 2, "the call ended with its server and not at its deadline"
    return failures[0]


# -- the deadline itself


def test_the_earlier_deadline_counts_inside_of_a_call() -> None:
    with within(60):
        with within(0.001):
            wait_until(call_deadline.passed)
            with pytest.raises(ProbeError) as caught:
                left()
            assert caught.value.reason is Reason.TIMEOUT
            with within(60), pytest.raises(ProbeError):
                left()
        assert left(5) == 5
        assert 5 < left() <= 60
    assert left() == float("inf")


def test_a_call_of_a_probe_that_calls_another_keeps_the_first_deadline() -> None:
    class Probe:
        timeout_s = 60.0

        @one_call
        def outer(self) -> float:
            with within(1):
                return self.inner()

        @one_call
        def inner(self) -> float:
            return left()

    assert Probe().outer() <= 1
    assert 1 < Probe().inner() <= 60


def test_a_watchdog_cuts_off_again_who_did_not_notice() -> None:
    cuts: list[float] = []
    with within(0.01), Watchdog(lambda: cuts.append(time.monotonic())) as watchdog:
        wait_until(lambda: len(cuts) >= 3)
        assert watchdog.expired
    counted = len(cuts)
    with Watchdog(lambda: cuts.append(0)) as calm:
        pass
    assert not calm.expired
    assert len(cuts) in {counted, counted + 1}  # one may have been under way


# -- queues


@pytest.mark.parametrize("mode", ["drip", "swallow"])
def test_a_broker_that_drips_or_hangs_ends_a_reading_at_its_deadline(broker: tuple[int, Make], mode: Any) -> None:
    port, make = broker
    proxy = Proxy(port)
    probe = _probe(make(proxy.port))
    with contextlib.suppress(ProbeError):  # there may be no such queue, and the connection is open
        probe.read(10)
    proxy.mode = mode
    error = ended(lambda: probe.read(10))
    assert error is not None
    # Kafka's client knows for a while that there is no such topic.
    assert error.reason in {Reason.TIMEOUT, Reason.UNREACHABLE} or "no topic" in error.message, error
    probe.close()
    proxy.close()


def test_a_broker_that_drips_from_the_first_byte_on_ends_a_reading_at_its_deadline(broker: tuple[int, Make]) -> None:
    port, make = broker
    proxy = Proxy(port)
    proxy.mode = "drip"
    probe = _probe(make(proxy.port))
    error = ended(lambda: probe.read(10))
    assert error is not None
    assert error.reason in {Reason.TIMEOUT, Reason.UNREACHABLE}, error
    probe.close()
    proxy.close()


# -- records in databases


def sql_calls(probe: QueueTable, spec: ReadSpec) -> dict[str, Callable[[], object]]:
    seed = "0" * 32
    return {
        "fetch": lambda: probe.fetch(spec, [1, 2, 3]),
        "changed": lambda: probe.changed(spec, 0, 10),
        "page": lambda: probe.page(spec, None, 10),
        "highest_version": lambda: probe.highest_version(spec),
        "can_rank": lambda: probe.can_rank(spec, seed),
        "ranked": lambda: probe.ranked(spec, seed, 0, 2**56, 10),
        "clock": probe.clock,
        "prove_read_only": lambda: probe.prove_read_only(spec),
        "collections": probe.collections,
        "queue": lambda: probe.queue("things", ("id", "name"), {}, None, None, 10, text_limit=100),
        "inspect": lambda: probe.inspect(spec),
    }


VERSIONED = ReadSpec(
    data_type="thing",
    collection="things",
    key="id",
    changed_at=None,
    version="id",
    fields=("name",),
    key_type="integer",
)


@pytest.fixture(params=["postgresql", "mariadb"])
def dripping(request: pytest.FixtureRequest) -> Iterator[tuple[Proxy, QueueTable]]:
    """A database behind a proxy, and a probe whose connection is open."""
    harness = SqlHarness(request.getfixturevalue(f"{request.param}_url"))
    harness.fill([(at, f"name {at}", "2026-03-01T00:00:00+00:00") for at in range(1, 10)])
    proxy = Proxy(harness.port)
    probe = QueueTable(harness.settings(port=proxy.port))
    probe.fetch(VERSIONED, [1])
    yield proxy, probe
    probe.close()
    proxy.close()
    harness.close()


@pytest.mark.parametrize("call", sql_calls(cast(QueueTable, QueueTable), VERSIONED))
def test_a_database_that_drips_ends_every_call_at_its_deadline(dripping: tuple[Proxy, QueueTable], call: str) -> None:
    proxy, probe = dripping
    proxy.mode = "drip"
    error = ended(sql_calls(probe, VERSIONED)[call])
    assert error is not None
    assert error.reason is Reason.TIMEOUT, error


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_database_that_drips_while_somebody_logs_in_ends_the_call(
    kind: str, request: pytest.FixtureRequest
) -> None:
    harness = SqlHarness(request.getfixturevalue(f"{kind}_url"))
    proxy = Proxy(harness.port)
    proxy.mode = "drip"
    probe = harness.probe(port=proxy.port)
    error = ended(lambda: probe.fetch(SPEC, [1]))
    assert error is not None
    assert error.reason in {Reason.TIMEOUT, Reason.UNREACHABLE}, error
    probe.close()
    proxy.close()
    harness.close()


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_many_slow_statements_of_one_call_have_one_deadline(kind: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(f"{kind}_url")
    harness = SqlHarness(url)
    sleep = "pg_sleep(0.8)::text" if kind == "postgresql" else "sleep(0.8)"
    with harness.engine.begin() as connection:
        connection.execute(sa.text(f"CREATE VIEW slow AS SELECT id, changed_at, {sleep} AS z FROM things"))
    # One row without a key and one with: two statements of 0.8 s each, and either fits the deadline.
    harness.fill([(None, "none", "2026-03-01T00:00:00+00:00"), (1, "one", "2026-03-01T00:00:00+00:00")])
    spec = ReadSpec(data_type="slow", collection="slow", key="id", changed_at=None, fields=("z",), key_type="integer")
    settings = SqlSettings(kind="sql", url=url, zone="UTC", budget=Budget(timeout_s=1.2))
    probe = SqlProbe(settings)
    probe.clock()
    error = ended(lambda: probe.page(spec, None, 10))
    assert error is not None
    assert error.reason is Reason.TIMEOUT
    patient = SqlProbe(settings.model_copy(update={"budget": Budget(timeout_s=PATIENCE_S)}))
    assert len(patient.page(spec, None, 10).rows) == 2
    for each in (probe, patient):
        each.close()
    harness.close()


def test_a_statement_of_sqlite_that_never_ends_is_interrupted(sqlite_url: str) -> None:
    engine = sa.create_engine(sqlite_url)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS id, i AS name FROM n"
    with engine.begin() as connection:
        connection.execute(sa.text(f"CREATE VIEW things AS {endless}"))
    probe = SqlProbe(SqlSettings(kind="sql", url=sqlite_url, budget=Budget(timeout_s=0.5)))
    error = ended(lambda: probe.fetch(VERSIONED, [-1]))
    assert error is not None
    assert error.reason is Reason.TIMEOUT
    probe.close()
    engine.dispose()


def test_who_finds_all_connections_busy_waits_no_longer_than_the_deadline(postgresql_url: str) -> None:
    harness = SqlHarness(postgresql_url)
    settings = SqlSettings(kind="sql", url=postgresql_url, budget=Budget(timeout_s=PATIENCE_S, connections=1))
    probe = SqlProbe(settings)
    probe.fetch(VERSIONED, [1])
    with probe._sessions.session():

        def read() -> object:
            with within(0.5):
                return probe.fetch(VERSIONED, [1])

        error = ended(read)
    assert error is not None
    assert error.message == "all 1 connections are busy"
    assert probe.fetch(VERSIONED, [1]) == []
    probe.close()
    harness.close()


# -- records behind an API


def slow(data: bytes) -> Callable[[Request], Response]:
    """An answer that comes byte after byte."""

    def drops() -> Iterator[bytes]:
        for at in range(len(data)):
            yield data[at : at + 1]
            time.sleep(0.2)

    return lambda _: Response(document=drops())


BINDING: dict[str, Any] = {
    "collection": "things",
    "key": "id",
    "changed_at": "changed_at",
    "list": "/things?after={after}&limit={limit}",
    "changed": "/things?since={since}",
}


def api_probe(url: str, words: dict[str, Any]) -> tuple[RestProbe, ReadSpec]:
    binding = RestBinding.model_validate({**BINDING, **words})
    budget = {"timeout": TIMEOUT_S, "connections": 2}
    settings = RestSettings.model_validate({"kind": "rest", "url": url, "budget": budget})
    return RestProbe(settings), binding.spec("thing", ("name",), zone="UTC")


def api_calls(probe: RestProbe, spec: ReadSpec) -> dict[str, Callable[[], object]]:
    from datetime import UTC, datetime

    return {
        "fetch": lambda: probe.fetch(spec, ["1", "2", "3"]),
        "changed": lambda: probe.changed(spec, datetime(2026, 3, 1, tzinfo=UTC), 10),
        "page": lambda: probe.page(spec, None, 10),
        "inspect": lambda: probe.inspect(spec),
    }


@pytest.mark.parametrize("words", [{"many": "/things?ids={keys}"}, {"one": "/things/{key}"}], ids=["many", "one"])
@pytest.mark.parametrize("call", ["fetch", "changed", "page", "inspect"])
def test_an_api_that_drips_ends_every_call_at_its_deadline(words: dict[str, Any], call: str) -> None:
    api = Api(slow(b'[{"id": "1", "name": "one", "changed_at": "2026-03-01T00:00:00Z"}]' + b" " * 1000))
    probe, spec = api_probe(api.url, words)
    error = ended(api_calls(probe, spec)[call])
    assert error is not None
    assert error.reason is Reason.TIMEOUT, error
    probe.close()
    api.close()


def test_many_slow_requests_of_one_call_have_one_deadline() -> None:
    """Each of them fits the deadline, and two of them do not."""

    def answer(request: Request) -> Response:
        time.sleep(1.0)
        return Response(document={"id": request.path.rpartition("/")[2], "name": "n"})

    api = Api(answer)
    probe, spec = api_probe(api.url, {"one": "/things/{key}"})
    assert len(probe.fetch(spec, ["1", "2"])) == 2  # at the same time
    error = ended(lambda: probe.fetch(spec, [str(at) for at in range(40)]))
    assert error is not None
    assert error.reason is Reason.TIMEOUT
    probe.close()
    api.close()


def test_a_name_that_no_resolver_answers_for_ends_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def hang(*_: Any, **named: Any) -> Any:
        if named.get("flags"):
            raise OSError("no number")
        released.wait(PATIENCE_S)
        raise OSError("too late")

    monkeypatch.setattr("probes.deadline.socket.getaddrinfo", hang)
    probe, spec = api_probe(f"http://api.example:{free_port()}", {"one": "/things/{key}"})
    error = ended(lambda: probe.fetch(spec, ["1"]))
    released.set()
    assert error is not None
    assert error.reason is Reason.TIMEOUT
    probe.close()


def test_an_error_that_is_kept_keeps_nothing_of_the_answer() -> None:
    class Answer:
        """Could be as large as the limit."""

    answers: list[weakref.ref[Answer]] = []

    class Probe:
        timeout_s = FOREVER_S

        @one_call
        def read(self) -> None:
            answer = Answer()
            answers.append(weakref.ref(answer))
            try:
                self.decode(answer)
            except ValueError:
                raise ProbeError(Reason.DECODE, "no JSON") from None

        def decode(self, answer: Answer) -> None:
            raise ValueError("within it")

    with pytest.raises(ProbeError, match="no JSON") as kept:
        Probe().read()
    assert kept.value.__traceback__ is not None
    assert [each() for each in answers] == [None]

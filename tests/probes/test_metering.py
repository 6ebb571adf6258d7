"""The meter that calls are spent from: whose it is, and what is sent without being allowed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextvars import copy_context
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from probes import metering, registry
from probes.bounded_http import BoundedClient
from probes.contract import Reason
from probes.metering import RateLimit, SpentError, metered, operation
from probes.records.rest.probe import RestProbe
from probes.records.rest.settings import RestBinding, RestSettings
from probes.records.sql.probe import SqlProbe
from probes.records.sql.settings import SqlSettings
from tests.http_api import Api, Request
from tests.probes.meters import CountingMeter


@pytest.fixture
def api() -> Iterator[Api]:
    made = Api(lambda _: {"id": 1, "name": "one"})
    yield made
    made.close()


def test_without_a_meter_nothing_is_counted() -> None:
    metering.spend(10**9)
    metering.learned(RateLimit(left=0))
    assert metering.meter() is metering.UNMETERED


def test_a_meter_counts_only_what_is_called_meanwhile() -> None:
    outer, inner = CountingMeter(), CountingMeter()
    with metered(outer):
        metering.spend()
        with metered(inner):
            metering.spend(2)
            metering.learned(RateLimit(left=7, per=60))
        metering.spend()
    metering.spend()
    assert (outer.spent, inner.spent) == (2, 2)
    assert [each.left for each in inner.told] == [7]


def test_a_thread_spends_from_the_meter_of_its_context() -> None:
    meter = CountingMeter()
    with metered(meter):
        inheriting = threading.Thread(target=copy_context().run, args=(metering.spend,))
    apart = threading.Thread(target=metering.spend)
    for thread in (inheriting, apart):
        thread.start()
        thread.join()
    assert meter.spent == 1


def test_each_request_is_a_call_and_none_leaves_that_is_not_allowed(api: Api) -> None:
    client = BoundedClient(base_url=api.url, timeout_s=30)
    meter = CountingMeter(left=2)
    with metered(meter):
        client.ask("GET", "/a")
        with client.stream("POST", "/b") as response:
            response.read()
        with pytest.raises(SpentError):
            client.ask("GET", "/c")
    assert api.paths == ["/a", "/b"]
    assert meter.spent == 2
    client.close()


def test_requests_that_a_probe_sends_side_by_side_are_counted(api: Api) -> None:
    def one(request: Request) -> Any:
        return {"id": int(request.path.rpartition("/")[2]), "name": "x"}

    api.answer = one
    settings = RestSettings.model_validate(
        {"kind": "rest", "url": api.url, "budget": {"timeout": 30, "connections": 4}}
    )
    binding = RestBinding.model_validate({"collection": "things", "key": "id", "one": "/{collection}/{key}"})
    probe, meter = RestProbe(settings), CountingMeter(left=9)
    spec = binding.spec("thing", ["name"], zone=None)
    with metered(meter):
        assert len(probe.fetch(spec, [1, 2, 3, 4, 5])) == 5
        with pytest.raises(SpentError) as refused:
            probe.fetch(spec, [1, 2, 3, 4, 5])
    assert refused.value.reason is Reason.OVER_BUDGET
    assert meter.spent == 9 == len(api.asked)
    probe.close()


def test_each_statement_is_a_call_and_a_refusal_costs_no_connection(sqlite_url: str) -> None:
    engine = sa.create_engine(sqlite_url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE things (id integer, name text)"))
        connection.execute(sa.text("INSERT INTO things VALUES (1, 'one')"))
    engine.dispose()
    opened = 0

    def count(*_: object) -> None:
        nonlocal opened
        opened += 1

    probe, meter = SqlProbe(SqlSettings(kind="sql", url=sqlite_url)), CountingMeter()
    sa.event.listen(probe._sessions.engine, "connect", count)
    binding = registry.record_binding("sql").model_validate({"collection": "things", "key": "id"})
    spec = binding.spec("thing", ["name"], zone=None, key_type="integer")
    with metered(meter):
        probe.fetch(spec, [1])
        first = meter.spent
        probe.fetch(spec, [1])
        meter.left = 0
        with pytest.raises(SpentError):
            probe.fetch(spec, [1])
        meter.left = None
        assert [row[2] for row in probe.fetch(spec, [1])] == ["one"]
    assert first >= 1
    assert opened == 1
    probe.close()


def test_a_refusal_keeps_its_kind_where_its_text_is_cleaned() -> None:
    from probes.secrets import Scrubber

    refused = SpentError(Reason.OVER_BUDGET, "told secret-of-x", retry_after_s=3)
    cleaned = Scrubber(["secret-of-x"]).error(refused)
    assert isinstance(cleaned, SpentError)
    assert cleaned.retry_after_s == 3
    assert "secret-of-x" not in str(cleaned)


def test_calls_count_for_the_operation_that_they_are_sent_for() -> None:
    meter = CountingMeter()
    with metered(meter):
        with operation("search"):
            metering.spend(2)
            with operation(""):
                metering.spend()
            inheriting = threading.Thread(target=copy_context().run, args=(metering.spend,))
        inheriting.start()
        inheriting.join()
        metering.spend()
    assert meter.operations == ["search", "search", "", "search", ""]


def test_each_template_is_an_operation(api: Api) -> None:
    api.answer = lambda request: {"id": 1} if "/1" in request.path else [{"id": 1, "at": "2026-01-01T00:00:00Z"}]
    settings = RestSettings.model_validate({"kind": "rest", "url": api.url, "budget": {"timeout": 30}})
    words = {"collection": "things", "key": "id", "changed_at": "at", "limit": 1}
    templates = {"one": "/things/{key}", "list": "/things?limit={limit}", "changed": "/things?since={since}"}
    single = RestBinding.model_validate(words | templates).spec("thing", [], zone=None)
    many = RestBinding.model_validate(words | {"many": "/things?ids={keys}"}).spec("thing", [], zone=None)
    probe, meter = RestProbe(settings), CountingMeter()
    with metered(meter):
        probe.fetch(single, [1])
        probe.fetch(many, [1])
        probe.page(single, None, 1)
        probe.changed(single, datetime(2026, 1, 1, tzinfo=UTC), 1)
        probe.clock()
    assert meter.operations == ["one", "many", "list", "changed", ""]
    probe.close()

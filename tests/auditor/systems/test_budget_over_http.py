"""A budget over a real HTTP API: whatever it answers, every request is counted, and none is sent beyond it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from auditor.systems.allowance import Allowance, Worth, spending
from auditor.systems.reader import SystemReader
from probes.metering import SpentError
from probes.records.rest.probe import RestProbe
from probes.records.rest.settings import RestBinding, RestSettings
from probes.registry import record_settings
from tests.auditor.systems.test_allowance import Time
from tests.http_api import Api, Request, Response

RECORD = {"id": "1", "name": "one"}
LIMIT = 6

ANSWERS: dict[str, Response] = {
    "200": Response(document=RECORD),
    "401": Response(document={}, status=401),
    "403": Response(document={}, status=403),
    "404": Response(document={}, status=404),
    "409": Response(document={}, status=409),
    "429": Response(document={}, status=429),
    "429, to be left alone": Response(document={}, status=429, headers={"Retry-After": "0"}),
    "500": Response(document={}, status=500),
    "503, to be left alone": Response(document={}, status=503, headers={"Retry-After": "0"}),
    "HTML": Response(document=b"<html>log in</html>", headers={"Content-Type": "text/html"}),
    "truncated": Response(document=b'{"id": "1", "na'),
}


@pytest.fixture
def api() -> Iterator[Api]:
    made = Api(lambda _: RECORD)
    yield made
    made.close()


@pytest.fixture
def at() -> Time:
    return Time()


def opened(api: Api, at: Time, **limits: Any) -> tuple[SystemReader, Any]:
    settings = RestSettings.model_validate({"kind": "rest", "url": api.url, "budget": {"timeout": 30, **limits}})
    binding = RestBinding.model_validate({"collection": "things", "key": "id", "one": "/{collection}/{key}"})
    allowance = Allowance("crm", settings.budget, None, at.clocks(), settings.operation_limits)
    reader = SystemReader("crm", settings, RestProbe(settings), allowance)
    return reader, binding.spec("thing", ["name"], zone=None)


@pytest.mark.parametrize("answer", ANSWERS)
def test_whatever_is_answered_every_request_is_counted_and_none_is_one_too_many(
    api: Api, at: Time, answer: str
) -> None:
    api.answer = lambda _: ANSWERS[answer]
    reader, spec = opened(api, at, calls_per_day=LIMIT)
    with spending(Worth.DEADLINE):
        for _ in range(LIMIT + 2):
            reader.fetch(spec, ["1"])
    assert reader.allowance.used().calls == len(api.asked) <= LIMIT
    reader.close()


def test_what_the_api_says_is_left_is_not_exceeded_although_the_map_allows_more(api: Api, at: Time) -> None:
    left = 4

    def answer(_: Request) -> Response:
        nonlocal left
        left -= 1
        headers = {"X-RateLimit-Limit": "4", "X-RateLimit-Remaining": str(left), "X-RateLimit-Reset": "3600"}
        return Response(document=RECORD, headers=headers)

    api.answer = answer
    reader, spec = opened(api, at, calls_per_day=1_000)
    with spending(Worth.DEADLINE):
        errors = [reader.fetch(spec, ["1"]).error for _ in range(6)]
        assert [error is None for error in errors] == [True] * 4 + [False] * 2
        assert isinstance(errors[-1], SpentError)
        at.s += 3_600
        left = 4
        assert reader.fetch(spec, ["1"]).error is None
    assert len(api.asked) == 5
    reader.close()


def test_a_template_with_a_limit_of_its_own_leaves_other_requests_alone(api: Api, at: Time) -> None:
    api.answer = lambda request: {"id": request.path.rpartition("/")[2], "name": "one"}
    reader, spec = opened(api, at, operations={"one": {"calls_per_minute": 4}}, connections=4)
    with spending(Worth.DEADLINE):
        assert reader.fetch(spec, ["1", "2", "3", "4"]).error is None
        refused = reader.fetch(spec, ["5"]).error
    assert isinstance(refused, SpentError)
    assert "one calls_per_minute: 4" in refused.message
    assert reader.read_clock(datetime.now(UTC), afresh=True) is not None
    assert (len(api.asked), reader.allowance.used().calls) == (4, 5)
    at.s += 61.0
    with spending(Worth.DEADLINE):
        assert reader.fetch(spec, ["5"]).error is None
    reader.close()


@pytest.mark.parametrize(
    ("kind", "operation", "message"),
    [
        ({"kind": "rest", "url": "http://127.0.0.1:1"}, "search", "write one of one, many, list, changed"),
        ({"kind": "sql", "url": "sqlite:///x"}, "many", "leave operations out"),
    ],
)
def test_an_operation_that_a_kind_does_not_have_is_refused(
    kind: dict[str, Any], operation: str, message: str
) -> None:
    settings = record_settings(kind["kind"])
    with pytest.raises(ValidationError, match=message):
        settings.model_validate({**kind, "budget": {"operations": {operation: {"calls_per_s": 1}}}})

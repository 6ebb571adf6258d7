"""What an answer must hold, its numbers and names, and how large it may be."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from probes.bounded_http import ANSWER_LIMIT_BYTES
from probes.contract import MISSING, Reason
from tests.http_api import Api, Request, Response
from tests.probes.records.rest.apis import PEOPLE, Answer, failure, probe_of, spec_of, walked

CONTAINERS: list[Any] = [
    {"success": False, "error": {"code": 17}},
    {"data": None},
    {"data": "none"},
    {"data": {"id": "c01"}},
    "error",
    None,
    [],
]


@pytest.mark.parametrize("document", CONTAINERS)
def test_a_container_that_is_not_there_is_no_empty_list(serve: Callable[[Answer], Api], document: Any) -> None:
    probe = probe_of(serve(lambda _: document).url)
    spec = spec_of(
        records="$.data[*]", list="/c?after={after}", changed="/c?since={since}", changed_at="at", one="/c/{key}"
    )
    for call in (
        lambda: probe.fetch(spec, ["c01", "c02"]),
        lambda: probe.page(spec, None, 5),
        lambda: probe.changed(spec, datetime(2026, 1, 1, tzinfo=UTC), 5),
        lambda: probe.inspect(spec),
        lambda: probe.inspect(replace(spec, options={**spec.options, "list": None})),
    ):
        told = failure(call)
        assert told.reason is Reason.DECODE
        assert "at $.data" in told.message or "$" in told.message
    one = replace(spec, options={**spec.options, "many": None})
    assert failure(lambda: probe.fetch(one, ["c01"])).reason is Reason.DECODE


def test_an_empty_container_holds_no_record(serve: Callable[[Answer], Api]) -> None:
    probe = probe_of(serve(lambda _: {"data": []}).url)
    spec = spec_of(records="$.data[*]", list="/c?after={after}", one="/c?id={key}", record="$.data[*]")
    assert probe.fetch(spec, ["c01"]) == []
    assert walked(probe, spec) == []
    assert probe.fetch(replace(spec, options={**spec.options, "many": None}), ["c01"]) == []


def test_records_that_were_not_asked_for_do_not_make_the_others_missing(serve: Callable[[Answer], Api]) -> None:
    api = serve(lambda _: PEOPLE[:3])
    spec = spec_of()
    assert [row[0] for row in probe_of(api.url).fetch(spec, ["c01", "c03"])] == ["c01", "c03"]
    told = failure(lambda: probe_of(api.url).fetch(spec, ["c01", "c07"]))
    assert (told.reason, "not requested" in told.message) == (Reason.DECODE, True)


def test_a_key_in_other_letters_is_another_key_unless_its_type_says_otherwise(serve: Callable[[Answer], Api]) -> None:
    api = serve(lambda _: [{"id": "A1B2"}])
    assert failure(lambda: probe_of(api.url).fetch(spec_of(), ["a1b2"])).reason is Reason.DECODE
    whole = "6F9619FF-8B86-D011-B42D-00CF4FC964FF"
    api.answer = lambda _: [{"id": whole}]
    spec = replace(spec_of(), key_type="uuid")
    assert [row[0] for row in probe_of(api.url).fetch(spec, [whole.lower()])] == [whole]
    api.answer = lambda _: [{"id": "007"}]
    assert [row[0] for row in probe_of(api.url).fetch(replace(spec, key_type="integer"), [7])] == ["007"]


def test_an_answer_that_is_only_a_part_is_asked_for_in_smaller_parts(serve: Callable[[Answer], Api]) -> None:
    api = serve(lambda _: {"data": PEOPLE[:2], "has_more": True})
    told = failure(
        lambda: probe_of(api.url).fetch(spec_of(records="$.data[*]", more="$.has_more"), ["c01", "c02", "c03"])
    )
    assert told.reason is Reason.TOO_LARGE


def test_numbers_are_exact_and_bounded(serve: Callable[[Answer], Api]) -> None:
    text = (
        '[{"id": "a", "n": 90071992547409931.25}, {"id": "b", "n": 1e10000000}, {"id": "c", "n": '
        + "9" * 5000
        + '}, {"id": "d", "n": 1E-9999999999999999999999}, {"id": "e", "n": 12345678901234567890}]'
    )
    api = serve(lambda _: text.encode())
    spec = replace(spec_of(), fields=("n",))
    found = {row[0]: row[2] for row in probe_of(api.url).fetch(spec, list("abcde"))}
    assert (found["a"], found["e"]) == (Decimal("90071992547409931.25"), 12345678901234567890)
    assert [type(found[key]).__name__ for key in "bcd"] == ["Undecodable"] * 3


def test_a_name_twice_in_an_object_spoils_its_value_and_nothing_else(serve: Callable[[Answer], Api]) -> None:
    text = b'[{"id": "a", "n": 1, "n": 2, "m": 3}, {"id": "b", "n": 4, "m": 5, "x": {"y": 1}, "x": {"y": 2}}]'
    api = serve(lambda _: text)
    spec = replace(spec_of(), fields=("n", "m", "$.x.y"))
    first, second = probe_of(api.url).fetch(spec, ["a", "b"])
    assert [type(value).__name__ for value in first[2:]] == ["Undecodable", "int", "Missing"]
    assert list(second[2:4]) == [4, 5]
    assert type(second[4]).__name__ == "Undecodable"
    whole = probe_of(serve(lambda _: b'{"data": [], "data": []}').url)
    assert failure(lambda: whole.fetch(spec_of(records="$.data[*]"), ["a"])).reason is Reason.DECODE


def bomb(layers: int) -> bytes:
    packed = json.dumps(["x" * 300]).encode() + b" " * (64 * 1024 * 1024)
    for _ in range(layers):
        packed = gzip.compress(packed)
    return packed


def test_limits_count_what_comes_out_of_the_packing(serve: Callable[[Answer], Api]) -> None:
    packed = bomb(1)
    api = serve(lambda _: Response(document=packed, headers={"Content-Encoding": "gzip"}))
    assert len(packed) < 200_000
    assert failure(lambda: probe_of(api.url).fetch(spec_of(), ["a"])).reason is Reason.TOO_LARGE
    twice = bomb(2)
    api.answer = lambda _: Response(document=twice, headers={"Content-Encoding": "gzip, gzip"})
    told = failure(lambda: probe_of(api.url).fetch(spec_of(), ["a"]))
    assert (told.reason, "only gzip was asked for" in told.message) == (Reason.DECODE, True)


def test_packed_answers_are_read_and_cut_ones_are_not(serve: Callable[[Answer], Api]) -> None:
    packed = gzip.compress(json.dumps(PEOPLE[:1]).encode())
    api = serve(lambda _: Response(document=packed, headers={"Content-Encoding": "gzip"}))
    assert [row[0] for row in probe_of(api.url).fetch(spec_of(), ["c01"])] == ["c01"]
    members = gzip.compress(b'[{"id": "c01",') + gzip.compress(b'"name": "n1"}]')
    api.answer = lambda _: Response(document=members, headers={"Content-Encoding": "gzip"})
    assert [row[2] for row in probe_of(api.url).fetch(spec_of(), ["c01"])] == ["n1"]
    api.answer = lambda _: Response(document=packed[:-9], headers={"Content-Encoding": "gzip"})
    assert failure(lambda: probe_of(api.url).fetch(spec_of(), ["c01"])).reason is Reason.DECODE


OTHERS: dict[str, tuple[str, Any, str]] = {
    "another record": ("$", {"id": "b", "name": "n"}, "not requested"),
    "a list of others": ("$[*]", [{"id": "b"}, {"id": "c"}], "not requested"),
    "a list where a record should be": ("$", [{"id": "a"}], "without id"),
    "an empty list where a record should be": ("$", [], "without id"),
    "nothing": ("$", None, "without id"),
    "an object without a key": ("$", {"error": "no such record"}, "without id"),
    "the key as a list": ("$", {"id": ["a"]}, "without id"),
    "the key as an object": ("$", {"id": {"a": "a"}}, "without id"),
    "no key": ("$", {"id": None}, "without id"),
    "yes for a key": ("$", {"id": True}, "without id"),
    "the key in other letters": ("$", {"id": "A"}, "not requested"),
    "a container that is not there": ("$.data", {"id": "a"}, "did not return anything at $.data"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_an_answer_about_another_record_is_none_about_the_one_asked_for(
    serve: Callable[[Answer], Api], case: str
) -> None:
    record, document, words = OTHERS[case]
    api = serve(lambda _: document)
    told = failure(lambda: probe_of(api.url).fetch(spec_of(many=None, one="/c?id={key}", record=record), ["a"]))
    assert told.reason is Reason.DECODE
    assert words in told.message


def test_of_an_answer_with_more_only_the_record_asked_for_is_taken(serve: Callable[[Answer], Api]) -> None:
    api = serve(lambda _: [{"id": "b"}, {"id": "a", "name": "n"}, {"id": "c"}])
    rows = probe_of(api.url).fetch(spec_of(many=None, one="/c?id={key}", record="$[*]"), ["a"])
    assert [row[0] for row in rows] == ["a"]


def test_of_a_collection_that_is_gone_nothing_follows_about_its_records(serve: Callable[[Answer], Api]) -> None:
    api = serve(lambda request: Response(document={}, status=404) if request.path == "/c/a" else [])
    spec = spec_of(many=None, one="/c/{key}", list="/c?limit={limit}")
    assert probe_of(api.url).fetch(spec, ["a"]) == []
    api.answer = lambda _: Response(document={"error": "no such route"}, status=404)
    for keys in (["a"], ["a", "b"]):
        told = failure(lambda keys=keys: probe_of(api.url).fetch(spec, keys))  # type: ignore[misc]
        assert (told.reason, "HTTP 404 from /c" in told.message) == (Reason.QUERY, True)


def test_a_missing_field_is_still_missing(serve: Callable[[Answer], Api]) -> None:
    probe = probe_of(serve(lambda _: [{"id": "a"}]).url)
    assert probe.fetch(spec_of(), ["a"])[0][2] is MISSING


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_an_answer_that_never_ends_is_cut_at_the_limit(serve: Callable[[Answer], Api], encoding: str) -> None:
    def answer(_: Request) -> Response:
        part = b" " * 65_536
        endless = itertools.repeat(part if encoding == "identity" else gzip.compress(part))
        return Response(document=endless, headers={"Content-Encoding": encoding})

    probe = probe_of(serve(answer).url)
    told = failure(lambda: probe.fetch(spec_of(), ["a"]))
    assert (told.reason, str(ANSWER_LIMIT_BYTES) in told.message) == (Reason.TOO_LARGE, True)

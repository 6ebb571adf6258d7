"""Keys of odd characters, empty ones and those of two spellings: each is asked for exactly, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest

from auditor.systems.reader import SystemReader
from probes.contract import Key, Reason
from probes.records.rest.probe import RestProbe
from probes.records.rest.settings import RestSettings
from tests.http_api import Api, Request, Response
from tests.probes.records.rest.apis import KEYS, PEOPLE, Answer, failure, probe_of, spec_of

ODD: list[Key] = [
    "a/b",
    "a?b",
    "a#b",
    "100%",
    "%2e%2e",
    "ναι",
    "a b",
    "a;b=c",
    "a&b",
    "a+b",
    "x/../y",
    "..a",
    "'\"",
    "\\",
]


@pytest.mark.parametrize(
    "words", [{"one": "/c/{key}"}, {"one": "/c/{key}/whole"}, {"one": "/c?id={key}"}, {"many": "/c?ids={keys}"}]
)
def test_odd_keys_are_asked_for_exactly(serve: Callable[[Answer], Api], words: dict[str, str]) -> None:
    from urllib.parse import unquote

    def answer(request: Request) -> Any:
        values = request.values
        if "ids" in values:
            return [{"id": key} for key in values["ids"].split(",")]
        return {"id": values["id"] if "id" in values else unquote(request.path.split("/")[2])}

    api = serve(answer)
    spec = spec_of(**{"many": None, **words})
    for key in ODD:
        assert [row[0] for row in probe_of(api.url).fetch(spec, [key])] == [key]


@pytest.mark.parametrize("key", [".", "..", ""])
def test_a_key_that_a_path_would_fold_is_not_asked_for(serve: Callable[[Answer], Api], key: str) -> None:
    api = serve(lambda _: {"id": "another"})
    told = failure(lambda: probe_of(api.url).fetch(spec_of(many=None, one="/c/{key}"), [key]))
    assert told.reason is Reason.DECODE
    assert api.asked == []


def everything_by_default(request: Request) -> Any:
    """An API that takes a parameter without a value for none."""
    return [each for each in PEOPLE if request.values["id"] in {"", each["id"]}]


@pytest.mark.parametrize(
    "one",
    [
        "/c?id={key}",
        "/c?limit=1&id={key}",
        "/c?filter=id:{key}",
        "/c/{key}?id={key}",
        "/c/id-{key}",
        {"read_only_post": "/c", "body": {"id": "{key}"}},
        {"read_only_post": "/c", "body": {"filter": "id={key}"}},
        {"read_only_post": "/c", "body": {"filters": ["id={key}"]}},
    ],
)
def test_an_empty_key_is_not_asked_for_where_it_may_mean_all(serve: Callable[[Answer], Api], one: Any) -> None:
    api = serve(lambda _: PEOPLE)
    told = failure(lambda: probe_of(api.url).fetch(spec_of(many=None, one=one, record="$[*]"), [""]))
    assert (told.reason, told.of_key) == (Reason.DECODE, True)
    assert "an empty key cannot be requested" in told.message
    assert api.asked == []


def listed_ids(request: Request) -> Any:
    """An API that is asked by a list of keys in a body."""
    return [each for each in PEOPLE if each["id"] in json.loads(request.body)["ids"]]


@pytest.mark.parametrize("body", [{"ids": "{keys}"}, {"ids": ["{key}"]}])
def test_an_empty_key_is_not_asked_for_among_others_in_a_body(serve: Callable[[Answer], Api], body: Any) -> None:
    api = serve(listed_ids)
    settings = RestSettings.model_validate({"kind": "rest", "url": api.url})
    reader = SystemReader("crm", settings, RestProbe(settings))
    try:
        reading = reader.fetch(spec_of(many={"read_only_post": "/c", "body": body}), [*KEYS[:3], "", *KEYS[3:]])
    finally:
        reader.close()
    assert (reading.error, sorted(row[0] for row in reading.rows)) == (None, KEYS)
    assert list(reading.unreadable) == [""]
    assert all("" not in json.loads(request.body)["ids"] for request in api.asked)


def test_an_empty_key_cannot_be_verified_and_the_others_are_read(serve: Callable[[Answer], Api]) -> None:
    api = serve(everything_by_default)
    settings = RestSettings.model_validate({"kind": "rest", "url": api.url})
    reader = SystemReader("crm", settings, RestProbe(settings))
    keys = [*KEYS[:3], "", *KEYS[3:]]
    try:
        reading = reader.fetch(spec_of(many=None, one="/c?id={key}", record="$[*]"), keys)
    finally:
        reader.close()
    assert reading.error is None
    assert sorted(row[0] for row in reading.rows) == KEYS
    assert list(reading.unreadable) == [""]
    assert "cannot be requested by a parameter" in reading.unreadable[""]
    assert all(request.values["id"] for request in api.asked)


def test_a_key_that_cannot_stand_among_others_is_asked_for_alone_or_not_at_all(
    serve: Callable[[Answer], Api],
) -> None:
    api = serve(lambda request: {"id": request.values["id"]} if "id" in request.values else [{"id": "b"}])
    assert failure(lambda: probe_of(api.url).fetch(spec_of(), ["a,1", "b"])).reason is Reason.DECODE
    assert api.asked == []
    rows = probe_of(api.url).fetch(spec_of(one="/c?id={key}"), ["a,1", "b"])
    assert sorted(row[0] for row in rows) == ["a,1", "b"]


def test_a_404_for_a_key_with_a_slash_is_not_missing(serve: Callable[[Answer], Api]) -> None:
    api = serve(lambda _: Response(document={}, status=404))
    assert probe_of(api.url).fetch(spec_of(many=None, one="/c/{key}"), ["a"]) == []
    assert (
        failure(lambda: probe_of(api.url).fetch(spec_of(many=None, one="/c/{key}"), ["a/b"])).reason is Reason.DECODE
    )


NFC, NFD = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize("words", [{"many": None, "one": "/x/{key}"}, {}])
@pytest.mark.parametrize(
    ("held", "found"),
    [({NFC}, [NFC]), ({NFD}, [NFD]), ({NFC, NFD}, [NFC, NFD]), ({}, [])],
    ids=["composed", "apart", "both", "none"],
)
def test_a_key_is_found_in_either_spelling(
    serve: Callable[[Answer], Api], words: dict[str, Any], held: set[str], found: list[str]
) -> None:
    def answer(request: Request) -> Any:
        if request.path.startswith("/x/"):
            key = unquote(request.path.removeprefix("/x/"))
            return {"id": key, "name": "n"} if key in held else Response(status=404)
        return [{"id": key, "name": "n"} for key in request.values["ids"].split(",") if key in held]

    probe = probe_of(serve(answer).url)
    assert [row[0] for row in probe.fetch(spec_of(**words), [NFC])] == found


@pytest.mark.parametrize("words", [{"many": None, "one": "/x/{key}"}, {}])
def test_an_api_that_takes_both_spellings_for_one_has_no_duplicate(
    serve: Callable[[Answer], Api], words: dict[str, Any]
) -> None:
    def answer(request: Request) -> Any:
        return {"id": NFC, "name": "n"} if request.path.startswith("/x/") else [{"id": NFC, "name": "n"}]

    api = serve(answer)
    assert [row[0] for row in probe_of(api.url).fetch(spec_of(**words), [NFC])] == [NFC]
    api.asked.clear()
    api.answer = lambda _: {"id": "cafe", "name": "n"} if "many" in words else [{"id": "cafe", "name": "n"}]
    probe_of(api.url).fetch(spec_of(**words), ["cafe"])
    assert len(api.asked) == 1, "a key without accents is asked for once"

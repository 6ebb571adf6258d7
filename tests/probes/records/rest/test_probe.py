"""What an HTTP API is asked: by the doctor's look, and by a POST that only reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from probes.contract import Reason
from tests.http_api import Api, Request, Response
from tests.probes.records.rest.apis import KEYS, PEOPLE, STYLES, Answer, failure, probe_of, spec_of, stripe, walked


def test_the_doctors_look_reads_two_pages_and_finds_the_first_record_by_its_key(
    serve: Callable[[Answer], Api],
) -> None:
    def answer(request: Request) -> Any:
        if request.path == "/x":
            return {"data": [each for each in PEOPLE if each["id"] in request.values["ids"].split(",")]}
        return stripe(request)

    api = serve(answer)
    assert probe_of(api.url).inspect(spec_of(**STYLES["stripe"][1])) == ()
    assert api.paths == ["/v1/customers?limit=1", "/x?ids=c01", "/v1/customers?limit=1&starting_after=c01"]
    api.answer = lambda request: {"data": []} if request.path == "/x" else stripe(request)
    told = failure(lambda: probe_of(api.url).inspect(spec_of(**STYLES["stripe"][1])))
    assert (told.reason, "not returned by many:" in told.message) == (Reason.QUERY, True)


@pytest.mark.parametrize("words", [{"many": "/c?ids={keys}"}, {"many": None, "one": "/c/{key}"}])
def test_the_doctors_look_at_an_api_that_only_answers_keys(
    serve: Callable[[Answer], Api], words: dict[str, Any]
) -> None:
    api = serve(lambda request: [] if "ids" in request.values else Response(document={}, status=404))
    spec = spec_of(**words)
    assert probe_of(api.url).inspect(spec) == ()
    assert probe_of(api.url).inspect(replace(spec, key_type="uuid")) == ()
    assert "00000000-0000-0000-0000-000000000000" in api.paths[-1]
    answers: list[tuple[Any, Reason]] = [
        ({"success": False}, Reason.DECODE),
        (Response(document={}, status=401), Reason.AUTH),
        (Response(document={}, status=500), Reason.UNREACHABLE),
        (Response(document={}, status=302, headers={"Location": "/login"}), Reason.QUERY),
    ]
    for answer, reason in answers:
        api.answer = lambda _, answer=answer: answer  # type: ignore[misc]
        assert failure(lambda: probe_of(api.url).inspect(spec)).reason is reason
    api.answer = lambda _: Response(document={"error": "no such format"}, status=400)
    (remark,) = probe_of(api.url).inspect(spec)
    assert "could not be tried without a key that exists: HTTP 400" in remark


def test_a_read_only_post_asks_in_json(serve: Callable[[Answer], Api]) -> None:
    def answer(request: Request) -> Any:
        assert request.method == "POST"
        asked = json.loads(request.body)
        if request.path.endswith("/read"):
            return {"results": [{"id": each["id"], "name": "n"} for each in asked["inputs"]]}
        start = int(asked.get("after", 0))
        found = PEOPLE[start : start + asked["limit"]]
        end = start + len(found)
        return {"results": found} | ({"paging": {"next": {"after": str(end)}}} if end < len(PEOPLE) else {})

    api = serve(answer)
    spec = spec_of(
        many={
            "read_only_post": "/objects/{collection}/batch/read",
            "body": {"inputs": [{"id": "{key}"}], "idProperty": "email"},
        },
        list={"read_only_post": "/objects/search", "body": {"limit": "{limit}", "after": "{after}", "sorts": ["id"]}},
        records="$.results[*]",
        next="$.paging.next.after",
        limit=100,
    )
    odd = ['"},{"id": "x', "a,b", "\\", "ναι", "", ".."]
    assert [row[0] for row in probe_of(api.url).fetch(spec, [*odd[:4], ".."])] == [*odd[:4], ".."]
    assert json.loads(api.asked[0].body)["idProperty"] == "email"
    assert walked(probe_of(api.url), spec, 3) == KEYS
    assert "after" not in json.loads(api.asked[1].body)
    told = probe_of(api.url).prove_read_only(spec)
    assert "POST to what the map calls read-only: /objects/{collection}/batch/read, /objects/search" in told
    assert probe_of(api.url).prove_read_only(spec_of()) == "only GET and HEAD are ever sent"

"""HTTP APIs of many shapes, each by a stand-in of our own on loopback: how they list, fail, and are asked."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from auditor.systems.reader import SystemReader
from probes.bounded_http import ANSWER_LIMIT_BYTES
from probes.contract import MISSING, Key, ProbeError, ReadSpec, Reason, Row
from probes.http import walk
from probes.records.rest.probe import RestProbe
from probes.records.rest.settings import RestBinding, RestSettings
from tests import HOME
from tests.http_api import Api, Request, Response

Answer = Callable[[Request], Any]
PEOPLE = [{"id": f"c{number:02}", "login": f"c{number:02}", "name": f"n{number}"} for number in range(1, 8)]


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], Api]]:
    opened: list[Api] = []

    def make(answer: Answer) -> Api:
        opened.append(Api(answer))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def probe_of(url: str, **words: Any) -> RestProbe:
    return RestProbe(RestSettings.model_validate({"kind": "rest", "url": url, "budget": {"timeout": 5}, **words}))


def spec_of(**words: Any) -> ReadSpec:
    binding = RestBinding.model_validate({"collection": "customers", "key": "id", "many": "/x?ids={keys}", **words})
    return binding.spec("customer", ["name"], zone="UTC")


def walked(probe: RestProbe, spec: ReadSpec, limit: int = 3) -> list[Any]:
    """The keys of a whole list, page by page, through the text of its cursors."""
    found: list[Any] = []
    after = None
    while True:
        page = probe.page(spec, after, limit)
        found += [row[0] for row in page.rows]
        after = page.next
        if after is None:
            return found


def failure(call: Callable[[], object]) -> ProbeError:
    with pytest.raises(ProbeError) as failed:
        call()
    return failed.value


KEYS = [each["id"] for each in PEOPLE]


# -- how APIs list. Stand-ins of ours, shaped after the vendors' documentation.


def stripe(request: Request) -> Any:
    """Stripe: `starting_after` and `has_more`; an empty `starting_after` is an error, `limit` goes up to 100."""
    asked = request.values
    if asked.get("starting_after") == "" or int(asked["limit"]) > 100:
        return Response(document={"error": {"type": "invalid_request_error"}}, status=400)
    start = KEYS.index(asked["starting_after"]) + 1 if "starting_after" in asked else 0
    found = PEOPLE[start : start + int(asked["limit"])]
    return {"object": "list", "data": found, "has_more": start + len(found) < len(PEOPLE)}


def hubspot(request: Request) -> Any:
    """HubSpot: `paging.next.after`, no `paging` behind the last page."""
    asked = request.values
    start = int(asked["after"].removeprefix("Nz")) if "after" in asked else 0
    found = PEOPLE[start : start + min(100, int(asked["limit"]))]
    end = start + len(found)
    return {"results": found} | ({"paging": {"next": {"after": f"Nz{end}"}}} if end < len(PEOPLE) else {})


def zendesk(request: Request) -> Any:
    """Zendesk: `page[after]`, `meta.has_more`, and `links.next` as a whole address."""
    asked = request.values
    start = int(asked.get("page[after]", "aW0").removeprefix("aW"))
    size = min(100, int(asked["page[size]"]))
    end = start + len(PEOPLE[start : start + size])
    more = end < len(PEOPLE)
    link = f"http://{request.headers['Host']}/api/v2/users?page[after]=aW{end}&page[size]={size}"
    return {
        "users": PEOPLE[start:end],
        "meta": {"has_more": more, "after_cursor": f"aW{end}"},
        "links": {"next": link if more else None},
    }


def github(request: Request) -> Any:
    """GitHub: the Link header."""
    asked = request.values
    number, size = int(asked.get("page", 1)), min(100, int(asked["per_page"]))
    found = PEOPLE[(number - 1) * size : number * size]
    base = f"<http://{request.headers['Host']}{request.path}?per_page={size}&page="
    links = [f'{base}1>; rel="first"']
    if number * size < len(PEOPLE):
        links.insert(0, f'{base}{number + 1}>; rel="next"')
    return Response(document=found, headers={"Link": ", ".join(links)})


def by_offset(request: Request) -> Any:
    asked = request.values
    start = int(asked["offset"])
    return {"items": PEOPLE[start : start + min(2, int(asked["limit"]))]}


def by_page(request: Request) -> Any:
    asked = request.values
    number, size = int(asked["page"]), int(asked["per_page"])
    return {"items": PEOPLE[(number - 1) * size : number * size]}


STYLES: dict[str, tuple[Answer, dict[str, Any]]] = {
    "stripe": (
        stripe,
        {
            "list": "/v1/{collection}?limit={limit}&starting_after={after}",
            "records": "$.data[*]",
            "more": "$.has_more",
            "limit": 100,
        },
    ),
    "hubspot": (
        hubspot,
        {
            "list": "/crm/v3/objects/contacts?limit={limit}&after={after}",
            "records": "$.results[*]",
            "next": "$.paging.next.after",
            "limit": 100,
        },
    ),
    "zendesk": (
        zendesk,
        {
            "list": "/api/v2/users?page[size]={limit}&page[after]={after}",
            "records": "$.users[*]",
            "next": "$.meta.after_cursor",
            "more": "$.meta.has_more",
            "limit": 100,
        },
    ),
    "zendesk-links": (
        zendesk,
        {
            "list": "/api/v2/users?page[size]={limit}",
            "records": "$.users[*]",
            "next": "$.links.next",
            "limit": 100,
        },
    ),
    "github": (github, {"list": "/orgs/acme/members?per_page={limit}", "next": "link", "limit": 100}),
    "offset": (by_offset, {"list": "/customers?offset={offset}&limit={limit}", "records": "$.items[*]"}),
    "page": (by_page, {"list": "/customers?page={page}&per_page={limit}", "records": "$.items[*]", "limit": 2}),
}


@pytest.mark.parametrize("style", STYLES)
def test_a_list_is_walked_whole_in_the_style_of(serve: Callable[[Answer], Api], style: str) -> None:
    answer, words = STYLES[style]
    probe = probe_of(serve(answer).url)
    for limit in (1, 3, 7, 500):
        assert walked(probe, spec_of(**words), limit) == KEYS
    probe.close()


def examples() -> dict[str, dict[str, Any]]:
    """What docs/map.md shows, by system."""
    text = (HOME / "docs" / "map.md").read_text().partition("#### Paging")[2]
    found = [YAML(typ="safe").load(block.partition("```")[0]) for block in text.split("```yaml\n")[1:7]]
    return {name: words for each in found for name, words in each.items()}


@pytest.mark.parametrize(
    ("system", "answer"),
    [("stripe", stripe), ("hubspot", hubspot), ("zendesk", zendesk), ("github", github), ("shop", by_offset)],
)
def test_the_example_in_the_documentation_walks_the_stand_in_of(
    serve: Callable[[Answer], Api], system: str, answer: Answer
) -> None:
    spec = RestBinding.model_validate(examples()[system]).spec("customer", ["name"], zone="UTC")
    assert walked(probe_of(serve(answer).url), spec, 3) == KEYS


@pytest.mark.parametrize("style", STYLES)
def test_a_walk_goes_on_after_a_restart_in_the_style_of(serve: Callable[[Answer], Api], style: str) -> None:
    answer, words = STYLES[style]
    api = serve(answer)
    spec = spec_of(**words)
    first = probe_of(api.url).page(spec, None, 2)
    assert [row[0] for row in first.rows] == KEYS[:2]
    again = probe_of(api.url).page(spec, first.next, 2)
    assert [row[0] for row in again.rows] == KEYS[2:4]


def test_the_first_request_is_made_without_the_cursor_and_within_the_ceiling(serve: Callable[[Answer], Api]) -> None:
    api = serve(stripe)
    assert walked(probe_of(api.url), spec_of(**STYLES["stripe"][1]), 500) == KEYS
    assert api.paths == ["/v1/customers?limit=100"]


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


def test_a_cursor_without_bounds_is_not_kept(serve: Callable[[Answer], Api]) -> None:
    api = serve(lambda _: {"items": PEOPLE, "next": "x" * 10_000})
    spec = spec_of(list="/c?after={after}", records="$.items[*]", next="$.next")
    assert failure(lambda: probe_of(api.url).page(spec, None, 5)).reason is Reason.DECODE


def endless(request: Request) -> Any:
    """An API that does not know the parameter by which it is asked to go on."""
    return {"items": PEOPLE[:3], "next": "always-the-same"}


def circle(request: Request) -> Any:
    """Cursors that lead round: a, b, c, d, b, c, d, ..."""
    at = request.values.get("after", "a")
    following = {"a": "b", "b": "c", "c": "d", "d": "b"}[at]
    return {"items": [{"id": at}], "next": following}


def ever_new(request: Request) -> Any:
    """Ever new cursors, and never a record."""
    return {"items": [], "next": str(int(request.values.get("after", "0")) + 1)}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (endless, {"list": "/c?after={after}&limit={limit}"}),
        (endless, {"list": "/c?offset={offset}&limit={limit}"}),
        (endless, {"list": "/c?page={page}", "limit": 3}),
        (endless, {"list": "/c?after={after}", "next": "$.next"}),
        (circle, {"list": "/c?after={after}", "next": "$.next"}),
        (ever_new, {"list": "/c?after={after}", "next": "$.next"}),
    ],
)
def test_a_walk_without_an_end_ends_with_an_error(
    serve: Callable[[Answer], Api], monkeypatch: pytest.MonkeyPatch, answer: Answer, words: dict[str, Any]
) -> None:
    monkeypatch.setattr(walk, "EMPTY_LIMIT", 20)
    api = serve(answer)
    told = failure(lambda: walked(probe_of(api.url), spec_of(records="$.items[*]", **words)))
    assert told.reason is Reason.QUERY
    assert "no end" in told.message
    assert len(api.asked) < 30


def test_a_cursor_that_the_api_has_forgotten_is_told_as_lost_and_the_first_page_is_not(
    serve: Callable[[Answer], Api],
) -> None:
    api = serve(hubspot)
    spec = spec_of(**STYLES["hubspot"][1])
    first = probe_of(api.url).page(spec, None, 2)
    api.answer = lambda _: Response(document={"message": "expired"}, status=410)
    assert failure(lambda: probe_of(api.url).page(spec, first.next, 2)).reason is Reason.CURSOR_LOST
    assert failure(lambda: probe_of(api.url).page(spec, None, 2)).reason is Reason.QUERY
    assert failure(lambda: probe_of(api.url).page(spec, "17", 2)).reason is Reason.CURSOR_LOST


def test_a_next_page_on_another_host_is_not_asked(serve: Callable[[Answer], Api]) -> None:
    other = serve(lambda _: [])
    api = serve(lambda _: Response(document=PEOPLE, headers={"Link": f'<{other.url}/more>; rel="next"'}))
    told = failure(lambda: walked(probe_of(api.url), spec_of(list="/c", next="link")))
    assert (told.reason, "on another host" in told.message) == (Reason.QUERY, True)
    assert other.asked == []


@pytest.mark.parametrize("document", [{"items": PEOPLE[:2], "next": {"to": 2}}, {"items": PEOPLE[:2], "next": [2]}])
def test_something_that_is_no_cursor_is_no_last_page(serve: Callable[[Answer], Api], document: Any) -> None:
    probe = probe_of(serve(lambda _: document).url)
    spec = spec_of(list="/c?after={after}", records="$.items[*]", next="$.next")
    assert failure(lambda: probe.page(spec, None, 5)).reason is Reason.DECODE
    spec = spec_of(list="/c?after={after}", records="$.items[*]", more="$.has_more")
    assert failure(lambda: probe.page(spec, None, 5)).reason is Reason.DECODE


# -- what an answer must hold


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


# -- numbers, names, bytes


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


# -- keys, exactly


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


def test_of_a_collection_that_is_gone_nothing_follows_about_its_records(serve: Callable[[Answer], Api]) -> None:
    api = serve(lambda request: Response(document={}, status=404) if request.path == "/c/a" else [])
    spec = spec_of(many=None, one="/c/{key}", list="/c?limit={limit}")
    assert probe_of(api.url).fetch(spec, ["a"]) == []
    api.answer = lambda _: Response(document={"error": "no such route"}, status=404)
    for keys in (["a"], ["a", "b"]):
        told = failure(lambda keys=keys: probe_of(api.url).fetch(spec, keys))  # type: ignore[misc]
        assert (told.reason, "HTTP 404 from /c" in told.message) == (Reason.QUERY, True)


# -- a POST that only reads


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


# -- {since}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({}, "2026-03-01T10:00:00.250000Z"),
        ({"changed_at_unit": "s"}, "1772359200"),
        ({"changed_at_unit": "ms"}, "1772359200250"),
        ({"since": "s"}, "1772359200"),
        ({"since": "us"}, "1772359200250000"),
        ({"changed_at_unit": "ms", "since": "iso"}, "2026-03-01T10:00:00.250000Z"),
    ],
)
def test_since_is_written_as_the_map_says(serve: Callable[[Answer], Api], words: dict[str, Any], told: str) -> None:
    api = serve(lambda _: [])
    spec = spec_of(changed_at="at", changed="/c?since={since}&limit={limit}", **words)
    probe_of(api.url).changed(spec, datetime(2026, 3, 1, 10, 0, 0, 250_000, tzinfo=UTC), 10)
    assert api.asked[0].values["since"] == told


@pytest.mark.parametrize(
    ("at", "told"),
    [
        (datetime(2026, 6, 1, 10, tzinfo=UTC), "2026-06-01T12:00:00"),
        # 01:30Z is the second 02:30 of that night; what changed at 00:50Z carries the same hour as what follows.
        (datetime(2026, 10, 25, 0, 50, tzinfo=UTC), "2026-10-25T02:05:00"),
        (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "2026-10-25T02:30:00"),
    ],
)
def test_since_in_local_time_looks_back_over_the_hour_that_repeats(
    serve: Callable[[Answer], Api], at: datetime, told: str
) -> None:
    api = serve(lambda _: [])
    spec = replace(spec_of(changed_at="at", changed="/c?since={since}", since="local"), zone="Europe/Berlin")
    probe_of(api.url).changed(spec, at, 10)
    assert api.asked[0].values["since"] == told


def test_changes_are_asked_for_again_from_the_last_stamp_in_the_way_the_api_wants_it(
    serve: Callable[[Answer], Api],
) -> None:
    stamped = [{"id": f"c{n}", "at": f"2026-03-01T10:00:0{n}Z"} for n in range(6)]

    def answer(request: Request) -> Any:
        since = int(request.values["since"]) - 1772359200
        return stamped[max(0, since) :][:2]

    api = serve(answer)
    spec = spec_of(changed_at="at", changed="/c?since={since}&limit={limit}", since="s", limit=2)
    found: list[Row] = []
    after = None
    while True:
        page = probe_of(api.url).changed(spec, datetime(2026, 3, 1, 10, tzinfo=UTC), 50, after)
        found += page.rows
        after = page.next
        if after is None:
            break
    assert [row[0] for row in found] == [f"c{n}" for n in range(6)]
    assert {each.values["limit"] for each in api.asked} == {"2"}


def test_more_changes_of_one_stamp_than_an_answer_holds_are_told_as_more(serve: Callable[[Answer], Api]) -> None:
    api = serve(lambda _: [{"id": f"c{n}", "at": "2026-03-01T10:00:00Z"} for n in range(2)])
    spec = spec_of(changed_at="at", changed="/c?since={since}&limit={limit}", limit=2)
    first = probe_of(api.url).changed(spec, datetime(2026, 3, 1, tzinfo=UTC), 50)
    second = probe_of(api.url).changed(spec, datetime(2026, 3, 1, tzinfo=UTC), 50, first.next)
    assert (list(second.rows), second.next, second.more) == ([], None, True)


def test_changes_with_the_newest_first_are_refused_where_older_ones_may_be_cut_off(
    serve: Callable[[Answer], Api],
) -> None:
    api = serve(lambda _: [{"id": f"c{n}", "at": f"2026-03-01T10:00:0{9 - n}Z"} for n in range(2)])
    spec = spec_of(changed_at="at", changed="/c?since={since}&limit={limit}", limit=2)
    told = failure(lambda: probe_of(api.url).changed(spec, datetime(2026, 3, 1, tzinfo=UTC), 50))
    assert (told.reason, "newest first" in told.message) == (Reason.QUERY, True)


def test_changes_are_paged_where_the_api_pages_them(serve: Callable[[Answer], Api]) -> None:
    api = serve(hubspot)
    spec = spec_of(
        changed_at="at", changed="/c?since={since}&limit={limit}&after={after}", records="$.results[*]",
        next="$.paging.next.after", limit=3,
    )  # fmt: skip
    found: list[Row] = []
    after = None
    while True:
        page = probe_of(api.url).changed(spec, datetime(2026, 3, 1, tzinfo=UTC), 50, after)
        found += page.rows
        after = page.next
        if after is None:
            break
    assert [row[0] for row in found] == KEYS
    assert len(api.asked) == 3


# -- waiting


@pytest.mark.parametrize(
    ("told", "wait_s"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("-3", 0.0),
        ("1e300", 365 * 86_400.0),
        ("inf", 365 * 86_400.0),
        ("315360000", 365 * 86_400.0),
        ("Sun, 01 Mar 2026 10:00:30 GMT", 30.0),
        ("nan", None),
        ("soon", None),
    ],
)
def test_how_long_a_server_asks_to_wait(serve: Callable[[Answer], Api], told: str, wait_s: float | None) -> None:
    def answer(_: Request) -> Response:
        return Response(document={}, status=429, headers={"Retry-After": told})

    from probes.http.header_times import retry_after_s

    assert retry_after_s(told, "Sun, 01 Mar 2026 10:00:00 GMT") == wait_s
    if not told.startswith("Sun"):
        error = failure(lambda: probe_of(serve(answer).url, retries=0).fetch(spec_of(), ["a"]))
        assert (error.reason, error.retry_after_s) == (Reason.OVER_BUDGET, wait_s)
        assert (told in error.hint or "0 s" in error.hint) is (wait_s is not None)


def test_a_spent_budget_that_github_tells_with_403_is_over_budget(serve: Callable[[Answer], Api]) -> None:
    headers = {"X-RateLimit-Remaining": "0", "Retry-After": "60"}
    api = serve(lambda _: Response(document={}, status=403, headers=headers))
    error = failure(lambda: probe_of(api.url).fetch(spec_of(), ["a"]))
    assert (error.reason, error.retry_after_s) == (Reason.OVER_BUDGET, 60.0)


# -- addresses and secrets

SECRET = "k3y/with+odd=signs&%"


def test_a_key_in_the_address_goes_with_every_request_and_into_no_text(serve: Callable[[Answer], Api]) -> None:
    from urllib.parse import quote

    quoted = quote(SECRET, safe="")

    def answer(request: Request) -> Any:
        assert request.values["api_key"] == SECRET
        if request.path.endswith("/bad"):
            return Response(document={"echo": [SECRET, quoted]}, status=400)
        if request.values.get("page") == "2":
            return PEOPLE[3:]
        link = f"<http://{request.headers['Host']}{request.path}?api_key={quoted}&page=2&sig={quoted}>; rel=next"
        return Response(document=PEOPLE[:3], headers={"Link": link})

    api = serve(answer)
    url = f"{api.url}/v1?api_key={quoted}"
    probe = probe_of(url)
    spec = spec_of(many="/bad?ids={keys}", list="/c?limit={limit}", next="link")
    assert walked(probe, spec) == KEYS
    assert [each.path for each in api.asked] == ["/v1/c", "/v1/c"]
    assert api.asked[1].values["sig"] == SECRET
    cursor = probe.page(spec, None, 3).next
    error = failure(lambda: probe.fetch(spec, ["a"]))
    probe.clock()
    settings = RestSettings.model_validate({"kind": "rest", "url": url})
    for text in (str(cursor), str(error), repr(settings), settings.model_dump_json()):
        assert SECRET not in text
        assert quoted not in text
        assert "k3y" not in text


def test_a_login_in_the_address_is_sent_as_such_and_into_no_text(serve: Callable[[Answer], Api]) -> None:
    import base64

    login = base64.b64encode(b"me:pa@ss/word").decode()

    def answer(request: Request) -> Response:
        assert request.headers["Authorization"] == f"Basic {login}"
        return Response(document={"you sent": [login, "pa@ss/word", "pa%40ss%2Fword"]}, status=403)

    api = serve(answer)
    error = failure(lambda: probe_of(f"http://me:pa%40ss%2Fword@127.0.0.1:{api.port}").fetch(spec_of(), ["a"]))
    assert error.reason is Reason.PERMISSION
    assert not any(each in str(error) for each in (login, "pa@ss", "pa%40ss", "word"))


def test_a_redirect_is_told_with_its_target_and_never_followed(serve: Callable[[Answer], Api]) -> None:
    other = serve(lambda _: [])
    api = serve(
        lambda _: Response(document={}, status=302, headers={"Location": f"{other.url}/login?next=/c&token=t0ken"})
    )
    error = failure(
        lambda: probe_of(api.url, headers={"Authorization": "Bearer s3cret-word"}).fetch(spec_of(), ["a"])
    )
    assert error.reason is Reason.QUERY
    assert f"HTTP 302 from /x: redirected to {other.url}/login" in error.message
    assert "t0ken" not in str(error)
    assert other.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/",
        "https:///nowhere",
        "https://me:p@ss/w@rd@host",
        "https://host/a#b",
        "https://ho st/",
        "host:x",
        "https://me:12/3@host/",
    ],
)
def test_an_address_that_is_none_is_refused_without_a_word_of_it(url: str) -> None:
    with pytest.raises(ValidationError) as failed:
        RestSettings.model_validate({"kind": "rest", "url": url})
    told = failed.value.errors(include_input=False)[0]["msg"]
    assert url not in told
    assert "ss/w" not in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"list": "/c?after={cursor}"}, "no value {cursor}"),
        ({"list": "/c?after={after}&offset={offset}"}, "not by both"),
        ({"list": "/c?page={page}"}, "set limit:"),
        ({"changed": "/c?since={since}&after={after}"}, "set next:"),
        ({"changed": "/c"}, "changed needs {since}"),
        ({"list": "https://elsewhere/c"}, "not an address of its own"),
        ({"list": "/c#{after}"}, "%23"),
        ({"next": "$.next"}, "no list: or changed:"),
        ({"more": "has_more", "list": "/c?after={after}"}, "not a JSONPath"),
        ({"many": {"read_only_post": "/c/{key}", "body": {}}}, "values belong into body:"),
        ({"many": {"read_only_post": "/c", "body": {"ids": "{ids}"}}}, "no value {ids}"),
        ({"many": {"post": "/c"}}, "write a path for GET, or for a POST that only reads"),
        ({"many": {"read_only_post": "/c", "method": "PUT"}}, "unknown word 'method'; known: read_only_post, body"),
        ({"many": {"read_only_post": 5}}, "read_only_post: Input should be a valid string"),
        ({"many": 5}, "write a path for GET"),
        ({"limit": 0}, "greater than or equal to 1"),
    ],
)
def test_words_that_cannot_be_meant_are_refused(words: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as failed:
        spec_of(**words)
    assert told in str(failed.value)


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

"""How APIs list: every style walked to its end, gone on with after a restart, and lists without an end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ruamel.yaml import YAML

from probes.contract import Reason
from probes.http import walk
from probes.records.rest.settings import RestBinding
from tests import HOME
from tests.http_api import Api, Request, Response
from tests.probes.records.rest.apis import (
    KEYS,
    PEOPLE,
    STYLES,
    Answer,
    by_offset,
    failure,
    github,
    hubspot,
    probe_of,
    spec_of,
    stripe,
    walked,
    zendesk,
)


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

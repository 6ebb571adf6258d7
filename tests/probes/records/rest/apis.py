"""HTTP APIs of many shapes, each by a stand-in of our own on loopback, and a probe that asks them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from probes.contract import ProbeError, ReadSpec
from probes.records.rest.probe import RestProbe
from probes.records.rest.settings import RestBinding, RestSettings
from tests.http_api import Request, Response

Answer = Callable[[Request], Any]

PEOPLE = [{"id": f"c{number:02}", "login": f"c{number:02}", "name": f"n{number}"} for number in range(1, 8)]


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

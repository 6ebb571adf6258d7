"""Every way of failing, through a stand-in that has pages, an index and tokens; and what a stand-in counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
import pytest

from tests.standins import faults
from tests.standins.clock import Clock
from tests.standins.hubspot import PRIVATE_APP_TOKEN, HubSpot

NOON = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
DEALS = "/crm/v3/objects/deals"


@pytest.fixture
def hubspot() -> Iterator[HubSpot]:
    with HubSpot(clock=Clock(NOON)) as server:
        for at in range(6):
            server.create("deals", dealname=str(at))
        yield server


@pytest.fixture
def client(hubspot: HubSpot) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {PRIVATE_APP_TOKEN}"}
    with httpx.Client(base_url=hubspot.url, headers=headers, trust_env=False) as client:
        yield client


def names(client: httpx.Client, after: str | None = None) -> tuple[list[str], str | None]:
    """A page of two deals and what follows."""
    answer = client.get(DEALS, params={"limit": "2", **({"after": after} if after else {})}).json()
    found = [each["properties"]["dealname"] for each in answer["results"]]
    return found, answer.get("paging", {}).get("next", {}).get("after")


def test_a_fault_meets_the_operation_it_was_ordered_for_and_as_often(hubspot: HubSpot, client: httpx.Client) -> None:
    hubspot.fail(faults.refused(500), on="search", times=2)
    assert client.get(DEALS).status_code == 200
    assert [client.post(f"{DEALS}/search", json={}).status_code for _ in range(3)] == [500, 500, 200]
    assert [(call.operation, call.fault) for call in hubspot.calls[:2]] == [("list", None), ("search", "refused 500")]
    assert (hubspot.count(), hubspot.count("search")) == (4, 3)


def test_html_with_success(hubspot: HubSpot, client: httpx.Client) -> None:
    hubspot.fail(faults.page_of_a_proxy())
    answer = client.get(DEALS)
    assert (answer.status_code, answer.headers["Content-Type"].partition(";")[0]) == (200, "text/html")


def test_an_error_body_with_success(hubspot: HubSpot, client: httpx.Client) -> None:
    hubspot.fail(faults.error_with_success({"status": "error", "message": "busy"}))
    answer = client.get(DEALS)
    assert (answer.status_code, answer.json()["status"]) == (200, "error")


def test_json_that_ends_in_the_middle(hubspot: HubSpot, client: httpx.Client) -> None:
    hubspot.fail(faults.truncated())
    answer = client.get(DEALS)
    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        answer.json()


def test_a_connection_that_ends_in_the_middle(hubspot: HubSpot, client: httpx.Client) -> None:
    hubspot.fail(faults.cut_off())
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(DEALS)
    assert client.get(DEALS).status_code == 200


def test_a_changed_schema(hubspot: HubSpot, client: httpx.Client) -> None:
    hubspot.fail(faults.renamed({"dealname": "title", "amount": None}))
    properties = client.get(DEALS).json()["results"][0]["properties"]
    assert properties["title"] == "0"
    assert not properties.keys() & {"dealname", "amount"}


def test_a_page_that_comes_twice(hubspot: HubSpot, client: httpx.Client) -> None:
    first, after = names(client)
    hubspot.fail(faults.repeated_page())
    again, _ = names(client, after)
    assert first == again == ["0", "1"]


def test_a_page_that_is_skipped(hubspot: HubSpot, client: httpx.Client) -> None:
    hubspot.fail(faults.skipped_page())
    assert names(client)[0] == ["2", "3"]


def test_an_answer_without_end(hubspot: HubSpot, client: httpx.Client) -> None:
    hubspot.fail(faults.endless())
    read = 0
    with client.stream("GET", DEALS) as answer:
        for part in answer.iter_raw():
            read += len(part)
            if read > 5_000_000:
                break
    assert read > 5_000_000
    assert client.get(DEALS).status_code == 200


def test_a_token_that_is_revoked(hubspot: HubSpot, client: httpx.Client) -> None:
    assert client.get(DEALS).status_code == 200
    hubspot.revoke()
    assert [client.get(DEALS).status_code for _ in range(2)] == [401, 401]


def test_a_clock_that_jumps_stands_in_the_date_header(hubspot: HubSpot, client: httpx.Client) -> None:
    assert parsedate_to_datetime(client.head(DEALS).headers["Date"]) == NOON
    hubspot.clock.advance(-3600)
    assert parsedate_to_datetime(client.get(DEALS).headers["Date"]).hour == 11


def test_it_listens_on_loopback_alone(hubspot: HubSpot) -> None:
    assert hubspot.url == f"http://127.0.0.1:{hubspot.port}"
    assert hubspot._server.server_address[0] == "127.0.0.1"


def test_an_unknown_path_is_the_vendors_404(hubspot: HubSpot, client: httpx.Client) -> None:
    answer = client.get("/crm/v9/nothing")
    assert (answer.status_code, answer.json()["category"], hubspot.calls[-1].operation) == (
        *(404, "OBJECT_NOT_FOUND"),
        "unknown",
    )

"""The stand-in of Twilio against Twilio's OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.standins import faults
from tests.standins.clock import Clock
from tests.standins.specifications import breaches, openapi
from tests.standins.twilio import ACCOUNT, API_KEY, AUTH_TOKEN, Twilio

NOON = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
MESSAGES = f"/2010-04-01/Accounts/{ACCOUNT}/Messages"
LIST = "/2010-04-01/Accounts/{AccountSid}/Messages.json"
ONE = "/2010-04-01/Accounts/{AccountSid}/Messages/{Sid}.json"


@pytest.fixture
def twilio() -> Iterator[Twilio]:
    with Twilio(clock=Clock(NOON)) as server:
        yield server


@pytest.fixture
def client(twilio: Twilio) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=twilio.url, auth=(ACCOUNT, AUTH_TOKEN), trust_env=False) as client:
        yield client


def conforms(answer: httpx.Response, path: str) -> Any:
    """The document, which keeps to the specification of its path."""
    document = answer.json()
    assert breaches(openapi("twilio.com/api").answer(path), document) == []
    return document


def test_a_message_is_read_by_its_sid(twilio: Twilio, client: httpx.Client) -> None:
    sid = twilio.create(to="+15005550001", body="hello", sent=False)
    message = conforms(client.get(f"{MESSAGES}/{sid}.json"), ONE)
    assert (message["status"], message["date_sent"], message["price"]) == ("queued", None, None)
    twilio.clock.advance(5)
    twilio.update(sid, status="delivered", date_sent="Fri, 20 Nov 2026 12:00:05 +0000", price="-0.00750")
    message = conforms(client.get(f"{MESSAGES}/{sid}.json"), ONE)
    assert (message["date_updated"], message["price"]) == ("Fri, 20 Nov 2026 12:00:05 +0000", "-0.00750")
    twilio.delete(sid)
    answer = client.get(f"{MESSAGES}/{sid}.json")
    assert (answer.status_code, answer.json()["code"]) == (404, 20404)


def test_a_list_goes_on_at_an_address_without_a_host(twilio: Twilio, client: httpx.Client) -> None:
    made = [twilio.create(to="+15005550001", body=str(at)) for at in range(5)]
    found: list[str] = []
    address: str | None = f"{MESSAGES}.json?PageSize=2"
    while address:
        page = conforms(client.get(address), LIST)
        found += [each["sid"] for each in page["messages"]]
        address = page["next_page_uri"]
        assert address is None or address.startswith(f"{MESSAGES}.json?")
    assert found == made[::-1]
    assert client.get(f"{MESSAGES}.json?PageSize=1001").status_code == 400


def test_a_list_is_narrowed_by_number_and_day(twilio: Twilio, client: httpx.Client) -> None:
    early = twilio.create(to="+15005550001")
    twilio.clock.advance(86_400)
    late = twilio.create(to="+15005550002")
    twilio.create(to="+15005550002", sent=False)

    def found(query: str) -> list[str]:
        return [each["sid"] for each in client.get(f"{MESSAGES}.json?{query}").json()["messages"]]

    assert found("To=%2B15005550001") == [early]
    assert (found("DateSent=2026-11-20"), found("DateSent>=2026-11-21")) == ([early], [late])
    assert found("DateSent<=2026-11-20") == [early]


def test_an_account_or_a_key_signs_in(twilio: Twilio) -> None:
    with httpx.Client(base_url=twilio.url, trust_env=False) as client:
        assert client.get(f"{MESSAGES}.json", auth=API_KEY).status_code == 200
        refused = client.get(f"{MESSAGES}.json")
        assert (refused.status_code, refused.json()["code"]) == (401, 20003)
        twilio.revoke()
        assert client.get(f"{MESSAGES}.json", auth=API_KEY).status_code == 401
        other = client.get("/2010-04-01/Accounts/AC0/Messages.json", auth=API_KEY)
        assert other.status_code == 401


@pytest.mark.parametrize("status", [401, 403, 404, 409, 429, 500])
def test_refusals_have_the_vendors_four_members(twilio: Twilio, client: httpx.Client, status: int) -> None:
    twilio.fail(faults.refused(status), on="list")
    answer = client.get(f"{MESSAGES}.json")
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.json().keys() == {"code", "message", "more_info", "status"}


def test_more_calls_than_are_allowed_are_refused(twilio: Twilio, client: httpx.Client) -> None:
    twilio.everything.most = 1
    assert [client.get(f"{MESSAGES}.json").status_code for _ in range(2)] == [200, 429]

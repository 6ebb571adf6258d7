"""The stand-in of an authorization server, held to the RFCs that it is written from."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from tests.standins.clock import Clock
from tests.standins.oauth import CLIENT_ID, CLIENT_SECRET, OAuth

NOON = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
APP = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}


@pytest.fixture
def server() -> Iterator[OAuth]:
    with OAuth(clock=Clock(NOON)) as found:
        yield found


@pytest.fixture
def client(server: OAuth) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, trust_env=False) as found:
        yield found


def token(client: httpx.Client, **form: str) -> str:
    return str(
        client.post("/oauth/token", data={"grant_type": "client_credentials", **APP, **form}).json()["access_token"]
    )


def asked(client: httpx.Client, given: str) -> int:
    return client.get("/api/customers/c1", headers={"Authorization": f"Bearer {given}"}).status_code


def test_an_answer_with_a_token_has_the_members_of_section_5_1(client: httpx.Client) -> None:
    answer = client.post("/oauth/token", data={"grant_type": "client_credentials", **APP})
    assert answer.json() | {"access_token": ""} == {"access_token": "", "token_type": "Bearer", "expires_in": 1800}
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_client_says_who_it_is_in_one_of_two_ways(server: OAuth, client: httpx.Client) -> None:
    from urllib.parse import quote_plus

    basic = (quote_plus(CLIENT_ID), quote_plus(CLIENT_SECRET))
    asked_for = {"grant_type": "client_credentials"}
    assert client.post("/oauth/token", data=asked_for, auth=basic).status_code == 200
    assert client.post("/oauth/token", data={**asked_for, **APP}, auth=basic).json()["error"] == "invalid_request"
    wrong = client.post("/oauth/token", data=asked_for, auth=("nobody", "x"))
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
    assert wrong.headers["WWW-Authenticate"].startswith("Basic")
    server.takes = frozenset({"basic"})
    assert client.post("/oauth/token", data={**asked_for, **APP}).json()["error"] == "invalid_client"


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "unsupported_grant_type"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token", "refresh_token": "x", **APP}, "invalid_grant"),
        ({"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "a.b.c"}, "invalid_grant"),
    ],
)
def test_errors_are_those_of_section_5_2(client: httpx.Client, form: dict[str, str], error: str) -> None:
    answer = client.post("/oauth/token", data=form)
    if not form:
        answer = client.post(
            "/oauth/token", content=b"", headers={"Content-Type": "application/x-www-form-urlencoded"}
        )
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_a_refresh_token_is_replaced_where_it_is_said(server: OAuth, client: httpx.Client) -> None:
    first = server.refresh_token()
    form = {"grant_type": "refresh_token", "refresh_token": first, **APP}
    assert "refresh_token" not in client.post("/oauth/token", data=form).json()
    server.rotates = True
    second = client.post("/oauth/token", data=form).json()["refresh_token"]
    assert client.post("/oauth/token", data=form).json()["error"] == "invalid_grant"
    assert client.post("/oauth/token", data=form | {"refresh_token": second}).status_code == 200


def test_a_token_may_be_used_up(server: OAuth, client: httpx.Client) -> None:
    server.revoked_after = 2
    given = token(client)
    assert [asked(client, given) for _ in range(3)] == [200, 200, 401]


def test_customers_are_listed_in_pages(client: httpx.Client) -> None:
    headers = {"Authorization": f"Bearer {token(client)}"}
    pages = [client.get(f"/api/customers?limit=2{after}", headers=headers).json() for after in ("", "&after=c1")]
    assert [[each["id"] for each in page] for page in pages] == [["c0", "c1"], ["c2", "c3"]]


def test_a_token_is_good_until_it_ends_or_is_revoked(server: OAuth, client: httpx.Client) -> None:
    given = token(client)
    assert (asked(client, given), asked(client, "other")) == (200, 401)
    server.clock.advance(1799)
    assert asked(client, given) == 200
    server.clock.advance(1)
    assert asked(client, given) == 401
    again = token(client)
    server.revoke()
    refused = client.get("/api/customers/c1", headers={"Authorization": f"Bearer {again}"})
    assert (refused.status_code, 'error="invalid_token"' in refused.headers["WWW-Authenticate"]) == (401, True)

"""The stand-in of HubSpot against HubSpot's own models and what its documents say."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.standins import faults
from tests.standins.clock import Clock
from tests.standins.hubspot import PRIVATE_APP_TOKEN, HubSpot, Property, search
from tests.standins.specifications import breaches, hubspot_model

NOON = datetime(2026, 11, 20, 12, 0, 0, 123_000, tzinfo=UTC)
OBJECTS, ASSOCIATIONS = "crm/objects", "crm/associations/v4"


@pytest.fixture
def hubspot() -> Iterator[HubSpot]:
    with HubSpot(clock=Clock(NOON)) as server:
        yield server


@pytest.fixture
def client(hubspot: HubSpot) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {PRIVATE_APP_TOKEN}"}
    with httpx.Client(base_url=hubspot.url, headers=headers, trust_env=False) as client:
        yield client


def conforms(answer: httpx.Response, part: str, model: str) -> Any:
    """The document, which keeps to one of HubSpot's models."""
    document = answer.json()
    assert breaches(hubspot_model(part, model), document) == []
    return document


def batch(client: httpx.Client, ids: list[str], of: str = "contacts", query: str = "", **more: Any) -> httpx.Response:
    asked = {"inputs": [{"id": each} for each in ids], "properties": ["email", "phone"], **more}
    return client.post(f"/crm/v3/objects/{of}/batch/read{query}", json=asked)


def test_a_batch_reads_by_id(hubspot: HubSpot, client: httpx.Client) -> None:
    ids = [hubspot.create("contacts", email=f"c{at}@example.com") for at in range(3)]
    answer = batch(client, [*reversed(ids), ids[0]])
    assert answer.status_code == 200
    document = conforms(answer, OBJECTS, "BatchResponseSimplePublicObject")
    assert [each["id"] for each in document["results"]] == ids
    assert document["results"][0]["properties"] == {
        "createdate": "2026-11-20T12:00:00.123Z",
        "hs_object_id": ids[0],
        "lastmodifieddate": "2026-11-20T12:00:00.123Z",
        "email": "c0@example.com",
        "phone": None,
    }


def test_a_batch_reads_by_a_unique_property_whatever_the_case(hubspot: HubSpot, client: httpx.Client) -> None:
    one = hubspot.create("contacts", email="Ann@example.com")
    document = batch(client, ["ann@EXAMPLE.com"], idProperty="email").json()
    assert [each["id"] for each in document["results"]] == [one]
    refused = batch(client, ["555"], idProperty="phone")
    assert refused.status_code == 400
    conforms(refused, OBJECTS, "ModelError")


def test_what_a_batch_does_not_find_is_an_error_of_a_multi_status(hubspot: HubSpot, client: httpx.Client) -> None:
    here = hubspot.create("contacts", email="here@example.com")
    gone = hubspot.create("contacts", email="gone@example.com")
    hubspot.archive("contacts", gone)
    answer = batch(client, [here, gone, "99999999"])
    assert answer.status_code == 207
    document = conforms(answer, OBJECTS, "BatchResponseSimplePublicObjectWithErrors")
    assert [each["id"] for each in document["results"]] == [here]
    assert document["errors"][0]["context"] == {"ids": [gone, "99999999"]}


def test_archived_records_are_read_apart(hubspot: HubSpot, client: httpx.Client) -> None:
    gone = hubspot.create("contacts", email="gone@example.com")
    hubspot.archive("contacts", gone)
    (found,) = conforms(batch(client, [gone], query="?archived=true"), OBJECTS, "BatchResponseSimplePublicObject")[
        "results"
    ]
    assert (found["archived"], found["archivedAt"]) == (True, "2026-11-20T12:00:00.123Z")
    assert client.get(f"/crm/v3/objects/contacts/{gone}").status_code == 404
    shown = client.get(f"/crm/v3/objects/contacts/{gone}", params={"archived": "true"})
    conforms(shown, OBJECTS, "SimplePublicObjectWithAssociations")


def test_a_batch_over_a_hundred_is_refused(client: httpx.Client) -> None:
    assert batch(client, [str(at) for at in range(101)]).status_code == 400


def test_cleared_is_an_empty_text_and_never_set_is_null(hubspot: HubSpot, client: httpx.Client) -> None:
    one = hubspot.create("contacts", email="a@example.com", phone="1", city=None)
    hubspot.update("contacts", one, phone=None)
    path = f"/crm/v3/objects/contacts/{one}?properties=phone,city,unheard_of"
    shown = client.get(path).json()["properties"]
    assert (shown["phone"], shown["city"]) == ("", None)
    assert "unheard_of" not in shown


def test_a_list_goes_on_after_an_id(hubspot: HubSpot, client: httpx.Client) -> None:
    made = [hubspot.create("deals", dealname=str(at), amount="1.50") for at in range(7)]
    found: list[str] = []
    after: str | None = None
    for _ in range(3):
        query = {"limit": "3", **({"after": after} if after else {})}
        answer = client.get("/crm/v3/objects/deals", params=query)
        document = conforms(answer, OBJECTS, "CollectionResponseSimplePublicObjectWithAssociationsForwardPaging")
        found += [each["id"] for each in document["results"]]
        after = document.get("paging", {}).get("next", {}).get("after")
    assert (found, after) == (made, None)
    assert client.get("/crm/v3/objects/deals?limit=101").status_code == 400


def test_custom_objects_are_known_by_number_and_name(hubspot: HubSpot, client: httpx.Client) -> None:
    of = hubspot.add_type("boat", [Property(name="hull", unique=True)])
    one = hubspot.create(of, hull="H1")
    for name in (of, "p_boat", "p4711_boat"):
        assert client.get(f"/crm/v3/objects/{name}/H1?idProperty=hull").json()["id"] == one
    assert client.get(f"/crm/objects/2026-03/{of}/{one}").json()["id"] == one


def test_the_search_is_behind_by_its_lag_and_reads_by_id_are_not(hubspot: HubSpot, client: httpx.Client) -> None:
    hubspot.index_lag_s = 30
    one = hubspot.create("contacts", email="a@example.com", city="Rome")

    def searched(city: str) -> list[str]:
        one_filter = {"propertyName": "city", "operator": "EQ", "value": city}
        answer = client.post("/crm/v3/objects/contacts/search", json={"filterGroups": [{"filters": [one_filter]}]})
        document = conforms(answer, OBJECTS, "CollectionResponseWithTotalSimplePublicObject")
        return [each["id"] for each in document["results"]]

    assert searched("Rome") == []
    hubspot.clock.advance(31)
    assert searched("Rome") == [one]
    hubspot.update("contacts", one, city="Oslo")
    assert searched("Rome") == [one]
    assert batch(client, [one], properties=["city"]).json()["results"][0]["properties"]["city"] == "Oslo"
    hubspot.clock.advance(31)
    assert (searched("Rome"), searched("Oslo")) == ([], [one])
    hubspot.archive("contacts", one)
    hubspot.clock.advance(31)
    assert searched("Oslo") == []


def test_the_search_sorts_filters_and_pages(hubspot: HubSpot, client: httpx.Client) -> None:
    for amount in ("10", "9", "", "200"):
        hubspot.create("deals", dealname=amount, amount=amount)
        hubspot.clock.advance(1)
    over = {"propertyName": "amount", "operator": "GTE", "value": "9"}
    asked = {"filterGroups": [{"filters": [over]}], "sorts": ["-amount"], "properties": ["amount"], "limit": 2}
    first = client.post("/crm/v3/objects/deals/search", json=asked).json()
    assert (first["total"], first["paging"]["next"]["after"]) == (3, "2")
    rest = client.post("/crm/v3/objects/deals/search", json={**asked, "after": "2"}).json()
    both = [*first["results"], *rest["results"]]
    assert [each["properties"]["amount"] for each in both] == ["200", "10", "9"]
    since = {"propertyName": "hs_lastmodifieddate", "operator": "GT", "value": "2026-11-20T12:00:01.500Z"}
    later = client.post("/crm/v3/objects/deals/search", json={"filterGroups": [{"filters": [since]}]}).json()
    assert later["total"] == 2


@pytest.mark.parametrize(
    "asked",
    [
        {"limit": 201},
        {"limit": 100, "after": "9950"},
        {"sorts": ["createdate", "amount"]},
        {"filterGroups": [{"filters": []}] * 6},
        {"filterGroups": [{"filters": [{"propertyName": "unheard_of", "operator": "EQ", "value": "1"}]}]},
        {"query": "x" * 3000},
    ],
)
def test_what_the_search_refuses(hubspot: HubSpot, client: httpx.Client, asked: dict[str, Any]) -> None:
    hubspot.create("deals", dealname="one")
    answer = client.post("/crm/v3/objects/deals/search", json=asked)
    assert answer.status_code == 400
    conforms(answer, OBJECTS, "ModelError")


def test_a_sixth_search_within_a_second_is_refused(hubspot: HubSpot, client: httpx.Client) -> None:
    statuses = [client.post("/crm/v3/objects/deals/search", json={}).status_code for _ in range(6)]
    assert statuses == [200] * 5 + [429]
    hubspot.clock.advance(1)
    answer = client.post("/crm/v3/objects/deals/search", json={})
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("x-hubspot-ratelimit")]


def test_limits_stand_in_the_headers_and_hold(hubspot: HubSpot, client: httpx.Client) -> None:
    hubspot.burst.most = 3
    answers = [client.get("/crm/v3/objects/deals") for _ in range(4)]
    left = [each.headers["X-HubSpot-RateLimit-Remaining"] for each in answers]
    assert left == ["2", "1", "0", "0"]
    assert answers[0].headers["X-HubSpot-RateLimit-Daily-Remaining"] == "649999"
    assert (answers[3].status_code, answers[3].json()["policyName"]) == (429, "TEN_SECONDLY_ROLLING")
    hubspot.clock.advance(10)
    assert client.get("/crm/v3/objects/deals").status_code == 200
    hubspot.daily.most = 4
    assert client.get("/crm/v3/objects/deals").json()["policyName"] == "DAILY"
    assert hubspot.count("list") == 6


def test_associations_are_read_for_one_and_for_many(hubspot: HubSpot, client: httpx.Client) -> None:
    deal, lonely = hubspot.create("deals", dealname="d"), hubspot.create("deals", dealname="l")
    people = [hubspot.create("contacts", email=f"c{at}@example.com") for at in range(3)]
    for each in people:
        hubspot.associate("deals", deal, "contacts", each, typeId=3)
    answer = client.get(f"/crm/v4/objects/deals/{deal}/associations/contacts?limit=2")
    model = "CollectionResponseMultiAssociatedObjectWithLabelForwardPaging"
    document = conforms(answer, ASSOCIATIONS, model)
    rest = client.get(document["paging"]["next"]["link"]).json()
    assert [each["toObjectId"] for each in (*document["results"], *rest["results"])] == people
    many = client.post(
        "/crm/v4/associations/deals/contacts/batch/read", json={"inputs": [{"id": deal}, {"id": lonely}]}
    )
    assert many.status_code == 207
    found = conforms(many, ASSOCIATIONS, "BatchResponsePublicAssociationMultiWithLabelWithErrors")
    assert [each["from"]["id"] for each in found["results"]] == [deal]
    shown = client.get(f"/crm/v3/objects/deals/{deal}?associations=contacts").json()
    assert [each["id"] for each in shown["associations"]["contacts"]["results"]] == people


def test_properties_describe_a_type(client: httpx.Client) -> None:
    found = client.get("/crm/v3/properties/contacts").json()["results"]
    for each in found:
        assert breaches(hubspot_model("crm/properties", "Property"), each) == []
    assert {each["name"] for each in found if each["hasUniqueValue"]} == {"hs_object_id", "email"}


def test_oauth_renews_a_token_that_ends(hubspot: HubSpot) -> None:
    client_id, secret, refresh = hubspot.oauth
    form = {"grant_type": "refresh_token", "client_id": client_id, "client_secret": secret, "refresh_token": refresh}
    with httpx.Client(base_url=hubspot.url, trust_env=False) as client:
        token = client.post("/oauth/v1/token", data=form).json()
        headers = {"Authorization": f"Bearer {token['access_token']}"}
        answer = client.get("/crm/v3/objects/deals", headers=headers)
        assert answer.status_code == 200
        assert "X-HubSpot-RateLimit-Daily" not in answer.headers
        hubspot.clock.advance(token["expires_in"])
        expired = client.get("/crm/v3/objects/deals", headers=headers)
        assert (expired.status_code, expired.json()["category"]) == (401, "EXPIRED_AUTHENTICATION")
        hubspot.revoke()
        assert client.post("/oauth/v1/token", data=form).status_code == 400


def test_a_missing_scope_is_said(hubspot: HubSpot, client: httpx.Client) -> None:
    hubspot.scopes.discard("crm.objects.deals.read")
    answer = client.get("/crm/v3/objects/deals")
    assert (answer.status_code, answer.json()["category"]) == (403, "MISSING_SCOPES")
    conforms(answer, OBJECTS, "ModelError")


@pytest.mark.parametrize("status", [401, 403, 404, 409, 429, 500])
def test_refusals_keep_to_the_model(hubspot: HubSpot, client: httpx.Client, status: int) -> None:
    hubspot.fail(faults.refused(status, retry_after="7" if status == 429 else ""), on="list")
    answer = client.get("/crm/v3/objects/deals")
    assert (answer.status_code, answer.headers.get("Retry-After")) == (status, "7" if status == 429 else None)
    conforms(answer, OBJECTS, "ModelError")
    assert client.get("/crm/v3/objects/deals").status_code == 200


def test_custom_types_are_described(hubspot: HubSpot, client: httpx.Client) -> None:
    of = hubspot.add_type("boat", [Property(name="hull", unique=True), Property(name="afloat", type="bool")])
    (found,) = client.get("/crm/v3/schemas").json()["results"]
    assert breaches(hubspot_model("crm/schemas", "ObjectSchema"), found) == []
    assert (found["objectTypeId"], found["name"], found["fullyQualifiedName"]) == (of, "boat", "p4711_boat")
    hubspot.scopes.discard("crm.schemas.custom.read")
    assert client.get("/crm/v3/schemas").json()["category"] == "MISSING_SCOPES"


def test_a_search_compares_instants_to_the_millisecond(hubspot: HubSpot) -> None:
    for _ in range(200):
        hubspot.create("deals", dealname="d")
        hubspot.clock.advance(0.001)
    at_ms = round(NOON.timestamp() * 1000)
    for passed_ms in range(200):
        one = {"propertyName": "hs_lastmodifieddate", "operator": "EQ", "value": str(at_ms + passed_ms)}
        assert sum(_held(hubspot, one)) == 1


def _held(hubspot: HubSpot, one: dict[str, Any]) -> list[bool]:
    of = hubspot.store.type_named("deals")
    assert of is not None
    asked = {"filterGroups": [{"filters": [one]}]}
    return [True for _ in search.found(hubspot.store, of, asked, hubspot.clock.now())]

"""The stand-in of Stripe against Stripe's OpenAPI document, beside stripe-mock and localstripe."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests import servers
from tests.standins import faults
from tests.standins.clock import Clock
from tests.standins.specifications import breaches, openapi
from tests.standins.stripe import SECRET_KEY, VERSION, Stripe
from tests.standins.stripe.shapes import SHAPES

NOON = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
THEN = int(NOON.timestamp())


@pytest.fixture
def stripe() -> Iterator[Stripe]:
    with Stripe(clock=Clock(NOON)) as server:
        yield server


@pytest.fixture
def client(stripe: Stripe) -> Iterator[httpx.Client]:
    with _client(stripe.url) as client:
        yield client


def _client(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {SECRET_KEY}"}, trust_env=False)


def conforms(answer: httpx.Response, path: str = "") -> Any:
    """The document, which keeps to the specification of its path."""
    document = answer.json()
    schema = openapi("stripe.com").answer(path) if path else openapi("stripe.com").schema("error")
    assert breaches(schema, document) == []
    return document


def one_of_each(stripe: Stripe) -> dict[str, str]:
    customer = stripe.create("customer", email="ann@example.com", name="Ann")
    product = stripe.create("product", name="Plan")
    price = stripe.create("price", product=product, unit_amount=1250, currency="usd")
    intent = stripe.create("payment_intent", customer=customer, amount=1250, currency="usd", status="succeeded")
    charge = stripe.create("charge", customer=customer, payment_intent=intent, amount=1250)
    return {
        "customers": customer,
        "products": product,
        "prices": price,
        "payment_intents": intent,
        "charges": charge,
        "refunds": stripe.create("refund", charge=charge, payment_intent=intent, amount=250),
        "subscriptions": stripe.create("subscription", customer=customer),
        "invoices": stripe.create("invoice", customer=customer, total=1250, status="open"),
    }


@pytest.mark.parametrize("path", [each.path for each in SHAPES])
def test_every_object_keeps_to_the_specification(stripe: Stripe, client: httpx.Client, path: str) -> None:
    ids = one_of_each(stripe)
    (named,) = (
        each for each in openapi("stripe.com").paths if each.startswith(f"/v1/{path}/{{") and each.count("/") == 3
    )
    assert conforms(client.get(f"/v1/{path}/{ids[path]}"), named)["id"] == ids[path]
    listed = conforms(client.get(f"/v1/{path}"), f"/v1/{path}")
    assert [each["id"] for each in listed["data"]] == [ids[path]]


def test_events_keep_to_the_specification(stripe: Stripe, client: httpx.Client) -> None:
    one_of_each(stripe)
    document = conforms(client.get("/v1/events"), "/v1/events")
    event = conforms(client.get(f"/v1/events/{document['data'][0]['id']}"), "/v1/events/{id}")
    assert (event["type"], event["api_version"], event["pending_webhooks"]) == ("invoice.created", VERSION, 0)


def test_events_are_of_the_types_that_there_are(stripe: Stripe, client: httpx.Client) -> None:
    for shape in SHAPES:
        one = stripe.create(shape.name)
        stripe.update(shape.name, one, metadata={"a": "b"})
        if shape.deletable or shape.name == "subscription":
            stripe.delete(shape.name, one)
    stripe.update("payment_intent", stripe.create("payment_intent"), status="canceled")
    told = {each["type"] for each in client.get("/v1/events?limit=100").json()["data"]}
    assert len(told) == 19
    assert told - openapi("stripe.com").event_types() == set()


def test_a_list_goes_on_after_an_id_the_last_first(stripe: Stripe, client: httpx.Client) -> None:
    made = [stripe.create("customer", email=f"c{at}@example.com") for at in range(7)]
    found: list[str] = []
    query: dict[str, str] = {"limit": "3"}
    more = True
    while more:
        page = client.get("/v1/customers", params=query).json()
        found += [each["id"] for each in page["data"]]
        more, query["starting_after"] = page["has_more"], found[-1]
    assert found == made[::-1]
    back = client.get("/v1/customers", params={"limit": "2", "ending_before": found[3]}).json()
    assert ([each["id"] for each in back["data"]], back["has_more"]) == (found[1:3], True)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("starting_after=", "parameter_invalid_empty"),
        ("starting_after=cus_unheard_of", "resource_missing"),
        ("created[gte]=2026-11-20T12:00:00Z", "parameter_invalid_integer"),
        ("modified=1", "parameter_unknown"),
        ("limit=101", None),
        ("expand[]=email", None),
    ],
)
def test_what_a_list_refuses(client: httpx.Client, query: str, code: str | None) -> None:
    answer = client.get(f"/v1/customers?{query}")
    assert (answer.status_code, answer.json()["error"].get("code")) == (400, code)
    conforms(answer)


def test_an_unknown_id_is_404_and_a_deleted_one_is_said(stripe: Stripe, client: httpx.Client) -> None:
    missing = client.get("/v1/customers/cus_unheard_of")
    assert (missing.status_code, conforms(missing)["error"]["code"]) == (404, "resource_missing")
    gone = stripe.create("customer", email="gone@example.com")
    stripe.delete("customer", gone)
    answer = client.get(f"/v1/customers/{gone}")
    expected = {"id": gone, "object": "customer", "deleted": True}
    assert conforms(answer, "/v1/customers/{customer}") == expected
    assert client.get("/v1/customers").json()["data"] == []
    assert client.get("/v1/events?type=customer.deleted").json()["data"][0]["data"]["object"]["id"] == gone


def test_canceled_subscriptions_are_listed_only_when_asked_for(stripe: Stripe, client: httpx.Client) -> None:
    customer = stripe.create("customer")
    one = stripe.create("subscription", customer=customer)
    stripe.delete("subscription", one)
    assert client.get("/v1/subscriptions").json()["data"] == []
    (found,) = client.get("/v1/subscriptions?status=all").json()["data"]
    assert (found["id"], found["status"]) == (one, "canceled")
    assert client.get("/v1/events?types[]=customer.subscription.deleted").json()["data"]


def test_changes_are_found_by_events_within_bounds(stripe: Stripe, client: httpx.Client) -> None:
    one = stripe.create("customer", email="a@example.com")
    stripe.clock.advance(10)
    stripe.update("customer", one, email="b@example.com")
    found = client.get(f"/v1/events?created[gt]={THEN}&type=customer.updated").json()["data"]
    assert [each["created"] for each in found] == [THEN + 10]
    data = found[0]["data"]
    assert (data["object"]["email"], data["previous_attributes"]) == ("b@example.com", {"email": "a@example.com"})
    assert len(client.get(f"/v1/events?created[gte]={THEN}").json()["data"]) == 2
    stripe.clock.advance(30 * 86_400 - 5)
    assert len(client.get("/v1/events").json()["data"]) == 1


def test_ids_are_expanded(stripe: Stripe, client: httpx.Client) -> None:
    ids = one_of_each(stripe)
    charge = client.get(f"/v1/charges/{ids['charges']}?expand[]=payment_intent.customer").json()
    assert charge["payment_intent"]["customer"]["email"] == "ann@example.com"
    (listed,) = conforms(client.get("/v1/charges?expand[]=data.customer"), "/v1/charges")["data"]
    assert listed["customer"]["name"] == "Ann"
    stripe.delete("customer", ids["customers"])
    gone = conforms(client.get(f"/v1/invoices/{ids['invoices']}?expand[]=customer"), "/v1/invoices/{invoice}")
    assert gone["customer"] == {"id": ids["customers"], "object": "customer", "deleted": True}


@pytest.mark.parametrize(("currency", "amount"), [("usd", 1250), ("jpy", 500), ("kwd", 5120), ("isk", 500)])
def test_amounts_are_whole_minor_units(stripe: Stripe, client: httpx.Client, currency: str, amount: int) -> None:
    one = stripe.create("price", product=stripe.create("product"), currency=currency, unit_amount=amount)
    price = conforms(client.get(f"/v1/prices/{one}"), "/v1/prices/{price}")
    assert (price["unit_amount"], price["unit_amount_decimal"]) == (amount, str(amount))


def test_the_search_is_behind_by_its_lag(stripe: Stripe, client: httpx.Client) -> None:
    stripe.index_lag_s = 60
    one = stripe.create("customer", email="a@example.com", metadata={"crm": "7"})

    def searched(query: str) -> list[str]:
        answer = client.get("/v1/customers/search", params={"query": query})
        return [each["id"] for each in conforms(answer, "/v1/customers/search")["data"]]

    assert searched("email:'a@example.com'") == []
    stripe.clock.advance(61)
    assert searched("email:'a@example.com' AND metadata['crm']:'7'") == [one]
    stripe.delete("customer", one)
    assert searched("email:'a@example.com'") == [one]
    stripe.clock.advance(61)
    assert searched("email:'a@example.com'") == []
    assert client.get("/v1/customers/search?query=name").status_code == 400


def test_limits_name_their_reason(stripe: Stripe, client: httpx.Client) -> None:
    stripe.each_operation = 2
    answers = [client.get("/v1/customers") for _ in range(3)]
    assert [each.status_code for each in answers] == [200, 200, 429]
    assert answers[2].headers["Stripe-Rate-Limited-Reason"] == "endpoint-rate"
    assert conforms(answers[2])["error"]["code"] == "rate_limit"
    stripe.everything.most = 3
    assert client.get("/v1/prices").headers["Stripe-Rate-Limited-Reason"] == "global-rate"
    stripe.clock.advance(1)
    assert client.get("/v1/customers").status_code == 200


def test_the_version_is_the_one_that_was_asked_for(stripe: Stripe, client: httpx.Client) -> None:
    assert client.get("/v1/customers").headers["Stripe-Version"] == VERSION
    stripe.known_versions.add("2025-03-31.basil")
    answer = client.get("/v1/customers", headers={"Stripe-Version": "2025-03-31.basil"})
    assert answer.headers["Stripe-Version"] == "2025-03-31.basil"
    assert client.get("/v1/customers", headers={"Stripe-Version": "1999-01-01"}).status_code == 400


def test_a_key_is_a_bearer_or_the_name_of_a_login(stripe: Stripe) -> None:
    with httpx.Client(base_url=stripe.url, trust_env=False) as client:
        assert client.get("/v1/customers", auth=(SECRET_KEY, "")).status_code == 200
        assert client.get("/v1/customers").status_code == 401
        stripe.revoke()
        answer = client.get("/v1/customers", auth=(SECRET_KEY, ""))
        assert answer.status_code == 401
        conforms(answer)


def test_a_restricted_key_reads_what_it_may(stripe: Stripe, client: httpx.Client) -> None:
    stripe.refused_paths.add("charges")
    assert [client.get(f"/v1/{path}").status_code for path in ("charges", "customers")] == [403, 200]


@pytest.mark.parametrize("status", [401, 403, 404, 409, 429, 500])
def test_refusals_keep_to_the_specification(stripe: Stripe, client: httpx.Client, status: int) -> None:
    stripe.fail(faults.refused(status), on="list_customers")
    answer = client.get("/v1/customers")
    assert (answer.status_code, "Retry-After" in answer.headers) == (status, False)
    conforms(answer)


def test_a_page_comes_twice_or_is_skipped(stripe: Stripe, client: httpx.Client) -> None:
    ids = [stripe.create("customer") for _ in range(6)][::-1]

    def page(after: str) -> list[str]:
        return [each["id"] for each in client.get(f"/v1/customers?limit=2&starting_after={after}").json()["data"]]

    stripe.fail(faults.repeated_page())
    stripe.fail(faults.skipped_page())
    assert [page(ids[1]), page(ids[1]), page(ids[1])] == [ids[:2], ids[4:], ids[2:4]]


# -- beside the two others


@pytest.fixture(scope="module")
def mock() -> Iterator[httpx.Client]:
    with servers.stripe_mock() as url:
        if url is None:
            pytest.skip("stripe-mock cannot be had")
        with _client(url) as client:
            yield client


@pytest.mark.parametrize("path", [each.path for each in SHAPES] + ["events"])
def test_stripe_mock_has_the_same_members(
    mock: httpx.Client, stripe: Stripe, client: httpx.Client, path: str
) -> None:
    one_of_each(stripe)
    theirs = mock.get(f"/v1/{path}").json()
    ours = client.get(f"/v1/{path}").json()
    assert theirs.keys() == ours.keys()
    unknown = ours["data"][0].keys() - theirs["data"][0].keys()
    assert unknown == set()


def test_localstripe_departs_where_it_is_said() -> None:
    with servers.localstripe() as url:
        if url is None:
            pytest.skip("localstripe cannot be had")
        with httpx.Client(base_url=url, auth=(SECRET_KEY, ""), trust_env=False) as client:
            made = [client.post("/v1/customers", data={"email": f"c{at}@example.com"}).json() for at in range(3)]
            first = client.get("/v1/customers?limit=2").json()
            rest = client.get(f"/v1/customers?limit=2&starting_after={first['data'][-1]['id']}").json()
            assert {each["id"] for each in (*first["data"], *rest["data"])} == {each["id"] for each in made}
            assert (first["has_more"], rest["has_more"]) == (True, False)
            assert client.get("/v1/customers?starting_after=").status_code == 400  # as Stripe does
            assert client.get("/v1/events?created[gte]=2026-11-20T12:00:00Z").status_code == 500  # Stripe: 400
            assert client.get("/v1/customers/search?query=email:'a'").status_code == 404
            event = client.get("/v1/events").json()["data"][0]
            assert "pending_webhooks" not in event

"""What is known of Stripe's collections, held to Stripe's OpenAPI document; its currencies, to ISO 4217."""

from __future__ import annotations

from decimal import Decimal

import pytest

from checks.currencies import minor_digits
from probes.exact_json import Undecodable
from probes.records.stripe.money import FURTHER_DIGITS, THREE_DECIMAL, ZERO_DECIMAL, digits, in_iso_units
from probes.records.stripe.shapes import AMOUNTS, COLLECTIONS, INSTANTS, VERSION, Collection
from tests.standins.specifications import openapi
from tests.standins.stripe import VERSION as OF_THE_STAND_IN

TYPES = {"integer": "integer", "number": "decimal", "boolean": "boolean", "array": "array", "object": "json"}


@pytest.fixture(params=list(COLLECTIONS))
def collection(request: pytest.FixtureRequest) -> Collection:
    return COLLECTIONS[request.param]


def test_the_version_is_that_of_the_document() -> None:
    assert openapi("stripe.com").version == VERSION == OF_THE_STAND_IN


def test_members_and_their_types_are_those_of_the_document(collection: Collection) -> None:
    found = {}
    for name, shape in openapi("stripe.com").members(collection.kind).items():
        kind, form = shape.get("type"), shape.get("format")
        if form == "unix-time":
            found[name] = "timestamp"
        elif form == "decimal":
            found[name] = "decimal"
        elif kind == "string" or "x-expansionResources" in shape:
            found[name] = "string"
        else:
            found[name] = TYPES.get(str(kind), "json")
    del found["metadata"]
    assert dict(collection.fields) == found
    assert {name for name, type_ in found.items() if type_ == "timestamp"} <= INSTANTS
    assert collection.included | collection.secret <= {*found}
    amounts = {name for name in found if "amount" in name or "total" in name or "balance" in name}
    assert {name for name in amounts if found[name] in {"integer", "decimal"}} <= AMOUNTS


def test_lists_can_be_narrowed_as_it_is_asked(collection: Collection) -> None:
    parameters = openapi("stripe.com").parameters(f"/v1/{collection.name}")
    asked = {name.removesuffix("[]") for name in (*collection.by.values(), *collection.everything)}
    assert asked | {"limit", "starting_after", "expand"} <= parameters
    assert {*collection.by} <= {*collection.fields}


def test_events_are_of_types_that_there_are_and_no_more_than_fit(collection: Collection) -> None:
    assert {*collection.events} <= openapi("stripe.com").event_types()
    assert 0 < len(collection.events) <= 20


def test_every_instant_of_these_collections_is_known() -> None:
    named = {"unix-time": set[str](), "": set[str]()}
    for collection in COLLECTIONS.values():
        openapi("stripe.com").integers_within(collection.kind, named)
    assert named["unix-time"] <= INSTANTS
    assert INSTANTS & named[""] == {"created", "expires_at"}  # instants, too, without the document's saying so


def test_currencies_are_counted_as_iso_4217_says_but_for_three() -> None:
    every = {*ZERO_DECIMAL.split(), *THREE_DECIMAL.split(), *FURTHER_DIGITS, "USD", "EUR", "HUF", "TWD"}
    for code in every:
        assert minor_digits(code) == digits(code) + FURTHER_DIGITS.get(code, 0), code
    assert (digits("isk"), digits("ugx"), digits("mga"), digits("huf"), digits("twd")) == (2, 2, 0, 2, 2)


@pytest.mark.parametrize(
    ("amount", "currency", "told"),
    [
        (500, "isk", Decimal(5)),
        (501, "ISK", Decimal("5.01")),
        ("7.25", "mga", Decimal(725)),
        (-100, "ugx", Decimal(-1)),
        (500, "usd", 500),
        (500, None, 500),
        (None, "isk", None),
        (True, "isk", True),
        ("many", "isk", "many"),
        ("NaN" * 30, "isk", "NaN" * 30),
        ({"amount": 1}, "isk", {"amount": 1}),
    ],
)
def test_amounts_are_converted_where_they_have_to_be(amount: object, currency: object, told: object) -> None:
    assert in_iso_units(amount, currency) == told


def test_an_amount_whose_currency_cannot_be_read_cannot_be_either() -> None:
    assert isinstance(in_iso_units(5, Undecodable("twice")), Undecodable)

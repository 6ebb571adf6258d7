"""The probe against Stripe's own server of shapes and against an independent implementation with state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest

from probes.contract import MISSING, ProbeError
from probes.records.stripe.probe import StripeProbe
from probes.records.stripe.session import Session
from probes.records.stripe.settings import StripeSettings
from probes.records.stripe.shapes import COLLECTIONS, VERSION
from tests import servers
from tests.probes.records.stripe.test_probe import SPEC, walked

KEY = "sk_test_standin0000000000000000beef"
PATHS = {
    "customers": ("address.city", "invoice_settings.default_payment_method"),
    "subscriptions": ("customer.email", "items.data.price.id", "latest_invoice.total"),
    "invoices": ("customer.email", "lines.data.amount", "status_transitions.paid_at"),
    "prices": ("product.name", "recurring.interval"),
    "products": ("default_price.unit_amount",),
    "payment_intents": ("customer.email", "latest_charge.balance_transaction.net"),
    "charges": ("payment_intent.customer.email", "billing_details.email", "refunds"),
    "refunds": ("charge.amount", "payment_intent.amount"),
}


def settings(url: str) -> StripeSettings:
    return StripeSettings.model_validate({"kind": "stripe", "url": url, "key": KEY, "budget": {"timeout": 30}})


@pytest.fixture(scope="module")
def shapes() -> Iterator[str]:
    with servers.stripe_mock() as url:
        if url is None:
            pytest.skip("stripe-mock cannot be had")
        yield url


@pytest.fixture(scope="module")
def state() -> Iterator[str]:
    with servers.localstripe() as url:
        if url is None:
            pytest.skip("localstripe cannot be had")
        yield url


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_stripe_mock_takes_and_answers_what_is_asked(shapes: str, collection: str) -> None:
    probe = StripeProbe(settings(shapes))
    fields = tuple(COLLECTIONS[collection].fields)
    spec = replace(SPEC, collection=collection, fields=(*fields, *PATHS[collection]))
    (listed,) = probe.page(spec, None, 10).rows
    (read,) = probe.fetch(spec, [str(listed[0])])
    alike = [at for at, name in enumerate(spec.fields) if COLLECTIONS[collection].fields.get(name) != "json"]
    assert [read[2 + at] for at in alike] == [
        listed[2 + at] for at in alike
    ]  # objects hold numbers made up each time
    named = dict(zip(spec.fields, read[2:], strict=True))
    assert isinstance(named["created"], datetime)
    assert MISSING not in {name: named[name] for name in PATHS[collection] if "refunds" not in name}.values()
    assert isinstance(probe.inspect(spec), tuple)
    assert probe.changed(spec, datetime(2020, 1, 1, tzinfo=UTC), 10).next is None
    probe.close()


@pytest.mark.parametrize(
    ("collection", "member"),
    [(name, member) for name, collection in COLLECTIONS.items() for member in collection.by],
)
def test_stripe_mock_knows_what_lists_are_narrowed_by(shapes: str, collection: str, member: str) -> None:
    session = Session(settings(shapes))
    query = [(COLLECTIONS[collection].by[member], "x"), *COLLECTIONS[collection].everything.items(), ("limit", "2")]
    assert session.ask(collection, query)["object"] == "list"
    session.close()


def test_stripe_mock_speaks_the_version_that_is_asked_for(shapes: str) -> None:
    answer = httpx.get(f"{shapes}/v1/customers", auth=(KEY, ""), headers={"Stripe-Version": VERSION}, trust_env=False)
    assert answer.status_code == 200


def test_localstripe_is_read_by_id_and_in_pages(state: str) -> None:
    with httpx.Client(base_url=state, auth=(KEY, ""), trust_env=False) as client:
        made = [
            client.post("/v1/customers", data={"email": f"c{at}@x.example", "metadata[crm]": f"K{at}"}).json()["id"]
            for at in range(7)
        ]
        probe = StripeProbe(settings(state))
        spec = replace(SPEC, fields=("email", "metadata.crm"))
        assert probe.fetch(spec, [made[3]]) == [(made[3], None, "c3@x.example", "K3")]
        with pytest.raises(ProbeError, match="404"):
            probe.fetch(spec, ["cus_unheard"])  # it does not say resource_missing, as Stripe does
        assert sorted(row[0] for row in walked(probe, spec, 3)) == sorted(made)
        with pytest.raises(ProbeError, match="Unexpected types"):
            probe.changed(spec, datetime.now(UTC), 10)  # its events cannot be narrowed to several types
        client.delete(f"/v1/customers/{made[5]}")
        assert sorted(row[0] for row in walked(probe, spec, 2)) == sorted({*made} - {made[5]})
        probe.close()

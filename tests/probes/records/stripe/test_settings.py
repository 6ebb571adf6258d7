"""What the map may say of an account."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from probes.records.stripe.settings import StripeBinding, StripeSettings

RIGHT = {"kind": "stripe", "key": "rk_live_a-secret"}
BINDING = {"collection": "customers", "key": "id"}


def test_an_account_is_its_key() -> None:
    found = StripeSettings.model_validate(RIGHT)
    assert (found.url, found.api_version, found.clock_slack_s) == ("https://api.stripe.com", "2026-08-26.dahlia", 5)
    assert "a-secret" not in repr(found)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"key": "pk_live_1"}, "a publishable key"),
        ({"key": ""}, "is empty"),
        ({"key": "rk_live_1\n"}, "begins or ends with"),
        ({"key": "rk_live_\u0439"}, "no header can carry"),
        ({"account": "cus_1"}, "account"),
        ({"api_version": "latest"}, "api_version"),
        ({"url": "http://api.stripe.com"}, "not the address of Stripe's API"),
        ({"url": "http://proxy.example.com"}, "http:// is accepted for this machine alone"),
        ({"url": "proxy"}, "not a URL; it begins with https://"),
        ({"url": "https://api.stripe.com/v1"}, "not the address of Stripe's API"),
        ({"url": "https://user:word@api.stripe.com"}, "not the address of Stripe's API"),
        ({"retries": 11}, "retries"),
    ],
)
def test_a_wrong_word_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        StripeSettings.model_validate(RIGHT | changed)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"collection": "customer"}, "did you mean 'customers'"),
        ({"collection": "payouts"}, "no readable collection named 'payouts'"),
        ({"changed_at": "created"}, "created never changes after the object is created.*event.created"),
        ({"changed_at": "updated"}, "updated is not a change stamp"),
        ({"changed_at": "event.created", "changed_at_unit": "s"}, "is already an instant"),
        ({"version": "created"}, "no increasing number"),
        ({"key": "metadata[crm]"}, "not a member of an object"),
        ({"fields": {"name": ".name"}}, "not a member of an object"),
    ],
)
def test_a_wrong_word_of_a_binding_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        StripeBinding.model_validate(BINDING | changed)


def test_a_spec_says_that_records_carry_no_mark() -> None:
    binding = StripeBinding.model_validate(BINDING | {"changed_at": "event.created"})
    spec = binding.spec("customer", ["name"], zone=None)
    assert (spec.finds_changes, spec.marks_records, list(binding.notes())) == (True, False, [])


def test_a_key_for_which_the_list_is_walked_is_remarked() -> None:
    notes = dict(StripeBinding.model_validate(BINDING | {"key": "metadata.crm_id"}).notes())
    assert "one call per 100 customers" in notes["key"]
    assert not list(StripeBinding.model_validate(BINDING | {"key": "email"}).notes())

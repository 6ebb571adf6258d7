"""What the map may say of an org."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from probes.records.salesforce.settings import SalesforceBinding, SalesforceSettings

RIGHT = {
    "kind": "salesforce",
    "url": "https://example.my.salesforce.com/",
    "client_id": "3MVG9",
    "client_secret": "a-secret",
}
KEY = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"


def test_an_org_is_its_address_and_an_app() -> None:
    found = SalesforceSettings.model_validate(RIGHT)
    assert found.url == "https://example.my.salesforce.com"
    assert found.clock_slack_s == 600
    assert "a-secret" not in repr(found)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"url": "http://example.my.salesforce.com"}, "not an org's address"),
        ({"url": "https://example.lightning.force.com"}, "My Domain"),
        ({"url": "https://Login.salesforce.com/"}, "My Domain"),
        ({"url": "https://user:word@example.my.salesforce.com"}, "not an org's address"),
        ({"url": "https://example.my.salesforce.com/services/data"}, "not an org's address"),
        ({"client_secret": None}, "client_secret"),
        ({"private_key": KEY, "username": "a@example.com"}, "cannot be combined"),
        ({"client_secret": None, "refresh_token": "r", "private_key": KEY, "username": "a"}, "cannot be combined"),
        ({"client_secret": None, "private_key": "x", "username": "a@example.com"}, "not a private key in PEM"),
        ({"retries": -1}, "retries"),
        ({"username": "a@example.com"}, "only for private_key"),
        ({"client_secret": None, "private_key": KEY}, "only for private_key"),
        ({"api_version": "62"}, "api_version"),
        ({"event_bus": "https://api.pubsub.salesforce.com"}, "not HOST:PORT"),
        ({"event_bus": "api.pubsub.salesforce.com:7443/x"}, "not HOST:PORT"),
    ],
)
def test_a_wrong_word_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SalesforceSettings.model_validate(RIGHT | changed)


@pytest.mark.parametrize(
    "changed",
    [
        {"collection": "Account; DELETE"},
        {"key": "Id FROM User --"},
        {"changed_at": "SystemModstamp,Name"},
        {"version": "Number__c"},
        {"fields": {"owner": "Account.Owner.Name"}},
        {"fields": {"name": "Name, Secret__c"}},
    ],
)
def test_only_api_names_get_into_a_query(changed: dict[str, Any]) -> None:
    right = {"collection": "Account", "key": "Id", "changed_at": "SystemModstamp", "fields": {"n": "Owner.Name"}}
    SalesforceBinding.model_validate(right)
    with pytest.raises(ValidationError):
        SalesforceBinding.model_validate(right | changed)

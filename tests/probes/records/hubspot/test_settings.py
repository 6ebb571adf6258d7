"""What the map may say of an account."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from probes.records.hubspot.settings import HubSpotBinding, HubSpotSettings

OAUTH = {"client_id": "c", "client_secret": "s", "refresh_token": "r"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({}, "set token"),
        ({"token": ""}, "is empty"),
        ({"token": "a\nb"}, "no header can carry"),
        ({"token": "t", **OAUTH}, "token cannot be combined"),
        ({"client_id": "c", "client_secret": "s"}, "set token"),
        ({"token": "t", "url": "http://api.example.com"}, "not the address"),
        ({"token": "t", "url": "https://user@api.example.com"}, "url"),
        ({"token": "t", "url": "https://api.example.com/crm"}, "not the address"),
        ({"token": "t", "retries": 11}, "retries"),
    ],
)
def test_what_is_refused(words: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        HubSpotSettings.model_validate({"kind": "hubspot", **words})


def test_the_search_lags_by_default_and_reads_by_key_do_not() -> None:
    found = HubSpotSettings.model_validate({"kind": "hubspot", "token": "t"})
    assert (found.url, found.delay_floor_s, found.stale_reads_s) == ("https://api.hubapi.com", 300, 0)
    assert HubSpotSettings.model_validate({"kind": "hubspot", **OAUTH, "delay_floor": "1m"}).delay_floor_s == 60


@pytest.mark.parametrize(
    "words",
    [
        {"collection": "deals/batch"},
        {"key": "e-mail"},
        {"changed_at": "last modified"},
        {"version": "hs_version"},
        {"fields": {"name": "a,b"}},
        {"fields": {"name": "associations."}},
        {"fields": {"name": "associations.a/b"}},
    ],
)
def test_bindings_that_are_refused(words: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        HubSpotBinding.model_validate({"collection": "contacts", "key": "email", **words})


def test_bindings_of_custom_types_and_associations() -> None:
    fields = {"companies": "associations.companies", "boats": "associations.2-77"}
    found = HubSpotBinding.model_validate({"collection": "2-12345", "key": "id", "fields": fields})
    spec = found.spec("boat", ["companies", "boats"], zone=None)
    assert spec.fields == ("associations.companies", "associations.2-77")

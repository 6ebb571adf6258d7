"""The map's settings of a HubSpot account, and of a data type in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from probes.durations import Duration
from probes.http.settings import Retries, check_api_address, check_header_value
from probes.settings import Binding, OperationLimits, SystemSettings
from probes.sign_in_words import SignIn, SignInWord

INDEX_LAG_S = 300.0
"""How long a change may be missing from the search. HubSpot says "a few moments", without a bound ("Search the CRM",
"Limitations"); Estuary's connector, which many accounts use, waits five minutes (estuary/connectors, pull request
1549)."""

SEARCH = "search"
"""The operation that an account limits apart: five a second, for all its apps together; an older limit was four for
each token. Responses do not say what is left of it.

Source: "API usage guidelines and limits"; changelog "CRM Search API Rate Limit Increase"."""

ASSOCIATIONS = "associations."
"""Begins the name of a field that holds the ids of associated records."""

API = "https://api.hubapi.com"

SIGN_IN = SignIn(
    words=(
        SignInWord(
            word="token",
            label="Access token",
            help="Of a private app, which HubSpot's settings list under Private Apps. Give it read scopes alone: "
            "crm.objects.contacts.read, crm.objects.companies.read and so on for what is audited, and "
            "crm.schemas.custom.read for custom objects.",
            placeholder="pat-eu1-...",
            secret=True,
            hidden=True,
        ),
        SignInWord(
            word="url",
            label="API address",
            help="Another one than HubSpot's own only behind a proxy.",
            placeholder=API,
            usual=API,
        ),
    ),
    calls_per_s=9,
)
"""A free account allows 100 calls in ten seconds. Source: "API usage guidelines and limits"."""

_COLLECTION = re.compile(r"[A-Za-z]\w{0,250}|\d{1,9}-\d{1,18}")
_PROPERTY = re.compile(r"\w{1,250}", re.ASCII)


class HubSpotSettings(SystemSettings):
    """A HubSpot account.

    Attributes:
        token: access token of a private app.
        client_id, client_secret, refresh_token: instead, of an OAuth app and of a user who has authorized it.
        url: another address than HubSpot's own, for a proxy or for tests.
        retries: the most retries of a request.
        delay_floor_s: how long a change may be missing from the search; reads by key are never stale.
    """

    operations: ClassVar[Mapping[str, OperationLimits]] = {SEARCH: OperationLimits(calls_per_s=4)}

    kind: Literal["hubspot"]
    token: SecretStr | None = None
    client_id: str | None = Field(default=None, min_length=1)
    client_secret: SecretStr | None = Field(default=None, min_length=1)
    refresh_token: SecretStr | None = Field(default=None, min_length=1)
    url: str = API
    retries: Retries = 2
    delay_floor_s: Duration = Field(default=INDEX_LAG_S, alias="delay_floor")

    @property
    def stale_reads_s(self) -> float:
        """Records read by key are never stale: only the search is."""
        return 0.0

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        return check_api_address(
            url, f"not the address of an API; it is {API}, or a proxy's, such as https://proxy.example.com"
        )

    @field_validator("token")
    @classmethod
    def _can_be_sent(cls, token: SecretStr | None) -> SecretStr | None:
        return None if token is None else check_header_value(token)

    @model_validator(mode="after")
    def _signs_in_one_way(self) -> HubSpotSettings:
        oauth = (self.client_id, self.client_secret, self.refresh_token)
        if self.token is not None and any(each is not None for each in oauth):
            raise ValueError("token cannot be combined: remove client_id, client_secret and refresh_token, or token")
        if self.token is None and any(each is None for each in oauth):
            raise ValueError("set token (a private app), or client_id, client_secret and refresh_token (OAuth)")
        return self


class HubSpotBinding(Binding):
    """A type of CRM objects; fields are its properties, or `associations.TYPE` for the ids of associated records."""

    @field_validator("collection")
    @classmethod
    def _is_type(cls, name: str) -> str:
        if not _COLLECTION.fullmatch(name):
            raise ValueError(
                f"{name!r} is not a type of objects; write for example contacts, or 2-12345 for a custom one"
            )
        return name

    @field_validator("key", "changed_at")
    @classmethod
    def _is_property(cls, name: str | None) -> str | None:
        if name is not None and not _PROPERTY.fullmatch(name):
            raise ValueError(f"{name!r} is not a property; write its internal name, for example email")
        return name

    @field_validator("version")
    @classmethod
    def _has_none(cls, name: str | None) -> str | None:
        if name is not None:
            raise ValueError(
                "HubSpot has no increasing number: use changed_at: hs_lastmodifieddate (contacts: lastmodifieddate)"
            )
        return name

    @field_validator("fields")
    @classmethod
    def _are_fields(cls, fields: dict[str, str]) -> dict[str, str]:
        for name in fields.values():
            of_type = name.removeprefix(ASSOCIATIONS) if name.startswith(ASSOCIATIONS) else None
            if not (_PROPERTY.fullmatch(name) if of_type is None else _COLLECTION.fullmatch(of_type)):
                raise ValueError(f"{name!r} is not a property; write its internal name, or associations.companies")
        return fields

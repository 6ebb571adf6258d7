"""The map's settings for a Salesforce org, and for a data type in it."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from probes.durations import Duration
from probes.http.settings import Retries, check_api_address, check_private_key
from probes.record_links import COLLECTION, KEY, OWN_KEY
from probes.settings import Binding, SystemSettings
from probes.sign_in_words import SignIn, SignInWord

LATE_COMMIT_S = 600.0
"""How long after its SystemModstamp a change may be committed: a call of the API ends after ten minutes.

Source: Salesforce Developer Limits and Allocations, "API Timeout Limits"; SOAP API Developer Guide,
"GetUpdatedResult" (a long-running transaction commits records with earlier stamps)."""

SIGN_IN = SignIn(
    words=(
        SignInWord(
            word="url",
            label="Address of the org",
            help="The org's own (My Domain).",
            placeholder="https://example.my.salesforce.com",
        ),
        SignInWord(
            word="client_id",
            label="Consumer key",
            help="Of a connected app with the scope api and the client credentials flow. The user that it runs as "
            "needs read access to the objects and fields that are audited, with View All.",
            placeholder="3MVG9...",
            secret=True,
        ),
        SignInWord(
            word="client_secret",
            label="Consumer secret",
            help="Of the same app.",
            secret=True,
            hidden=True,
        ),
    ),
)
"""For the client credentials flow; the other flows are set in the map. Calls are limited by the day alone."""

_SHARED = frozenset({"login.salesforce.com", "test.salesforce.com"})
"""Where people of any org log in."""

_PAGES = (".lightning.force.com", ".salesforce-setup.com")
"""End the hosts of an org's pages, which have no API."""

_NAME = re.compile(r"[A-Za-z]\w{0,254}")
_PATH = re.compile(r"[A-Za-z]\w{0,254}(\.[A-Za-z]\w{0,254})?")
_PLACE = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):\d{1,5}")


class SalesforceSettings(SystemSettings):
    """A Salesforce org.

    Attributes:
        url: the org's own address (My Domain), such as `https://example.my.salesforce.com`.
        client_id: the consumer key of the connected app.
        client_secret: its consumer secret, for the client credentials flow.
        refresh_token: of a user who has allowed the connected app, for the refresh token flow.
        private_key: in PEM, of the certificate in the connected app, for the JWT bearer flow.
        username: the user that the JWT bearer flow signs in.
        audience: whom a JWT is addressed to; `https://test.salesforce.com` for a sandbox.
        api_version: the version of the API to use.
        retries: the most retries after a transient failure.
        bulk: list the keys of large objects by query jobs of Bulk API 2.0.
        change_events: subscribe to the change events of the objects that flows start from.
        event_bus: `HOST:PORT` of the Pub/Sub API; an org whose data stays in the EU has another than the default.
    """

    kind: Literal["salesforce"]
    url: str
    client_id: SecretStr
    client_secret: SecretStr | None = None
    refresh_token: SecretStr | None = Field(default=None, min_length=1)
    private_key: SecretStr | None = None
    username: str | None = None
    audience: str = "https://login.salesforce.com"
    api_version: str = Field(default="62.0", pattern=r"^\d{2,3}\.0$")
    retries: Retries = 2
    bulk: bool = True
    change_events: bool = False
    event_bus: str = "api.pubsub.salesforce.com:7443"
    clock_slack_s: Duration = Field(default=LATE_COMMIT_S, alias="clock_slack")

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        address = check_api_address(url, "not an org's address; write for example https://example.my.salesforce.com")
        host = address.partition("://")[2].partition(":")[0].lower()
        if host in _SHARED or host.endswith(_PAGES):
            raise ValueError(
                "not the org's own address; write its My Domain, such as https://example.my.salesforce.com, which "
                "Salesforce's Setup shows under My Domain"
            )
        return address

    @field_validator("event_bus")
    @classmethod
    def _is_place(cls, place: str) -> str:
        if not _PLACE.fullmatch(place):
            raise ValueError(f"{place!r} is not HOST:PORT; write for example api.pubsub.salesforce.com:7443")
        return place

    @field_validator("private_key")
    @classmethod
    def _is_key(cls, key: SecretStr | None) -> SecretStr | None:
        return None if key is None else check_private_key(key)

    @model_validator(mode="after")
    def _signs_in_one_way(self) -> SalesforceSettings:
        if self.private_key is not None and (self.client_secret is not None or self.refresh_token is not None):
            raise ValueError(
                "private_key (JWT) cannot be combined: remove client_secret and refresh_token, or private_key"
            )
        if self.private_key is None and self.client_secret is None and self.refresh_token is None:
            raise ValueError("set client_secret (client credentials), refresh_token, or private_key (JWT)")
        if (self.private_key is None) != (self.username is None):
            raise ValueError("username is only for private_key: it is the user that the JWT signs in")
        return self


class SalesforceBinding(Binding):
    """An object; fields are its own (`Name`), or those of a record it refers to (`Account.Name`)."""

    def own_link(self, system: SystemSettings) -> str | None:
        """The record's page in Lightning, which goes by the record's id.

        Source: Lightning Aura Components Developer Guide, "pageReference Types", "Record Page Type".
        """
        if not isinstance(system, SalesforceSettings) or self.key != "Id":
            return None
        key = KEY if self.crosswalk is None else OWN_KEY
        return f"{system.url.rstrip('/')}/lightning/r/{{{COLLECTION}}}/{{{key}}}/view"

    @field_validator("collection", "key", "changed_at")
    @classmethod
    def _is_name(cls, name: str | None) -> str | None:
        if name is not None and not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not an API name; write for example Account or Customer_Number__c")
        return name

    @field_validator("version")
    @classmethod
    def _has_none(cls, name: str | None) -> str | None:
        if name is not None:
            raise ValueError("Salesforce has no increasing number: use changed_at: SystemModstamp")
        return name

    @field_validator("fields")
    @classmethod
    def _are_paths(cls, fields: dict[str, str]) -> dict[str, str]:
        for path in fields.values():
            if not _PATH.fullmatch(path):
                raise ValueError(f"{path!r} is not a field; write its API name, or Account.Name for one of a parent")
        return fields

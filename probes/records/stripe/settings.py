"""The map's settings of a Stripe account, and of a data type in it. Loads no driver."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from probes.contract import WRITTEN_FREELY
from probes.durations import Duration
from probes.http.settings import Retries, check_api_address, check_header_value
from probes.letter_case import CASELESS
from probes.records.stripe.shapes import COLLECTIONS, VERSION
from probes.settings import Binding, SystemSettings
from probes.sign_in_words import SignIn, SignInWord
from probes.wording import did_you_mean

LATEST_EVENT = "event.created"
"""Names the time of a record's latest event, the closest thing to a change stamp."""

LATE_EVENT_S = 5.0
"""How long after the time of its event a change may be committed: events count whole seconds, and Stripe
does not document how close the two are."""

API = "https://api.stripe.com"

SIGN_IN = SignIn(
    words=(
        SignInWord(
            word="key",
            label="Restricted key",
            help="Stripe's Dashboard creates one under API keys. Give it read permission for what is audited, such "
            "as customers and subscriptions, and for events; every other permission is None.",
            placeholder="rk_live_...",
            secret=True,
            hidden=True,
        ),
        SignInWord(
            word="url",
            label="API address",
            help="Another one than Stripe's own only behind a proxy.",
            placeholder=API,
            usual=API,
        ),
    ),
    calls_per_s=20,
)
"""An endpoint allows 25 calls a second, and so does a sandbox as a whole. Source: docs.stripe.com/rate-limits."""

_PATH = re.compile(r"[A-Za-z_]\w*(\.[^.\[\]]{1,100}){0,8}")


class StripeSettings(SystemSettings):
    """A Stripe account.

    Attributes:
        key: a restricted key (`rk_`) with read permissions.
        account: the connected account that a platform reads (Connect).
        api_version: the version of the API to request; the account's own does not matter.
        url: another address than Stripe's own, for a proxy or for tests.
        retries: the most retries of a request.
    """

    kind: Literal["stripe"]
    key: SecretStr
    account: str | None = Field(default=None, pattern=r"^acct_\w{1,100}$")
    api_version: str = Field(default=VERSION, pattern=r"^\d{4}-\d\d-\d\d(\.[a-z]{1,40})?$")
    url: str = API
    retries: Retries = 2
    clock_slack_s: Duration = Field(default=LATE_EVENT_S, alias="clock_slack")

    @field_validator("key")
    @classmethod
    def _can_read(cls, key: SecretStr) -> SecretStr:
        text = key.get_secret_value()
        if text.startswith("pk_"):
            raise ValueError(
                "a publishable key (pk_) cannot read; create a restricted key (rk_) with read permissions"
            )
        if text != text.strip():
            raise ValueError("begins or ends with a space or a line break")
        return check_header_value(key)

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        return check_api_address(
            url, f"not the address of Stripe's API; it is {API}, or a proxy's, such as https://proxy.example.com"
        )


class StripeBinding(Binding):
    """A collection; fields are members of its objects, of objects in them, and of objects they refer to."""

    @field_validator("collection")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in COLLECTIONS:
            raise ValueError(f"Stripe has no readable collection named {name!r}{did_you_mean(name, COLLECTIONS)}")
        return name

    @field_validator("changed_at")
    @classmethod
    def _tells_changes(cls, name: str | None) -> str | None:
        if name is not None and name != LATEST_EVENT:
            why = "never changes after the object is created" if name == "created" else "is not a change stamp"
            raise ValueError(
                f"{name} {why}: Stripe's objects do not record when they changed. Write {LATEST_EVENT}, the time of "
                "the object's latest event"
            )
        return name

    @field_validator("changed_at_unit")
    @classmethod
    def _is_instant(cls, unit: str | None) -> str | None:
        if unit is not None:
            raise ValueError(f"{LATEST_EVENT} is already an instant: leave changed_at_unit out")
        return unit

    @field_validator("version")
    @classmethod
    def _has_none(cls, name: str | None) -> str | None:
        if name is not None:
            raise ValueError(f"Stripe has no increasing number: use changed_at: {LATEST_EVENT}")
        return name

    @field_validator("key")
    @classmethod
    def _is_path(cls, path: str) -> str:
        if not _PATH.fullmatch(path):
            raise ValueError(f"{path!r} is not a member of an object; write for example id or metadata.crm_id")
        return path

    @field_validator("fields")
    @classmethod
    def _are_paths(cls, fields: dict[str, str]) -> dict[str, str]:
        for path in fields.values():
            if not _PATH.fullmatch(path):
                raise ValueError(f"{path!r} is not a member of an object; write for example email or customer.email")
        return fields

    @property
    def marks_records(self) -> bool:
        """Only the list of changes shows when a record changed."""
        return False

    def notes(self) -> Iterator[tuple[str, str]]:
        """What a map's author should know about these settings."""
        (key,) = self.key_fields
        if walks(self.collection, key):
            yield "key", walking(self.collection, key)


def walks(collection: str, key: str) -> bool:
    """Whether records are found by this key only by reading the whole list."""
    return key != "id" and key not in COLLECTIONS[collection].by


def walking(collection: str, key: str, key_type: str = "string") -> str:
    """The note on such a key."""
    if key_type in WRITTEN_FREELY:
        word = "lower" if key_type == CASELESS else "e164"
        return (
            f"Stripe compares {key} as it is written, so each read by key walks the whole list, one call per 100 "
            f"{collection}. If Stripe holds every key in its one form, say key_written: {word}"
        )
    return (
        f"Stripe finds {collection} by {key} only with Search, which lags and is never used for verdicts: each "
        f"read by key walks the whole list, one call per 100 {collection}. Unless there are few of them, make id "
        "the key and store Stripe's id in the other system"
    )

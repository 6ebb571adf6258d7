"""A webhook: a notice as JSON, for another program, signed if the map has a secret.

The signature is made like Stripe's (https://docs.stripe.com/webhooks#verify-manually): HMAC-SHA-256 over the time in
seconds, a dot and the body, in hexadecimal, in the header `Plumbline-Signature: t=1700000000,v1=...`.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr, field_validator

from auditor.senders.contract import TIMEOUT_S, Address, Receipt, SenderSettings
from auditor.senders.json_post import JsonPost

SIGNATURE = "Plumbline-Signature"

SHORTEST_SECRET = 16


def signature(body: bytes, secret: str, at_s: int) -> str:
    """The value of the signature's header for a body sent at an instant. Pure."""
    digest = hmac.new(secret.encode(), f"{at_s}.".encode() + body, "sha256").hexdigest()
    return f"t={at_s},v1={digest}"


class WebhookSettings(SenderSettings):
    """Another program that hears of incidents as JSON.

    Attributes:
        secret: the key of the signature, shared with the program; None for no signature.
    """

    title = "a webhook"
    address_word = "url"

    url: Address
    secret: SecretStr | None = None

    @field_validator("secret")
    @classmethod
    def _long_enough(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and len(secret.get_secret_value()) < SHORTEST_SECRET:
            raise ValueError(f"write at least {SHORTEST_SECRET} characters, or leave secret out to send unsigned")
        return secret


class WebhookSender:
    """Posts notices to a program's address."""

    def __init__(
        self, settings: WebhookSettings, *, dashboard: str | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        secret = settings.secret.get_secret_value() if settings.secret else ""

        def signed(body: bytes) -> dict[str, str]:
            return {SIGNATURE: signature(body, secret, int(time.time()))} if secret else {}

        self._post = JsonPost(settings.url.get_secret_value(), timeout_s=timeout_s, sign=signed, secrets=[secret])

    def send(self, notice: Mapping[str, Any], *, possible_repeat: bool) -> Receipt:
        return self._post.send({**notice, "possible_repeat": possible_repeat})

    def close(self) -> None:
        self._post.cut_off()

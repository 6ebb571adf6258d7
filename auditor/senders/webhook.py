"""A webhook: a notice as JSON, for another program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auditor.senders.contract import TIMEOUT_S, Address, Receipt, SenderSettings
from auditor.senders.json_post import JsonPost


class WebhookSettings(SenderSettings):
    """Another program that hears of incidents as JSON."""

    title = "a webhook"
    address_word = "url"

    url: Address


class WebhookSender:
    """Posts notices to a program's address."""

    def __init__(
        self, settings: WebhookSettings, *, dashboard: str | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._post = JsonPost(settings.url.get_secret_value(), timeout_s=timeout_s)

    def send(self, notice: Mapping[str, Any], *, possible_repeat: bool) -> Receipt:
        return self._post.send({**notice, "possible_repeat": possible_repeat})

    def close(self) -> None:
        self._post.cut_off()

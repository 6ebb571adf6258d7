"""A webhook: a notice as JSON, for another program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auditor.alerts.contract import TIMEOUT_S, Receipt, post_json
from probes.bounded_http import BoundedClient


class WebhookSender:
    """Posts notices to a program's address, which is a secret."""

    name = "webhook"

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = BoundedClient(timeout_s=TIMEOUT_S)

    def send(self, notice: Mapping[str, Any], *, possible_repeat: bool) -> Receipt:
        return post_json(self._client, self._url, {**notice, "possible_repeat": possible_repeat})

    def close(self) -> None:
        self._client.cut_off()

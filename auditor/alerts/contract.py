"""What a sender is, and how a try to send can end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import httpx

from probes.bounded_http import BoundedClient, beginning
from probes.records.answers import retry_after_s
from probes.secrets import Scrubber, secret_parts

TIMEOUT_S = 10.0
"""The deadline of one try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """How one try ended.

    Attributes:
        outcome: `sent`; `refused`, certainly not delivered and worth another try; `rejected`, certainly not
            delivered and never will be; `ambiguous`, it may have arrived.
        retry_after_s: how long the receiver asks to wait.
    """

    outcome: Literal["sent", "refused", "rejected", "ambiguous"]
    error: str = ""
    retry_after_s: float | None = None


class Sender(Protocol):
    """Sends one notice; never raises, never puts its secret address into the receipt."""

    name: str

    def send(self, notice: Mapping[str, Any], *, possible_repeat: bool) -> Receipt:
        """Try once; answers within `TIMEOUT_S`."""

    def close(self) -> None:
        """Cut off a try under way, from another thread."""


def post_json(client: BoundedClient, url: str, payload: Mapping[str, Any]) -> Receipt:
    """POST JSON, in ASCII so that any text can be sent, and say what is certain afterwards."""
    body, headers = json.dumps(payload), {"Content-Type": "application/json"}
    try:
        with client.stream("POST", url, content=body, headers=headers) as response:
            said = b"" if response.is_success else beginning(response)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        return Receipt(outcome="refused", error=f"no connection ({type(error).__name__})")
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError):
        return Receipt(outcome="rejected", error="the address is not a URL")
    except httpx.HTTPError as error:
        return Receipt(outcome="ambiguous", error=f"no answer ({type(error).__name__})")
    told = f"HTTP {response.status_code}: {scrubber_of(url)(' '.join(said.decode(errors='replace').split()))[:100]}"
    if response.is_success:
        return Receipt(outcome="sent")
    if response.status_code == 429:
        wait_s = retry_after_s(response.headers.get("retry-after"), response.headers.get("date"))
        return Receipt(outcome="refused", error=told, retry_after_s=wait_s)
    if response.status_code >= 500:
        return Receipt(outcome="ambiguous", error=told)
    return Receipt(outcome="rejected", error=told)


def scrubber_of(url: str) -> Scrubber:
    """What takes a sender's address out of a text: the whole of it, its login, and its path, which is the secret of a
    webhook."""
    return Scrubber.of_address(url, url, *secret_parts(url))

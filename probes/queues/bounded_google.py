"""Requests of google-auth, sent within the bounds of every other HTTP exchange.

google-auth's own transport waits up to two minutes for a token and reads a response to its end.
Source: google-auth's reference, `google.auth.transport.Request`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from probes.bounded_http import BoundedClient
from probes.contract import ProbeError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Response:
    """The parts of a response that google-auth reads."""

    status: int
    headers: Mapping[str, str]
    data: bytes


def bounded_request(client: BoundedClient) -> Any:
    """The callable with which google-auth sends a request."""
    import google.auth.exceptions
    import google.auth.transport

    request: Any = google.auth.transport.Request
    failure: Any = google.auth.exceptions.TransportError

    class BoundedRequest(request):  # type: ignore[misc]
        def __call__(
            self, url: str, method: str = "GET", body: Any = None, headers: Any = None, timeout: Any = None, **_: Any
        ) -> _Response:
            try:
                answer = client.ask(method, url, content=body, headers=headers)
            except (httpx.HTTPError, ProbeError) as error:
                raise failure(f"no token: {type(error).__name__}") from error
            return _Response(status=answer.status_code, headers=answer.headers, data=answer.content)

    return BoundedRequest()

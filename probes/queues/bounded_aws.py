"""Requests of boto3, sent within the bounds of every other HTTP exchange.

botocore reads a response to its end, however long it is, and limits only each wait for the socket. A handler of
`before-send` may return the response instead, which is how its own stubs work.
Source: botocore's events reference, `before-send`.
"""

from __future__ import annotations

import os
import ssl
from typing import Any

import httpx

from probes.bounded_http import BoundedClient, unpacked
from probes.call_deadline import becomes
from probes.contract import ProbeError, Reason
from probes.exact_json import TooManyError, check_values, weight

AWS_LIMIT_BYTES = 4 * 1024 * 1024
"""The largest response: SQS returns ten messages of one MiB together, and botocore's own reading of it takes many
times as much memory."""

OWN_HEADERS = frozenset({"accept-encoding", "transfer-encoding"})
"""Headers that the exchange sets itself."""


class BoundedExchange:
    """Sends the requests of boto3 clients.

    Args:
        timeout_s: the deadline of one exchange.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        bundle = os.environ.get("AWS_CA_BUNDLE")
        verify = ssl.create_default_context(cafile=bundle) if bundle else True
        self._http = BoundedClient(timeout_s=timeout_s, verify=verify)

    def attach(self, client: Any) -> None:
        """Take over this client's requests."""
        client.meta.events.register("before-send", self._send)

    def _send(self, request: Any, **_: Any) -> Any:
        from botocore.awsrequest import AWSResponse
        from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError

        body = request.body
        headers = {
            name: value.decode("latin-1") if isinstance(value, bytes) else str(value)
            for name, value in request.headers.items()
            if name.lower() not in OWN_HEADERS
        }
        if body is not None and not isinstance(body, bytes | bytearray | str):
            raise ProbeError(Reason.QUERY, "a request to AWS with a body that is a stream is never sent")
        try:
            with self._http.stream(request.method, request.url, content=body, headers=headers) as response:
                content = b"".join(unpacked(response, AWS_LIMIT_BYTES))
            check_values(content)
            becomes(weight(content))
        except TooManyError as error:
            raise ProbeError(Reason.TOO_LARGE, f"AWS answered {error}") from None
        except httpx.ConnectTimeout:
            raise ConnectTimeoutError(endpoint_url=request.url) from None
        except httpx.TimeoutException:
            raise ReadTimeoutError(endpoint_url=request.url) from None
        except httpx.HTTPError as error:
            raise EndpointConnectionError(endpoint_url=request.url, error=type(error).__name__) from None
        answer = AWSResponse(request.url, response.status_code, dict(response.headers), None)
        answer._content = content
        return answer

    def close(self) -> None:
        """End running exchanges."""
        self._http.close()

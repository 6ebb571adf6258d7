"""HTTP within bounds: one deadline for a whole exchange, and a limit on the unpacked size of a response.

A few compressed bytes can stand for gigabytes, and a server that sends a byte now and then never exceeds the timeout
of a single wait.
"""

from __future__ import annotations

import os
import ssl
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import httpx

from probes.call_deadline import begins, came, left, within
from probes.contract import ProbeError, Reason
from probes.deadline import Deadline
from probes.metering import spend

ANSWER_LIMIT_BYTES = 16 * 1024 * 1024
"""The largest response, unpacked: a server that never stops sending must not fill the memory."""

ERROR_LIMIT_BYTES = 2_000
"""Most bytes read of an error response."""

STEP_BYTES = 64 * 1024
"""Bytes unpacked at once."""


def trusted() -> ssl.SSLContext:
    """The certificate authorities to trust, shared by all clients: loading them takes longer than most requests."""
    return _trusted(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@cache
def _trusted(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    """By the variables of the environment that httpx reads."""
    return httpx.create_ssl_context()


class BoundedClient:
    """Sends requests and reads their responses within bounds. Redirects are not followed.

    Args:
        timeout_s: the deadline of one exchange, from connecting to the last byte; the deadline of the current call
            counts if it is earlier.
        limit_bytes: the largest response read.
        words: keyword arguments for `httpx.Client`.
    """

    def __init__(self, *, timeout_s: float, limit_bytes: int = ANSWER_LIMIT_BYTES, **words: Any) -> None:
        self._timeout_s = timeout_s
        self._limit_bytes = limit_bytes
        verify = words.pop("verify", True)
        self._client = httpx.Client(timeout=timeout_s, verify=trusted() if verify is True else verify, **words)
        self._client.headers["Accept-Encoding"] = "gzip"
        self._deadline = Deadline()
        self._deadline.bind(self._client)

    @property
    def base_url(self) -> httpx.URL:
        """The base of relative addresses."""
        return self._client.base_url

    @contextmanager
    def stream(self, method: str, url: httpx.URL | str, **words: Any) -> Iterator[httpx.Response]:
        """A response with its body unread; reading it inside the block also keeps the deadline.

        Raises:
            ProbeError: the system's budget is spent (`probes.metering`), and nothing was sent.
        """
        with within(self._timeout_s):
            begins()
            spend()
            with (
                self._deadline.until(time.monotonic() + left(self._timeout_s)),
                self._client.stream(method, url, **words) as response,
            ):
                yield response

    def ask(self, method: str, url: str, **words: Any) -> httpx.Response:
        """Return a whole response; of an error response, the beginning.

        Raises:
            ProbeError: `too_large` beyond the limit, `decode` for a response that cannot be unpacked.
            httpx.HTTPError: there is no response, or not within the deadline.
        """
        with self.stream(method, url, **words) as response:
            body = b"".join(unpacked(response, self._limit_bytes)) if response.is_success else beginning(response)
        named = ("content-type", "date", "retry-after")
        headers = {name: response.headers[name] for name in named if name in response.headers}
        return httpx.Response(response.status_code, headers=headers, content=body, request=response.request)

    def cut_off(self) -> None:
        """End running exchanges with an error, from another thread, and allow no new ones."""
        self._deadline.cut_off()

    def close(self) -> None:
        """End running requests."""
        self.cut_off()
        self._client.close()


def unpacked(response: httpx.Response, limit: int, *, hint: str = "") -> Iterator[bytes]:
    """Read a streamed response and unpack it on the fly, never more than a little beyond `limit` bytes.

    Args:
        hint: what to do about a response beyond the limit.

    Raises:
        ProbeError: `too_large` beyond the limit, `decode` for an unrequested or broken encoding, `over_budget` if
        other responses left no room for it.
    """
    encoding = response.headers.get("content-encoding", "").strip().lower()
    parts, size = response.iter_raw(), 0
    for part in parts if encoding in {"", "identity"} else _inflated(parts, encoding):
        size += len(part)
        if size > limit:
            raise ProbeError(Reason.TOO_LARGE, f"an answer of more than {limit} bytes, unpacked", hint=hint)
        came(len(part))
        yield part


def _inflated(parts: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    if encoding not in {"gzip", "x-gzip"}:
        raise ProbeError(
            Reason.DECODE,
            f"the answer is packed as {encoding[:40]!r}, and only gzip was asked for",
        )
    unpack = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        for part in parts:
            packed = part
            while packed:
                if unpack.eof:  # several members in a row
                    unpack = zlib.decompressobj(16 + zlib.MAX_WBITS)
                yield unpack.decompress(packed, STEP_BYTES)
                packed = unpack.unused_data if unpack.eof else unpack.unconsumed_tail
    except zlib.error:
        raise ProbeError(Reason.DECODE, "the answer is not the gzip it says it is") from None
    if not unpack.eof:
        raise ProbeError(Reason.DECODE, "the answer breaks off: its gzip is cut")


def beginning(response: httpx.Response) -> bytes:
    """At most `ERROR_LIMIT_BYTES` of a streamed error response, as far as readable."""
    start = b""
    try:
        for part in unpacked(response, ANSWER_LIMIT_BYTES):
            start += part
            if len(start) >= ERROR_LIMIT_BYTES:
                break
    except (ProbeError, httpx.HTTPError):
        pass  # the status says enough
    return start[:ERROR_LIMIT_BYTES]

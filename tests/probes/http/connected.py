"""A transport to a server of a test."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest

from probes.contract import ProbeError
from probes.http.allowed_reads import AllowedReads
from probes.http.authentication import Authentication
from probes.http.learning_scrubber import LearningScrubber
from probes.http.transport import Transport
from probes.secrets import Scrubber

DEADLINE_S = 30.0
"""Far longer than any request here takes."""


def transport_to(
    url: str,
    authentication: Authentication | None = None,
    *,
    scrub: LearningScrubber | None = None,
    allowed: AllowedReads | None = None,
    timeout_s: float = DEADLINE_S,
    retries: int = 0,
    headers: Mapping[str, str] | None = None,
    **words: Any,
) -> Transport:
    return Transport(
        urlsplit(url),
        authentication=authentication,
        scrub=scrub or LearningScrubber(Scrubber(())),
        allowed=allowed or AllowedReads(),
        headers=headers,
        timeout_s=timeout_s,
        connections=4,
        retries=retries,
        **words,
    )


def failure(call: Callable[[], object]) -> ProbeError:
    """What a call ends with."""
    with pytest.raises(ProbeError) as failed:
        call()
    return failed.value


@contextlib.contextmanager
def answering(serve: Callable[[socket.socket], object]) -> Iterator[str]:
    """A server whose connections a function serves, once their request has come in; answers its address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def one(taken: socket.socket) -> None:
        with contextlib.suppress(OSError), taken:
            asked = b""
            while b"\r\n\r\n" not in asked and (part := taken.recv(65_536)):
                asked += part
            if asked:
                serve(taken)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()

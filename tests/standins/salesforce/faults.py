"""What can go wrong with an answer, in the order it was asked for.

A fault is asked for with `Salesforce.fail`: the next calls of a kind get it. The kinds are in `rest.KINDS`,
`token`, `revoke`, and `*` for any of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.standins.salesforce.numbers_json import encoded


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is sent back: JSON of a document, text, bytes as they are, or bytes without end.

    Attributes:
        close_after: bytes of the body after which the connection is cut, in spite of its Content-Length.
    """

    status: int = 200
    document: Any = None
    body: bytes | Iterator[bytes] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    close_after: int | None = None


Before = Callable[[], Answer | None]
After = Callable[[Answer], Answer]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One way to fail.

    Attributes:
        instead: gives the answer, so that the call is not made and not counted against the allowance.
        after: changes the answer of the call.
        page: which page a `query_more` gets instead of its own, by its distance.
    """

    name: str
    instead: Before | None = None
    after: After | None = None
    page: int = 0


def status(code: int, error: str = "", message: str = "", retry_after: str | None = None) -> Fault:
    """An HTTP status with an error body of the API."""
    words = {401: "INVALID_SESSION_ID", 403: "INSUFFICIENT_ACCESS", 404: "NOT_FOUND", 409: "CONFLICT"}
    words |= {429: "TOO_MANY_REQUESTS", 500: "UNKNOWN_EXCEPTION", 503: "SERVER_UNAVAILABLE"}
    document = [
        {"message": message or "An unexpected error occurred.", "errorCode": error or words.get(code, "ERROR")}
    ]
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return Fault(name=f"status {code}", instead=lambda: Answer(status=code, document=document, headers=headers))


def limit_exceeded(concurrent: bool = False) -> Fault:
    """403 REQUEST_LIMIT_EXCEEDED, of the day or of long requests at the same time."""
    what = "ConcurrentRequests (Concurrent API Requests)" if concurrent else "TotalRequests"
    return status(403, "REQUEST_LIMIT_EXCEEDED", f"{what} Limit exceeded.")


def html() -> Fault:
    """200 with a page for people, as a maintenance or login page in between gives."""
    page = (
        b"<!DOCTYPE html><html><head><title>Salesforce - Maintenance</title></head><body>We'll be back</body></html>"
    )
    headers = {"Content-Type": "text/html;charset=UTF-8"}
    return Fault(name="html", instead=lambda: Answer(body=page, headers=headers))


def error_body() -> Fault:
    """200 with an error in the body."""
    document = [{"message": "Your query request was running for too long.", "errorCode": "QUERY_TIMEOUT"}]
    return Fault(name="error body", instead=lambda: Answer(document=document))


def truncated(share: float = 0.5) -> Fault:
    """The answer ends in its midst, with a Content-Length that fits the part."""
    return Fault(name="truncated", after=lambda answer: _cut(answer, share))


def dropped(share: float = 0.5) -> Fault:
    """The connection ends in the midst of the answer."""
    return Fault(name="dropped", after=lambda answer: replace(answer, close_after=int(len(_bytes(answer)) * share)))


def endless() -> Fault:
    """An answer that does not end: records follow records for as long as somebody reads."""

    def forever() -> Iterator[bytes]:
        yield b'{"totalSize":1,"done":true,"records":['
        piece = b'{"Id":"001Hu0000000001AAA","Name":"' + b"x" * 60_000 + b'"},'
        while True:
            yield piece

    return Fault(name="endless", instead=lambda: Answer(body=forever()))


def repeated_page() -> Fault:
    """The page before comes again in place of the one asked for."""
    return Fault(name="repeated page", page=-1)


def skipped_page() -> Fault:
    """The page asked for is left out: the one behind it comes."""
    return Fault(name="skipped page", page=1)


def _bytes(answer: Answer) -> bytes:
    return answer.body if isinstance(answer.body, bytes) else encoded(answer.document)


def _cut(answer: Answer, share: float) -> Answer:
    whole = _bytes(answer)
    return replace(answer, document=None, body=whole[: int(len(whole) * share)])


class Faults:
    """What the next calls of each kind get."""

    def __init__(self) -> None:
        self._asked: list[tuple[str, Fault]] = []
        self._lock = threading.Lock()

    def add(self, kind: str, fault: Fault, times: int) -> None:
        """The next `times` calls of a kind get the fault."""
        with self._lock:
            self._asked += [(kind, fault)] * times

    def take(self, kind: str) -> Fault | None:
        """The fault of a call of that kind."""
        with self._lock:
            found = next((each for each in self._asked if each[0] in {kind, "*"}), None)
            if found is not None:
                self._asked.remove(found)
            return found[1] if found else None

    def clear(self) -> None:
        """Nothing fails any more."""
        with self._lock:
            self._asked.clear()

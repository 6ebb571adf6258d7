"""What can go wrong with an answer of Salesforce's, beside what can with any other (`tests.standins.faults`).

A fault is asked for with `Salesforce.fail`: the next calls of a kind get it. The kinds are in `rest.KINDS`,
`token`, `revoke`, and `*` for any of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.standins import faults
from tests.standins.faults import Fault
from tests.standins.salesforce.numbers_json import encoded


@dataclass(frozen=True, kw_only=True)
class Answer(faults.Answer):
    """What is sent back, its document as Salesforce writes JSON; nothing at all without one."""

    @property
    def sent(self) -> bytes | Iterator[bytes]:
        """The body as it goes out."""
        if self.body is not None:
            return self.body
        return b"" if self.document is None else encoded(self.document)


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


def endless() -> Fault:
    """An answer that does not end: records follow records for as long as somebody reads."""

    def forever() -> Iterator[bytes]:
        yield b'{"totalSize":1,"done":true,"records":['
        piece = b'{"Id":"001Hu0000000001AAA","Name":"' + b"x" * 60_000 + b'"},'
        while True:
            yield piece

    return Fault(name="endless", instead=lambda: Answer(body=forever()))

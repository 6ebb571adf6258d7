"""What can go wrong with an answer, whoever the vendor is; `Service.fail` orders it for the next calls.

A revoked token, an index that lags and a clock that jumps are states, not single answers: `Service.revoke`,
`index_lag_s` of a service that has an index, `Service.clock.advance`.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is sent back: JSON of a document, bytes as they are, or bytes without end.

    Attributes:
        cut_after: bytes of the body after which the connection is closed, in spite of its Content-Length.
    """

    document: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Iterator[bytes] | None = None
    cut_after: int | None = None

    @property
    def sent(self) -> bytes | Iterator[bytes]:
        """The body as it goes out."""
        return json.dumps(self.document).encode() if self.body is None else self.body


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One way to fail.

    Attributes:
        status: the vendor's own refusal with this status is sent, and nothing is read.
        retry_after: the header of that refusal; "" for the vendor's own habit, None for none.
        instead: gives the answer, and nothing is read.
        after: changes the answer.
        page: by how many pages a page is missed: -1 sends the page before once more, 1 skips one.
    """

    name: str
    status: int | None = None
    retry_after: str | None = ""
    instead: Callable[[], Answer] | None = None
    after: Callable[[Answer], Answer] | None = None
    page: int = 0


class Faults:
    """The faults that were ordered and not yet met, by operation; `*` is any operation."""

    def __init__(self) -> None:
        self._ordered: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self._lock = threading.Lock()

    def order(self, operation: str, fault: Fault, times: int) -> None:
        """Let the next calls of an operation meet a fault."""
        with self._lock:
            self._ordered[operation].extend([fault] * times)

    def next(self, operation: str) -> Fault | None:
        """The fault that a call meets."""
        with self._lock:
            for name in (operation, "*"):
                if self._ordered[name]:
                    return self._ordered[name].popleft()
        return None


def refused(status: int, retry_after: str | None = "") -> Fault:
    """The vendor's own refusal: 401, 403, 404, 409, 429, 500 or another status."""
    return Fault(name=f"refused {status}", status=status, retry_after=retry_after)


def page_of_a_proxy(status: int = 200) -> Fault:
    """HTML where JSON was asked for."""
    html = b"<!DOCTYPE html><html><head><title>Maintenance</title></head><body><h1>Back soon</h1></body></html>"
    answer = Answer(status=status, body=html, headers={"Content-Type": "text/html; charset=utf-8"})
    return Fault(name="html", instead=lambda: answer)


def error_with_success(document: Any) -> Fault:
    """A body that tells an error under status 200."""
    return Fault(name="error body with 200", instead=lambda: Answer(document=document))


def truncated(part: float = 0.5) -> Fault:
    """A whole HTTP answer whose JSON ends in the middle."""
    return Fault(name="truncated", after=lambda answer: replace(answer, body=_part(answer, part)))


def cut_off(part: float = 0.5) -> Fault:
    """A connection that is closed in the middle of the body."""

    def cut(answer: Answer) -> Answer:
        return replace(answer, cut_after=len(_part(answer, part)))

    return Fault(name="cut off", after=cut)


def renamed(names: Mapping[str, str | None]) -> Fault:
    """A changed schema: members have other names everywhere in the answer, or are gone (None)."""

    def changed(node: Any) -> Any:
        if isinstance(node, dict):
            kept = {names.get(name, name): changed(value) for name, value in node.items()}
            return {name: value for name, value in kept.items() if name is not None}
        return [changed(each) for each in node] if isinstance(node, list) else node

    return Fault(name="renamed", after=lambda answer: replace(answer, document=changed(answer.document)))


def repeated_page() -> Fault:
    """The page before, once more; the first page stays what it is."""
    return Fault(name="repeated page", page=-1)


def skipped_page() -> Fault:
    """The page after the one that was asked for."""
    return Fault(name="skipped page", page=1)


def endless() -> Fault:
    """Valid JSON so far, and never an end."""

    def without_end() -> Iterator[bytes]:
        yield b'{"results": ["'
        while True:
            yield b"x" * 65_536

    return Fault(name="endless", instead=lambda: Answer(body=without_end()))


def _part(answer: Answer, part: float) -> bytes:
    whole = answer.sent
    assert isinstance(whole, bytes)
    return whole[: int(len(whole) * part)]

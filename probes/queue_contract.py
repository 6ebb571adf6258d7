"""The contract of a queue probe; the rules for every probe are in `probes.contract`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from probes.contract import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One message in a queue, as far as the queue shows it.

    Attributes:
        letter_id: the queue's own identity of the message.
        key: the key of the record it is about, or None if the message has none.
        reason: why it failed, or None if the queue does not report it.
        attempts: deliveries tried, or None if unknown.
        first_failed_at, last_failed_at: UTC, or None if unknown.
        headers: the headers of the message, as text.
        payload: as text, if it is text; None if it was not read.
        unreadable: which parts could not be read and why, without their content; "" if every wanted part could.
        note: claims that the map does not support, "" for none.
    """

    letter_id: str
    key: Key | None = None
    reason: str | None = None
    attempts: int | None = None
    first_failed_at: datetime | None = None
    last_failed_at: datetime | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    payload: str | None = None
    unreadable: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueReading:
    """What one read of one queue saw; figures that a broker does not report are None, never 0.

    Attributes:
        depth: messages waiting.
        oldest_at: when the oldest of them entered this queue, UTC; see `age_of`.
        letters: a peek at messages, oldest first if the queue has an order.
        truncated: there are more messages after those peeked.
        next: where to continue, after the last message peeked; None if every peek starts over.
        left_mark: unchanged as long as no message leaves the queue; None if unknown.
        age_of: what the broker means by the age, if not the time since the message came into this queue.
        arrived, taken: messages that ever came in and went out, if the broker counts them; they may be reset.
        retention_s: how long the queue keeps a message before it drops it; None if it keeps messages for good.
        drops_at: when the queue will drop its oldest message unread; None if it does not, or this is unknown.
        notes: what is missing from the reading, or what it did to the queue, for people.
        missing: what does not exist, if the broker cannot distinguish an empty queue from a misspelt name.
    """

    depth: int | None
    oldest_at: datetime | None
    age_of: str = ""
    arrived: int | None = None
    taken: int | None = None
    retention_s: float | None = None
    drops_at: datetime | None = None
    notes: tuple[str, ...] = ()
    missing: str = ""
    letters: Sequence[Letter] = ()
    truncated: bool = False
    next: str | None = None
    left_mark: str | None = None


@runtime_checkable
class QueueProbe(Protocol):
    """Reads a queue without consuming from it."""

    page_limit: int
    """The most messages that one `read` peeks at."""

    def read(self, peek: int, after: str | None = None) -> QueueReading:
        """Read depth, age and up to `peek` messages of a dead letter queue.

        A peek that must take messages and return them stops early enough to return them in time.

        Args:
            peek: 0 for the figures only.
            after: the `next` of an earlier reading, to continue after it; None to start with the oldest.
        """

    def prove_read_only(self) -> str:
        """Say how it is known that reading this queue takes nothing from it, or what it does to it.

        Raises:
            ProbeError: `permission` if the login could take messages and need not.
        """

    def close(self) -> None:
        """Release everything."""

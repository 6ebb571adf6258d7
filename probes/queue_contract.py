"""The contract of a probe of queues; what every probe keeps to stands in `probes.contract`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from probes.contract import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One message in a queue, as far as the queue lets it be seen.

    Attributes:
        letter_id: the queue's own identity of the message.
        key: the key of the record it is about, or None where the message does not tell.
        reason: why it was given up on, or None where the queue does not tell.
        attempts: deliveries tried, or None where unknown.
        first_failed_at, last_failed_at: UTC, or None where unknown.
        headers: what travels beside the payload, as text.
        payload: as text, as far as it is one; None where it was not looked at.
        unreadable: what of it could not be read and why, "" where all that is wanted could; nothing of its content.
        note: what it claims that the map does not bear out, "" for nothing.
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
    """What one read of one queue saw; what a broker cannot tell is None, never 0.

    Attributes:
        depth: messages waiting.
        oldest_at: when the oldest of them entered this queue, UTC; see `age_of`.
        letters: a peek at messages, oldest first where the queue has an order.
        truncated: there are more messages behind those peeked.
        next: where to go on looking, behind the last message peeked; None where every look begins anew.
        left_mark: stays the same as long as no message leaves the queue; None where that cannot be told.
        age_of: what the broker means by the age, where it is not the time since the message came into this queue.
        arrived, taken: messages that ever came in and went out, where the broker counts them; they may be reset.
        retention_s: how long the queue keeps a message before it drops it; None where it keeps them for good.
        drops_at: when the queue will drop its oldest message unread; None where it does not, or that cannot be told.
        notes: what the reading cannot tell or what it did to the queue, for people.
        missing: what is not there, where the broker cannot tell whether the queue is empty or its name is misspelt.
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
    """The most messages one `read` looks at."""

    def read(self, peek: int, after: str | None = None) -> QueueReading:
        """Read depth, age and up to `peek` messages of a dead letter queue.

        A look that has to take messages and give them back stops early enough to give them back in time.

        Args:
            peek: 0 for the figures alone.
            after: the `next` of an earlier reading, to go on behind it; None to begin with the oldest.
        """

    def prove_read_only(self) -> str:
        """Say how it is known that reading this queue takes nothing from it, or what it does to it.

        Raises:
            ProbeError: `permission` where the login could take messages and need not.
        """

    def close(self) -> None:
        """Release everything."""

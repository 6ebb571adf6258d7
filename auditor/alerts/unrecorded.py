"""Messages sent while the ledger is unable to record them, kept until it can again.

They exist only in this process: if it ends meanwhile, its successor may send them again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auditor.alerts.delivery_rule import after_try
from auditor.senders.contract import Receipt, Sender

KEPT = 1_000
"""Most messages held at once; each is about another incident, and more would add nothing."""

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class _Message:
    """One message to one receiver.

    Attributes:
        next_try_at: None when it is over.
        sent_at: when it was delivered, None if it was not (yet).
    """

    notice: Mapping[str, Any]
    since_at: datetime
    next_try_at: datetime | None
    tries: int = 0
    possible_repeat: bool = False
    sent_at: datetime | None = None


class Unrecorded:
    """The messages from a period without a writable ledger; safe to share between threads."""

    def __init__(self) -> None:
        self._messages: dict[tuple[str, Hashable], _Message] = {}
        self._lock = threading.Lock()

    def take_in(self, sender: str, about: Hashable, notice: Mapping[str, Any], now: datetime) -> None:
        """Queue a message; one about the same thing is sent once, however often it is queued.

        Args:
            about: identifies the message: an incident's fingerprint and its transition.
        """
        with self._lock:
            if (sender, about) not in self._messages and len(self._messages) < KEPT:
                self._messages[sender, about] = _Message(notice=notice, since_at=now, next_try_at=now)

    def deliver_next(self, senders: Mapping[str, Sender], now: datetime, *, to: str) -> bool:
        """Send the next due message to a receiver; returns whether there was one."""
        with self._lock:
            due = (
                message
                for (sender, _), message in self._messages.items()
                if sender == to and message.next_try_at is not None and message.next_try_at <= now
            )
            message = next(due, None)
            if message is None:
                return False
            message.next_try_at = None
        message.tries += 1
        receipt = (
            senders[to].send(message.notice, possible_repeat=message.possible_repeat)
            if to in senders
            else Receipt(outcome="rejected", error=f"the map no longer names the sender {to}")
        )
        outcome = after_try(receipt, message.tries, now, message.possible_repeat, since_at=message.since_at)
        with self._lock:
            message.possible_repeat = outcome.get("possible_repeat", message.possible_repeat)
            message.next_try_at = outcome["next_try_at"]
            message.sent_at = now if receipt.outcome == "sent" else None
        if receipt.outcome != "sent":
            log.warning("alert to %s, not recorded: %s %s", to, receipt.outcome, receipt.error)
        return True

    def waits(self, now: datetime, *, to: str) -> bool:
        """Whether a message to a receiver is due."""
        with self._lock:
            return any(
                sender == to and message.next_try_at is not None and message.next_try_at <= now
                for (sender, _), message in self._messages.items()
            )

    def sent_at(self, sender: str, about: Hashable) -> datetime | None:
        """When a message was delivered, None if it was not; a waiting one is dropped for the ledger's own."""
        with self._lock:
            message = self._messages.get((sender, about))
            if message is None:
                return None
            message.next_try_at = None
            return message.sent_at

    def delivered(self, sender: str, kind: type) -> dict[Any, datetime]:
        """By subject, when the messages of a kind were delivered to a receiver."""
        with self._lock:
            return {
                about: message.sent_at
                for (to, about), message in self._messages.items()
                if to == sender and isinstance(about, kind) and message.sent_at is not None
            }

    def forget(self, sender: str, about: Hashable) -> None:
        """Forget a message that the ledger has recorded."""
        with self._lock:
            self._messages.pop((sender, about), None)

    def clear(self) -> None:
        """Forget all finished messages."""
        with self._lock:
            self._messages = {key: each for key, each in self._messages.items() if each.next_try_at is not None}

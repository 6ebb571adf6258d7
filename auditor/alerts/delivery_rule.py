"""The state of a message after an attempt to send it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NotRequired, TypedDict

from auditor.senders.contract import Receipt

MOST_TRIES = 12
FIRST_WAIT_S = 2.0
LONGEST_WAIT_S = 600.0
LONGEST_ASKED_S = 86_400.0
"""The longest wait: a receiver that asks for more is retried after this time anyway."""


class AfterTry(TypedDict):
    """The columns of the outbox to write after an attempt; others stay unchanged."""

    state: str
    error: str | None
    next_try_at: datetime | None
    sent_at: NotRequired[datetime]
    possible_repeat: NotRequired[bool]


def after_try(receipt: Receipt, tries: int, now: datetime, possible_repeat: bool) -> AfterTry:
    """Decide the state of a message after an attempt. Pure."""
    if receipt.outcome == "sent":
        return {"state": "sent", "sent_at": now, "error": None, "next_try_at": None}
    if receipt.outcome == "rejected" or tries >= MOST_TRIES:
        return {"state": "failed", "error": receipt.error, "next_try_at": None}
    wait_s = min(FIRST_WAIT_S * 2 ** (tries - 1), LONGEST_WAIT_S)
    if receipt.retry_after_s is not None:
        wait_s = min(max(receipt.retry_after_s, 1.0), LONGEST_ASKED_S)
    return {
        "state": "pending",
        "error": receipt.error,
        "next_try_at": now + timedelta(seconds=wait_s),
        "possible_repeat": possible_repeat or receipt.outcome == "ambiguous",
    }

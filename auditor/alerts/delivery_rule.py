"""What becomes of a message after a try to send it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NotRequired, TypedDict

from auditor.senders.contract import Receipt

MOST_TRIES = 12
FIRST_WAIT_S = 2.0
LONGEST_WAIT_S = 600.0
LONGEST_ASKED_S = 86_400.0
"""A receiver that asks to wait for longer is tried again after this time all the same."""


class AfterTry(TypedDict):
    """The columns of the outbox to write after a try; what is not named stays as it is."""

    state: str
    error: str | None
    next_try_at: datetime | None
    sent_at: NotRequired[datetime]
    possible_repeat: NotRequired[bool]


def after_try(receipt: Receipt, tries: int, now: datetime, possible_repeat: bool) -> AfterTry:
    """Decide what becomes of a message after a try. Pure."""
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

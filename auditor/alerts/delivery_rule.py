"""The state of a message after an attempt to send it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NotRequired, TypedDict

from auditor.senders.contract import Receipt

FIRST_WAIT_S = 2.0
LONGEST_WAIT_S = 600.0
LONGEST_ASKED_S = 86_400.0
"""The longest wait: a receiver that asks for more is retried after this time anyway."""

REJECTED_WAIT_S = 900.0
"""After a rejection people may correct the map or the receiver; the message is tried again after this time."""

REJECTED_UNTIL = timedelta(days=1)
RETRIED_UNTIL = timedelta(days=3)
"""An older message is given up: nobody needs it any more."""


class AfterTry(TypedDict):
    """The columns of the outbox to write after an attempt; others stay unchanged."""

    state: str
    error: str | None
    next_try_at: datetime | None
    sent_at: NotRequired[datetime]
    possible_repeat: NotRequired[bool]


def after_try(receipt: Receipt, tries: int, now: datetime, possible_repeat: bool, *, since_at: datetime) -> AfterTry:
    """Decide the state of a message after an attempt. Pure.

    Args:
        since_at: when the message was queued.
    """
    if receipt.outcome == "sent":
        return {"state": "sent", "sent_at": now, "error": None, "next_try_at": None}
    rejected = receipt.outcome == "rejected"
    wait_s = REJECTED_WAIT_S if rejected else min(FIRST_WAIT_S * 2 ** min(tries - 1, 20), LONGEST_WAIT_S)
    if receipt.retry_after_s is not None:
        wait_s = min(max(receipt.retry_after_s, 1.0), LONGEST_ASKED_S)
    given_up = now - since_at >= (REJECTED_UNTIL if rejected else RETRIED_UNTIL)
    return {
        "state": "failed" if rejected or given_up else "pending",
        "error": receipt.error,
        "next_try_at": None if given_up else now + timedelta(seconds=wait_s),
        "possible_repeat": possible_repeat or receipt.outcome == "ambiguous",
    }

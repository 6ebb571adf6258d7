"""The life of a breach: when it begins, lasts and ends. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from checks.breaches import Breach

SYSTEMATIC = "systematic"
"""Reason of a breach whose records differ in one field in the same way."""

PARTIAL = "partial"
"""Reason of a breach of a batch of which other changes arrived."""

DELETIONS = "deletions"
"""Reason of late changes that are deletions, all of them."""

SOME_DELETIONS = "some_deletions"
"""Reason of late changes some of which are deletions."""

CONCURRENT = "concurrent"
"""Reason of records that were changed on both sides, all of them by systems that may write there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreachSignal:
    """What one audit read about one possible breach.

    Attributes:
        count: how many records, messages or failures there are now.
        threshold: the least count that is a breach.
        clear_after_s: how long the count must stay at 0 before the breach is over.
        known: false if the audit could not determine the count; then nothing is concluded.
        reason: for programs, why something cannot be read, or what its records have in common; "" for neither.
        detail: text reported with the summary.
    """

    breach: Breach
    fingerprint: str
    count: int
    threshold: int
    clear_after_s: float
    known: bool = True
    flow: str | None = None
    system: str | None = None
    queue: str | None = None
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBreach:
    """A breach that is not over.

    Attributes:
        incident_id: the incident that it belongs to; 0 for one that has just begun.
        count: how many records, messages or failures there are.
        clear_since_at: since when there are none, None while there are.
        detail: what was last read about it, also if later audits said nothing more.
        detail_at: when that was read; None if there is none, or if an earlier version read it.
    """

    breach_id: int
    incident_id: int
    fingerprint: str
    breach: Breach
    flow: str | None
    system: str | None
    queue: str | None
    opened_at: datetime
    count: int
    peak: int
    clear_since_at: datetime | None
    reason: str
    detail: str
    detail_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BreachMove:
    """The next state of a breach.

    Attributes:
        over: whether it has ended.
        count, peak, clear_since_at: see `OpenBreach`.
    """

    over: bool
    count: int
    peak: int
    clear_since_at: datetime | None


def next_move(breach: OpenBreach | None, signal: BreachSignal, now: datetime) -> BreachMove | None:
    """Decide the next state of a breach.

    Args:
        breach: the open breach of the same fingerprint, or None.

    Returns:
        None if nothing changes. A breach begins at the threshold and ends when not a single record has been left for
        `clear_after_s`, so it does not flap around the threshold, however often it is audited.
    """
    count = signal.count
    if breach is None:
        begins = signal.known and count >= signal.threshold
        return BreachMove(over=False, count=count, peak=count, clear_since_at=None) if begins else None
    if not signal.known:
        return None
    clear_since_at = None if count else breach.clear_since_at or now
    over = clear_since_at is not None and (now - clear_since_at).total_seconds() >= signal.clear_after_s
    if not over and (count, clear_since_at) == (breach.count, breach.clear_since_at):
        return None
    return BreachMove(over=over, count=count, peak=max(breach.peak, count), clear_since_at=clear_since_at)


def begins_anew(breach: OpenBreach, signal: BreachSignal) -> bool:
    """Whether nothing is left of a breach, and what there is now is another one.

    Deletions that are not carried over have nothing to do with other changes that are late.
    """
    some = frozenset({DELETIONS, SOME_DELETIONS})
    carried_over = breach.reason == DELETIONS and signal.reason not in some
    only_they = not breach.count and signal.reason == DELETIONS and breach.reason not in some
    return (carried_over or only_they) and signal.known and signal.count >= signal.threshold


def dated(details: Iterable[tuple[str, datetime | None]]) -> list[str]:
    """What was read about breaches, each text with when it was; one of several breaches once, as last read.

    Args:
        details: `detail` and `detail_at` of each breach.
    """
    last: dict[str, datetime | None] = {}
    for text, at in details:
        if text:
            last[text] = max(filter(None, (last.get(text), at)), default=None)
    return [
        f"as of {f'{at:%Y-%m-%d %H:%M:%S} UTC' if at else 'an unknown time'}: {text}" for text, at in last.items()
    ]

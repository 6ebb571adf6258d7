"""Planning: which keys an audit reads now, inside what each system can spare. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

CHANGES_LIMIT = 2_000
"""Most changes taken from the owner in one audit; the rest waits for the next, a moment later."""

RECHECKS_LIMIT = 2_000
"""Most due keys read in one audit; those longest due come first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one audit reads.

    Attributes:
        changes_since: ask the owner for changes since this instant of its clock.
        changes: most of them taken.
        sample: keys of the owner's and of the target's next page each.
        shed: sample keys left out because the budget is spent.
    """

    changes_since: datetime
    changes: int
    sample: int
    shed: int


def plan(
    *,
    watermark_at: datetime | None,
    owner_now: datetime,
    overlap_s: float,
    sample: int,
    due: int,
    every_s: float,
    records_per_s: float,
) -> Plan:
    """Share out one audit's reads: what is due first, then changes, then the sample.

    Args:
        watermark_at: the latest stamp seen at the owner; before the first audit only what changes from now
            on is followed, and the sample covers the rest.
        owner_now: the present instant of the owner's clock, at the earliest.
        due: pending changes and divergences that are due; they are never shed.
        every_s: seconds until the next audit.
        records_per_s: the tighter of the two systems' budgets.
    """
    budget = max(1, int(records_per_s * every_s))
    changes = max(1, min(CHANGES_LIMIT, budget - due))
    # A sampled key costs two reads a side: its own and, from the other side, the look for orphans.
    affordable = max(1, (budget - due) // 2)  # never none at all: a sweep must come to its end
    taken = min(sample, affordable)
    since = (watermark_at or owner_now) - timedelta(seconds=overlap_s)
    return Plan(changes_since=since, changes=changes, sample=taken, shed=sample - taken)

"""Planning: which keys an audit reads now, inside what each system can spare. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

CHANGES_LIMIT = 2_000
"""Most changes taken from the owner in one audit; the rest waits for the next, a moment later."""

RECHECKS_LIMIT = 2_000
"""Most due keys read in one audit beside those whose window has run out; those longest due come first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one audit reads, beside every key whose window has run out.

    Attributes:
        changes_since: ask the owner for changes since this instant of its clock.
        changes: most of them taken.
        rechecks: other due keys.
        panel: keys of the panel.
        sample: keys of the sweep's next slice.
        extra: keys that the sampling policies may add.
        shed: keys left out because the budget is spent; rechecks among them stay due.
    """

    changes_since: datetime
    changes: int
    rechecks: int
    panel: int
    sample: int
    extra: int
    shed: int


def plan(
    *,
    watermark_at: datetime | None,
    owner_now: datetime,
    overlap_s: float,
    deadlines: int,
    rechecks: int,
    panel: int,
    sample: int,
    every_s: float,
    records_per_s: float,
) -> Plan:
    """Share out one audit's reads: windows that ran out, due keys, changes, the panel, the sample.

    Args:
        watermark_at: the latest stamp seen at the owner; before the first audit only what changes from now
            on is followed, and the sample covers the rest.
        owner_now: the present instant of the owner's clock, at the earliest.
        deadlines: changes whose window has run out; their probe is never shed.
        rechecks: other pending changes and divergences that are due.
        every_s: seconds until the next audit.
        records_per_s: the tighter of the two systems' budgets.
    """
    left = max(0, int(records_per_s * every_s) - deadlines)
    rechecked = min(rechecks, max(1, left))
    left = max(0, left - rechecked)
    changes = max(1, min(CHANGES_LIMIT, left))
    # A sampled key costs two reads a side: its own, and the look for it. Never none: a sweep must end.
    least = 2 * min(sample, 1)
    watched = min(panel, max(0, left - least))
    left -= watched
    taken = min(sample, max(1, left // 2))
    left = max(0, left - 2 * taken)
    return Plan(
        changes_since=(watermark_at or owner_now) - timedelta(seconds=overlap_s),
        changes=changes,
        rechecks=rechecked,
        panel=watched,
        sample=taken,
        extra=min(sample, left),
        shed=(rechecks - rechecked) + (panel - watched) + (sample - taken),
    )

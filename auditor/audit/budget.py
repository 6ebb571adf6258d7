"""Planning: how many keys an audit reads, within each system's budget. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

CHANGES_LIMIT = 2_000
"""Most changes taken from the owner in one audit; the rest waits for the next, a moment later."""

RECHECKS_LIMIT = 2_000
"""Most due keys read in one audit, besides those with an ended window; the longest due come first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one audit reads, besides every key with an ended window.

    Attributes:
        changes_since: the instant of the owner's clock since which changes are listed.
        changes: the most changes to read; 0 if they are not listed.
        rechecks: other due keys.
        panel: keys of the panel.
        sample: keys of the sweep's next slice.
        burst: records that confirm a missed change.
        extra: keys that the sampling policies may add.
        shed: keys left out because the budget is spent; rechecks among them stay due. Changes that are not listed
            count as one.
    """

    changes_since: datetime
    changes: int
    rechecks: int
    panel: int
    sample: int
    extra: int
    shed: int
    burst: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """What one audit may send to a system.

    Attributes:
        left: the calls it may send; reads at the end of a window may exceed them, and are paid back.
        batch: the records that one call reads.
        more: additional calls per record, if a batch is read one by one.
        room: the records that the calls planned so far can still read.
    """

    left: float = math.inf
    batch: int = 1
    more: float = 0.0
    room: int = 0

    def without(self, records: int, *, fixed: int = 0) -> Calls:
        """What remains after these records and this many other calls."""
        if self.more:
            return replace(self, left=self.left - fixed - records * (self.more + 1 / self.batch))
        calls = math.ceil(max(0, records - self.room) / self.batch)
        return replace(self, left=self.left - fixed - calls, room=self.room + calls * self.batch - records)

    def affords(self, records: int, *, fixed: int = 0) -> int:
        """How many of these records can be read besides this many other calls."""
        left = self.left - fixed
        if left < 0:
            return 0
        if math.isinf(left):
            return records
        if self.more:
            return min(records, int(left / (self.more + 1 / self.batch)))
        return min(records, self.room + self.batch * int(left))


UNLIMITED = Calls(batch=1_000_000)
"""The calls of a system that are not counted."""

SLICE_CALLS = 2
"""Calls of the sweep's next slice besides its records: a page of the owner, and one of the target or a search for
records that only the target has."""


def plan(
    *,
    watermark_at: datetime | None,
    owner_now: datetime,
    overlap_s: float,
    deadlines: int,
    rechecks: int,
    panel: int,
    sample: int,
    records: int,
    least: bool = True,
    calls: Calls = UNLIMITED,
    evenly: bool = False,
    discover: bool = True,
    burst: int = 0,
) -> Plan:
    """Divide one audit's reads: ended windows, due keys, changes, the panel, the sample, a burst.

    What is named first is never shed before what is named later; but where the sample or the changes have waited for
    many turns (`evenly`), they come right behind the windows once, with half of what there is, and are saved for
    where that is not enough.

    Args:
        watermark_at: how far the owner's changes were listed; before the first audit only changes from now on are
            followed, and the sample covers the rest.
        owner_now: the present instant of the owner's clock, at the earliest.
        deadlines: changes with an ended window; their probe is never shed.
        rechecks: other pending changes and divergences that are due.
        records: that may be read, by the tighter of the two systems' budgets.
        least: read one of each however little may be read: the flow shares neither system.
        calls: that may be sent, by the tighter of the two.
        evenly: see above.
        discover: changes are wanted at all.
        burst: records that are to confirm a missed change.
    """
    floor = 1 if least else 0
    left = max(0, records - deadlines)
    calls = calls.without(deadlines)
    first = changes = 0
    if evenly:
        asks = 1 if discover else 0
        if left >= 2 or least:
            first = calls.affords(min(sample, max(1, left // 2)), fixed=SLICE_CALLS + asks)
        if sample and not first:
            floor, left, calls = 0, 0, Calls(left=0.0)
        else:
            changes = asks if calls.left >= 1 else 0
            calls = calls.without(first, fixed=changes + (SLICE_CALLS if first else 0))
            left = max(0, left - 2 * first)
    rechecked = calls.affords(min(rechecks, max(floor, left)))
    calls = calls.without(rechecked)
    left = max(0, left - rechecked)
    if discover:
        if changes:
            changes = max(1, min(CHANGES_LIMIT, left))
        elif calls.left >= 1 and (changes := max(floor, min(CHANGES_LIMIT, left))):
            calls = calls.without(0, fixed=1)
    # A sampled key costs two reads per side: its own, and the search for it. Never zero: a sweep must end.
    watched = calls.affords(min(panel, max(0, left - 2 * min(sample - first, 1))))
    calls = calls.without(watched)
    left -= watched
    slice_calls = 0 if first else SLICE_CALLS
    more = calls.affords(min(sample - first, max(0 if first else floor, left // 2)), fixed=slice_calls)
    calls = calls.without(more, fixed=slice_calls if more else 0)
    taken = first + more
    left = max(0, left - 2 * more)
    confirming = calls.affords(min(burst, left))
    calls = calls.without(confirming)
    left -= confirming
    return Plan(
        changes_since=(watermark_at or owner_now) - timedelta(seconds=overlap_s),
        changes=changes,
        rechecks=rechecked,
        panel=watched,
        sample=taken,
        extra=calls.affords(min(sample, left)),
        burst=confirming,
        shed=(rechecks - rechecked) + (discover and changes == 0) + (panel - watched) + (sample - taken),
    )


EVERYBODY = 0.1
"""The part of a system's budget that is always shared by all flows, so that none waits for ever."""


def shares(total: float, needs: Sequence[Sequence[float]]) -> list[float]:
    """Divide a system's budget among the flows that read it.

    A small part is for all flows (`EVERYBODY`). The rest covers the more urgent needs first. If it is not enough for
    one kind of need, it is divided fairly: no flow gets less than another one that still lacks something. What is not
    needed is divided evenly.

    Args:
        total: the budget per second.
        needs: what each flow needs per second, by kind, the most urgent first.

    Returns:
        What each flow gets, in the order of the flows.
    """
    if not needs:
        return []
    whole = [sum(need) for need in needs]
    given = _fair(total * EVERYBODY, whole)
    left = total - sum(given)
    owed = list(given)  # what everybody's part already covers of the more urgent kinds
    for kind in range(len(needs[0])):
        wanted = []
        for flow, need in enumerate(needs):
            covered = min(owed[flow], need[kind])
            owed[flow] -= covered
            wanted.append(need[kind] - covered)
        parts = _fair(left, wanted)
        left = max(0.0, left - sum(parts))
        given = [before + part for before, part in zip(given, parts, strict=True)]
    return [each + left / len(needs) for each in given]


def _fair(total: float, wanted: Sequence[float]) -> list[float]:
    """Parts of the total, none larger than wanted; a flow that gets less than wanted gets as much as any other."""
    parts = [0.0] * len(wanted)
    left = max(0.0, total)
    for at, index in enumerate(sorted(range(len(wanted)), key=wanted.__getitem__)):
        parts[index] = min(max(0.0, wanted[index]), left / (len(wanted) - at))
        left -= parts[index]
    return parts

"""Timing: what a change's probes prove about its lag and its window.

A change is committed at an instant c known to lie in `[committed_from_at, committed_to_at]`. A probe of the
target is sent at p0 and answered at p1 (local). Still different at p0 means lag > p0 - committed_to_at;
shown by p1 means lag <= p1 - committed_from_at. Nothing else is ever concluded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from checks.clocks import ClockBounds
from checks.values import EPOCH

GIVE_UP_WINDOWS = 8
"""A change is followed for this many windows and is lost after that."""

SHORTEST_FOLLOW_S = 60.0
"""... but never for less than this: with windows of a second or less it would be given up before a retry."""


PROBE_FACTOR = 1.5
"""Each re-probe waits this much longer since the commit than the last."""

JITTER_RATIO = 0.02
"""Re-probes of changes that were committed together drift apart by this much."""


def followed_s(window_s: float) -> float:
    """How long a change of this window may still be on its way."""
    return max(GIVE_UP_WINDOWS * window_s, SHORTEST_FOLLOW_S)


class Verdict(StrEnum):
    """What is known about whether a change kept its window."""

    PENDING = "pending"
    MET = "met"
    BREACH = "breach"
    BREACH_THEN_CONVERGED = "breach_then_converged"
    UNDECIDED = "undecided"
    SUPERSEDED = "superseded"


class Operation(StrEnum):
    """What the owner did."""

    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One source version on its way.

    Attributes:
        change_id: the ledger's identity, 0 before it is recorded.
        fingerprint: of the owner's copy; empty for a deletion.
        committed_from_at, committed_to_at: bounds of the commit, local clock.
        window_s: how long the target may still differ.
        mark: the owner's own mark of the copy, its stamp in microseconds or its version number; the same mark proves
            that the record has not been written since. None if the owner has no mark.
        stamped_at: the owner's own stamp of it, in the owner's clock.
        missed_at: when the first probe was sent that did not yet see this version.
        differed_at: the same for the latest such probe.
        shown_at: when the first answer came that saw this version or a later one.
        behind: what the target showed at that probe: if it shows the same again, it is still behind, whatever the
            owner holds by then.
        superseded: the owner moved on before the target ever showed this very version.
        enrolled_at: when it was seen first; if it was pending while the record could not be read, when it was seen
            again.
        unseen_before: the record had gone unread for a while before this version was seen, first or again: other
            versions may have been missed, and the owner may have returned to this one.
        lost_sight: the owner may have changed and come back while the record could not be read. The target may then
            show a version that came and went, so only an arrival is still certain, and a breach that already was.
    """

    key: int | str
    fingerprint: bytes
    committed_from_at: datetime
    committed_to_at: datetime
    window_s: float
    enrolled_at: datetime
    change_id: int = 0
    operation: Operation = Operation.UPDATE
    mark: int | None = None
    stamped_at: datetime | None = None
    probes: int = 0
    missed_at: datetime | None = None
    differed_at: datetime | None = None
    behind: bytes | None = None
    shown_at: datetime | None = None
    superseded: bool = False
    unseen_before: bool = False
    lost_sight: bool = False
    verdict: Verdict = Verdict.PENDING
    settled_at: datetime | None = None

    @property
    def lag_lower_s(self) -> float:
        """The lag is greater than this; 0 if no probe saw the target still behind."""
        if self.differed_at is None:
            return 0.0
        return max(0.0, (self.differed_at - self.committed_to_at).total_seconds())

    @property
    def lag_upper_s(self) -> float | None:
        """The lag is at most this; None while the target has not shown the change, or c has no lower bound."""
        if self.shown_at is None or self.committed_from_at <= EPOCH:
            return None
        return max(self.lag_lower_s, (self.shown_at - self.committed_from_at).total_seconds(), 0.0)

    @property
    def clamped(self) -> bool:
        """The target showed the change before it can have been committed: a stamp or a clock is wrong."""
        return self.shown_at is not None and self.shown_at < self.committed_from_at

    @property
    def gives_up_at(self) -> datetime:
        """When to give up on it."""
        return min(self.committed_to_at, self.enrolled_at) + timedelta(seconds=followed_s(self.window_s))

    def last_call_at(self, guard_s: float) -> datetime | None:
        """The latest time at which a probe that shows the change still proves that the window was kept."""
        if self.committed_from_at <= EPOCH or self.window_s <= 2 * guard_s:
            return None
        return self.committed_from_at + timedelta(seconds=self.window_s - 2 * guard_s)

    def deadline_at(self, guard_s: float) -> datetime:
        """The earliest time at which a probe that still differs proves the breach."""
        return self.committed_to_at + timedelta(seconds=self.window_s + guard_s)


def newly_decided(before: Iterable[Change], after: Iterable[Change]) -> list[Change]:
    """The changes that got a verdict by one reading of a record; a breach counts once, when it is proved.

    Args:
        before, after: the record's changes as they were recorded, and as they are now.
    """
    decided = {each.change_id for each in before if each.verdict is not Verdict.PENDING}
    return [each for each in after if each.verdict is not Verdict.PENDING and each.change_id not in decided - {0}]


def commit_delay_s(*, stamp_us: int | None, clock: ClockBounds | None, not_seen_at: datetime | None) -> float:
    """The least time between a change's stamp and its commit: a read after the stamp did not show it yet.

    Args:
        not_seen_at: local instant at which the owner certainly did not show it yet, or None.

    Returns:
        0 if unknown.
    """
    if stamp_us is None or clock is None or not_seen_at is None:
        return 0.0
    try:
        return max(0.0, (not_seen_at - clock.local(stamp_us)[1]).total_seconds())
    except OverflowError:
        return 0.0


def commit_bounds(
    *,
    stamp_us: int | None,
    clock: ClockBounds | None,
    slack_s: float,
    seen_at: datetime,
    not_seen_at: datetime | None,
) -> tuple[datetime, datetime]:
    """Bound the instant of a commit.

    Args:
        stamp_us: the record's own changed-at, in the system's clock, or None.
        clock: the system's clock bounds, or None if its clock is unknown.
        slack_s: how long after its stamp a change may be committed.
        seen_at: local instant by which the owner certainly showed the change.
        not_seen_at: local instant at which the owner certainly did not show it yet, or None.

    Returns:
        The intersection of the stamp's interval and the bracket of the two reads; the bracket alone if they
        contradict each other (a long transaction commits later than its stamp). A commit without a lower bound begins
        at 1970.
    """
    bracket = min(not_seen_at or EPOCH, seen_at), seen_at
    if stamp_us is None or clock is None:
        return bracket
    try:
        earliest, latest = clock.local(stamp_us)
        latest += timedelta(seconds=slack_s)
    except OverflowError:  # a stamp beyond the calendar
        return bracket
    lower = max(earliest, not_seen_at) if not_seen_at else earliest
    upper = min(latest, seen_at)
    return (lower, upper) if lower <= upper else bracket


def still_differs(change: Change, sent_at: datetime, now: datetime, behind: bytes | None = None) -> Change:
    """Record a probe that did not see the change; after the window that is a breach.

    Args:
        behind: fingerprint of what the target showed instead.
    """
    differed_at = max(change.differed_at, sent_at) if change.differed_at else sent_at
    seen = replace(
        change,
        missed_at=change.missed_at or sent_at,
        differed_at=differed_at,
        probes=change.probes + 1,
        behind=behind,
    )
    if seen.lag_lower_s > seen.window_s or (seen.window_s == 0 and seen.lag_lower_s > 0):
        seen = replace(seen, verdict=Verdict.BREACH)
    return _given_up(seen, now)


def in_field_window(change: Change, sent_at: datetime, received_at: datetime, window_s: float) -> Change | None:
    """The change with the window of the fields that have not arrived yet, if these may arrive later than the others.

    Args:
        window_s: the window of what still differs.

    Returns:
        None if it is not known whether the other fields arrived within the change's own window.
    """
    if change.window_s >= window_s or change.verdict is not Verdict.PENDING:
        return change
    in_time = change.committed_from_at > EPOCH and (
        received_at <= change.committed_from_at + timedelta(seconds=change.window_s)
    )
    too_late = sent_at > change.committed_to_at + timedelta(seconds=window_s)
    return replace(change, window_s=window_s) if in_time or too_late else None


def cannot_tell(change: Change, now: datetime) -> Change:
    """Record a probe that saw neither this change nor anything known to be older."""
    return _given_up(replace(change, probes=change.probes + 1), now)


def _given_up(change: Change, now: datetime) -> Change:
    if now < change.gives_up_at:
        return change
    verdict = Verdict.BREACH if change.verdict is Verdict.BREACH else Verdict.UNDECIDED
    return replace(change, verdict=verdict, settled_at=now)


def shows(change: Change, received_at: datetime, *, by_later_version: bool, every_version: bool = False) -> Change:
    """Record a probe that saw the change or a later version of the record: the change is settled.

    Args:
        every_version: a later version does not stand for this one (an event stream); it is then unknown whether the
            target ever showed this one.
    """
    seen = replace(
        change,
        shown_at=received_at,
        probes=change.probes + 1,
        superseded=by_later_version,
        settled_at=received_at,
    )
    upper_s = seen.lag_upper_s
    if change.verdict is Verdict.BREACH:
        verdict = Verdict.BREACH_THEN_CONVERGED
    elif by_later_version:
        verdict = Verdict.UNDECIDED if every_version else Verdict.SUPERSEDED
    elif upper_s is not None and upper_s <= seen.window_s and not seen.clamped:
        verdict = Verdict.MET
    else:
        verdict = Verdict.UNDECIDED
    return replace(seen, verdict=verdict)


def next_probe_at(change: Change, now: datetime, *, every_s: float, guard_s: float) -> datetime:
    """When to look again: geometrically from the commit on, and on both sides of the window's end.

    A probe answered just before the window's end proves that the window was kept, one sent just after proves that it
    was not; only the guard lies between them, so hardly any change stays undecided.
    """
    elapsed_s = max(0.0, (now - change.committed_to_at).total_seconds())
    wait_s = max(every_s, elapsed_s * (PROBE_FACTOR - 1)) * (1 - JITTER_RATIO * _phase(change))
    at = now + timedelta(seconds=wait_s)
    deadline_at = change.deadline_at(guard_s)
    if now < deadline_at:
        last_at = change.last_call_at(guard_s)
        return min(at, deadline_at) if last_at is None or now >= last_at else min(at, last_at)
    return min(at, change.gives_up_at) if now < change.gives_up_at else now


def _phase(change: Change) -> float:
    """A number in [0, 1) that differs between changes and is constant for each."""
    return int.from_bytes(change.fingerprint[:2], "big") / 65536 if change.fingerprint else 0.5

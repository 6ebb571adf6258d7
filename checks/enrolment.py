"""Enrolment: whether the owner's current version is a change to follow, and when it was committed. Pure.

Only a change that was observed has a lag: before it the owner held something else, or nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from checks.cause import Kind
from checks.clocks import ClockBounds
from checks.comparison import Comparison
from checks.convergence import Change, Operation, Verdict, commit_bounds
from checks.record_history import History
from checks.values import EPOCH, MICROSECOND

MARKS = range(-(2**63), 2**63)
"""The version numbers that the ledger can store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """How the owner's current version came to be seen.

    Attributes:
        listed: the owner itself lists the record as changed lately.
        fresh: the owner certainly did not hold the record some time ago (`not_seen_at`): it was created since.
        stamp_us: the record's own changed-at in the owner's clock, or None.
        version: its own version number, or None.
        clock: the owner's clock bounds, None while its stamps are meaningless.
        slack_s: how long after its stamp a change may be committed.
        asked_at: local instant at which the owner was read; None if it is not needed.
        seen_at: local instant by which the owner certainly showed this version.
        not_seen_at: local instant at which it certainly did not show it yet, or None.
        stale_s: how long the owner may go on returning an older copy.
        blind: the record had been unreadable for longer than the flow's rhythm before this reading: versions may have
            come and gone unseen.
        earlier: another version that the owner was seen to hold, and when; None if the history already names it.
    """

    listed: bool
    stamp_us: int | None
    clock: ClockBounds | None
    slack_s: float
    seen_at: datetime
    not_seen_at: datetime | None = None
    asked_at: datetime | None = None
    fresh: bool = False
    version: int | None = None
    stale_s: float = 0.0
    blind: bool = False
    earlier: tuple[bytes, datetime | None] | None = None

    @property
    def mark(self) -> int | None:
        """The owner's own mark of its copy: the same mark proves that it has not been written since."""
        mark = self.version if self.stamp_us is None else self.stamp_us
        return mark if mark is not None and mark in MARKS else None

    @property
    def stamped_at(self) -> datetime | None:
        """The record's own changed-at, in the owner's clock."""
        try:
            return None if self.stamp_us is None else EPOCH + self.stamp_us * MICROSECOND
        except OverflowError:
            return None

    def commit_bounds(self, known_before: datetime | None) -> tuple[datetime, datetime]:
        """Bound the commit of this version; see `checks.convergence.commit_bounds`."""
        return commit_bounds(
            stamp_us=self.stamp_us,
            clock=self.clock,
            slack_s=self.slack_s,
            seen_at=self.seen_at,
            not_seen_at=known_before,
        )


def followed(
    comparison: Comparison,
    history: History,
    sighting: Sighting,
    *,
    window_s: float,
    later: tuple[Comparison, Sighting] | None = None,
) -> History:
    """What to follow of a record after this reading: pending changes, and versions seen to be new.

    Args:
        later: what the owner held when it was read again, if that was another version.

    Returns:
        `history` itself if nothing is new.
    """
    following = remembered(comparison, history, sighting)
    for compared, seen in ((comparison, sighting), later) if later is not None else ((comparison, sighting),):
        change = enrol(compared, following, seen, window_s=window_s)
        if change is not None:
            following = replace(following, changes=(*following.changes, change))
    return following


def enrol(comparison: Comparison, history: History, sighting: Sighting, *, window_s: float) -> Change | None:
    """Make the owner's current version a change to follow.

    The same version is never enrolled twice: it is compared with the last one that the owner was seen to hold. A
    record seen for the first time is not enrolled unless it was created since: it is unknown whether it changed, and
    following only what has arrived, or only what has not, would bias the lags.

    Returns:
        None if the version is already known, was given up on, or was not seen to change.
    """
    owner, divergence = comparison.owner, history.divergence
    if comparison.unverifiable or comparison.duplicates or comparison.owner_unread:
        return None
    version = owner.fingerprint if owner else b""
    if divergence is not None and divergence.version == version and not history.changes:
        return None  # it was followed to the end and given up, or differed already when it was seen first
    known_before = [] if sighting.not_seen_at is None else [sighting.not_seen_at]
    previous, held_at = _last_held(history, sighting)
    if previous is None:
        if owner is None or not sighting.fresh:
            return None
        operation = Operation.INSERT
    elif previous == version:
        return None
    elif owner is None and comparison.target is None and not history.changes and sighting.not_seen_at is None:
        return None  # gone from both, at an unknown time
    else:
        operation = Operation.UPDATE if previous else Operation.INSERT
    stale = timedelta(seconds=sighting.stale_s)
    baseline = history.baseline
    known_before += [at - stale for at in (held_at, baseline.agreed_at if baseline else None) if at is not None]
    known_before += [each.committed_from_at for each in history.changes[-1:]]
    committed_from_at, committed_to_at = sighting.commit_bounds(max(known_before, default=None))
    return Change(
        key=comparison.key,
        fingerprint=version,
        operation=operation if owner else Operation.DELETE,
        mark=sighting.mark,
        stamped_at=sighting.stamped_at,
        committed_from_at=committed_from_at,
        committed_to_at=committed_to_at,
        window_s=window_s,
        enrolled_at=sighting.seen_at,
        unseen_before=sighting.blind,
    )


def _last_held(history: History, sighting: Sighting) -> tuple[bytes | None, datetime | None]:
    """The last version that the owner was seen to hold, and when, if known."""
    if sighting.earlier is not None:
        return sighting.earlier
    if history.changes:
        return history.changes[-1].fingerprint, None
    if history.baseline is not None:
        return history.baseline.owner, None
    divergence = history.divergence
    # With several rows for one key, any of them may be read next.
    if divergence is None or divergence.steady_at is None or divergence.kind is Kind.DUPLICATE:
        return None, None
    return divergence.version, divergence.last_seen_at


def remembered(comparison: Comparison, history: History, sighting: Sighting) -> History:
    """Update what is known of the pending changes before the owner's current version joins them.

    A version that comes back looks as if it had never been away. As long as the owner shows the same version, it is
    therefore one change with one verdict: nobody saw another one. While it is pending, it may have been committed as
    late as now; a breach of it stays one and says nothing about what happened since. And a version that came and went
    unseen may be what the target shows: after a blind spell in which the owner may have written, older versions no
    longer count as missing.

    Returns:
        `history` itself if nothing changes.
    """
    if not history.changes or comparison.unverifiable or comparison.duplicates:
        return history
    version = comparison.owner.fingerprint if comparison.owner else b""
    *older, last = history.changes
    same = last.fingerprint == version
    if same and last.mark is not None and sighting.mark is not None:
        written = last.mark != sighting.mark
    else:
        written = sighting.blind
    if not written:
        return history
    blind = sighting.blind
    if blind:
        older = [replace(each, lost_sight=True) for each in older]
    if not same:
        last = replace(last, lost_sight=True)
    elif last.verdict is not Verdict.PENDING:
        last = replace(last, lost_sight=True, unseen_before=last.unseen_before or blind, mark=sighting.mark)
    else:
        latest = max(last.committed_to_at, sighting.commit_bounds(last.committed_from_at)[1])
        last = replace(last, committed_to_at=latest, mark=sighting.mark)
        if blind:
            last = replace(last, enrolled_at=sighting.seen_at, behind=None, unseen_before=True, lost_sight=False)
    return replace(history, changes=(*older, last))

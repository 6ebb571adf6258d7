"""Enrolment: whether the owner's present version is a change to follow, and when it was committed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from checks.clocks import ClockBounds
from checks.convergence import Change, commit_bounds
from checks.judgement import History
from checks.records import Comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """How the owner's present version came to be seen.

    Attributes:
        listed: the owner itself says that the record has changed lately.
        stamp_us: the record's own changed-at in the owner's clock, or None.
        clock: the owner's clock bounds, None where its stamps mean nothing at present.
        slack_s: how long after its stamp a change may be committed.
        seen_at: local instant by which the owner certainly showed this version.
        not_seen_at: local instant at which it certainly did not show it yet, or None.
    """

    listed: bool
    stamp_us: int | None
    clock: ClockBounds | None
    slack_s: float
    seen_at: datetime
    not_seen_at: datetime | None = None


def enrol(comparison: Comparison, history: History, sighting: Sighting, *, window_s: float) -> Change | None:
    """Make the owner's present version a change to follow.

    The same version is never enrolled twice: it is compared with the baseline and with what is pending.

    Returns:
        None where it is known, given up on, or no change at all.
    """
    owner, baseline = comparison.owner, history.baseline
    if comparison.unverifiable or comparison.duplicates:
        return None
    version = owner.fingerprint if owner else b""
    followed = history.divergence is not None and history.divergence.version == version
    if followed and not history.changes:
        return None  # it was followed to the end and given up
    if history.changes:
        if history.changes[-1].fingerprint == version:
            return None
    elif baseline is not None:
        if baseline.owner == version or (owner is None and comparison.target is None):
            return None
    elif owner is None or (comparison.target is not None and not sighting.listed):
        return None  # at first sight only what just changed, or has not arrived at all, is on its way
    elif comparison.target is not None and not comparison.agrees:
        return None  # never agreed: the owner's copy need not be the newer one
    known_before = [history.changes[-1].committed_from_at] if history.changes else []
    if baseline is not None and baseline.agreed_at is not None:
        known_before.append(baseline.agreed_at)
    if sighting.not_seen_at is not None:
        known_before.append(sighting.not_seen_at)
    committed_from_at, committed_to_at = commit_bounds(
        stamp_us=sighting.stamp_us,
        clock=sighting.clock,
        slack_s=sighting.slack_s,
        seen_at=sighting.seen_at,
        not_seen_at=max(known_before, default=None),
    )
    return Change(
        key=comparison.key,
        fingerprint=version,
        committed_from_at=committed_from_at,
        committed_to_at=committed_to_at,
        window_s=window_s,
        enrolled_at=sighting.seen_at,
    )

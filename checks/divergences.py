"""The life of a divergence: how a reading starts, advances or ends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from checks.cause import OF_TIMING, Cause
from checks.causes import Finding
from checks.comparison import Comparison
from checks.conflicts import Winner
from checks.convergence import Change, Verdict
from checks.differences import Difference
from checks.record_history import Divergence, DivergenceState, History, versions_seen
from checks.terms import Look, Terms

CONFIRMATIONS = 2
"""No divergence is reported on a single reading."""


RECHECK_CEILING_S = 900.0


def ended(divergence: Divergence | None, comparison: Comparison, at: datetime) -> Divergence | None:
    """The copies agree again: the divergence is closed, was a false suspicion, or lost an update."""
    if divergence is None:
        return None
    ended = _over(divergence, at)
    lost = _lost_update(divergence, comparison)
    if not lost:
        return ended
    return replace(
        ended,
        cause=Cause.LOST_UPDATE,
        state=DivergenceState.CLOSED,
        opened_at=divergence.opened_at or at,
        detail=lost,
    )


def _over(divergence: Divergence, at: datetime) -> Divergence:
    """Close an open divergence; dismiss one that was only suspected."""
    was_open = divergence.state is DivergenceState.OPEN
    state = DivergenceState.CLOSED if was_open else DivergenceState.DISMISSED
    return replace(divergence, state=state, closed_at=at, next_check_at=None)


def _caught_up(comparison: Comparison, history: History) -> bool:
    """Whether the target has reached a version of the owner's since it was last seen behind.

    A constantly changing record differs in every reading. If the target has moved on and nothing is overdue, the
    remaining difference is a change on its way, as in a record that was never late.
    """
    earlier, target = history.divergence, comparison.target
    if earlier is None or earlier.cause not in OF_TIMING or target is None or comparison.unread:
        return False
    versions = set(versions_seen(history))
    if history.baseline is not None:
        versions.add(history.baseline.target)
    return target.fingerprint in versions and target.fingerprint != earlier.shown


def _lost_update(divergence: Divergence, comparison: Comparison) -> str:
    """The system that lost an update against the policy, or "".

    Both sides may write and were seen to differ; now they agree on what one of them held then.
    """
    if not divergence.permitted or comparison.owner is None:
        return ""
    now = comparison.owner.fingerprint
    if now == divergence.version and divergence.shown != now and divergence.winner != Winner.OWNER:
        return "the target's update was overwritten: both show the owner's earlier value"
    both_wrote = divergence.cause is Cause.WRITE_CONFLICT
    if both_wrote and now == divergence.shown and divergence.winner not in {Winner.TARGET, Winner.MERGED}:
        return "the owner's update is gone: both show what the target held"
    return ""


def diverged(
    comparison: Comparison,
    finding: Finding,
    changes: Sequence[Change],
    history: History,
    look: Look,
    terms: Terms,
    *,
    unseen_s: float = 0.0,
) -> Divergence | None:
    """Advance the divergence or start one; None while the only difference is a change on its way.

    Args:
        unseen_s: see `checks.judgement.judge`.
    """
    earlier = history.divergence
    breached = [change for change in changes if change.verdict is Verdict.BREACH]
    given_up = earlier is not None and earlier.cause is Cause.LOST and finding.source_ahead
    version = comparison.owner.fingerprint if comparison.owner else b""
    overdue = _overdue(comparison, changes, look, terms)
    if finding.source_ahead and changes and not breached and not overdue:
        if earlier is None:
            return None
        if _caught_up(comparison, history):
            return _over(earlier, look.received_at)
    missed = [change for change in changes if change.shown_at is None]
    suspected_at = (earlier.suspected_at or earlier.first_seen_at) if earlier else look.sent_at
    waited_s = (look.sent_at - suspected_at).total_seconds()
    steady_at = earlier.steady_at if earlier and earlier.steady_at and earlier.version == version else look.sent_at
    steady_s = (look.sent_at - steady_at).total_seconds()
    if finding.source_ahead and changes:
        certain = bool(breached) or overdue
    else:
        # If the copies never agreed, only the owner's own changes can show that the target is behind.
        never_agreed = history.baseline is None and finding.cause is Cause.UNEXPLAINED
        certain = (
            finding.at_once
            or given_up
            or steady_s > max(terms.window_s, unseen_s)
            or (never_agreed and bool(breached))
        )
    first_seen_at, readings = (earlier.first_seen_at, earlier.readings + 1) if earlier else (look.sent_at, 1)
    if earlier is None and breached and missed and missed[0].missed_at is not None:
        first_seen_at, readings = min(first_seen_at, missed[0].missed_at), max(readings, missed[0].probes)
    is_open = earlier is not None and earlier.state is DivergenceState.OPEN
    opens = not is_open and certain and earlier is not None and waited_s >= terms.confirm_s
    judged_before = (
        earlier is not None and (is_open or given_up) and Cause.INVALID not in {finding.cause, earlier.cause}
    )
    cause = earlier.cause if earlier is not None and judged_before else finding.cause
    if cause is Cause.LATE and any(change.settled_at for change in breached):
        cause = Cause.LOST
    elif finding.source_ahead and not certain and not is_open:
        cause = Cause.IN_FLIGHT
    differences = _told(comparison, finding)
    current = Divergence(
        divergence_id=earlier.divergence_id if earlier else 0,
        key=comparison.key,
        kind=earlier.kind if earlier is not None and is_open and judged_before else finding.kind,
        cause=cause,
        state=DivergenceState.OPEN if is_open or opens else DivergenceState.SUSPECTED,
        first_seen_at=first_seen_at,
        last_seen_at=look.received_at,
        suspected_at=suspected_at,
        opened_at=look.received_at if opens else earlier.opened_at if earlier else None,
        readings=readings,
        version=version,
        steady_at=steady_at,
        shown=comparison.target.fingerprint if comparison.target else b"",
        permitted=finding.permitted,
        winner=earlier.winner if earlier else "",
        resolution=earlier.resolution if earlier else "",
        owner_written=earlier.owner_written if earlier else None,
        target_written=earlier.target_written if earlier else None,
        witnesses=earlier.witnesses if earlier else "",
        versions_behind=len(missed),
        first_missed_at=missed[0].committed_to_at if missed else None,
        operation=missed[0].operation.value if missed else earlier.operation if earlier else "",
        stamped_at=earlier.stamped_at if earlier else None,
        differences=differences,
        detail="; ".join(
            (*comparison.duplicates, *comparison.notes, *map(str, comparison.tombstones), *_patterns(differences))
        ),
    )
    at = _next_check_at(current, finding, changes, look, terms, certain=certain, unseen_s=unseen_s)
    return replace(current, next_check_at=at)


def _overdue(comparison: Comparison, changes: Sequence[Change], look: Look, terms: Terms) -> bool:
    """Whether the target has been behind for longer than the window, as far as readings show.

    A record that is written again and again without a change to the compared fields never proves a breach by its
    stamps, and one that was deleted and created again never by its absence; they still differ.
    """
    pending = [change for change in changes if change.settled_at is None]
    if not pending or pending[-1] is not changes[-1]:
        return False
    version = comparison.owner.fingerprint if comparison.owner else b""
    missing = comparison.owner is not None and comparison.target is None
    since = pending[0] if missing else pending[-1]
    if pending[-1].fingerprint != version or pending[-1].differed_at is None:
        return False
    return (look.sent_at - since.enrolled_at).total_seconds() > terms.window_s + terms.guard_s


def _patterns(differences: Sequence[Difference]) -> list[str]:
    """How the target's values follow from the owner's, for fields that were altered in transit."""
    mangled = Cause.TRANSFORMATION.value
    return [f"{each.field}: {each.pattern}" for each in differences if each.cause == mangled and each.pattern]


def _told(comparison: Comparison, finding: Finding) -> tuple[Difference, ...]:
    """The differences, each with its own cause, and the unreadable fields."""
    differences = comparison.differences
    if len(finding.fields) == len(differences):
        pairs = zip(differences, finding.fields, strict=True)
        differences = tuple(replace(difference, cause=cause.value) for difference, cause in pairs)
    return (*differences, *comparison.unread) or comparison.invalid


def _next_check_at(
    divergence: Divergence,
    finding: Finding,
    changes: Sequence[Change],
    look: Look,
    terms: Terms,
    *,
    certain: bool,
    unseen_s: float,
) -> datetime:
    """When to read the record again for the divergence; its changes have their own schedule."""
    now = look.received_at
    if divergence.state is DivergenceState.OPEN:
        age_s = (now - divergence.first_seen_at).total_seconds()
        return now + timedelta(seconds=min(max(terms.every_s, age_s / 2), RECHECK_CEILING_S))
    soon = now + timedelta(seconds=min(terms.every_s, terms.confirm_s))
    if certain:
        settles_at = (divergence.suspected_at or divergence.first_seen_at) + timedelta(seconds=terms.confirm_s)
    elif finding.source_ahead and changes:
        waiting = [change.deadline_at(terms.guard_s) for change in changes if change.settled_at is None]
        settles_at = min(waiting, default=now)
    else:
        wait_s = max(max(terms.window_s, unseen_s) + terms.guard_s, terms.confirm_s)
        settles_at = (divergence.steady_at or divergence.first_seen_at) + timedelta(seconds=wait_s)
    return max(settles_at, now + timedelta(seconds=0.01)) if settles_at > now else soon

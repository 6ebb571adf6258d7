"""The life of a divergence: how one reading begins it, moves it on and ends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from checks.cause import FAMILY, Cause
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


OF_TIMING = frozenset(cause for cause, family in FAMILY.items() if family == "timing")


def ended(divergence: Divergence | None, comparison: Comparison, at: datetime) -> Divergence | None:
    """The copies agree again: the divergence is closed, or was a false suspicion, or cost somebody an update."""
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
    """What was open is closed, what was only suspected is dismissed."""
    was_open = divergence.state is DivergenceState.OPEN
    state = DivergenceState.CLOSED if was_open else DivergenceState.DISMISSED
    return replace(divergence, state=state, closed_at=at, next_check_at=None)


def _caught_up(comparison: Comparison, history: History) -> bool:
    """Whether the target has come to a version of the owner's since it was last seen behind.

    A record that never rests differs in every reading. Where the target has moved on and nothing is overdue, what
    still differs is a change on its way, as in a record that was never late.
    """
    known, target = history.divergence, comparison.target
    if known is None or known.cause not in OF_TIMING or target is None or comparison.unread:
        return False
    held = set(versions_seen(history))
    if history.baseline is not None:
        held.add(history.baseline.target)
    return target.fingerprint in held and target.fingerprint != known.shown


def _lost_update(divergence: Divergence, comparison: Comparison) -> str:
    """Whose update was overwritten without the policy saying so, or "".

    Both sides may write, and both were seen apart; now they agree on what one of them held then.
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
) -> Divergence | None:
    """Move the divergence on, or begin one; None while nothing but a change on its way is seen."""
    known = history.divergence
    breached = [change for change in changes if change.verdict is Verdict.BREACH]
    given_up = known is not None and known.cause is Cause.LOST and finding.source_ahead
    version = comparison.owner.fingerprint if comparison.owner else b""
    overdue = _overdue(comparison, changes, look, terms)
    if finding.source_ahead and changes and not breached and not overdue:
        if known is None:
            return None
        if _caught_up(comparison, history):
            return _over(known, look.received_at)
    missed = [change for change in changes if change.shown_at is None]
    suspected_at = (known.suspected_at or known.first_seen_at) if known else look.sent_at
    waited_s = (look.sent_at - suspected_at).total_seconds()
    steady_at = known.steady_at if known and known.steady_at and known.version == version else look.sent_at
    steady_s = (look.sent_at - steady_at).total_seconds()
    if finding.source_ahead and changes:
        certain = bool(breached) or overdue
    else:
        # Where the copies never agreed nothing but the owner's own changes can tell that the target is behind.
        never_agreed = history.baseline is None and finding.cause is Cause.UNEXPLAINED
        certain = finding.at_once or given_up or steady_s > terms.window_s or (never_agreed and bool(breached))
    first_seen_at, readings = (known.first_seen_at, known.readings + 1) if known else (look.sent_at, 1)
    if known is None and breached and missed and missed[0].missed_at is not None:
        first_seen_at, readings = min(first_seen_at, missed[0].missed_at), max(readings, missed[0].probes)
    is_open = known is not None and known.state is DivergenceState.OPEN
    opens = not is_open and certain and known is not None and waited_s >= terms.confirm_s
    judged_before = known is not None and (is_open or given_up) and Cause.INVALID not in {finding.cause, known.cause}
    cause = known.cause if known is not None and judged_before else finding.cause
    if cause is Cause.LATE and any(change.settled_at for change in breached):
        cause = Cause.LOST
    elif finding.source_ahead and not certain and not is_open:
        cause = Cause.IN_FLIGHT
    told = _told(comparison, finding)
    moved = Divergence(
        divergence_id=known.divergence_id if known else 0,
        key=comparison.key,
        kind=known.kind if known is not None and is_open and judged_before else finding.kind,
        cause=cause,
        state=DivergenceState.OPEN if is_open or opens else DivergenceState.SUSPECTED,
        first_seen_at=first_seen_at,
        last_seen_at=look.received_at,
        suspected_at=suspected_at,
        opened_at=look.received_at if opens else known.opened_at if known else None,
        readings=readings,
        version=version,
        steady_at=steady_at,
        shown=comparison.target.fingerprint if comparison.target else b"",
        permitted=finding.permitted,
        winner=known.winner if known else "",
        resolution=known.resolution if known else "",
        owner_written=known.owner_written if known else None,
        target_written=known.target_written if known else None,
        witnesses=known.witnesses if known else "",
        versions_behind=len(missed),
        first_missed_at=missed[0].committed_to_at if missed else None,
        operation=missed[0].operation.value if missed else known.operation if known else "",
        stamped_at=known.stamped_at if known else None,
        differences=told,
        detail="; ".join((*comparison.duplicates, *_patterns(told))),
    )
    at = _next_check_at(moved, finding, changes, look, terms, certain=certain)
    return replace(moved, next_check_at=at)


def _overdue(comparison: Comparison, changes: Sequence[Change], look: Look, terms: Terms) -> bool:
    """Whether the target has been behind for longer than the window, as far as readings tell.

    A record that is written again and again without a change of what is compared never proves a breach by its
    stamps, and one that was deleted and created again none by its absence; they still differ.
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


def _patterns(told: Sequence[Difference]) -> list[str]:
    """How the target's values follow from the owner's, where something on the way made them so."""
    mangled = Cause.TRANSFORMATION.value
    return [f"{each.field}: {each.pattern}" for each in told if each.cause == mangled and each.pattern]


def _told(comparison: Comparison, finding: Finding) -> tuple[Difference, ...]:
    """The differences, each with its own cause, and the fields that cannot be read."""
    differences = comparison.differences
    if len(finding.fields) == len(differences):
        pairs = zip(differences, finding.fields, strict=True)
        differences = tuple(replace(difference, cause=cause.value) for difference, cause in pairs)
    return (*differences, *comparison.unread) or comparison.invalid


def _next_check_at(
    moved: Divergence,
    finding: Finding,
    changes: Sequence[Change],
    look: Look,
    terms: Terms,
    *,
    certain: bool,
) -> datetime:
    """When to read the record again on the divergence's account; its changes have their own schedule besides."""
    now = look.received_at
    if moved.state is DivergenceState.OPEN:
        age_s = (now - moved.first_seen_at).total_seconds()
        return now + timedelta(seconds=min(max(terms.every_s, age_s / 2), RECHECK_CEILING_S))
    soon = now + timedelta(seconds=min(terms.every_s, terms.confirm_s))
    if certain:
        settles_at = (moved.suspected_at or moved.first_seen_at) + timedelta(seconds=terms.confirm_s)
    elif finding.source_ahead and changes:
        waiting = [change.deadline_at(terms.guard_s) for change in changes if change.settled_at is None]
        settles_at = min(waiting, default=now)
    else:
        wait_s = max(terms.window_s + terms.guard_s, terms.confirm_s)
        settles_at = (moved.steady_at or moved.first_seen_at) + timedelta(seconds=wait_s)
    return max(settles_at, now + timedelta(seconds=0.01)) if settles_at > now else soon

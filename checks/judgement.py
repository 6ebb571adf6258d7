"""Judging one record: a confirmed comparison and its history in, everything that follows from it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from checks.causes import FAMILY, Baseline, Cause, Finding, Kind, classify, merged_marks
from checks.conflicts import Winner
from checks.convergence import Change, Verdict, cannot_tell, next_probe_at, shows, still_differs
from checks.fields import Difference
from checks.records import Comparison
from probes.contract import Key

CONFIRMATIONS = 2
"""No divergence is reported on a single reading."""

RECHECK_CEILING_S = 900.0

TIMER_S = 0.05
"""How late a probe may be made that was due at an instant; part of the guard."""

PUT_OFF_S = 30.0
"""How long a record that cannot be verified is left alone."""

SHADOWED = frozenset({Cause.FOREIGN_WRITE, Cause.TRANSFORMATION, Cause.REGRESSION, Cause.LOST})
"""Causes that a change of the owner between two readings would look like."""

OF_TIMING = frozenset(cause for cause, family in FAMILY.items() if family == "timing")

INVALID = Finding(kind=Kind.INVALID, cause=Cause.INVALID, at_once=True)


class Outcome(StrEnum):
    """What one reading of one record came to; every record read falls into exactly one."""

    AGREED = "agreed"
    IN_FLIGHT = "in_flight"
    SUSPECTED = "suspected"
    DIVERGENT = "divergent"
    INCONCLUSIVE = "inconclusive"
    CANNOT_VERIFY = "cannot_verify"


class DivergenceState(StrEnum):
    """The life of a divergence."""

    SUSPECTED = "suspected"
    OPEN = "open"
    CLOSED = "closed"
    DISMISSED = "dismissed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """An episode during which a record differs.

    Attributes:
        divergence_id: the ledger's identity, 0 before it is recorded.
        state: suspected until it is certain, then open until both copies agree again, or the target has caught up
            with a record that never rests; a suspicion that went away by itself is dismissed.
        first_seen_at: the first reading that saw it; where a change was not shown in time, the first probe that
            did not see that change yet.
        suspected_at: the first reading that suspected it: another one has to confirm it.
        readings: confirmed readings that saw it.
        version: fingerprint of the owner's copy at the last of them, empty where it was absent.
        shown: the same of the target's copy.
        steady_at: the first reading that saw the owner's copy as it is now; a record that is written again and
            again may show versions that came and went between two readings, and is given its window each time.
        permitted: the target's copy was changed by a system that may, so its edit is not to be lost.
        winner: whose copy counts by the flow's conflict policy (`checks.conflicts.Winner`), "" where none was asked.
        resolution: the same in words, or why the policy abstains.
        owner_written, target_written: bounds of the instants at which the two copies were last written.
        witnesses: what the other systems that hold the record say, "" where there are none or nobody was asked.
        versions_behind: how many versions of the owner the target has not shown yet.
        first_missed_at: when the first of those was committed, at the latest.
        operation: what the owner did there, "" where no change of the owner is missed.
        stamped_at: the owner's own stamp of its copy, in the owner's clock.
        next_check_at: when to read the record again.
    """

    key: Key
    kind: Kind
    cause: Cause
    state: DivergenceState
    first_seen_at: datetime
    last_seen_at: datetime
    divergence_id: int = 0
    suspected_at: datetime | None = None
    opened_at: datetime | None = None
    closed_at: datetime | None = None
    readings: int = 1
    version: bytes = b""
    shown: bytes = b""
    steady_at: datetime | None = None
    permitted: bool = False
    winner: str = ""
    resolution: str = ""
    owner_written: tuple[datetime, datetime] | None = None
    target_written: tuple[datetime, datetime] | None = None
    witnesses: str = ""
    versions_behind: int = 0
    first_missed_at: datetime | None = None
    operation: str = ""
    stamped_at: datetime | None = None
    differences: tuple[Difference, ...] = ()
    detail: str = ""
    next_check_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What is known of one record of one flow before this reading.

    Attributes:
        changes: pending changes, oldest commit first.
    """

    baseline: Baseline | None = None
    changes: tuple[Change, ...] = ()
    divergence: Divergence | None = None


NO_HISTORY = History()


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the map says about judging a flow.

    Attributes:
        window_s: the consistency window.
        every_s: the flow's probe interval.
        guard_s: clock half-width plus round trip plus `TIMER_S`: how far from the window's end it is probed.
        confirm_s: the least time between a first reading and the one that confirms it.
        every_version: the target must show every version, a later one does not stand for it.
    """

    window_s: float
    every_s: float
    guard_s: float
    confirm_s: float
    every_version: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """When the target was read: the instants around the request, local clock."""

    sent_at: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What follows from one reading of one record.

    Attributes:
        baseline: the new baseline, or None where it does not move.
        forget_baseline: the record is gone from both systems.
        changes: changes whose state moved, settled ones included.
        probe_at: for each still pending change of `changes`, when to look again, in the same order.
        divergence: the divergence as it is now, where it moved.
        finding: the row of the three-way table, where the copies differ.
    """

    key: Key
    outcome: Outcome
    baseline: Baseline | None = None
    forget_baseline: bool = False
    changes: tuple[Change, ...] = ()
    probe_at: tuple[datetime | None, ...] = ()
    divergence: Divergence | None = None
    finding: Finding | None = None

    @property
    def tells(self) -> bool:
        """Whether there is anything to record beyond the count."""
        return bool(self.changes or self.divergence or self.baseline or self.forget_baseline)


def judge(
    comparison: Comparison, history: History, look: Look, terms: Terms, *, owner_quiet: bool = True
) -> Judgement:
    """Judge a comparison that the owner's second reading has confirmed.

    Args:
        comparison: not inconclusive; it may be unverifiable, which concludes nothing.
        history: `changes` must already hold the owner's present version where it is a change.
        owner_quiet: the owner's copy has not changed for a window, or not since both last agreed; only then is a
            target-only change certain at once.
    """
    key = comparison.key
    if comparison.unverifiable:
        return _put_off(key, history, look, terms)
    if comparison.agrees:
        agreed = _agreed(comparison, history, look, terms)
        if not comparison.invalid:
            return agreed
        invalid = _diverged(comparison, INVALID, (), history, look, terms)
        return replace(agreed, outcome=_outcome(invalid), divergence=invalid)
    versions = _versions(history)
    finding = classify(comparison, history.baseline, versions=versions)
    if comparison.unread and finding.arrived:
        finding = replace(finding, arrived=None)  # what cannot be read may be what the owner changed
    if finding.at_once and not owner_quiet and finding.cause in SHADOWED:
        finding = replace(finding, at_once=False)
    if finding.arrived and (comparison.partial or any(change.unseen_before for change in history.changes)):
        # That it differs only where the owner stands still proves an arrival where every field and version was seen.
        finding = replace(finding, arrived=None)
    changes, probe_at = _follow(comparison, finding, history, look, terms)
    divergence = _diverged(comparison, finding, changes, history, look, terms)
    return Judgement(
        key=key,
        outcome=_outcome(divergence),
        baseline=_shown_so_far(comparison, finding, history.baseline, versions),
        changes=changes,
        probe_at=probe_at,
        divergence=divergence,
        finding=None if divergence is not None and divergence.closed_at is not None else finding,
    )


def glimpse(comparison: Comparison, history: History, look: Look, terms: Terms) -> Judgement:
    """Account a reading during which the record moved: what it shows is certain, that it differs is not.

    Args:
        comparison: of the copies as they were read first.
        history: `changes` must already hold every version that the owner was seen to hold meanwhile.
    """
    versions = _versions(history)
    finding = classify(comparison, history.baseline, versions=versions)
    changes, probe_at = _follow(comparison, replace(finding, arrived=None), history, look, terms)
    shows_one = comparison.target is not None and comparison.target.fingerprint in versions
    divergence = None
    if finding.source_ahead and any(change.verdict is Verdict.BREACH for change in changes):
        divergence = _diverged(comparison, finding, changes, history, look, terms)
    return Judgement(
        key=comparison.key,
        outcome=Outcome.INCONCLUSIVE,
        baseline=_shown_so_far(comparison, finding, history.baseline, versions) if shows_one else None,
        changes=changes,
        probe_at=probe_at,
        divergence=divergence,
        finding=finding if divergence else None,
    )


def _versions(history: History) -> list[bytes]:
    """The versions that the owner was seen to hold since both last agreed, or since it was seen first."""
    versions = [change.fingerprint for change in history.changes]
    known = history.divergence
    if versions and history.baseline is None and known is not None and known.steady_at and known.version:
        return [known.version, *versions]
    return versions


def _shown_so_far(
    comparison: Comparison, finding: Finding, known: Baseline | None, versions: Sequence[bytes]
) -> Baseline | None:
    """Move the baseline on as far as the target has come, although the copies still differ.

    Where the target shows an earlier version of the owner's, both have held that one; so does a record that never
    rests come to its first baseline. Where single fields
    agree, they have arrived; what differs keeps the marks it had when it last agreed.
    """
    owner, target = comparison.owner, comparison.target
    if comparison.unread or owner is None or target is None or finding.cause in {Cause.DUPLICATE, Cause.REGRESSION}:
        return None
    if known is None:
        if target.fingerprint not in versions or any(place.target_leads for place in comparison.places):
            return None
        fresh = Baseline(owner=target.fingerprint, target=target.fingerprint)
        return replace(fresh, owner_marks=target.marks, target_marks=target.marks)
    if target.fingerprint in versions and target.fingerprint != known.owner:
        led_by_target = frozenset(place.position for place in comparison.places if place.target_leads)
        return known.advance(
            target.fingerprint,
            target.fingerprint,
            owner_marks=merged_marks(target.marks, known.owner_marks, led_by_target),
            target_marks=merged_marks(target.marks, known.target_marks, led_by_target),
        )
    differing = frozenset(place.position for place in comparison.places)
    owner_marks = merged_marks(owner.marks, known.owner_marks, differing)
    target_marks = merged_marks(target.marks, known.target_marks, differing)
    if finding.arrived and owner.fingerprint != known.owner:
        return known.advance(
            owner.fingerprint, target.fingerprint, owner_marks=owner_marks, target_marks=target_marks
        )
    if (owner_marks, target_marks) == (known.owner_marks, known.target_marks):
        return None
    return replace(known, owner_marks=owner_marks, target_marks=target_marks)


def _put_off(key: Key, history: History, look: Look, terms: Terms) -> Judgement:
    """Conclude nothing, and look again later, so that what cannot be read does not crowd out the rest."""
    later = look.received_at + timedelta(seconds=max(terms.every_s, PUT_OFF_S))
    divergence = history.divergence
    return Judgement(
        key=key,
        outcome=Outcome.CANNOT_VERIFY,
        changes=history.changes,
        probe_at=(later,) * len(history.changes),
        divergence=replace(divergence, next_check_at=later) if divergence else None,
    )


def _outcome(divergence: Divergence | None) -> Outcome:
    if divergence is None or divergence.closed_at is not None:
        return Outcome.IN_FLIGHT
    if divergence.state is not DivergenceState.OPEN and divergence.cause is Cause.IN_FLIGHT:
        return Outcome.IN_FLIGHT
    return Outcome.DIVERGENT if divergence.state is DivergenceState.OPEN else Outcome.SUSPECTED


def _agreed(comparison: Comparison, history: History, look: Look, terms: Terms) -> Judgement:
    owner, target, known = comparison.owner, comparison.target, history.baseline
    last = len(history.changes) - 1
    changes = tuple(
        shows(change, look.received_at, by_later_version=at < last, every_version=terms.every_version)
        for at, change in enumerate(history.changes)
    )
    baseline = None
    if owner is not None and target is not None and (known is None or not known.holds(owner, target)):
        fresh = known or Baseline(owner=owner.fingerprint, target=target.fingerprint)
        baseline = fresh.advance(
            owner.fingerprint, target.fingerprint, owner_marks=owner.marks, target_marks=target.marks
        )
    return Judgement(
        key=comparison.key,
        outcome=Outcome.AGREED,
        baseline=baseline,
        forget_baseline=owner is None and known is not None,
        changes=changes,
        probe_at=(None,) * len(changes),
        divergence=_ended(history.divergence, comparison, look.received_at),
    )


def _ended(divergence: Divergence | None, comparison: Comparison, at: datetime) -> Divergence | None:
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
    held = set(_versions(history))
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
    both_wrote = divergence.cause is Cause.CONFLICT
    if both_wrote and now == divergence.shown and divergence.winner not in {Winner.TARGET, Winner.MERGED}:
        return "the owner's update is gone: both show what the target held"
    return ""


def _follow(
    comparison: Comparison, finding: Finding, history: History, look: Look, terms: Terms
) -> tuple[tuple[Change, ...], tuple[datetime | None, ...]]:
    """Account this reading to every pending change.

    Versions up to the one shown have arrived, and so have all where only fields differ that the owner did not
    change. Otherwise the owner's present version, confirmed by its second reading, certainly has not. An earlier
    one has not where the target shows something known to be older, or just what it showed when it certainly was
    behind; anything else may be a later version that came and went between two readings.
    """
    target = comparison.target.fingerprint if comparison.target else b""
    version = comparison.owner.fingerprint if comparison.owner else b""
    last = len(history.changes) - 1
    # What the owner was only seen to hold after the target had answered says nothing about that answer.
    there = [change.enrolled_at <= look.received_at for change in history.changes]
    shows_it = (at for at, change in enumerate(history.changes) if there[at] and change.fingerprint == target)
    shown = max(shows_it, default=-1)
    shown = last if finding.arrived else shown
    certain = last if finding.arrived is False and last >= 0 and history.changes[last].fingerprint == version else -1
    # That the target has no record proves nothing of a version that the owner left: a record that is deleted and
    # created again between two readings looks as if it had never been gone.
    there_too = comparison.target is not None
    older = there_too and (shown >= 0 or target in _known_older(history))
    # Of several rows for one key any may be the one that shows it.
    single = not comparison.duplicates

    def accounted(at: int, change: Change) -> Change:
        if not there[at]:
            return change
        if at <= shown:
            return shows(change, look.received_at, by_later_version=at < shown, every_version=terms.every_version)
        same_as_before = there_too and change.behind == target
        # A deletion has no stamp: where the target moved meanwhile, the record may have been there and gone again.
        surely = at == certain and (bool(change.fingerprint) or change.behind is None)
        behind = older or surely or same_as_before
        if behind and single and not change.lost_sight:
            return still_differs(change, look.sent_at, look.received_at, target)
        return cannot_tell(change, look.received_at)

    changes = tuple(accounted(at, change) for at, change in enumerate(history.changes))
    probe_at = tuple(
        None
        if change.settled_at
        else next_probe_at(change, look.received_at, every_s=terms.every_s, guard_s=terms.guard_s)
        for change in changes
    )
    return changes, probe_at


def _known_older(history: History) -> set[bytes]:
    """What the target shows while it is behind every pending change."""
    older = set() if history.baseline is None else {history.baseline.target}
    pending = {change.fingerprint for change in history.changes}
    return older | (set(_versions(history)) - pending)


def _diverged(
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

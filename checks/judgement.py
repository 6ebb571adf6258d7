"""Judging one record: a confirmed comparison and its history in, everything that follows out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from checks.cause import Cause, Kind
from checks.causes import RING_LENGTH, Baseline, Finding, classify, merged_digests
from checks.comparison import Comparison, Copy
from checks.convergence import Change, Verdict, cannot_tell, in_field_window, next_probe_at, shows, still_differs
from checks.divergences import diverged, ended
from checks.record_history import (
    Divergence,
    DivergenceState,
    History,
    versions_between,
    versions_on_their_way,
    versions_seen,
)
from checks.terms import Look, Terms
from probes.contract import Key

PUT_OFF_S = 30.0
"""How long to wait before reading an unverifiable record again."""

SHADOWED = frozenset({Cause.FOREIGN_WRITE, Cause.WRITE_CONFLICT, Cause.TRANSFORMATION, Cause.REGRESSION, Cause.LOST})
"""Causes that an owner's change between two readings would resemble."""


INVALID = Finding(kind=Kind.INVALID, cause=Cause.INVALID, at_once=True)


class Outcome(StrEnum):
    """The result of one reading of one record; every reading has exactly one."""

    AGREED = "agreed"
    IN_FLIGHT = "in_flight"
    SUSPECTED = "suspected"
    DIVERGENT = "divergent"
    INCONCLUSIVE = "inconclusive"
    CANNOT_VERIFY = "cannot_verify"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What follows from one reading of one record.

    Attributes:
        baseline: the new baseline, or None if it does not move.
        forget_baseline: the record is gone from both systems.
        changes: changes with a new state, settled ones included.
        probe_at: for each still pending change of `changes`, when to look again, in the same order.
        divergence: the divergence as it is now, if it moved.
        finding: the row of the three-way table, if the copies differ.
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


def judge(comparison: Comparison, history: History, look: Look, terms: Terms, *, unseen_s: float = 0.0) -> Judgement:
    """Judge a comparison that the owner's second reading has confirmed.

    Args:
        comparison: not inconclusive; it may be unverifiable, which concludes nothing.
        history: `changes` must already hold the owner's current version if it is a change.
        unseen_s: for how long, from when the owner's copy was first seen as it is, the target may legitimately show a
            version that the owner held unseen, between two readings; 0 if there can be none.
    """
    key = comparison.key
    if comparison.unverifiable:
        return _put_off(key, history, look, terms)
    if comparison.agrees:
        agreed = _agreed(comparison, history, look, terms)
        if not comparison.invalid:
            return agreed
        invalid = diverged(comparison, INVALID, (), history, look, terms)
        return replace(agreed, outcome=_outcome(invalid), divergence=invalid)
    terms = terms.of(comparison)
    finding = classify(comparison, history.baseline, versions=versions_on_their_way(history, look.sent_at))
    if comparison.unread and finding.arrived:
        finding = replace(finding, arrived=None)  # an unreadable field may be the one that the owner changed
    if finding.cause not in SHADOWED:
        unseen_s = 0.0
    if finding.at_once and unseen_s:
        finding = replace(finding, at_once=False)
    if finding.arrived and (comparison.partial or any(change.unseen_before for change in history.changes)):
        # A difference only in fields the owner did not change proves an arrival, if every field and version was seen.
        finding = replace(finding, arrived=None)
    changes, probe_at = _follow(comparison, finding, history, look, terms)
    divergence = diverged(comparison, finding, changes, history, look, terms, unseen_s=unseen_s)
    return Judgement(
        key=key,
        outcome=_outcome(divergence),
        baseline=_shown_so_far(comparison, finding, history.baseline, versions_seen(history)),
        changes=changes,
        probe_at=probe_at,
        divergence=divergence,
        finding=None if divergence is not None and divergence.closed_at is not None else finding,
    )


def glimpse(comparison: Comparison, history: History, look: Look, terms: Terms) -> Judgement:
    """Account for a reading during which the record changed: what it shows is certain, that it differs is not.

    Args:
        comparison: of the copies as they were read first.
        history: `changes` must already hold every version seen at the owner meanwhile.
    """
    terms = terms.of(comparison)
    versions = versions_seen(history)
    finding = classify(comparison, history.baseline, versions=versions_on_their_way(history, look.sent_at))
    changes, probe_at = _follow(comparison, replace(finding, arrived=None), history, look, terms)
    shows_one = comparison.target is not None and comparison.target.fingerprint in versions
    divergence = None
    if finding.source_ahead and any(change.verdict is Verdict.BREACH for change in changes):
        divergence = diverged(comparison, finding, changes, history, look, terms)
    return Judgement(
        key=comparison.key,
        outcome=Outcome.INCONCLUSIVE,
        baseline=_shown_so_far(comparison, finding, history.baseline, versions) if shows_one else None,
        changes=changes,
        probe_at=probe_at,
        divergence=divergence,
        finding=finding if divergence else None,
    )


def _shown_so_far(
    comparison: Comparison, finding: Finding, baseline: Baseline | None, versions: Sequence[bytes]
) -> Baseline | None:
    """Advance the baseline as far as the target has come, although the copies still differ.

    If the target shows an earlier version of the owner's, both have held that one; this also gives a constantly
    changing record its first baseline. Single fields that agree have arrived; those that differ keep the digests of
    their last agreement.
    """
    owner, target = comparison.owner, comparison.target
    if comparison.unread or owner is None or target is None or finding.cause in {Cause.DUPLICATE, Cause.REGRESSION}:
        return None
    if baseline is None:
        if target.fingerprint not in versions or any(place.target_leads for place in comparison.places):
            return None
        fresh = Baseline(owner=target.fingerprint, target=target.fingerprint)
        return replace(fresh, owner_digests=target.digests, target_digests=target.digests)
    if target.fingerprint in versions and target.fingerprint != baseline.owner:
        led_by_target = frozenset(place.position for place in comparison.places if place.target_leads)
        return baseline.advance(
            target.fingerprint,
            target.fingerprint,
            owner_digests=merged_digests(target.digests, baseline.owner_digests, led_by_target),
            target_digests=merged_digests(target.digests, baseline.target_digests, led_by_target),
        )
    differing = frozenset(place.position for place in comparison.places)
    owner_digests = merged_digests(owner.digests, baseline.owner_digests, differing)
    target_digests = merged_digests(target.digests, baseline.target_digests, differing)
    if finding.arrived and owner.fingerprint != baseline.owner:
        return baseline.advance(
            owner.fingerprint, target.fingerprint, owner_digests=owner_digests, target_digests=target_digests
        )
    if (owner_digests, target_digests) == (baseline.owner_digests, baseline.target_digests):
        return None
    return replace(baseline, owner_digests=owner_digests, target_digests=target_digests)


def _put_off(key: Key, history: History, look: Look, terms: Terms) -> Judgement:
    """Conclude nothing and look again later, so that unreadable records do not crowd out the rest."""
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
    owner, target, before = comparison.owner, comparison.target, history.baseline
    last = len(history.changes) - 1
    changes = tuple(
        shows(change, look.received_at, by_later_version=index < last, every_version=terms.every_version)
        for index, change in enumerate(history.changes)
    )
    return Judgement(
        key=comparison.key,
        outcome=Outcome.AGREED,
        baseline=_agreed_on(owner, target, history, look) if owner is not None and target is not None else None,
        forget_baseline=owner is None and before is not None,
        changes=changes,
        probe_at=(None,) * len(changes),
        divergence=ended(history.divergence, comparison, look.received_at),
    )


def _agreed_on(owner: Copy, target: Copy, history: History, look: Look) -> Baseline | None:
    """The baseline of two copies that agree, None if it is the one they had.

    What the owner held in between is known from then on as earlier. If it came back to a version that it had held
    before, the target may have come only as far as the first of the two, and the rest may still be on its way to it.
    """
    before, between = history.baseline, versions_between(history)
    held = between if before is None else [before.owner, *between]
    returned = held.index(owner.fingerprint) if owner.fingerprint in held else len(held)
    unshown = held[returned + 1 : -1]
    if not unshown and before is not None and before.holds(owner, target):
        return None
    fresh = before or Baseline(owner=owner.fingerprint, target=target.fingerprint)
    advanced = fresh.advance(
        owner.fingerprint,
        target.fingerprint,
        owner_digests=owner.digests,
        target_digests=target.digests,
        between=between,
    )
    if not unshown:
        return advanced
    still = fresh.on_its_way(look.sent_at) if owner.fingerprint == fresh.owner else ()
    return replace(
        advanced,
        unshown=(*still, *unshown)[-RING_LENGTH:],
        unshown_until_at=max(change.gives_up_at for change in history.changes),
    )


def _follow(
    comparison: Comparison, finding: Finding, history: History, look: Look, terms: Terms
) -> tuple[tuple[Change, ...], tuple[datetime | None, ...]]:
    """Apply this reading to every pending change.

    Versions up to the one shown have arrived, and all have if only fields differ that the owner did not change.
    Otherwise the owner's current version, confirmed by its second reading, certainly has not. An earlier one has not
    if the target shows something known to be older, or exactly what it showed when it certainly was behind; anything
    else may be a later version that came and went between two readings.
    """
    target = comparison.target.fingerprint if comparison.target else b""
    version = comparison.owner.fingerprint if comparison.owner else b""
    last = len(history.changes) - 1
    # A version seen at the owner only after the target had answered says nothing about that answer.
    there = [change.enrolled_at <= look.received_at for change in history.changes]
    shows_it = (
        index for index, change in enumerate(history.changes) if there[index] and change.fingerprint == target
    )
    shown = max(shows_it, default=-1)
    shown = last if finding.arrived else shown
    certain = last if finding.arrived is False and last >= 0 and history.changes[last].fingerprint == version else -1
    # A target without the record proves nothing about a version that the owner has left: a record that is deleted and
    # created again between two readings looks as if it had never been gone.
    there_too = comparison.target is not None
    older = there_too and (shown >= 0 or target in _known_older(history))
    # With several rows for one key, any of them may show it.
    single = not comparison.duplicates

    def accounted(index: int, change: Change) -> Change:
        if not there[index]:
            return change
        if index <= shown:
            return shows(change, look.received_at, by_later_version=index < shown, every_version=terms.every_version)
        same_as_before = there_too and change.behind == target
        # A deletion has no stamp: if the target changed meanwhile, the record may have come and gone again.
        surely = index == certain and (bool(change.fingerprint) or change.behind is None)
        behind = older or surely or same_as_before
        if behind and single and not change.lost_sight:
            given = in_field_window(change, look.sent_at, look.received_at, terms.window_s)
            if given is not None:
                return still_differs(given, look.sent_at, look.received_at, target)
        return cannot_tell(change, look.received_at)

    changes = tuple(accounted(index, change) for index, change in enumerate(history.changes))
    probe_at = tuple(
        None
        if change.settled_at
        else next_probe_at(change, look.received_at, every_s=terms.every_s, guard_s=terms.guard_s)
        for change in changes
    )
    return changes, probe_at


def _known_older(history: History) -> set[bytes]:
    """What the target shows while it is behind every pending change."""
    older = set() if history.baseline is None else {history.baseline.target, *history.baseline.unshown}
    pending = {change.fingerprint for change in history.changes}
    return older | (set(versions_seen(history)) - pending)

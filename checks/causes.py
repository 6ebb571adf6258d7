"""Why two copies differ: the three-way table of owner, target and the baseline on which they last agreed.

Every cause is a timing conflict (the change is on its way, late or lost), an ownership conflict (a system that does
not own the record wrote it), a matter of validity, or unexplained. Each field is looked up separately, because fields
may have their own owners; the record's cause is the gravest of its fields' causes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from checks.cause import Cause, Kind
from checks.comparison import Comparison, Copy, Place
from checks.records import FIELD_DIGEST_BYTES

RING_LENGTH = 8

_GRAVEST = (Cause.WRITE_CONFLICT, Cause.FOREIGN_WRITE, Cause.UNEXPLAINED, Cause.TRANSFORMATION, Cause.LATE)

GRAVEST_FIRST = (*_GRAVEST, *(cause for cause in Cause if cause not in _GRAVEST))
"""Order in which the causes of a record's fields become the record's cause."""

TARGET_ONLY = frozenset({Cause.FOREIGN_WRITE, Cause.TRANSFORMATION})
"""Causes of a field that was changed only by the side that does not own it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The newest version that both copies have shown, as far as readings have confirmed it.

    Attributes:
        owner, target: fingerprints of both at that time (they differ if a tolerance was used).
        owner_digests, target_digests: the same field by field, see `Copy.digests`.
        ring: earlier owner fingerprints, oldest first, at most `RING_LENGTH`.
        agreed_at: local instant at which the owner was known to hold this version.
        mark: the owner's own mark of its copy when both were seen to agree, see `checks.convergence.Change`; None if
            they were not seen to agree or the owner has no mark.
        unshown: fingerprints that the owner held in between and left for this version again, oldest first, empty for
            a deletion; the target has not shown them. It agrees, but the way back may still be ahead of it.
        unshown_until_at: when it would have been given up; from then on such a version is an earlier one.
    """

    owner: bytes
    target: bytes
    owner_digests: bytes = b""
    target_digests: bytes = b""
    ring: tuple[bytes, ...] = ()
    agreed_at: datetime | None = None
    mark: int | None = None
    unshown: tuple[bytes, ...] = ()
    unshown_until_at: datetime | None = None

    def advance(
        self,
        owner: bytes,
        target: bytes,
        *,
        owner_digests: bytes = b"",
        target_digests: bytes = b"",
        between: Sequence[bytes] = (),
    ) -> Baseline:
        """The baseline after a newer agreement.

        Args:
            between: what the owner was seen to hold between the two agreements, oldest first.
        """
        older = tuple(each for each in dict.fromkeys((*self.ring, self.owner, *between)) if each and each != owner)
        return Baseline(
            owner=owner,
            target=target,
            owner_digests=owner_digests,
            target_digests=target_digests,
            ring=older[-RING_LENGTH:],
        )

    def on_its_way(self, at: datetime) -> tuple[bytes, ...]:
        """The versions that the target may still show before it comes back to this one."""
        return self.unshown if self.unshown_until_at is not None and at < self.unshown_until_at else ()

    def holds(self, owner: Copy, target: Copy) -> bool:
        """Whether it matches these two copies exactly."""
        return (
            owner.fingerprint == self.owner
            and target.fingerprint == self.target
            and owner.digests == self.owner_digests
            and target.digests == self.target_digests
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The row of the table that a difference falls into.

    Attributes:
        cause: its cause once it counts.
        source_ahead: the owner's version is on its way, so the change's own window decides.
        at_once: it needs no window, only one confirming reading.
        permitted: the target changed a field that it may write, so its edit is not to be lost.
        fields: the cause of each field that differs, in the order of the comparison's differences.
        arrived: whether the target shows everything the owner changed; None if unknown.
    """

    kind: Kind
    cause: Cause
    source_ahead: bool = False
    at_once: bool = False
    permitted: bool = False
    fields: tuple[Cause, ...] = ()
    arrived: bool | None = False


def classify(comparison: Comparison, baseline: Baseline | None, *, versions: Sequence[bytes] = ()) -> Finding:
    """Find the row of the three-way table.

    Args:
        comparison: a confirmed reading that neither agrees nor is unverifiable.
        versions: owner fingerprints that may be on their way, oldest first: seen since the baseline, or left for it.

    Returns:
        The finding. Source: the table in docs/concepts.md, which names every row.
    """
    if comparison.duplicates:
        return Finding(kind=Kind.DUPLICATE, cause=Cause.DUPLICATE, at_once=True)
    owner, target = comparison.owner, comparison.target
    if target is not None and _stale(owner, target, baseline, versions):
        kind = Kind.VALUE if owner is not None else Kind.ORPHAN
        fields = (Cause.REGRESSION,) * len(comparison.places)
        return Finding(kind=kind, cause=Cause.REGRESSION, at_once=True, fields=fields)
    if owner is None:
        return _owner_gone(target, baseline, versions, flagged=comparison.owner_deleted is not None)
    if target is None:
        return _target_gone(owner, baseline, versions)
    return _of_record(
        [_of_field(place, owner, target, baseline, versions) for place in comparison.places],
        comparison.places,
        {place.position for place in comparison.places if _target_only(place, owner, target, baseline)},
    )


def _stale(owner: Copy | None, target: Copy, baseline: Baseline | None, versions: Sequence[bytes]) -> bool:
    """Whether the target went back to an earlier version."""
    return (
        baseline is not None
        and target.fingerprint != baseline.target
        and target.fingerprint in baseline.ring
        and target.fingerprint not in versions
        and (owner is None or owner.fingerprint != target.fingerprint)
    )


def _owner_gone(
    target: Copy | None, baseline: Baseline | None, versions: Sequence[bytes], *, flagged: bool
) -> Finding:
    """The owner does not have it; where it is marked as deleted there, it did, whatever is known of it."""
    shown = target.fingerprint if target is not None else b""
    at_baseline = flagged if baseline is None else shown == baseline.target
    if shown in versions or at_baseline:
        # The owner deleted it: a delete that has not arrived, which is timing and not ownership.
        return Finding(kind=Kind.ORPHAN, cause=Cause.LATE, source_ahead=True)
    if baseline is None:
        return Finding(kind=Kind.ORPHAN, cause=Cause.ORPHAN)
    return Finding(kind=Kind.ORPHAN, cause=Cause.WRITE_CONFLICT)


def _target_gone(owner: Copy, baseline: Baseline | None, versions: Sequence[bytes]) -> Finding:
    if baseline is None or b"" in versions:  # never there, or deleted and created again by the owner
        return Finding(kind=Kind.MISSING, cause=Cause.LATE, source_ahead=True)
    if owner.fingerprint == baseline.owner:
        return Finding(kind=Kind.MISSING, cause=Cause.LOST, at_once=True)
    return Finding(kind=Kind.MISSING, cause=Cause.WRITE_CONFLICT)


def _of_field(place: Place, owner: Copy, target: Copy, baseline: Baseline | None, versions: Sequence[bytes]) -> Cause:
    """One field's row; if the target owns the field, the two sides swap places."""
    if not place.target_leads and target.fingerprint in versions:
        return Cause.LATE
    if baseline is None:
        return Cause.TRANSFORMATION if place.derived else Cause.UNEXPLAINED
    leader_moved, follower_moved = _sides_moved(place, owner, target, baseline)
    if leader_moved and follower_moved:
        return Cause.TRANSFORMATION if place.derived else Cause.WRITE_CONFLICT
    if leader_moved:
        return Cause.LATE
    if not follower_moved:
        return Cause.UNEXPLAINED
    # A system that may write the field may also change the form of its value.
    return Cause.TRANSFORMATION if place.derived and not place.shared else Cause.FOREIGN_WRITE


def _sides_moved(place: Place, owner: Copy, target: Copy, baseline: Baseline) -> tuple[bool, bool]:
    """Whether the field's owner, and whether the other side, changed it since both last agreed."""
    sides = (
        moved(owner.digests, baseline.owner_digests, place.position),
        moved(target.digests, baseline.target_digests, place.position),
    )
    return (sides[1], sides[0]) if place.target_leads else sides


def _target_only(place: Place, owner: Copy, target: Copy, baseline: Baseline | None) -> bool:
    """Whether only the side that does not own the field changed it."""
    return baseline is not None and _sides_moved(place, owner, target, baseline) == (False, True)


def _of_record(fields: Sequence[Cause], places: Sequence[Place], target_only: set[int]) -> Finding:
    """The gravest of the fields' causes, and whether the owner's changes have arrived.

    Args:
        target_only: positions of the fields that the owner of the field has not changed since both agreed.
    """
    present = set(fields)
    cause = min(present, key=GRAVEST_FIRST.index, default=Cause.UNEXPLAINED)
    called = [place for place, each in zip(places, fields, strict=True) if each is cause]
    # The owner's changes to its own fields have arrived unless one of those fields still differs because of them.
    behind = {
        each
        for place, each in zip(places, fields, strict=True)
        if not place.target_leads and not (place.position in target_only and each in TARGET_ONLY)
    }
    arrived = bool(fields) if not behind else None if behind <= {Cause.TRANSFORMATION} else False
    return Finding(
        kind=Kind.VALUE,
        cause=cause,
        source_ahead=cause is Cause.LATE,
        at_once=cause in TARGET_ONLY
        and not any(place.shared or place.target_leads or place.position not in target_only for place in called),
        permitted=cause in {Cause.FOREIGN_WRITE, Cause.WRITE_CONFLICT} and all(place.shared for place in called),
        fields=tuple(fields),
        arrived=arrived,
    )


def moved(digests: bytes, known: bytes, position: int) -> bool:
    """Whether a field's digest has changed."""
    begin = position * FIELD_DIGEST_BYTES
    return digests[begin : begin + FIELD_DIGEST_BYTES] != known[begin : begin + FIELD_DIGEST_BYTES]


def merged_digests(digests: bytes, known: bytes, differing: frozenset[int]) -> bytes:
    """The present digests of the fields that agree now, and the earlier ones of the others."""
    return b"".join(
        (known if at // FIELD_DIGEST_BYTES in differing else digests)[at : at + FIELD_DIGEST_BYTES]
        for at in range(0, len(digests), FIELD_DIGEST_BYTES)
    )

"""Why two copies differ: the three-way table of owner, target and the baseline on which they last agreed.

Every cause is a timing conflict (the change is on its way, late or lost), an ownership conflict (somebody
wrote who does not own the record), a matter of validity, or unexplained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from checks.records import Comparison


class Kind(StrEnum):
    """How the copies differ."""

    VALUE = "value"
    MISSING = "missing"
    ORPHAN = "orphan"
    DUPLICATE = "duplicate"
    INVALID = "invalid"


class Cause(StrEnum):
    """Why they differ."""

    IN_FLIGHT = "in_flight"
    LATE = "late"
    LOST = "lost"
    FOREIGN_WRITE = "foreign_write"
    CONFLICT = "conflict"
    ORPHAN = "orphan"
    DUPLICATE = "duplicate"
    REGRESSION = "regression"
    INVALID = "invalid"
    UNEXPLAINED = "unexplained"


FAMILY = {
    Cause.IN_FLIGHT: "timing",
    Cause.LATE: "timing",
    Cause.LOST: "timing",
    Cause.FOREIGN_WRITE: "ownership",
    Cause.CONFLICT: "ownership",
    Cause.ORPHAN: "ownership",
    Cause.DUPLICATE: "ownership",
    Cause.REGRESSION: "ownership",
    Cause.INVALID: "validity",
    Cause.UNEXPLAINED: "unexplained",
}

RING_LENGTH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The last confirmed agreement of two copies.

    Attributes:
        owner, target: both fingerprints at that time (they differ where a tolerance was used).
        ring: earlier owner fingerprints, oldest first, at most `RING_LENGTH`.
        agreed_at: local instant at which the owner was known to hold this version.
    """

    owner: bytes
    target: bytes
    ring: tuple[bytes, ...] = ()
    agreed_at: datetime | None = None

    def advance(self, owner: bytes, target: bytes) -> Baseline:
        """The baseline after a newer agreement."""
        older = tuple(each for each in (*self.ring, self.owner) if each != owner)
        return Baseline(owner=owner, target=target, ring=older[-RING_LENGTH:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The row of the table that a difference falls into.

    Attributes:
        cause: what it is called once it counts.
        source_ahead: the owner's version is on its way, so the change's own window decides.
        at_once: no window is needed to call it; one confirming reading is.
    """

    kind: Kind
    cause: Cause
    source_ahead: bool = False
    at_once: bool = False


def classify(
    comparison: Comparison,
    baseline: Baseline | None,
    *,
    versions: Sequence[bytes] = (),
    target_may_write: bool = False,
) -> Finding:
    """Find the row of the three-way table.

    Args:
        comparison: a confirmed reading that neither agrees nor is unverifiable.
        versions: owner fingerprints seen since the baseline, oldest first.
        target_may_write: whether the map lets the target's system update this data type.

    Returns:
        The finding. Source: the table in docs/concepts.md, which names every row.
    """
    if comparison.duplicates:
        return Finding(kind=Kind.DUPLICATE, cause=Cause.DUPLICATE, at_once=True)
    owner, target = comparison.owner, comparison.target
    if owner is None:
        return _owner_gone(target.fingerprint if target else b"", baseline)
    if target is None:
        if baseline is None:
            return Finding(kind=Kind.MISSING, cause=Cause.LATE, source_ahead=True)
        if owner.fingerprint == baseline.owner:
            return Finding(kind=Kind.MISSING, cause=Cause.LOST, at_once=True)
        return Finding(kind=Kind.MISSING, cause=Cause.CONFLICT)
    if baseline is None:
        if target.fingerprint in versions:
            return Finding(kind=Kind.VALUE, cause=Cause.LATE, source_ahead=True)
        return Finding(kind=Kind.VALUE, cause=Cause.UNEXPLAINED)
    owner_moved = owner.fingerprint != baseline.owner
    target_moved = target.fingerprint != baseline.target
    if owner_moved and (not target_moved or target.fingerprint in versions):
        return Finding(kind=Kind.VALUE, cause=Cause.LATE, source_ahead=True)
    if target_moved and target.fingerprint in baseline.ring:
        return Finding(kind=Kind.VALUE, cause=Cause.REGRESSION, at_once=True)
    if not owner_moved:
        return Finding(kind=Kind.VALUE, cause=Cause.FOREIGN_WRITE, at_once=not target_may_write)
    return Finding(kind=Kind.VALUE, cause=Cause.CONFLICT)


def _owner_gone(target: bytes, baseline: Baseline | None) -> Finding:
    if baseline is None:
        return Finding(kind=Kind.ORPHAN, cause=Cause.ORPHAN)
    if target == baseline.target:
        # The owner deleted it: a delete that has not arrived, which is timing and not ownership.
        return Finding(kind=Kind.ORPHAN, cause=Cause.LATE, source_ahead=True)
    return Finding(kind=Kind.ORPHAN, cause=Cause.CONFLICT)

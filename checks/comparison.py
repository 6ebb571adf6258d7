"""The result of comparing two systems' copies of one record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from checks.differences import Difference
from probes.contract import Key


class Copy(NamedTuple):
    """One system's copy of a record in canonical form.

    Attributes:
        fingerprint: keyed digest of the fields that the flow's source leads (all fields, unless some name another
            owner).
        raw_mark: the system's own changed-at stamp or version, as read.
        digests: a keyed digest of `FIELD_DIGEST_BYTES` for each compared field, one after the other.
    """

    values: tuple[Any, ...]
    fingerprint: bytes
    raw_mark: Any
    digests: bytes = b""


@dataclass(frozen=True, slots=True)
class Unread:
    """Stands in a copy for an unreadable value; equal to itself as long as the value does not change."""

    raw: str


class Tombstone(NamedTuple):
    """A record that a system keeps and marks as deleted.

    Attributes:
        field: what says so.
        raw_mark: the record's own changed-at stamp or version, as it was read.
    """

    system: str
    field: str
    raw_mark: Any = None

    def __str__(self) -> str:
        return f"marked as deleted in {self.system} ({self.field})"


class Place(NamedTuple):
    """Which field a difference is in, and who may write it.

    Attributes:
        position: of the field among the compared ones.
        target_leads: the flow's target is the field's owner.
        shared: the side that does not lead may write it too.
        derived: one value is the other in a changed form (cut off, rounded, scaled, shifted).
    """

    position: int
    target_leads: bool = False
    shared: bool = False
    derived: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What two systems hold for one key. Exactly one of agreeing, differing or unverifiable.

    Attributes:
        owner, target: the copies; None if the record is absent (or unreadable, see `unverifiable`).
        differences: the fields that differ; empty when the copies agree or one is absent.
        places: the field of each difference.
        duplicates: why the record is one of several, in words: several rows for the key, or another record with the
            same business key.
        invalid: fields of the owner's copy that break their own validity rules.
        unverifiable: why the copies cannot be verified, or "".
        partial: fields that differ were left out as noise, so the rest proves no arrival.
        unread: fields that are unreadable on at least one side of a record that differs in other fields (or is absent
            on one side): it is unknown whether they differ.
        notes: what else there is to say about it, in words.
        owner_deleted, target_deleted: what marks an absent record as deleted there.
    """

    key: Key
    owner: Copy | None
    target: Copy | None
    differences: tuple[Difference, ...] = ()
    places: tuple[Place, ...] = ()
    duplicates: tuple[str, ...] = ()
    invalid: tuple[Difference, ...] = ()
    unverifiable: str = ""
    partial: bool = False
    unread: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    owner_deleted: Tombstone | None = None
    target_deleted: Tombstone | None = None

    @property
    def tombstones(self) -> tuple[Tombstone, ...]:
        """What marks the record as deleted, in either system."""
        return tuple(each for each in (self.owner_deleted, self.target_deleted) if each is not None)

    @property
    def owner_or_tombstone(self) -> Copy | Tombstone | None:
        """What the owner holds of the record; either carries the owner's own stamp or version."""
        return self.owner or self.owner_deleted

    def without(self, noisy: Mapping[int, str]) -> Comparison:
        """The comparison without fields that are unstable in one system; unverifiable if no field is left.

        Args:
            noisy: by the field's position, the system in which it is unstable.
        """
        pairs = zip(self.differences, self.places, strict=True)
        left = [(each, place) for each, place in pairs if place.position not in noisy]
        if len(left) == len(self.places):
            return self
        if left:
            differences, places = zip(*left, strict=True)
            return replace(self, differences=differences, places=places, partial=True)
        reason = ", ".join(
            f"{each.field} differs from itself in {noisy[place.position]}"
            for each, place in zip(self.differences, self.places, strict=True)
        )
        return Comparison(key=self.key, owner=None, target=None, unverifiable=reason)

    @property
    def owner_unread(self) -> bool:
        """Whether a field of the owner's copy cannot be read: its fingerprint then names no version."""
        return bool(self.unread) and self.owner is not None and any(isinstance(v, Unread) for v in self.owner.values)

    @property
    def agrees(self) -> bool:
        """Both copies are present, readable, single and equivalent; or neither system has the record."""
        return (
            not self.differences
            and not self.duplicates
            and not self.unverifiable
            and (self.owner is None) == (self.target is None)
        )


class Agreement(NamedTuple):
    """Two identical copies, with nothing else to report.

    Attributes:
        values: canonical, the same for both.
        fingerprint: shared by both.
    """

    values: tuple[Any, ...]
    fingerprint: bytes

"""What comparing two systems' copies of one record came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from checks.differences import Difference
from probes.contract import Key


class Copy(NamedTuple):
    """One system's copy of a record in canonical form.

    Attributes:
        fingerprint: keyed digest of the fields that the flow's source leads; of all where no other owner is named.
        raw_mark: the system's own changed-at stamp or version, as it was read.
        digests: a keyed digest of `FIELD_DIGEST_BYTES` for each compared field, one after the other.
    """

    values: tuple[Any, ...]
    fingerprint: bytes
    raw_mark: Any
    digests: bytes = b""


@dataclass(frozen=True, slots=True)
class Unread:
    """Stands in a copy for a value that cannot be read, equal to itself as long as it stays as it is."""

    raw: str


class Place(NamedTuple):
    """Where a difference stands, and who may write there.

    Attributes:
        position: of the field among the compared ones.
        target_leads: the flow's target is the field's owner.
        shared: the side that does not lead may write it too.
        derived: the one value looks like the other after a change of form (cut off, rounded, scaled, shifted).
    """

    position: int
    target_leads: bool = False
    shared: bool = False
    derived: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What two systems hold for one key. Exactly one of agreeing, differing or unverifiable.

    Attributes:
        owner, target: the copies; None where the record is absent (or unreadable, see `unverifiable`).
        differences: the fields that differ; empty when the copies agree or one is absent.
        places: where each of them stands.
        duplicates: what makes the record one of several, told for people: several rows for the key, another
            record of the same business key.
        invalid: fields of the owner's copy that break their own validity rules.
        unverifiable: why nothing can be said, or "".
        partial: fields that differ were left out as noise, so that what is left proves no arrival.
        unread: fields that cannot be read on one side at least, in a record that differs in others (or is absent
            on one side): whether these differ is not known.
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

    def without(self, noisy: Mapping[int, str]) -> Comparison:
        """The same without fields that differ from themselves in one system; nothing left cannot be verified.

        Args:
            noisy: by position of the field, the system.
        """
        pairs = zip(self.differences, self.places, strict=True)
        left = [(each, place) for each, place in pairs if place.position not in noisy]
        if len(left) == len(self.places):
            return self
        if left:
            differences, places = zip(*left, strict=True)
            return replace(self, differences=differences, places=places, partial=True)
        told = ", ".join(
            f"{each.field} differs from itself in {noisy[place.position]}"
            for each, place in zip(self.differences, self.places, strict=True)
        )
        return Comparison(key=self.key, owner=None, target=None, unverifiable=told)

    @property
    def owner_unread(self) -> bool:
        """Whether a field of the owner's copy cannot be read: its fingerprint names no version then."""
        return bool(self.unread) and self.owner is not None and any(isinstance(v, Unread) for v in self.owner.values)

    @property
    def agrees(self) -> bool:
        """Both copies are there, readable, single, and mean the same; or the record is in neither."""
        return (
            not self.differences
            and not self.duplicates
            and not self.unverifiable
            and (self.owner is None) == (self.target is None)
        )


class Agreement(NamedTuple):
    """Two copies that are the same, and nothing more to say of them.

    Attributes:
        values: canonical, of both.
        fingerprint: that both share.
    """

    values: tuple[Any, ...]
    fingerprint: bytes

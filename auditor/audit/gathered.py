"""What one audit read of the owner and the target, why, and what a second reading found. Values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from checks.comparison import Copy
from checks.terms import Look
from probes.contract import Key, ProbeError, Row

Failure = tuple[str, ProbeError]
"""The first failure of an audit, with the system it happened on."""

Seen = tuple[datetime, datetime]
"""When a record was read: around the request that returned it, local clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which records one audit reads, and what the lists that led to them showed.

    Attributes:
        keys: canonical, in the order in which they were added.
        listed: keys that the owner lists as changed.
        announced: keys that it has announced as changed.
        polled_before_at: when the owner last listed all changes before this audit; what it lists now and did
            not list then was committed in between.
        behind_s: changes of the last so many seconds may not be listed yet; None where none were requested.
        nameless: rows without a key that can be read.
        skipped: changes had to be skipped.
        shed: records, and searches for more of them, that the systems' budgets refused.
        unordered: why the owner's stamps do not show what changed, "" if they do, None if changes were not listed.
        error: what ended the search; then nothing more is read.
    """

    keys: Mapping[Key, None]
    listed: Set[Key] = frozenset()
    announced: Set[Key] = frozenset()
    polled_before_at: datetime | None = None
    behind_s: float | None = None
    nameless: int = 0
    skipped: bool = False
    shed: int = 0
    unordered: str | None = None
    error: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerReading:
    """What an owner holds, by canonical key. Nothing in it depends on the flow that it is read for.

    Attributes:
        rows: those of each record, in the order of the flow's fields; empty for an absent record.
        deleted: records that are kept and marked as deleted, each with its raw stamp or version; they have no rows.
        unreadable: unreadable records, and why.
        doubled, unpaired, traced: see `probes.contract.Reading`.
        seen: around the read that returned each record.
        sent_at, received_at: around all these reads; None if there was none.
        error: the owner could not be read.
    """

    rows: Mapping[Key, list[Row]] = field(default_factory=dict)
    deleted: Mapping[Key, Any] = field(default_factory=dict)
    unreadable: Mapping[Key, str] = field(default_factory=dict)
    doubled: Mapping[Key, str] = field(default_factory=dict)
    unpaired: Mapping[Key, str] = field(default_factory=dict)
    traced: Set[Key] = frozenset()
    seen: Mapping[Key, Seen] = field(default_factory=dict)
    sent_at: datetime | None = None
    received_at: datetime | None = None
    error: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetReading:
    """What a target holds, by canonical key.

    Attributes:
        rows, deleted, unreadable, doubled, unpaired: as in `OwnerReading`.
        seen: around the read that returned each record.
        look: around all reads of the target.
        error: the target could not be read.
    """

    rows: Mapping[Key, list[Row]] = field(default_factory=dict)
    deleted: Mapping[Key, Any] = field(default_factory=dict)
    unreadable: Mapping[Key, str] = field(default_factory=dict)
    doubled: Mapping[Key, str] = field(default_factory=dict)
    unpaired: Mapping[Key, str] = field(default_factory=dict)
    seen: Mapping[Key, Seen] = field(default_factory=dict)
    look: Look | None = None
    error: Failure | None = None

    def look_at(self, key: Key, whole: Look) -> Look:
        """When the target was read for this record.

        Args:
            whole: around all reads of the target, for what was not read by its key.
        """
        seen = self.seen.get(key)
        return whole if seen is None else Look(sent_at=seen[0], received_at=seen[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Everything read in one audit, before what differs is read again.

    Attributes:
        target: None if it was not read, because nothing is wanted or something failed before.
    """

    wanted: Wanted
    owner: OwnerReading
    target: TargetReading | None = None

    @property
    def error(self) -> Failure | None:
        """The first failure."""
        return self.wanted.error or self.owner.error or (self.target.error if self.target else None)

    @property
    def look(self) -> Look | None:
        """When the target was read; None if it was not."""
        return self.target.look if self.target else None

    def rows_of(self, key: Key) -> tuple[Sequence[Row], Sequence[Row]]:
        """The rows of one record, in the owner and in the target."""
        return self.owner.rows.get(key, ()), self.target_rows.get(key, ())

    @property
    def target_rows(self) -> Mapping[Key, list[Row]]:
        """What the target holds, nothing if it was not read."""
        return self.target.rows if self.target else {}

    def unreadable(self, key: Key) -> str:
        """Why one record cannot be read, "" if it can."""
        target = self.target.unreadable.get(key, "") if self.target else ""
        return target or self.owner.unreadable.get(key, "")

    @property
    def doubled(self) -> Mapping[Key, tuple[str, ...]]:
        """Records that one side shares between several keys, and that in words."""
        owner, target = self.owner.doubled, self.target.doubled if self.target else {}
        sides = {key: [side[key] for side in (owner, target) if key in side] for key in (*owner, *target)}
        return {key: tuple(whys) for key, whys in sides.items()}

    def unpaired(self, key: Key) -> tuple[str, ...]:
        """Which systems lack a record because no pair of keys leads there, in words."""
        sides = (self.owner, self.target) if self.target else (self.owner,)
        return tuple(side.unpaired[key] for side in sides if key in side.unpaired and not side.rows.get(key))


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """What the owner held at the second look, None if the record was gone, and around which instants."""

    copy: Copy | None
    sent_at: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """What the second look found.

    Attributes:
        moving: records that are being written just now: a difference proves nothing.
        later: what the owner held of those at the second look, if known.
        noisy: by record, its unstable fields (by position), and in which system.
        rereads: by system and field, how often it was read twice, and how often it then differed.
        witnesses: by record, what the other systems that hold it show.
        error: a system could not be read again; then all that differs counts as moving.
    """

    moving: Set[Key] = frozenset()
    later: Mapping[Key, Later] = field(default_factory=dict)
    noisy: Mapping[Key, Mapping[int, str]] = field(default_factory=dict)
    rereads: Mapping[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    witnesses: Mapping[Key, str] = field(default_factory=dict)
    error: Failure | None = None

    @property
    def unfollowed(self) -> bool:
        """Whether a record moved while it is unknown what the owner held."""
        return bool(self.moving - self.later.keys())

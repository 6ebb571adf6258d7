"""What is known about one record of one flow before it is read: its baseline, its pending changes, its divergence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from checks.cause import OF_TIMING, Cause, Kind
from checks.causes import Baseline
from checks.convergence import Change
from checks.differences import Difference
from probes.contract import Key


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
        state: suspected until it is certain, then open until both copies agree again, or until the target has caught
            up with a constantly changing record; a suspicion that disappeared by itself is dismissed.
        first_seen_at: the first reading that saw it; if a change was not shown in time, the first probe that did not
            see that change.
        suspected_at: the first reading that suspected it; another one has to confirm it.
        readings: confirmed readings that saw it.
        version: fingerprint of the owner's copy at the last of them, empty if it was absent.
        shown: the same of the target's copy.
        steady_at: the first reading that saw the owner's copy as it is now; a constantly changing record may show
            versions that came and went between two readings, so each one gets its own window.
        permitted: a system with write permission changed the target's copy, so its edit must not be lost.
        winner: whose copy counts by the flow's conflict policy (`checks.conflicts.Winner`), "" if none was applied.
        resolution: the same in words, or why the policy abstains.
        owner_written, target_written: bounds of the instants at which the two copies were last written.
        witnesses: what other systems that hold the record show, "" if there are none or none was read.
        versions_behind: how many versions of the owner the target has not shown yet.
        first_missed_at: when the first of those was committed, at the latest.
        operation: what the owner did there, "" if no change of the owner is missed.
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
    """What is known about one record of one flow before this reading.

    Attributes:
        changes: pending changes, oldest commit first.
    """

    baseline: Baseline | None = None
    changes: tuple[Change, ...] = ()
    divergence: Divergence | None = None


NO_HISTORY = History()


def versions_seen(history: History) -> list[bytes]:
    """The versions seen at the owner since both last agreed, or since it was first seen."""
    versions = _pending(history)
    divergence = history.divergence
    if (
        versions
        and history.baseline is None
        and divergence is not None
        and divergence.steady_at
        and divergence.version
    ):
        return [divergence.version, *versions]
    return versions


def versions_on_their_way(history: History, at: datetime) -> list[bytes]:
    """`versions_seen`, and those that the owner left for the agreed one before the target had shown them."""
    return [*(history.baseline.on_its_way(at) if history.baseline is not None else ()), *versions_seen(history)]


def versions_between(history: History) -> list[bytes]:
    """What the owner was seen to hold since both last agreed: what it holds now last, and what was given up on."""
    versions, divergence = _pending(history), history.divergence
    if not versions or divergence is None or divergence.cause not in OF_TIMING or divergence.version in versions:
        return versions
    return [divergence.version, *versions]


def _pending(history: History) -> list[bytes]:
    return [change.fingerprint for change in history.changes]

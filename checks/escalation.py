"""Escalation: conflicts that no rule decides, what people decide about them, and whether it was kept. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from checks.cause import Cause
from checks.record_history import Divergence, DivergenceState

LEAST_WITHIN_S = 15 * 60
"""People carry out a decision, so they get at least this long, however short the flow's window."""

BY_RULE = "auditor"
"""The actor recorded for what the auditor itself observes."""


class State(StrEnum):
    """The state of a conflict."""

    OPEN = "open"
    DEFERRED = "deferred"
    DECIDED = "decided"
    OVERDUE = "overdue"
    KEPT = "kept"
    NOT_KEPT = "not_kept"
    SETTLED = "settled"


class Act(StrEnum):
    """What was done about a conflict, by people or by the auditor."""

    DECIDE = "decide"
    DEFER = "defer"
    ASSIGN = "assign"
    COMMENT = "comment"
    ACKNOWLEDGE = "acknowledge"
    UNACKNOWLEDGE = "unacknowledge"
    OPENED = "opened"
    CAME_BACK = "came_back"
    OVERDUE = "overdue"
    KEPT = "kept"
    NOT_KEPT = "not_kept"
    SETTLED = "settled"


WAITING = frozenset({State.OPEN, State.DEFERRED})
"""States without a decision."""

OTHER = "other"
"""A decision for a value that neither system holds."""


class RefusedError(ValueError):
    """An act that is not allowed in the present state; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """One conflict as the ledger holds it.

    Attributes:
        why: why the rule abstained.
        choice: the system whose copy was decided to count, or `other`.
        expected: fingerprint on which the copies should agree; None if a person chose another value.
        due_at: the deadline for that.
        came_back_of: the decided conflict that this one repeats.
        acknowledged_at, acknowledged_by: when and by whom it was acknowledged.
    """

    conflict_id: int
    flow: str
    data_type: str
    key: str
    divergence_id: int
    cause: Cause
    why: str
    opened_at: datetime
    state: State
    assignee: str | None = None
    until_at: datetime | None = None
    choice: str | None = None
    expected: bytes | None = None
    due_at: datetime | None = None
    closed_at: datetime | None = None
    came_back_of: int | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictMove:
    """What the auditor records about a conflict.

    Attributes:
        closes: the conflict is over.
    """

    act: Act
    state: State
    text: str
    closes: bool = False


def escalates(divergence: Divergence) -> bool:
    """Whether a person must decide: the difference is certain, and the flow's policy abstains or was not kept."""
    if divergence.cause is Cause.LOST_UPDATE:
        return divergence.state is DivergenceState.CLOSED
    return (
        divergence.state is DivergenceState.OPEN
        and divergence.winner == "nobody"
        and divergence.cause is not Cause.INVALID
    )


def due_at(now: datetime, window_s: float, within_s: float | None) -> datetime:
    """The time by which the systems should have converged on a decision taken now."""
    return now + timedelta(seconds=max(window_s, LEAST_WITHIN_S) if within_s is None else within_s)


def check_act(conflict: Conflict, act: Act, *, choice: str | None, systems: Sequence[str]) -> None:
    """Refuse an act that is not allowed in the present state.

    Raises:
        RefusedError: with the reason.
    """
    if act is Act.COMMENT:
        return
    if conflict.closed_at is not None:
        raise RefusedError(f"conflict {conflict.conflict_id} is over ({conflict.state}); only comments are taken")
    if act is Act.DECIDE and choice not in {*systems, OTHER}:
        raise RefusedError(f"a decision is for {', '.join(systems)} or {OTHER}, not for {choice}")
    if act is Act.DEFER and conflict.state not in WAITING:
        raise RefusedError(f"conflict {conflict.conflict_id} is decided; there is nothing to defer")
    if act is Act.ACKNOWLEDGE and conflict.acknowledged_by is not None:
        raise RefusedError(f"conflict {conflict.conflict_id} was already acknowledged by {conflict.acknowledged_by}")
    if act is Act.UNACKNOWLEDGE and conflict.acknowledged_by is None:
        raise RefusedError(f"conflict {conflict.conflict_id} is not acknowledged")


def follow(conflict: Conflict, agreed: bytes | None, now: datetime) -> ConflictMove | None:
    """Check a conflict against the present state of its record.

    Args:
        agreed: fingerprint on which the copies agree (empty if both are gone); None while they differ.

    Returns:
        What to record, or None for nothing.
    """
    late = conflict.due_at is not None and now > conflict.due_at
    if conflict.state in WAITING:
        if agreed is None or conflict.cause is Cause.LOST_UPDATE:
            return None
        text = "the systems agree again before anyone decided"
        return ConflictMove(act=Act.SETTLED, state=State.SETTLED, text=text, closes=True)
    if agreed is not None and agreed == conflict.expected:
        text = f"the systems agree on what {conflict.choice} held" + (", later than decided" if late else "")
        return ConflictMove(act=Act.KEPT, state=State.KEPT, text=text, closes=True)
    if agreed is None or (conflict.cause is Cause.LOST_UPDATE and not late):
        if late and conflict.state is not State.OVERDUE:
            text = f"decided for {conflict.choice}, and the systems still differ"
            return ConflictMove(act=Act.OVERDUE, state=State.OVERDUE, text=text)
        return None
    if conflict.expected is None:
        text = "the systems agree; whether on the intended value is not known"
        return ConflictMove(act=Act.KEPT, state=State.KEPT, text=text, closes=True)
    text = f"the systems agree, but not on what {conflict.choice} held"
    return ConflictMove(act=Act.NOT_KEPT, state=State.NOT_KEPT, text=text, closes=True)

"""When a drill is due, and what is wrong with the last one. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from auditor.ledger import DrillState
from auditor.map.settings import Drill

SLACK_S = 60.0
"""A drill may begin this much later than at its time of day."""


def last_turn(drill: Drill, now: datetime) -> datetime:
    """The last time of day at which a drill was due."""
    hour, minute = map(int, drill.at.split(":"))
    today = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return today if today <= now else today - timedelta(days=1)


def is_due(drill: Drill, state: DrillState, now: datetime) -> bool:
    """Whether a drill has to begin now: it is time, one was requested, or the clock was set back since the last."""
    if state.under_way:
        return False
    if state.requested_at is not None or state.begun_at is None:
        return True
    return state.begun_at < last_turn(drill, now) or state.begun_at > now


def problem(drill: Drill, state: DrillState, now: datetime, auditing_since_at: datetime | None) -> str:
    """What is wrong with the drills; "" if nothing is.

    Args:
        auditing_since_at: since when a daemon holds the lease; None if none does.
    """
    if state.failing_since_at is not None:
        return f"failing since {_text(state.failing_since_at)}: {state.error}"
    limit = timedelta(seconds=drill.within_s + SLACK_S)
    if state.under_way and state.begun_at is not None and now - state.begun_at > limit:
        return f"the one begun at {_text(state.begun_at)} has not ended"
    if auditing_since_at is not None and not state.under_way:
        due_at = max(last_turn(drill, now), auditing_since_at)
        if (state.begun_at is None or state.begun_at < last_turn(drill, now)) and now - due_at > limit:
            return f"none has begun since {_text(due_at)}"
    return ""


def _text(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"

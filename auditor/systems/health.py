"""How a system answers: its health lately, and steps of its clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a system has been answering lately.

    Attributes:
        failing_since: first of the present run of failures, or None while it answers.
        failures: how many of them in a row.
        latency_s: of the last answer.
    """

    failures: int = 0
    failing_since: datetime | None = None
    last_ok_at: datetime | None = None
    latency_s: float | None = None
    reason: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStep:
    """A system's clock was set: what its bounds were, and what they are since."""

    system: str
    stepped_at: datetime
    before_lower_s: float
    before_upper_s: float
    after_lower_s: float
    after_upper_s: float

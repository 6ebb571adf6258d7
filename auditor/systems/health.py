"""A system's recent health, and the steps of its clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """A system's recent health.

    Attributes:
        failing_since: first of the current run of failures, or None while it responds.
        failures: how many consecutive failures.
        latency_s: of the last response.
    """

    failures: int = 0
    failing_since: datetime | None = None
    last_ok_at: datetime | None = None
    latency_s: float | None = None
    reason: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStep:
    """A step of a system's clock: its bounds before and after."""

    system: str
    stepped_at: datetime
    before_lower_s: float
    before_upper_s: float
    after_lower_s: float
    after_upper_s: float

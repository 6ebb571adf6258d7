"""What is reported about a queue over time: its readings, rates, trend, and consumption. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """One reading of a queue.

    Attributes:
        arrived, taken: messages that ever came in and ever went out, if the broker counts them; a counter that goes
            back was reset.
        oldest_at: when the oldest message came in, or None.
    """

    read_at: datetime
    depth: int | None
    arrived: int | None = None
    taken: int | None = None
    oldest_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Messages per second, with the exact Poisson interval at 95 %.

    Source: Garwood (1936), by the quantiles of the gamma distribution.
    """

    per_s: float
    lower: float
    upper: float


class Flowing(StrEnum):
    """Whether a queue is being consumed, by the rules of LinkedIn's Burrow for consumer lag."""

    OK = "ok"
    SLOW = "slow"
    STALLED = "stalled"
    UNKNOWN = "unknown"


class Trend(StrEnum):
    """The direction of the depth, by a Mann-Kendall test at the 1 % level."""

    RISING = "rising"
    FALLING = "falling"
    LEVEL = "level"
    UNKNOWN = "unknown"

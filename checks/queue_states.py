"""What is said of a queue over time: its readings, rates, trend, and whether anybody takes from it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """One reading of a queue.

    Attributes:
        arrived, taken: messages that ever came in and ever went out, as far as the broker counts them; a counter
            that goes back was reset.
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
    """Whether anybody takes from a queue; the rules are those of LinkedIn's Burrow for consumer lag."""

    OK = "ok"
    SLOW = "slow"
    STALLED = "stalled"
    UNKNOWN = "unknown"


class Trend(StrEnum):
    """Which way the depth goes, as a Mann-Kendall test at the 1 % level tells."""

    RISING = "rising"
    FALLING = "falling"
    LEVEL = "level"
    UNKNOWN = "unknown"

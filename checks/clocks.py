"""Clock bounds: how far a system's clock may be from ours.

theta is the system's clock minus the local one. One exchange that was sent at local t0, received at t1 and
carried the stamp D bounds it by `[D - t1, D + resolution - t0]`.

Source: F. Cristian, "Probabilistic clock synchronization", Distributed Computing 3 (1989), section 3, with
the resolution of the stamp added.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_CEILING

from checks.values import EPOCH
from probes.contract import ClockSample
from probes.durations import measured, told_s

DRIFT_RATIO = 100e-6
"""How fast two clocks may drift apart: 100 ppm, twice what a common quartz is specified for."""

DISTRUST_S = 60.0
"""Time after a step (added to the step's own length) in which stamps made before it may still turn up; none is
trusted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockBounds:
    """theta lies in `[lower_s, upper_s]` as of `measured_at` (local).

    Attributes:
        resolution_s: of the stamps it was measured with; 0 for microseconds.
        trip_s: round trip of the latest exchange.
        stepped_at: when the clock was last found to have been set, which made older bounds useless.
        trusted_from_at: stamps of this clock are not trusted before this instant; None if they are trusted.
    """

    lower_s: float
    upper_s: float
    measured_at: datetime
    resolution_s: float = 0.0
    trip_s: float = 0.0
    stepped_at: datetime | None = None
    trusted_from_at: datetime | None = None

    @property
    def half_width_s(self) -> float:
        """Half the width of the interval: the error of its middle."""
        return (self.upper_s - self.lower_s) / 2

    @property
    def middle_s(self) -> float:
        """The middle of the interval."""
        return (self.upper_s + self.lower_s) / 2

    def at(self, now: datetime) -> ClockBounds:
        """The same bounds, widened by the drift since they were measured."""
        drift_s = DRIFT_RATIO * max(0.0, (now - self.measured_at).total_seconds())
        return replace(self, lower_s=self.lower_s - drift_s, upper_s=self.upper_s + drift_s, measured_at=now)

    def trusted(self, now: datetime) -> ClockBounds | None:
        """These bounds if the clock's stamps can be trusted, None for a while after a step."""
        return self if self.trusted_from_at is None or now >= self.trusted_from_at else None

    def local(self, stamp_us: int) -> tuple[datetime, datetime]:
        """The local instants between which the system's clock showed `stamp_us` (since 1970 UTC)."""
        stamp = EPOCH + timedelta(microseconds=stamp_us)
        return stamp - timedelta(seconds=self.upper_s), stamp - timedelta(seconds=self.lower_s)


def bounds_of(sample: ClockSample) -> ClockBounds:
    """Bound a clock by one exchange."""
    return ClockBounds(
        lower_s=(sample.server_at - sample.received_at).total_seconds(),
        upper_s=(sample.server_at - sample.sent_at).total_seconds() + sample.resolution_s,
        measured_at=sample.received_at,
        resolution_s=sample.resolution_s,
        trip_s=max(0.0, (sample.received_at - sample.sent_at).total_seconds()),
    )


def narrow(bounds: ClockBounds | None, sample: ClockSample) -> ClockBounds:
    """Intersect the bounds with those of one more exchange.

    Returns:
        Bounds never wider than the sample's own. If the two do not overlap, the clock was set in between: the
        sample's bounds alone, with the instant of the step.
    """
    fresh = bounds_of(sample)
    if bounds is None:
        return fresh
    aged = bounds.at(fresh.measured_at)
    lower_s, upper_s = max(aged.lower_s, fresh.lower_s), min(aged.upper_s, fresh.upper_s)
    if lower_s > upper_s:
        furthest_s = max(abs(fresh.upper_s - aged.lower_s), abs(aged.upper_s - fresh.lower_s))
        trusted_from_at = fresh.measured_at + timedelta(seconds=min(furthest_s, 86_400.0) + DISTRUST_S)
        return replace(fresh, stepped_at=fresh.measured_at, trusted_from_at=trusted_from_at)
    return replace(
        fresh,
        lower_s=lower_s,
        upper_s=upper_s,
        stepped_at=bounds.stepped_at,
        trusted_from_at=bounds.trusted_from_at,
    )


def aim_s(bounds: ClockBounds, now: datetime) -> float:
    """Seconds to wait so that the next exchange narrows the bounds most; 0 for a clock with microseconds.

    A clock of whole seconds shows on which side of a second's edge it was read. Read at the instant at which the
    middle of the bounds expects the edge, every exchange halves them, down to the round trip.
    """
    if bounds.resolution_s <= 0:
        return 0.0
    aged = bounds.at(now)
    read_s = (now - EPOCH).total_seconds() + aged.trip_s / 2 + aged.middle_s
    return -read_s % aged.resolution_s


def worth_aiming(bounds: ClockBounds | None) -> bool:
    """Whether another aimed exchange would narrow the bounds by much."""
    if bounds is None:
        return True
    return bounds.resolution_s > 0 and bounds.half_width_s > max(bounds.trip_s * 0.55, 0.005)


def clock_text(bounds: ClockBounds) -> str:
    """How far a clock is ahead of ours, no more exactly than it is known, and the error, rounded outwards."""
    half_s, middle_s = bounds.half_width_s, bounds.middle_s
    step_s = 1e-4 if half_s < 0.0098 else 1e-3 if half_s < 1 else 10.0 ** (math.floor(math.log10(half_s)) - 1)
    shown_s = told_s(measured(step_s * round(abs(middle_s) / step_s)))
    outside_s = max(half_s + abs(abs(middle_s) - shown_s), step_s)
    sign = "" if not shown_s else "+" if middle_s > 0 else "-"
    return f"{sign}{measured(shown_s)} (± {measured(round(outside_s, 9), ROUND_CEILING)})"

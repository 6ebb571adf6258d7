"""Clock bounds: how far a system's clock may be from ours.

theta is the system's clock minus the local one. One exchange that was sent at local t0, received at t1 and
carried the stamp D bounds it by `[D - t1, D + resolution - t0]`.

Source: F. Cristian, "Probabilistic clock synchronization", Distributed Computing 3 (1989), section 3, with
the resolution of the stamp added.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from checks.values import EPOCH
from probes.contract import ClockSample

DRIFT_RATIO = 100e-6
"""How fast two clocks may drift apart: 100 ppm, twice what a common quartz is specified for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockBounds:
    """theta lies in `[lower_s, upper_s]` as of `measured_at` (local).

    Attributes:
        stepped: the bounds had to be thrown away because the clock was set since the last exchange.
    """

    lower_s: float
    upper_s: float
    measured_at: datetime
    stepped: bool = False

    @property
    def half_width_s(self) -> float:
        """Half the width of the interval: the error of its middle."""
        return (self.upper_s - self.lower_s) / 2

    def at(self, now: datetime) -> ClockBounds:
        """The same bounds, widened by the drift since they were measured."""
        drift_s = DRIFT_RATIO * max(0.0, (now - self.measured_at).total_seconds())
        return ClockBounds(
            lower_s=self.lower_s - drift_s, upper_s=self.upper_s + drift_s, measured_at=now, stepped=self.stepped
        )

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
    )


def narrow(known: ClockBounds | None, sample: ClockSample) -> ClockBounds:
    """Intersect what is known with one more exchange.

    Returns:
        Bounds never wider than the sample's own. Where the two have nothing in common the clock was set in
        between: the sample's bounds alone, marked `stepped`.
    """
    fresh = bounds_of(sample)
    if known is None:
        return fresh
    aged = known.at(fresh.measured_at)
    lower_s, upper_s = max(aged.lower_s, fresh.lower_s), min(aged.upper_s, fresh.upper_s)
    if lower_s > upper_s:
        return ClockBounds(lower_s=fresh.lower_s, upper_s=fresh.upper_s, measured_at=fresh.measured_at, stepped=True)
    return ClockBounds(lower_s=lower_s, upper_s=upper_s, measured_at=fresh.measured_at)

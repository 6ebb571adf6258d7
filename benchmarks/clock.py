"""Clock bounds against a simulated truth: wrong and drifting clocks, asymmetric networks, whole-second stamps."""

from __future__ import annotations

import math
import os
import random
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from benchmarks.report import arguments, emit, percentile, say
from benchmarks.simulator import at
from checks.clocks import DRIFT_RATIO, ClockBounds, aim_s, narrow
from checks.values import EPOCH
from probes.contract import ClockSample

RUNS = 100_000
STEPS = 10_000
REQUESTS = 8
TRIP_S = 0.08
CYCLE_S = 20.0
ROUNDING_S = 2e-6
"""Instants are whole microseconds."""


@dataclass(slots=True, kw_only=True)
class Server:
    """A clock behind a network.

    Attributes:
        offset_s: its clock minus the true one at second 0.
        drift: seconds it gains in a second.
        resolution_s: 1 for an HTTP `Date`, 0 for microseconds.
    """

    chance: random.Random
    offset_s: float
    drift: float
    resolution_s: float
    trip_s: float

    def offset_at(self, seconds: float) -> float:
        """How far it is ahead then."""
        return self.offset_s + self.drift * seconds

    def ask(self, seconds: float) -> tuple[ClockSample, float]:
        """One exchange sent then; answers it and when it was over."""
        out_s, back_s = (self.trip_s / 2 * self.chance.lognormvariate(0, 0.15) for _ in range(2))
        if self.chance.random() < 0.03:  # one way is slow for once
            out_s += self.trip_s * self.chance.expovariate(1)
        read_s = seconds + out_s
        told_at = at(read_s + self.offset_at(read_s))
        if self.resolution_s:
            whole = math.floor((told_at - EPOCH).total_seconds() / self.resolution_s) * self.resolution_s
            told_at = EPOCH + timedelta(seconds=whole)
        over_s = read_s + back_s
        return (
            ClockSample(
                sent_at=at(seconds), received_at=at(over_s), server_at=told_at, resolution_s=self.resolution_s
            ),
            over_s,
        )

    def watch(self, known: ClockBounds | None, seconds: float, requests: int) -> tuple[ClockBounds, float]:
        """Bound the clock with this many exchanges, aimed as the product aims them."""
        for _ in range(requests):
            if known is not None:
                seconds += aim_s(known, at(seconds))
            sample, seconds = self.ask(seconds)
            known = narrow(known, sample)
        if known is None:
            raise AssertionError("no exchange, no bounds")
        return known, seconds


def _server(chance: random.Random, resolution_s: float, trip_s: float) -> Server:
    return Server(
        chance=chance,
        offset_s=chance.uniform(-300, 300),
        drift=chance.uniform(-DRIFT_RATIO, DRIFT_RATIO),
        resolution_s=resolution_s,
        trip_s=trip_s,
    )


def _contained(asked: tuple[int, int]) -> tuple[int, list[float]]:
    """Runs in which the truth left the bounds, and half-widths with an HTTP `Date` at 80 ms."""
    seed, runs = asked
    chance = random.Random(seed)
    outside = 0
    halves = []
    for number in range(runs):
        dated = number % 2 == 0
        trip_s = TRIP_S if dated else chance.choice([0.0005, 0.01, 0.08, 0.4])
        server = _server(chance, 1.0 if dated else 0.0, trip_s)
        known, seconds = server.watch(None, chance.uniform(0, 10), REQUESTS)
        if dated:
            halves.append(known.half_width_s)
        held = _holds(known, server, seconds)
        for _ in range(4):  # kept up to date, and told by in between
            seconds += CYCLE_S
            held &= _holds(known.at(at(seconds)), server, seconds)
            known, seconds = server.watch(known, seconds, 1)
            held &= _holds(known, server, seconds) and known.stepped_at is None
        outside += not held
    return outside, halves


def _holds(known: ClockBounds, server: Server, seconds: float) -> bool:
    return known.lower_s - ROUNDING_S <= server.offset_at(seconds) <= known.upper_s + ROUNDING_S


def _steps(asked: tuple[int, int]) -> tuple[int, int]:
    """Steps that were noticed within two cycles, of so many; none is noticed that did not happen."""
    seed, runs = asked
    chance = random.Random(seed)
    noticed = 0
    for number in range(runs):
        dated = number % 2 == 0
        server = _server(chance, 1.0 if dated else 0.0, TRIP_S)
        known, seconds = server.watch(None, chance.uniform(0, 10), REQUESTS)
        least_s = 1.5 if dated else 3 * TRIP_S
        server.offset_s += chance.choice([-1, 1]) * chance.uniform(least_s, 600)
        for _ in range(2):
            seconds += CYCLE_S
            known, seconds = server.watch(known, seconds, 1)
            if known.stepped_at is not None:
                break
        noticed += known.stepped_at is not None and _holds(known, server, seconds)
    return noticed, runs


def _spread(seed: int, total: int, pieces: int = 20) -> Sequence[tuple[int, int]]:
    return [(seed * 1_000 + piece, total // pieces) for piece in range(pieces)]


def main() -> int:
    """Run the benchmark."""
    asked = arguments(__doc__)
    runs, steps = (4_000, 1_000) if asked.quick else (RUNS, STEPS)
    say(f"{runs} clocks, {steps} steps")
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(_contained, _spread(asked.seed, runs)))
        stepped = list(pool.map(_steps, _spread(asked.seed + 1, steps)))
    halves = [half * 1000 for _, part in found for half in part]
    outside, noticed = sum(outside for outside, _ in found), sum(seen for seen, _ in stepped)
    good = emit("clock", "outside_the_bound", outside, "runs", goal="<= 0", n=runs, quick=asked.quick)
    good &= emit(
        "clock",
        "half_width_p95_http_date",
        percentile(halves, 0.95),
        "ms",
        goal="<= 60",
        n=len(halves),
        spread=[percentile(halves, 0.5), max(halves)],
        quick=asked.quick,
        requests=REQUESTS,
        round_trip_ms=TRIP_S * 1000,
        one_request_alone_ms=(1 + TRIP_S) / 2 * 1000,
    )
    good &= emit(
        "clock",
        "steps_noticed_within_two_cycles",
        noticed / sum(total for _, total in stepped),
        "ratio",
        goal=">= 1.0",
        n=steps,
        quick=asked.quick,
        least_step_s=[3 * TRIP_S, 1.5],
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

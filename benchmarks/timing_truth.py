"""Verdicts and lags against a simulated truth: wrong clocks, slow reads, retries, reordering, rewrites, outages."""

from __future__ import annotations

import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta

import numpy as np

from benchmarks.report import arguments, emit, say
from benchmarks.simulator import BEGIN, at, tally
from checks.convergence import Change, next_probe_at, shows, still_differs
from checks.lag import LagCurve, count_cells, fit

WORLDS = 580_000
"""About a million changes."""

RESTLESS = 100_000
"""Worlds whose record never rests; about 700,000 changes."""

PIECE = 2_500
CAMPAIGNS, CHANGES = 100, 2_000
WINDOW_S, EVERY_S = 120.0, 5.0
REFITTED = 100_000

Draw = Callable[[random.Random], float]


def lognormal(chance: random.Random) -> float:
    """Lags around 30 s."""
    return 30 * chance.lognormvariate(0, 1)


def bimodal(chance: random.Random) -> float:
    """Most lags a few seconds, the others a batch later."""
    return 5 * chance.lognormvariate(0, 0.4) if chance.random() < 0.7 else 90 * chance.lognormvariate(0, 0.5)


def main() -> int:
    """Run the benchmark."""
    asked = arguments(__doc__)
    good = _verdicts(PIECE * 4 if asked.quick else WORLDS, asked.seed, quick=asked.quick)
    good &= _restless(PIECE if asked.quick else RESTLESS, asked.seed, quick=asked.quick)
    campaigns = 10 if asked.quick else CAMPAIGNS
    for name, draw in (("lognormal", lognormal), ("bimodal", bimodal)):
        good &= _accuracy(name, draw, campaigns, asked.seed, quick=asked.quick)
    return 0 if _speed(asked.seed, quick=asked.quick) and good else 1


def _verdicts(worlds: int, seed: int, *, quick: bool) -> bool:
    """Half of the worlds are orderly: there the truth of a lag is one instant, and breaches can be owed."""
    pieces = worlds // PIECE
    say(f"watching {worlds} records")
    counted: Counter[str] = Counter()
    orderly: Counter[str] = Counter()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for piece, found in enumerate(
            pool.map(_piece, [(PIECE, seed * 1_000_003 + number, number % 2 == 0) for number in range(pieces)])
        ):
            counted += found
            if piece % 2 == 0:
                orderly += found
    changes = counted["changes"]
    for metric in ("false_breach", "false_met", "flipped", "widened", "negative"):
        if not emit("timing_truth", metric, counted[metric], "changes", goal="<= 0", n=changes, quick=quick):
            say(f"{metric}: run again with --seed {seed}")
    emit(
        "timing_truth",
        "true_breaches_called",
        orderly["tellable_called"] / orderly["tellable"],
        "ratio",
        goal=">= 0.99",
        n=orderly["tellable"],
        quick=quick,
        untellable=orderly["owed"] - orderly["tellable"],
        with_untellable=round(orderly["owed_called"] / orderly["owed"], 4),
    )
    emit(
        "timing_truth",
        "lag_interval_contains_truth",
        orderly["intervals_true"] / orderly["intervals"],
        "ratio",
        goal=">= 1.0",
        n=orderly["intervals"],
        quick=quick,
    )
    emit("timing_truth", "undecided", counted["undecided"] / changes, "ratio", n=changes, quick=quick)
    wrong = sum(counted[metric] for metric in ("false_breach", "false_met", "flipped", "widened", "negative"))
    return (
        wrong == 0
        and orderly["intervals_true"] == orderly["intervals"]
        and orderly["tellable_called"] >= 0.99 * orderly["tellable"]
    )


def _restless(worlds: int, seed: int, *, quick: bool) -> bool:
    """First sight in full traffic, a target that cannot be read at times, versions that come, go and come back."""
    say(f"watching {worlds} records that never rest")
    counted: Counter[str] = Counter()
    pieces = [(PIECE // 10, seed * 2_000_003 + number) for number in range(10 * worlds // PIECE)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(_restless_piece, pieces):
            counted += found
    good = True
    for metric in ("false_breach", "false_met", "flipped"):
        good &= emit(
            "timing_truth", f"restless_{metric}", counted[metric], "changes", goal="<= 0", n=counted["changes"],
            quick=quick,
        )  # fmt: skip
    return good & emit(
        "timing_truth",
        "restless_lag_interval_contains_truth",
        counted["intervals_true"] / counted["intervals"],
        "ratio",
        goal=">= 1.0",
        n=counted["intervals"],
        quick=quick,
    )


def _restless_piece(asked: tuple[int, int]) -> Counter[str]:
    return tally(*asked, restless=True)


def _piece(asked: tuple[int, int, bool]) -> Counter[str]:
    worlds, seed, orderly = asked
    return tally(worlds, seed, orderly=orderly)


def _probed(lag_s: float, chance: random.Random) -> Change:
    """One change followed with the product's own schedule until it is shown or given up."""
    change = Change(
        key=1,
        fingerprint=chance.getrandbits(64).to_bytes(8, "big"),
        committed_from_at=BEGIN,
        committed_to_at=BEGIN,
        window_s=WINDOW_S,
        enrolled_at=BEGIN,
    )
    now = at(chance.uniform(0, EVERY_S))
    arrives_at = at(lag_s)
    while change.settled_at is None:
        if now >= arrives_at:
            return shows(change, now, by_later_version=False)
        change = still_differs(change, now, now)
        now = max(next_probe_at(change, now, every_s=EVERY_S, guard_s=0.05), now + timedelta(milliseconds=1))
    return change


def _accuracy(name: str, draw: Draw, campaigns: int, seed: int, *, quick: bool) -> bool:
    """How far the quantiles of the fitted curve are from the truth, and those of the upper bounds alone."""
    chance = random.Random(seed)
    truth = np.quantile([draw(chance) for _ in range(1_000_000)], [0.5, 0.95])
    errors, naive, covered, probes = [], [], [], []
    for _ in range(campaigns):
        changes = [_probed(draw(chance), chance) for _ in range(CHANGES)]
        lower, upper = _ends(changes)
        curve = fit(count_cells(lower, upper))
        if curve is None:
            raise AssertionError("changes without a curve")
        quantiles = [curve.quantile(share) for share in (0.5, 0.95)]
        errors.append([best / true - 1 for (best, _, _), true in zip(quantiles, truth, strict=True)])
        covered.append([low <= true <= high for (_, low, high), true in zip(quantiles, truth, strict=True)])
        naive.append(np.quantile(upper, [0.5, 0.95]) / truth - 1)
        probes.append(np.mean([change.probes for change in changes]))
    rms = np.sqrt((np.array(errors) ** 2).mean(axis=0))
    of_bounds = np.sqrt((np.array(naive) ** 2).mean(axis=0))
    good = True
    for at_share, metric, goal in ((0, "p50", "<= 0.05"), (1, "p95", "<= 0.10")):
        good &= emit(
            "timing_truth",
            f"{metric}_rms_error_{name}",
            float(rms[at_share]),
            "ratio",
            goal=goal,
            n=campaigns,
            quick=quick,
            changes=CHANGES,
            interval_covers=float(np.mean(covered, axis=0)[at_share]),
            upper_bounds_alone=round(float(of_bounds[at_share]), 4),
        )
    return good & emit(
        "timing_truth", f"probes_per_change_{name}", float(np.mean(probes)), "probes", goal="<= 6", n=campaigns
    )


def _ends(changes: list[Change]) -> tuple[np.ndarray, np.ndarray]:
    lower = np.array([change.lag_lower_s for change in changes])
    return lower, np.array([np.inf if each.lag_upper_s is None else each.lag_upper_s for each in changes])


def _speed(seed: int, *, quick: bool) -> bool:
    chance = random.Random(seed)
    few = [_probed(lognormal(chance), chance) for _ in range(REFITTED // 20)]
    lower, upper = (np.tile(ends, 20) * np.linspace(0.8, 1.25, REFITTED) for ends in _ends(few))
    took = []
    curve: LagCurve | None = None
    for _ in range(9):
        began = time.perf_counter()
        curve = fit(count_cells(lower, upper))
        took.append(time.perf_counter() - began)
    return emit(
        "timing_truth",
        "refit_100000_intervals",
        float(np.median(took)),
        "s",
        goal="< 0.2",
        n=len(took),
        spread=[min(took), max(took)],
        quick=quick,
        cells=len(curve.pairs) if curve else 0,
    )


if __name__ == "__main__":
    sys.exit(main())

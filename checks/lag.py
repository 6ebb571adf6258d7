"""The lag curve: how long changes take to arrive, from an interval for each lag."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from checks import lag_cells
from checks.intervals import Floats, share_bounds
from checks.lag_cells import NEVER, CellPair

EDGES_S: Floats = np.array(lag_cells.EDGES_S)

_WIDTHS_S: Floats = np.append(np.diff(EDGES_S[:-1]), 1.0)
"""Where the intervals leave it open, arrivals are assumed to be spread evenly over time."""

MAX_ITERATIONS = 1_000
LEAST_LEFT = 0.01
"""The part of a cell's probability that is left at least by one extrapolation."""
STILL_RATIO = 1e-9
"""The fit ends when a step gains less than this much log-likelihood per change."""


def count_cells(lower_s: Floats, upper_s: Floats) -> dict[CellPair, int]:
    """Count intervals by their cells; an infinite upper end was not seen to arrive, NaN is left out."""
    valid = ~(np.isnan(lower_s) | np.isnan(upper_s))
    lower = np.searchsorted(EDGES_S, np.maximum(lower_s[valid], 0.0), side="right") - 1
    upper = np.searchsorted(EDGES_S, np.maximum(upper_s[valid], 0.0), side="left") - 1
    lower = np.minimum(lower, NEVER)
    pairs = lower * len(EDGES_S) + np.minimum(np.maximum(lower, upper), NEVER)
    distinct, counts = np.unique(pairs, return_counts=True)
    return {divmod(int(pair), len(EDGES_S)): int(count) for pair, count in zip(distinct, counts, strict=True)}


@dataclass(frozen=True, kw_only=True)
class LagCurve:
    """The distribution of lags that fits the counts best, with its uncertainty.

    Attributes:
        mass: probability of each cell, shape (len(EDGES_S) - 1,).
        pairs: the counts it was fitted to, shape (n, 3): lower cell, upper cell, count.
    """

    mass: Floats
    pairs: NDArray[np.int64]

    @property
    def changes(self) -> int:
        """The number of changes behind it."""
        return int(self.pairs[:, 2].sum())

    @cached_property
    def arrived(self) -> Floats:
        """The share of changes that has arrived by each edge, best estimate."""
        return np.concatenate([[0.0], np.cumsum(self.mass)])

    @cached_property
    def band(self) -> tuple[Floats, Floats]:
        """The least and the greatest share that may have arrived by each edge.

        The least counts only changes certainly there, the greatest all that may be; each is widened by the
        Clopper-Pearson bound of such a share, at 95 % pointwise.
        """
        lower, upper, count = self.pairs.T
        edges = np.arange(len(EDGES_S))[:, None]
        there = ((upper[None, :] < edges) * count[None, :]).sum(axis=1)
        maybe = ((lower[None, :] < edges) * count[None, :]).sum(axis=1)
        return share_bounds(there, self.changes)[0], share_bounds(maybe, self.changes)[1]

    @cached_property
    def supported(self) -> float:
        """The share up to which the curve rests on changes that have arrived, or is bounded by them.

        Beyond it, those that were followed no longer decide alone: one of a hundred that is seen to arrive late puts
        all others there.
        """
        ended = int(self.pairs[self.pairs[:, 1] < NEVER, 2].sum()) / self.changes
        return max(ended, float(self.band[0][NEVER]))

    def exceeds(self, after_s: float) -> tuple[float, float, float]:
        """P(not yet visible after `after_s`): best estimate, lower and upper bound."""
        least, most = self.band
        above = int(np.searchsorted(EDGES_S, after_s, side="left"))
        below = int(np.searchsorted(EDGES_S, after_s, side="right")) - 1
        return 1 - self._share_at(after_s), 1 - float(most[above]), 1 - float(least[below])

    def _share_at(self, after_s: float) -> float:
        cell = min(max(int(np.searchsorted(EDGES_S, after_s, side="left")) - 1, 0), NEVER)
        start, end = EDGES_S[cell], EDGES_S[cell + 1]
        if not math.isfinite(end):
            return float(self.arrived[cell])
        part = _part(start, end, after_s)
        return float(self.arrived[cell] + part * self.mass[cell])

    def quantile(self, share: float) -> tuple[float, float, float]:
        """The lag that `share` of the changes stay within: best estimate, lower and upper end in seconds.

        An end is infinite if the changes seen do not bound it, and so is the estimate of a share that too few of them
        support.
        """
        least, most = self.band
        lower = int(np.argmax(most >= share))
        upper = int(np.argmax(least >= share)) if bool((least >= share).any()) else len(EDGES_S) - 1
        cell = min(max(int(np.searchsorted(self.arrived, share - 1e-12, side="left")) - 1, 0), NEVER)
        start, end, mass = EDGES_S[cell], EDGES_S[cell + 1], self.mass[cell]
        if share > self.supported:
            best = math.inf
        elif not math.isfinite(end) or mass <= 0:
            best = float(end)
        else:
            best = float(_between(start, end, (share - self.arrived[cell]) / mass))
        lower_s = float(EDGES_S[max(lower - 1, 0)])
        upper_s = float(EDGES_S[upper])
        return best, min(lower_s, best), max(upper_s, best)


def _between(start: float, end: float, part: float) -> float:
    """The lag a part of the way through a cell: on a log scale, linearly in the first cell."""
    part = min(max(part, 0.0), 1.0)
    return start + part * (end - start) if start <= 0 else start * (end / start) ** part


def _part(start: float, end: float, at: float) -> float:
    """The inverse of `_between`."""
    part = (at - start) / (end - start) if start <= 0 else math.log(at / start) / math.log(end / start)
    return min(max(part, 0.0), 1.0)


def fit(counts: Mapping[CellPair, int]) -> LagCurve | None:
    """Fit the curve to counts of intervals; None without any: no traffic is not a lag.

    Returns:
        The maximum of the interval-censored likelihood, by expectation and maximisation on the grid with
        extrapolated steps.

    Source: B. W. Turnbull, "The empirical distribution function with arbitrarily grouped, censored and
    truncated data", Journal of the Royal Statistical Society B 38 (1976), 290-295; R. Varadhan and C. Roland,
    "Simple and globally convergent methods for accelerating the convergence of any EM algorithm", Scandinavian
    Journal of Statistics 35 (2008), 335-353, scheme S3.
    """
    seen = [(lower, upper, count) for (lower, upper), count in counts.items() if count > 0]
    if not seen:
        return None
    pairs = np.array(sorted(seen), dtype=np.int64)
    lower, upper, count = pairs.T
    cells = np.arange(len(EDGES_S) - 1)
    covers = (lower[:, None] <= cells) & (cells <= upper[:, None])
    start: Floats = np.where(covers.any(axis=0), _WIDTHS_S, 0.0)
    finite = upper[upper < NEVER]
    start[int(finite.max()) + 1 if len(finite) else 0 : NEVER] = 0.0  # cells with only waiting changes say nothing
    used = start > 0
    mass = np.zeros(len(cells))
    mass[used] = _likeliest(start[used] / start.sum(), covers[:, used].astype(float), count / count.sum())
    return LagCurve(mass=mass, pairs=pairs)


def _likeliest(mass: Floats, covers: Floats, weight: Floats) -> Floats:
    """The probabilities of the cells under which the intervals are likeliest.

    Args:
        mass: where to begin, all positive, shape (cells,).
        covers: 1 where an interval covers a cell, shape (intervals, cells).
        weight: of the intervals; adds up to 1.
    """

    def step(mass: Floats) -> tuple[Floats, float]:
        """A better estimate, and the mean log-likelihood of this one."""
        within = np.maximum(covers @ mass, 1e-300)
        return mass * ((weight / within) @ covers), float(weight @ np.log(within))

    before = -math.inf
    for _ in range(MAX_ITERATIONS):
        once, likelihood = step(mass)
        if likelihood - before < STILL_RATIO:
            break
        before = likelihood
        twice, _ = step(once)
        moved = once - mass
        turned = twice - once - moved
        length = math.sqrt(float(moved @ moved) / max(float(turned @ turned), 1e-300))
        mass, far = twice, mass + 2 * length * moved + length**2 * turned
        if length > 1:
            far = np.maximum(far, LEAST_LEFT * once)  # none may vanish or turn negative
            better, reached = step(far / far.sum())
            mass = better if reached >= likelihood else twice
    total: float = mass.sum()
    return mass / total

"""Intervals for shares: how far an observed share may be from the true one. Never Wald.

SciPy is loaded with the first interval: it takes longer to load than most commands need to answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
PRIOR_HITS = 0.5

Floats = NDArray[np.float64]


def share_bounds(hits: NDArray[np.int64], of: int, confidence: float = CONFIDENCE) -> tuple[Floats, Floats]:
    """Bounds of shares seen as `hits` of `of` independent trials; [0, 1] for no trials.

    Source: C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case
    of the binomial", Biometrika 26 (1934), 404-413.
    """
    seen = np.asarray(hits, dtype=np.float64)
    if not of:
        return np.zeros_like(seen), np.ones_like(seen)
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    lower = np.where(seen > 0, betaincinv(np.maximum(seen, 1), of - seen + 1, tail), 0.0)
    upper = np.where(seen < of, betaincinv(seen + 1, np.maximum(of - seen, 1), 1 - tail), 1.0)
    return lower, upper


def clopper_pearson(hits: int, of: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """`share_bounds` of one share."""
    lower, upper = share_bounds(np.array([hits]), of, confidence)
    return float(lower[0]), float(upper[0])


def korn_graubard(share: float, variance: float, most: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Bounds of a share estimated from a weighted sample: Clopper-Pearson of its effective size.

    Args:
        share: the estimate.
        variance: of the estimate, by linearisation.
        most: the effective size that the weights alone allow, (sum w)^2 / sum w^2. It also holds if no hit
            was seen among the heavily weighted, whose variance then cannot be estimated.

    Source: E. L. Korn and B. I. Graubard, "Confidence intervals for proportions with small expected number of
    positive counts estimated from survey data", Survey Methodology 24 (1998), 193-201.
    """
    if most <= 0:
        return 0.0, 1.0
    from scipy.special import betaincinv

    share = min(max(share, 0.0), 1.0)
    effective = min(share * (1 - share) / variance, most) if variance > 0 else most
    hits = effective * share
    tail = (1 - confidence) / 2
    lower = float(betaincinv(hits, effective - hits + 1, tail)) if hits > 0 else 0.0
    upper = float(betaincinv(hits + 1, effective - hits, 1 - tail)) if hits < effective else 1.0
    return lower, upper


def sequence_bounds(hits: int, of: int, *, expected: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Bounds of a share that hold at all times at once, however often it is checked.

    Args:
        expected: the share at which the bounds are narrowest; the prior is Beta(0.5, 0.5 / expected).

    Source: H. Robbins, "Statistical methods related to the law of the iterated logarithm", Annals of
    Mathematical Statistics 41 (1970), 1397-1409, with the beta-binomial mixture of S. R. Howard et al.,
    "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals of Statistics 49 (2021), 1055-1080.
    """
    if not of:
        return 0.0, 1.0
    from scipy.special import betaln

    prior = PRIOR_HITS, PRIOR_HITS / expected
    mixed = float(betaln(prior[0] + hits, prior[1] + of - hits) - betaln(*prior))
    limit = -math.log(1 - confidence)

    def inside(share: float) -> bool:
        likelihood = (hits * math.log(share) if hits else 0.0) + (
            (of - hits) * math.log1p(-share) if hits < of else 0
        )
        return mixed - likelihood < limit

    best = min(max(hits / of, 1e-15), 1 - 1e-15)
    lower = 0.0 if hits == 0 else _edge(inside, 1e-300, best)
    upper = 1.0 if hits == of else _edge(inside, 1 - 1e-16, best)
    return lower, upper


def _edge(inside: Callable[[float], bool], outer: float, inner: float) -> float:
    """The end of an interval between a point outside and one inside; the outer side of the last step."""
    for _ in range(200):
        middle = math.sqrt(outer * inner) if outer < inner / 4 else (outer + inner) / 2
        if middle in {outer, inner}:
            break
        if inside(middle):
            inner = middle
        else:
            outer = middle
    return outer


def finite_bounds(
    hits: int, of: int, population: int, *, expected: float, confidence: float = CONFIDENCE
) -> tuple[int, int]:
    """Bounds of the hits in a finite population, from `hits` of `of` drawn without replacement.

    The bounds hold at all times of a sweep at once, and meet when it is complete.

    Args:
        expected: as in `sequence_bounds`.

    Returns:
        The least and the greatest possible number.

    Source: I. Waudby-Smith and A. Ramdas, "Confidence sequences for sampling without replacement", NeurIPS
    2020, section 2: the ratio of prior to posterior with a beta-binomial prior.
    """
    population = max(population, of)
    rest = population - of
    if not rest:
        return hits, hits
    if not of:
        return 0, population
    from scipy.special import betaln, gammaln

    prior = PRIOR_HITS, PRIOR_HITS / expected
    posterior = prior[0] + hits, prior[1] + of - hits
    limit = -math.log(1 - confidence)

    def log_mass(count: int, total: int, shape: tuple[float, float]) -> float:
        choose = gammaln(total + 1) - gammaln(count + 1) - gammaln(total - count + 1)
        return float(choose + betaln(count + shape[0], total - count + shape[1]) - betaln(*shape))

    def inside(total: int) -> bool:
        return log_mass(total, population, prior) - log_mass(total - hits, rest, posterior) < limit

    best = hits + round(rest * hits / of)
    if not inside(best):  # the ratio is least near here; the set is then its very minimum
        return hits, hits + rest
    return _end(inside, hits, best), _end(inside, hits + rest, best)


def _end(inside: Callable[[int], bool], outer: int, inner: int) -> int:
    if inside(outer):
        return outer
    while abs(outer - inner) > 1:
        middle = (outer + inner) // 2
        if inside(middle):
            inner = middle
        else:
            outer = middle
    return inner

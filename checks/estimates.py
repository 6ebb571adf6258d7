"""Estimates: what a sample says about all records."""

from __future__ import annotations

from dataclasses import dataclass

from checks.intervals import CONFIDENCE, korn_graubard
from checks.sampling import Cohort


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A share of all records, from a sample.

    Attributes:
        share: best estimate; None if nothing was read.
        lower, upper: at 95 %; the upper end counts every undecided record as a hit.
        read: sampled records behind the estimate.
    """

    share: float | None
    lower: float
    upper: float
    read: int


def estimate(cohort: Cohort, confidence: float = CONFIDENCE) -> Estimate:
    """Estimate the share of divergent records.

    Source: J. Hajek's ratio (Comment in V. P. Godambe and D. A. Sprott, eds., "Foundations of Statistical
    Inference", 1971, p. 236) of the Horvitz-Thompson sums; its variance by linearisation, C.-E. Saerndal,
    B. Swensson and J. Wretman, "Model Assisted Survey Sampling" (1992), section 5.7.
    """
    if not cohort.read or cohort.weight <= 0:
        return Estimate(share=None, lower=0.0, upper=1.0, read=0)
    share = cohort.weight_divergent / cohort.weight
    lower, _ = _bounds(cohort, cohort.weight_divergent, cohort.square_divergent, confidence)
    _, upper = _bounds(
        cohort,
        cohort.weight_divergent + cohort.weight_undecided,
        cohort.square_divergent + cohort.square_undecided,
        confidence,
    )
    return Estimate(share=share, lower=min(lower, share), upper=max(upper, share), read=cohort.read)


def _bounds(cohort: Cohort, weight: float, square: float, confidence: float) -> tuple[float, float]:
    share = weight / cohort.weight
    spread = square * (1 - 2 * share) + share * share * cohort.square
    return korn_graubard(share, spread / cohort.weight**2, cohort.weight**2 / cohort.square, confidence=confidence)

"""When missed changes of a flow are worth an incident: by bursts, burn rates and CUSUM. Pure.

A flow that misses exactly the share its objective allows must hardly ever cause one. So each rule has a share of
`FALSE_RATIO`, and raises its threshold until the probability of a false incident in a period fits into it. With
little traffic a burn-rate rule then needs so many missed changes that it never decides, and bursts (`checks.bursts`)
and CUSUM do. An undecided change may have met its window: it counts as one that has not missed it.

The probabilities assume that changes fail independently of each other, at a steady rate of changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache

from checks import bursts
from checks.bursts import Burst, tail
from checks.objectives import WindowCounts
from checks.tables import complete
from probes.wording import figure

PERIOD_S = 28 * 86_400.0
"""The period over which an objective is kept or broken."""

HOUR_S, DAY_S = 3_600.0, 86_400.0

FEWEST = 5
"""Fewer missed changes never decide, except for strict data: they may be one event, such as one batch."""

SLOW_BURN = 5.0
"""The burn rate for which CUSUM decides soonest."""


class Rule(StrEnum):
    """What decided."""

    STRICT = "strict"
    BURST = "burst"
    BURN = "burn rate"
    CUSUM = "cusum"


FALSE_RATIO = complete({Rule.BURST: bursts.FALSE_RATIO, Rule.BURN: 0.0002, Rule.CUSUM: 0.0005}, but={Rule.STRICT})
"""The highest probability of a false decision in a period, by rule, at a burn rate of 1. Each of the four burn-rate
pairs has it, so that all sum up to 0.5 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BurnPair:
    """A long window that shows that a failure matters, and a short one that shows that it goes on."""

    long_s: float
    short_s: float
    rate: float


BURN_PAIRS = (
    BurnPair(long_s=HOUR_S, short_s=HOUR_S / 12, rate=14.4),
    BurnPair(long_s=6 * HOUR_S, short_s=HOUR_S / 2, rate=6.0),
    BurnPair(long_s=DAY_S, short_s=2 * HOUR_S, rate=3.0),
    BurnPair(long_s=3 * DAY_S, short_s=6 * HOUR_S, rate=1.0),
)
"""Source: "The Site Reliability Workbook" (B. Beyer et al., 2018), chapter 5, table 5-8."""

SPANS_S = tuple(sorted({each for pair in BURN_PAIRS for each in (pair.long_s, pair.short_s)}))
"""The spans whose changes have to be counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """That people are to act.

    Attributes:
        reason: the evidence and the threshold, in a sentence.
        missed: the missed changes that it rests on.
        false_ratio: the probability of such a decision in a period if the flow misses just what it may.
    """

    rule: Rule
    reason: str
    missed: int
    false_ratio: float


def strict(missed: int) -> Decision | None:
    """Decide for data of which no change may miss its window: one confirmed miss is enough."""
    if not missed:
        return None
    reason = f"{missed} confirmed, and no change of this data may miss its window"
    return Decision(rule=Rule.STRICT, reason=reason, missed=missed, false_ratio=0.0)


def decide(
    counts: Mapping[float, WindowCounts],
    goal: float,
    *,
    burst: Burst | None,
    slow: Callable[[], SlowBurn],
    changes_per_period: float,
    now: datetime,
) -> Decision | None:
    """Decide by whichever rule does; those that need less time come first.

    Args:
        counts, goal: as in `burning`.
        burst: the latest one.
        slow: returns the CUSUM, if no other rule decides.
    """
    decision = None if burst is None else confirmed(burst, now)
    return decision or burning(counts, goal) or slow().decide(changes_per_period)


def confirmed(burst: Burst, now: datetime) -> Decision | None:
    """Decide by a burst."""
    if not burst.decides(now):
        return None
    return Decision(
        rule=Rule.BURST,
        reason=(
            f"a change missed its window at {burst.begun_at:%Y-%m-%d %H:%M:%S} UTC, and then so did {burst.tally} "
            f"(threshold {bursts.PAGE_AT} of {burst.size})"
        ),
        missed=1 + burst.missed,
        false_ratio=burst.false_ratio,
    )


def burning(counts: Mapping[float, WindowCounts], goal: float) -> Decision | None:
    """Decide by burn rates; the shortest windows come first.

    Args:
        counts: the changes of the last so many seconds, for each of `SPANS_S`.
        goal: the promised share of changes within the window, below 1.
    """
    for pair in BURN_PAIRS:
        long, short = counts[pair.long_s], counts[pair.short_s]
        least = burn_threshold(long.total, pair, goal)
        if long.missed >= least and short.missed >= max(1.0, pair.rate * (1 - goal) * short.total):
            burn = long.missed / long.total / (1 - goal)
            return Decision(
                rule=Rule.BURN,
                reason=(
                    f"{long.missed} of {long.total} changes missed their window in the last {_span(pair.long_s)}, "
                    f"and {short.missed} of {short.total} in the last {_span(pair.short_s)}: {figure(burn, 2)} times "
                    f"what the objective allows (threshold {least})"
                ),
                missed=long.missed,
                false_ratio=_sliding(least, long.total, pair.long_s, 1 - goal),
            )
    return None


@lru_cache(maxsize=4_096)
def burn_threshold(changes: int, pair: BurnPair, goal: float) -> int:
    """The missed changes of the long window from which a pair decides; more than there are if it cannot."""
    least = max(FEWEST, math.ceil(pair.rate * (1 - goal) * changes))
    while least <= changes and _sliding(least, changes, pair.long_s, 1 - goal) > FALSE_RATIO[Rule.BURN]:
        least += 1
    return least


_OVERLAPS = (1, 2, 5, 10, 20, 50)


def _sliding(least: int, changes: int, span_s: float, budget: float) -> float:
    """Bound the probability that any window of a period holds so many misses.

    Every window lies within one that is longer by a part of it and begins at a multiple of that part. The least bound
    over several parts is a bound.
    """
    return min(
        1.0,
        *(
            PERIOD_S / span_s * parts * tail(least, math.ceil(changes * (1 + 1 / parts)), budget)
            for parts in _OVERLAPS
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowBurn:
    """A CUSUM of the changes' verdicts: it rises while more are missed than allowed, and starts anew at zero.

    Source: E. S. Page, "Continuous inspection schemes", Biometrika 41 (1954), 100-115.

    Attributes:
        evidence: the logarithm of the likelihood ratio for `SLOW_BURN` times the budget since the change at which
            that is most likely.
        missed: the missed changes since then.
    """

    evidence: float = 0.0
    missed: int = 0

    def plus(self, counts: WindowCounts, goal: float) -> SlowBurn:
        """With further changes. Their order is unknown: the one with the least evidence is assumed, misses first."""
        budget = 1 - goal
        worse = min(SLOW_BURN * budget, (1 + budget) / 2)
        evidence = (
            self.evidence
            + counts.missed * math.log(worse / budget)
            + (counts.total - counts.missed) * math.log((1 - worse) / (1 - budget))
        )
        return SlowBurn(evidence=evidence, missed=self.missed + counts.missed) if evidence > 0 else SlowBurn()

    def decide(self, changes_per_period: float) -> Decision | None:
        """Decide by the evidence.

        A false alarm among n changes is at most n * exp(-threshold) likely: at each change begins a likelihood ratio
        that exceeds exp(threshold) with at most that probability (J. Ville, 1939).
        """
        threshold = math.log(max(1.0, changes_per_period) / FALSE_RATIO[Rule.CUSUM])
        if self.evidence < threshold:
            return None
        return Decision(
            rule=Rule.CUSUM,
            reason=(
                "for a long time more changes have missed their window than the objective allows "
                f"(evidence {self.evidence:.1f}, threshold {threshold:.1f})"
            ),
            missed=self.missed,
            false_ratio=min(1.0, changes_per_period * math.exp(-threshold)),
        )


def _span(seconds: float) -> str:
    return f"{seconds / HOUR_S:g} h" if seconds >= HOUR_S else f"{seconds / 60:g} min"

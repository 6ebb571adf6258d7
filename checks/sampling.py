"""Sampling: which records are read without a known change, and what that says about all others.

Every key has a rank (`probes.ranking`). A sweep walks the ranks from the lowest to the highest; each of its slices is
random, and any part of it is a random sample of the whole. A panel, the lowest ranks, is read every time. Policies
read some records more often: each goes through its own pool in the order of ranks, faster than the sweep, and the
probability that either takes a record is known exactly.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from probes.contract import Key
from probes.ranking import RANKS

BASE, RECENT, PAST_ERROR, VALUE = "base", "recent", "past_error", "value"
"""Policies: every record, recently changed ones, recently differing ones, the most valuable ones."""

BY_RANK, BY_KEY = "rank", "key"
"""How a sweep goes: from rank to rank, or page by page through the keys of both sides."""


class Arc(NamedTuple):
    """A share of all ranks from `start` on, around the end; `width` is at most `RANKS`."""

    start: int
    width: int

    def spans(self) -> list[tuple[int, int]]:
        """The same as one or two ranges of ranks."""
        start, end = self.start % RANKS, self.start % RANKS + min(self.width, RANKS)
        return [(start, end)] if end <= RANKS else [(start, RANKS), (0, end - RANKS)]


def probability_of(arcs: Iterable[Arc]) -> float:
    """The probability that a rank lies in any of these arcs: the length of their union."""
    covered = reached = 0
    for lower, upper in sorted(span for arc in arcs for span in arc.spans()):
        covered += max(0, upper - max(lower, reached))
        reached = max(reached, upper)
    return covered / RANKS


class Pool:
    """Keys that a policy reads more often, by rank.

    Args:
        ranks: must not change afterwards.
    """

    def __init__(self, ranks: Mapping[Key, int]) -> None:
        self._ordered = sorted(((rank, key) for key, rank in ranks.items()), key=lambda pair: (pair[0], str(pair[1])))
        self._ranks = [rank for rank, _ in self._ordered]
        self.keys = ranks.keys()

    def __len__(self) -> int:
        return len(self._ranks)

    def within(self, arc: Arc) -> list[Key]:
        """The keys whose rank lies in an arc."""
        return [
            key
            for lower, upper in arc.spans()
            for _, key in self._ordered[bisect_left(self._ranks, lower) : bisect_left(self._ranks, upper)]
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Why, and with what probability, a key was taken.

    Attributes:
        probability: that one audit takes it; 0 if it was not taken at random.
    """

    policy: str
    probability: float


def affordable_shares(pools: Mapping[str, Pool], shares: Mapping[str, float], affordable: int) -> dict[str, float]:
    """The share of each pool that one audit takes, so that all together take no more keys than affordable.

    The shares shrink before anything is chosen, so the stated probabilities stay true.
    """
    wanted = sum(len(pool) * shares[policy] for policy, pool in pools.items())
    shrink = min(1.0, affordable / wanted) if wanted > 0 else 1.0
    return {policy: shares[policy] * shrink for policy in pools}


def draw(taken: Iterable[Key], base: Arc, pools: Mapping[str, Pool], arcs: Mapping[str, Arc]) -> dict[Key, Drawn]:
    """Add the policies' keys to the sweep's slice.

    Args:
        taken: the slice's keys.
        base: the arc that the slice is.
        pools: by policy, its keys.
        arcs: by policy, the part of its pool that is taken now; consecutive from audit to audit, so each pool is gone
            through completely before any key repeats.

    Returns:
        Every key, with the probability of lying in any arc that may take it.
    """
    plain = Drawn(policy=BASE, probability=probability_of([base]))
    drawn = dict.fromkeys(taken, plain)
    for policy, arc in arcs.items():
        for key in pools[policy].within(arc):
            drawn.setdefault(key, Drawn(policy=policy, probability=0.0))
    probabilities: dict[tuple[str, ...], float] = {}
    for pool in pools.values():
        for key in drawn.keys() & pool.keys:
            member = tuple(each for each in arcs if key in pools[each].keys)
            if member not in probabilities:
                probabilities[member] = probability_of([base, *(arcs[each] for each in member)])
            drawn[key] = Drawn(policy=drawn[key].policy, probability=probabilities[member])
    return drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """The sums over sampled records that an estimate needs; cohorts of one flow add up.

    Attributes:
        read, divergent, undecided: records.
        weight, weight_divergent, weight_undecided: the same, each record weighted by 1 / probability.
        square, square_divergent, square_undecided: sums of the squares of those weights.
    """

    read: int = 0
    divergent: int = 0
    undecided: int = 0
    weight: float = 0.0
    weight_divergent: float = 0.0
    weight_undecided: float = 0.0
    square: float = 0.0
    square_divergent: float = 0.0
    square_undecided: float = 0.0

    def __add__(self, other: Cohort) -> Cohort:
        names = Cohort.__dataclass_fields__
        return Cohort(**{name: getattr(self, name) + getattr(other, name) for name in names})

    def minus(self, other: Cohort) -> Cohort:
        """The difference from `other`."""
        names = Cohort.__dataclass_fields__
        return Cohort(**{name: getattr(self, name) - getattr(other, name) for name in names})

    def plus(
        self, probability: float, records: int = 1, *, divergent: bool = False, undecided: bool = False
    ) -> Cohort:
        """This cohort with more records that were taken with the same probability."""
        weight, square = records / probability, records / probability**2
        return self + Cohort(
            read=records,
            divergent=records * divergent,
            undecided=records * undecided,
            weight=weight,
            weight_divergent=weight * divergent,
            weight_undecided=weight * undecided,
            square=square,
            square_divergent=square * divergent,
            square_undecided=square * undecided,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """The keys of the lowest ranks seen, at most `size` of them: the same set in whatever order they come."""

    size: int
    ranks: Mapping[Key, int]

    def seen(self, ranks: Mapping[Key, int]) -> Panel:
        """The panel after these keys have been seen."""
        highest = max(self.ranks.values(), default=-1)
        room = self.size - len(self.ranks)
        fresh = {key: rank for key, rank in ranks.items() if rank < highest or room > 0}
        if not fresh:
            return self
        both: Sequence[tuple[Key, int]] = sorted({**self.ranks, **fresh}.items(), key=lambda pair: pair[1])
        return replace(self, ranks=dict(both[: self.size]))

    def without(self, keys: Iterable[Key]) -> Panel:
        """The panel without keys that are gone."""
        gone = set(keys)
        if not gone & self.ranks.keys():
            return self
        return replace(self, ranks={key: rank for key, rank in self.ranks.items() if key not in gone})

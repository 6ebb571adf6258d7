"""Sampling: which records are read without being known to have changed, and what that says about all others.

Every key has a rank (`probes.ranking`). A sweep walks the ranks from the lowest to the highest; what it takes at
once is a random slice, and any part of it a random sample of the whole. A panel, the lowest ranks, is read
every time. Policies read some records more often: each widens the slice for those records alone, so that all
share one hash and a record is taken with the highest of its probabilities.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from probes.contract import Key
from probes.ranking import RANKS

BASE, RECENT, PAST_ERROR, VALUE = "base", "recent", "past_error", "value"
"""Policies: every record, those that changed lately, those that differed lately, those worth most."""


class Pool:
    """Keys that a policy reads more often, by rank."""

    def __init__(self, ranks: Mapping[Key, int]) -> None:
        self._ordered = sorted((rank, str(key), key) for key, rank in ranks.items())
        self._ranks = [rank for rank, _, _ in self._ordered]

    def __len__(self) -> int:
        return len(self._ranks)

    def __contains__(self, key_and_rank: tuple[Key, int]) -> bool:
        key, rank = key_and_rank
        at = bisect_left(self._ranks, rank)
        return any(each == key for _, _, each in self._ordered[at : at + 4])

    def within(self, start: int, probability: float) -> list[Key]:
        """The keys whose rank lies within this share of all ranks from `start` on, around the end."""
        width = round(min(1.0, probability) * RANKS)
        if width >= RANKS:
            return [key for _, _, key in self._ordered]
        end = start + width
        found = self._between(start, min(end, RANKS))
        return found + (self._between(0, end - RANKS) if end > RANKS else [])

    def _between(self, lower: int, upper: int) -> list[Key]:
        return [key for _, _, key in self._ordered[bisect_left(self._ranks, lower) : bisect_left(self._ranks, upper)]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Why and how probably a key was taken.

    Attributes:
        probability: that this audit takes it; 0 where it was not a matter of chance.
    """

    policy: str
    probability: float


def draw(
    taken: Mapping[Key, int],
    start: int,
    probability: float,
    pools: Mapping[str, Pool],
    probabilities: Mapping[str, float],
    *,
    affordable: int,
) -> dict[Key, Drawn]:
    """Add to the slice what the policies take.

    Args:
        taken: the sweep's next keys with their ranks, from `start` on.
        probability: that of every record to be among them; a sweep takes each equally often.
        pools: by policy, its keys.
        probabilities: by policy, how probably a key of its pool is to be taken by one audit.
        affordable: how many keys the policies may take together. Where they would take more, their
            probabilities shrink before anything is chosen, so that they stay what they are said to be.

    Returns:
        Every key with the highest of its probabilities.
    """
    wanted = sum(len(pool) * probabilities[policy] for policy, pool in pools.items())
    shrink = min(1.0, affordable / wanted) if wanted > 0 else 1.0
    drawn = {key: Drawn(policy=BASE, probability=probability) for key in taken}
    for policy, pool in pools.items():
        more = min(1.0, probabilities[policy] * shrink)
        if more <= probability:
            continue
        for key in pool.within(start, more):
            known = drawn.get(key)
            if known is None or known.probability < more:
                drawn[key] = Drawn(policy=policy, probability=more)
    return drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Sums over sampled records that are all an estimate needs; cohorts of one flow add up.

    Attributes:
        read, divergent, undecided: records.
        weight, weight_divergent, weight_undecided: the same, each record counted 1 / probability times.
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
        """What has to be added to `other` to come to this one."""
        names = Cohort.__dataclass_fields__
        return Cohort(**{name: getattr(self, name) - getattr(other, name) for name in names})

    def plus(self, probability: float, *, divergent: bool = False, undecided: bool = False) -> Cohort:
        """This cohort with one more record."""
        weight = 1 / probability
        return self + Cohort(
            read=1,
            divergent=int(divergent),
            undecided=int(undecided),
            weight=weight,
            weight_divergent=weight * divergent,
            weight_undecided=weight * undecided,
            square=weight * weight,
            square_divergent=weight * weight * divergent,
            square_undecided=weight * weight * undecided,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """The keys of the lowest ranks seen, at most `size` of them: the same set whatever order they come in."""

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

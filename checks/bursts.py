"""A burst: fresh trials that confirm a missed change where changes are too few for burn rates. Pure.

A change that misses its window begins a burst. It counts what happens next: the changes committed later, and, where
an owner cannot list its changes, records read only for this. At the third miss it pages.

**What a trial says.** If each change misses its window with a probability of at most q = 1 - goal, independently of
the others, so does each trial of a burst, whatever began it:

- a change committed after the one that began the burst has nothing to do with that one;
- a record that agreed at some time, and about which nothing is pending, differs for longer than its window only if
  its latest change missed its window. However often it has changed, that is one change. So the records may be chosen
  by anything known before the reading, such as those that changed lately first.

A record that differs without having agreed before, or that somebody else changed, says nothing about the windows of
changes; neither does a record whose change the owner lists, because that change has a verdict of its own. So records
are drawn from those that have agreed, and not at all where the owner lists every change: there a record read again
would only repeat a verdict, and the changes that follow are all the news there is.

**How often a burst pages by chance.** Of n trials at least three miss with probability P(n) = P[Bin(n, q) >= 3]. The
third miss among at most n trials happens if and only if n trials hold three, so looking after every trial costs
nothing. Each burst begins with a missed change that belongs to no other burst. By linearity of expectation a period
with N changes has at most N q P(n) false pages on average, and by Markov's inequality that bounds the probability of
one. `size` is the largest n for which the bound is at most `FALSE_RATIO`. Source of the scheme: two-stage (double)
sampling, H. F. Dodge and H. G. Romig, "A method of sampling inspection", Bell System Technical Journal 8 (1929),
613-631.

**What it cannot do.** If every change has its verdict already, no rule decides much sooner than CUSUM, whose mean
delay in the worst case is to first order log(1 / false alarm rate) / KL, with KL the information of one change
(G. Lorden, "Procedures for reacting to a change in distribution", Annals of Mathematical Statistics 42 (1971),
1897-1908). At 60 changes an hour, a goal of 99.9 %, and a failure of 5 % that is 15.9 / 0.148 = 107 min; a burst of
the changes that follow takes 72 min in the median (`benchmarks/quiet.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache

from checks.convergence import Change, Verdict
from checks.judgement import Outcome
from checks.objectives import WindowCounts
from probes.wording import counted

FALSE_RATIO = 0.0037
"""The highest probability that bursts page falsely in a period, at a burn rate of 1."""

PAGE_AT = 3
"""Misses of a burst that page, besides the one that began it."""

LARGEST = 100
"""Most trials of a burst."""

LONGEST_S = 86_400.0
"""A burst with fewer trials ends after this time."""

DECIDES_S = 3_600.0
"""For how long a burst that paged decides; meanwhile no other begins."""


class Ending(StrEnum):
    """How a burst ended."""

    PAGED = "paged"
    CLEAN = "clean"
    EXPIRED = "expired"


def tail(least: int, total: int, share: float) -> float:
    """The probability of at least so many hits among independent trials."""
    if least <= 0:
        return 1.0
    if least > total:
        return 0.0
    from scipy.special import bdtrc

    return float(bdtrc(least - 1, total, share))


@lru_cache(maxsize=1_024)
def burst_size(changes_per_period: float, goal: float) -> int:
    """How many trials a burst may have, so that three misses among them page.

    The more changes there are, the fewer: each of the misses that the objective allows may begin a burst.

    Returns:
        0 if no burst can confirm anything: there are enough changes for burn rates.
    """
    size = LARGEST
    while size >= PAGE_AT and false_ratio(size, changes_per_period, goal) > FALSE_RATIO:
        size -= 1
    return size if size >= PAGE_AT else 0


def false_ratio(size: int, changes_per_period: float, goal: float) -> float:
    """Bound the probability that any burst of a period pages falsely."""
    return min(1.0, max(1.0, changes_per_period * (1 - goal)) * tail(PAGE_AT, size, 1 - goal))


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """The fresh trials after a missed change.

    Attributes:
        begun_at: when that change had missed its window.
        after_at: when it was committed, at the latest; changes committed later are fresh.
        size: the most trials.
        false_ratio: the probability of a false page by a burst in a period.
        draws: records are drawn for it.
        changes: the fresh changes by their verdict.
        records: the drawn records; missed are those whose change did not arrive within its window.
        waiting: drawn records that are neither yet.
        left_out: records that the budget left out of the latest draw.
        ended_at: None while it goes on.
        ending: None while it goes on.
    """

    begun_at: datetime
    after_at: datetime
    size: int
    false_ratio: float
    draws: bool
    changes: WindowCounts = field(default_factory=WindowCounts)
    records: WindowCounts = field(default_factory=WindowCounts)
    waiting: int = 0
    left_out: int = 0
    ended_at: datetime | None = None
    ending: Ending | None = None

    @property
    def trials(self) -> int:
        """Trials with a result."""
        return self.changes.total + self.records.total

    @property
    def missed(self) -> int:
        """Trials that missed."""
        return self.changes.missed + self.records.missed

    @property
    def wants(self) -> int:
        """How many more records it may draw."""
        return max(0, self.size - self.trials - self.waiting) if self.draws and self.ending is None else 0

    def decides(self, now: datetime) -> bool:
        """Whether it pages: it had three misses, not long ago."""
        return self.ending is Ending.PAGED and not self._is_past(DECIDES_S, now)

    def _is_past(self, seconds: float, now: datetime) -> bool:
        return now >= (self.ended_at or self.begun_at) + timedelta(seconds=seconds)

    def makes_way(self, now: datetime) -> bool:
        """Whether another missed change begins another burst."""
        return self.ending is not None and not self.decides(now)

    def with_change(self, verdict: Verdict, committed_from_at: datetime, number: int = 1) -> Burst:
        """With one more change, or several alike, if they are fresh and as far as there is room for them."""
        if self.ending is not None or committed_from_at < self.after_at or verdict not in _COUNTED:
            return self
        room = max(0, self.size - self.trials - self.waiting)
        return replace(self, changes=self.changes + WindowCounts.of({verdict: min(number, room)}))

    def with_records(self, results: Iterable[Verdict]) -> Burst:
        """With the results of drawn records; as many fewer wait."""
        settled = list(results)
        counts = self.records
        for verdict in settled:
            counts += WindowCounts.of({verdict: 1})
        return replace(self, records=counts, waiting=self.waiting - len(settled))

    def judged(self, now: datetime) -> Burst:
        """Ended, if it has three misses, all its trials, or too few of them for too long."""
        if self.ending is not None:
            return self
        if self.missed >= PAGE_AT:
            return replace(self, ending=Ending.PAGED, ended_at=now)
        if self.trials >= self.size:
            return replace(self, ending=Ending.CLEAN, ended_at=now)
        if self._is_past(LONGEST_S, now):
            return replace(self, ending=Ending.EXPIRED, ended_at=now)
        return self

    @property
    def summary(self) -> str:
        """Its state and what it has shown, for people."""
        if self.ending is not None:
            return f"{self.ending}: {self.tally} missed"
        waiting = f", {counted(self.waiting, 'record')} not decided yet" if self.waiting else ""
        left_out = f"; {counted(self.left_out, 'record')} left out by the budget until later" if self.left_out else ""
        most = f"; pages at {PAGE_AT} of at most {self.size}"
        return f"under way: {self.tally} missed{waiting}{most}{left_out}"

    @property
    def tally(self) -> str:
        """What it has shown, for people: `2 of 14 later changes and 1 of 60 records`."""
        parts = []
        if self.changes.total or not self.draws:
            parts.append(f"{self.changes.missed} of {counted(self.changes.total, 'later change')}")
        if self.draws:
            parts.append(f"{self.records.missed} of {counted(self.records.total, 'record')} read to confirm it")
        return " and ".join(parts)


_COUNTED = frozenset({Verdict.MET, Verdict.BREACH, Verdict.BREACH_THEN_CONVERGED, Verdict.UNDECIDED})


def trial_result(outcome: Outcome, decided: Iterable[Change]) -> Verdict | None:
    """What the reading of a drawn record says; None if that takes another reading.

    Args:
        decided: its changes that got a verdict by this reading.
    """
    if any(each.verdict in {Verdict.BREACH, Verdict.BREACH_THEN_CONVERGED} for each in decided):
        return Verdict.BREACH
    if outcome is Outcome.AGREED:
        return Verdict.MET
    # Another difference, or one that cannot be seen, says nothing about a window.
    return Verdict.UNDECIDED if outcome in {Outcome.DIVERGENT, Outcome.CANNOT_VERIFY} else None


def begin(*, at: datetime, after_at: datetime, changes_per_period: float, goal: float, draws: bool) -> Burst | None:
    """Begin a burst for a change that missed its window; None where it could confirm nothing.

    Args:
        after_at: when the change was committed, at the latest.
        draws: records are drawn, because the owner does not list all its changes.
    """
    size = burst_size(changes_per_period, goal) if goal < 1 else 0
    if not size:
        return None
    return Burst(
        begun_at=at,
        after_at=after_at,
        size=size,
        false_ratio=false_ratio(size, changes_per_period, goal),
        draws=draws,
    )

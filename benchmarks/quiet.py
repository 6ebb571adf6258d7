"""How rarely a flow that keeps its objective pages, and how soon one that does not; simulated, through the decisions.

A flow has a verdict a minute and promises 99.9 % of its changes within the window. In the quiet months it misses just
what it may.
"""

from __future__ import annotations

import bisect
import math
import random
import statistics
from collections.abc import Callable, Iterator

from benchmarks.report import arguments, emit, say
from checks.objectives import WindowCounts
from checks.paging import PERIOD_S, SPANS_S, SlowBurn, burning

GOAL = 0.999
MINUTE_S = 60.0
PER_PERIOD = PERIOD_S / MINUTE_S
MONTHS, FAILURES = 10_000, 2_000
QUIET_BEFORE = 600
LONGEST = 24 * 60

Share = Callable[[int], float]
"""The share of changes that miss their window, by minute."""


def main() -> int:
    """Run the benchmark."""
    asked = arguments(__doc__)
    chance = random.Random(asked.seed)
    months, failures = (3_000, 200) if asked.quick else (MONTHS, FAILURES)
    say(f"{months} months of a flow that misses what it may")
    paged = sum(_first_page(chance, lambda _: 1 - GOAL, round(PER_PERIOD)) is not None for _ in range(months))
    good = emit(
        "quiet", "months_with_false_page", paged / months, "ratio", goal="<= 0.005", n=months, quick=asked.quick
    )
    say(f"{failures} failures of 5 %")
    good &= _delays("partial_failure_paged_in", 0.05, chance, failures, "<= 20", quick=asked.quick)
    say(f"{failures} total stops")
    return 0 if good & _delays("total_stop_paged_in", 1.0, chance, failures, "<= 2", quick=asked.quick) else 1


def _delays(metric: str, share: float, chance: random.Random, number: int, goal: str, *, quick: bool) -> bool:
    """Minutes from the beginning of a failure to the page."""

    def missed(minute: int) -> float:
        return share if minute >= QUIET_BEFORE else 1 - GOAL

    delays = []
    for _ in range(number):
        page = None
        while page is None or page < QUIET_BEFORE:
            page = _first_page(chance, missed, QUIET_BEFORE + LONGEST, since=QUIET_BEFORE)
        delays.append(page - QUIET_BEFORE + 1)
    delays.sort()
    spread = delays[number // 20], delays[number * 19 // 20]
    return emit("quiet", metric, statistics.median(delays), "min", goal=goal, n=number, spread=spread, quick=quick)


def _first_page(chance: random.Random, missed: Share, minutes: int, *, since: int = 0) -> int | None:
    """The minute of the first page, None if there is none.

    Args:
        missed: constant before and after `since`.
    """
    misses: list[int] = []
    cusum, before = SlowBurn(), -1
    for minute in _minutes(chance, missed, minutes, since):
        misses.append(minute)
        cusum = cusum.plus(WindowCounts(met=minute - before - 1, missed=1), GOAL)
        before = minute
        counts = {span: _last(misses, minute, round(span / MINUTE_S)) for span in SPANS_S}
        decided = (burning(counts, GOAL), cusum.decide(PER_PERIOD))
        if any(each is not None for each in decided):
            return minute
    return None


def _last(misses: list[int], minute: int, minutes: int) -> WindowCounts:
    first = minute - minutes + 1
    late = len(misses) - bisect.bisect_left(misses, first)
    return WindowCounts(met=min(minutes, minute + 1) - late, missed=late)


def _minutes(chance: random.Random, missed: Share, minutes: int, since: int) -> Iterator[int]:
    """The minutes whose change misses its window."""
    minute = 0
    while minute < minutes:
        share = missed(minute)
        if share >= 1:
            yield minute
            minute += 1
            continue
        # A geometric gap; one that leads past a change of the share begins anew there.
        gap = int(chance.expovariate(1) / -math.log1p(-share))
        if minute < since <= minute + gap:
            minute = since
            continue
        minute += gap
        if minute < minutes:
            yield minute
        minute += 1


if __name__ == "__main__":
    raise SystemExit(main())

"""How rarely a flow that keeps its objective pages, and how soon one that does not; simulated, through the decisions.

A flow promises 99.9 % of its changes within the window. In the quiet months it misses just what it may. It has 60, 6
or 600 verdicts an hour, and two kinds of owners:

- `unlisted`: the owner lists no changes. The verdicts are those of a few records, and a burst draws others. Each has
  changed since the failure began with a probability that grows with time: `turnover` is the mean time between two
  changes of one record, in minutes; with 0 every record drawn has changed.
- `listed`: every change has a verdict, and nothing is drawn.

A window is a minute, an audit comes every five seconds.
"""

from __future__ import annotations

import bisect
import math
import random
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from benchmarks.report import arguments, emit, say
from checks.bursts import Burst, begin
from checks.convergence import Verdict
from checks.objectives import WindowCounts
from checks.paging import HOUR_S, PERIOD_S, SPANS_S, SlowBurn, decide
from checks.values import EPOCH

GOAL = 0.999
WINDOW_S, EVERY_S = 60.0, 5.0
MONTHS, FAILURES, FEWER = 10_000, 10_000, 2_000
QUIET_BEFORE_S = 10 * HOUR_S
LONGEST_S = 28 * 86_400.0
PARTIAL, TOTAL = 0.05, 1.0
OTHER_SCENE = "the goal is for 60 verdicts an hour of records that have all changed since the failure began"
TOO_FEW_MONTHS = f"the goal is for 60 verdicts an hour, over {MONTHS:,} months"
"""Why a line has no goal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A kind of flow.

    Attributes:
        per_hour: its verdicts.
        turnover: minutes between two changes of one record; None where the owner lists every change.
    """

    per_hour: int
    turnover: float | None

    @property
    def name(self) -> str:
        """For the metrics."""
        kind = "listed" if self.turnover is None else f"unlisted_turnover_{self.turnover:g}_min"
        return f"{kind}_{self.per_hour}_an_hour"

    @property
    def per_period(self) -> float:
        """Its changes in a period."""
        return self.per_hour * PERIOD_S / HOUR_S


MAIN, LISTED = Scene(per_hour=60, turnover=0.0), Scene(per_hour=60, turnover=None)
SCENES = (
    MAIN,
    Scene(per_hour=60, turnover=10.0),
    Scene(per_hour=60, turnover=60.0),
    LISTED,
    Scene(per_hour=6, turnover=0.0),
    Scene(per_hour=6, turnover=None),
    Scene(per_hour=600, turnover=0.0),
    Scene(per_hour=600, turnover=None),
)


def main() -> int:
    """Run the benchmark."""
    asked = arguments(__doc__)
    chance = random.Random(asked.seed)
    good = True
    for scene in SCENES:
        say(scene.name)
        if not scene.turnover:  # of no account while nothing fails
            good &= _quiet_months(chance, scene, quick=asked.quick)
        failures = 200 if asked.quick else FAILURES if scene is MAIN else FEWER
        for share, metric, goal in (
            (PARTIAL, "partial_failure_paged_in", "<= 20"),
            (TOTAL, "total_stop_paged_in", f"<= {math.ceil((2 * WINDOW_S + EVERY_S) / 0.6) / 100:.2f}"),
        ):
            delays = sorted(_delay_s(chance, scene, share) / 60 for _ in range(failures))
            spread = delays[failures // 20], delays[failures * 19 // 20]
            good &= emit(
                "quiet",
                f"{metric}_{scene.name}",
                statistics.median(delays),
                "min",
                goal=goal if scene is MAIN else "",
                n=failures,
                spread=spread,
                quick=asked.quick,
                **_without_goal("" if scene is MAIN else OTHER_SCENE),
            )
    return 0 if good else 1


def _without_goal(why: str) -> dict[str, Any]:
    return {"no_goal": why} if why else {}


def _quiet_months(chance: random.Random, scene: Scene, *, quick: bool) -> bool:
    months = 100 if quick else MONTHS if scene in {MAIN, LISTED} else FEWER
    paged = sum(_first_page(chance, scene, 1 - GOAL, math.inf, PERIOD_S) is not None for _ in range(months))
    return emit(
        "quiet",
        f"months_with_false_page_{scene.name}",
        paged / months,
        "ratio",
        goal="<= 0.005" if months == MONTHS else "",
        n=months,
        quick=quick,
        **_without_goal("" if months == MONTHS else TOO_FEW_MONTHS),
    )


def _delay_s(chance: random.Random, scene: Scene, share: float) -> float:
    """Seconds from the first change that a failure strikes to the page; what paged before is not counted."""
    while True:
        at_s = _first_page(chance, scene, share, QUIET_BEFORE_S, QUIET_BEFORE_S + LONGEST_S)
        if at_s is None:
            return LONGEST_S
        if at_s >= QUIET_BEFORE_S:
            return at_s - QUIET_BEFORE_S


@dataclass(slots=True, kw_only=True)
class _Run:
    """One run of a flow.

    Attributes:
        misses: when each missed change was committed, in seconds.
    """

    chance: random.Random
    scene: Scene
    share: float
    since_s: float
    misses: list[float] = field(default_factory=list)
    burst: Burst | None = None
    draw_ends_s: float = math.inf

    def missed_records(self, drawn_s: float, number: int) -> int:
        """How many of the records drawn at an instant turn out to have missed their window."""
        changed = 1.0
        if self.scene.turnover and self.share > 1 - GOAL:
            changed = -math.expm1(-max(0.0, drawn_s - self.since_s) / (60 * self.scene.turnover))
        failing = self.share if drawn_s >= self.since_s else 1 - GOAL
        share = changed * failing + (1 - changed) * (1 - GOAL)
        return sum(self.chance.random() < share for _ in range(number))

    def settle_draw(self, until_s: float) -> float | None:
        """Decide the records drawn, if that is due by an instant; returns when a burst has paged."""
        if self.burst is None or self.draw_ends_s > until_s:
            return None
        at_s, self.draw_ends_s = self.draw_ends_s, math.inf
        number = self.burst.wants
        late = self.missed_records(at_s - WINDOW_S, number)
        drawn = replace(self.burst, waiting=number)
        results = [Verdict.BREACH] * late + [Verdict.MET] * (number - late)
        self.burst = drawn.with_records(results).judged(_at(at_s))
        return at_s if self.burst.decides(_at(at_s)) else None

    def follow(self, committed_s: float, met_before: int) -> None:
        """Count a missed change, and those met since the last one; begin a burst if none goes on."""
        at = _at(committed_s + WINDOW_S)
        if self.burst is not None and self.burst.ending is None:
            self.burst = self.burst.with_change(Verdict.MET, _at(committed_s), met_before).judged(at)
            if self.burst.ending is None:
                self.burst = self.burst.with_change(Verdict.BREACH, _at(committed_s)).judged(at)
                return
        if self.burst is None or self.burst.makes_way(at):
            self.burst = begin(
                at=at,
                after_at=_at(committed_s),
                changes_per_period=self.scene.per_period,
                goal=GOAL,
                draws=self.scene.turnover is not None,
            )
            # The next audit draws, and what then differs is certain a window later.
            self.draw_ends_s = math.inf if self.scene.turnover is None else committed_s + 2 * WINDOW_S + EVERY_S


def _first_page(chance: random.Random, scene: Scene, share: float, since_s: float, until_s: float) -> float | None:
    """The second of the first page, None if there is none.

    Args:
        share: the share of changes that miss their window from `since_s` on; before it is the share allowed.
    """
    run = _Run(chance=chance, scene=scene, share=share if since_s < math.inf else 1 - GOAL, since_s=since_s)
    step_s = HOUR_S / scene.per_hour
    cusum, before = SlowBurn(), -1
    for index in _missed(chance, scene, share, since_s, until_s):
        committed_s = index * step_s
        paged_s = run.settle_draw(committed_s + WINDOW_S)
        if paged_s is not None:
            return paged_s
        run.misses.append(committed_s)
        met = index - before - 1
        cusum, before = cusum.plus(WindowCounts(met=met, missed=1), GOAL), index
        run.follow(committed_s, met)
        counts = {span_s: _last(run.misses, committed_s, span_s, step_s) for span_s in SPANS_S}
        decision = decide(
            counts,
            GOAL,
            burst=run.burst,
            slow=partial(_same, cusum),
            changes_per_period=scene.per_period,
            now=_at(committed_s + WINDOW_S),
        )
        if decision is not None:
            return committed_s + WINDOW_S
    return run.settle_draw(until_s)


def _same(evidence: SlowBurn) -> SlowBurn:
    return evidence


def _at(seconds: float) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


def _last(misses: list[float], committed_s: float, span_s: float, step_s: float) -> WindowCounts:
    late = len(misses) - bisect.bisect_right(misses, committed_s - span_s)
    changes = min(round(span_s / step_s), round(committed_s / step_s) + 1)
    return WindowCounts(met=max(0, changes - late), missed=late)


def _missed(chance: random.Random, scene: Scene, share: float, since_s: float, until_s: float) -> Iterator[int]:
    """The changes that miss their window, by their number."""
    step_s = HOUR_S / scene.per_hour
    index, last = 0, int(until_s / step_s)
    turns = last if since_s == math.inf else math.ceil(since_s / step_s)
    while index < last:
        now = share if index >= turns else 1 - GOAL
        if now >= 1:
            yield index
            index += 1
            continue
        # A geometric gap; one that leads past a change of the share begins anew there.
        gap = int(chance.expovariate(1) / -math.log1p(-now))
        if index < turns <= index + gap:
            index = turns
            continue
        index += gap
        if index < last:
            yield index
        index += 1


if __name__ == "__main__":
    raise SystemExit(main())

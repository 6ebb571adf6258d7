"""Queues over time: rates with their error, trend by a test, time to drain, whether they are being consumed. Pure.

What a broker does not count is unknown; an unknown rate is never reported as 0.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from itertools import combinations, pairwise
from statistics import median

from checks.queue_states import Flowing, QueueState, Rate, Trend

CONFIDENCE = 0.95

TREND_READINGS = 6
"""With fewer readings no trend is significant at the level required."""

TREND_LEVEL = 0.01

STALLED_AFTER_S = 60.0
"""A stall lasts at least this long: an unchanged head for less is a consumer busy with one message."""


STALLED_READINGS = 10
"""A queue that nothing has left for this many readings is stalled. Source: the window of LinkedIn's Burrow."""


def rate(states: Sequence[QueueState], counter: str) -> Rate | None:
    """How fast a counter of the states grows; None if it is not counted or was read only once.

    Args:
        counter: `arrived` or `taken`.
    """
    grown, seconds = 0, 0.0
    for before, after in pairwise(states):
        first, second = getattr(before, counter), getattr(after, counter)
        if first is None or second is None or second < first:
            continue
        grown += second - first
        seconds += (after.read_at - before.read_at).total_seconds()
    if seconds <= 0:
        return None
    from scipy.special import gammaincinv

    tail = (1 - CONFIDENCE) / 2
    lower = float(gammaincinv(grown, tail)) if grown else 0.0
    upper = float(gammaincinv(grown + 1, 1 - tail))
    return Rate(per_s=grown / seconds, lower=lower / seconds, upper=upper / seconds)


def drain_s(depth: int | None, arriving: Rate | None, leaving: Rate | None) -> tuple[float, float] | None:
    """How long until the queue is empty if both rates stay: N / (mu - lambda), as an interval of seconds.

    Returns:
        The upper end is infinite where more may arrive than leave; None if a rate is unknown.
    """
    if depth is None or arriving is None or leaving is None:
        return None
    if depth == 0:
        return 0.0, 0.0
    fastest, slowest = leaving.upper - arriving.lower, leaving.lower - arriving.upper
    return (depth / fastest if fastest > 0 else math.inf), (depth / slowest if slowest > 0 else math.inf)


def trend(states: Sequence[QueueState]) -> Trend:
    """The significant direction of the depth.

    Source: Mann (1945), Kendall (1975): the sum of the signs of all later minus earlier values, against its normal
    approximation with the correction for ties.
    """
    depths = [state.depth for state in states if state.depth is not None]
    n = len(depths)
    if n < TREND_READINGS:
        return Trend.UNKNOWN
    score = sum((later > earlier) - (later < earlier) for earlier, later in combinations(depths, 2))
    ties = sum(t * (t - 1) * (2 * t + 5) for t in Counter(depths).values())
    variance = (n * (n - 1) * (2 * n + 5) - ties) / 18
    if variance <= 0 or abs(score) <= 1:
        return Trend.LEVEL
    z = (abs(score) - 1) / math.sqrt(variance)
    if math.erfc(z / math.sqrt(2)) >= TREND_LEVEL:
        return Trend.LEVEL
    return Trend.RISING if score > 0 else Trend.FALLING


def slope_per_s(states: Sequence[QueueState]) -> float | None:
    """How fast the depth changes: the median of all pairwise slopes. Source: Theil (1950), Sen (1968)."""
    points = [(state.read_at.timestamp(), state.depth) for state in states if state.depth is not None]
    slopes = [
        (later - earlier) / (after_s - before_s)
        for (before_s, earlier), (after_s, later) in combinations(points, 2)
        if after_s > before_s
    ]
    return median(slopes) if slopes else None


def stalls(states: Sequence[QueueState], arrived_at: datetime | None, least_s: float = STALLED_AFTER_S) -> Flowing:
    """As `flowing`, but not stalled while changes arrive, or before the stall has lasted a while.

    Args:
        arrived_at: when a change last arrived through the queue's flow, None if none did.
        least_s: how long nothing must have left; until then the state is unknown.
    """
    state = flowing(states)
    if state is not Flowing.STALLED:
        return state
    if arrived_at is not None and arrived_at >= states[0].read_at:
        return Flowing.OK
    lasts_s = (states[-1].read_at - states[0].read_at).total_seconds()
    return Flowing.STALLED if lasts_s >= least_s else Flowing.UNKNOWN


def consumption(
    states: Sequence[QueueState], arrived_at: datetime | None, window_s: float, *, changes_late: bool
) -> Flowing:
    """Whether the queue is being consumed, by the rule of the breach `stalled`.

    Args:
        states: the readings, also those before the last `STALLED_READINGS`.
        arrived_at: when a change last arrived through the queue's flow, None if none did.
        window_s: of the flow.
        changes_late: changes of the flow are late at present.
    """
    if changes_late and late_stall(states, arrived_at, window_s):
        return Flowing.STALLED
    state = lately(states, arrived_at)
    if state is not Flowing.STALLED:
        return state
    since = len(states) - STALLED_READINGS
    while since and _still(states[since - 1 :], arrived_at):
        since -= 1
    lasts = _apart_s(states[since], states[-1]) >= max(STALLED_AFTER_S, window_s)
    return Flowing.STALLED if lasts else Flowing.UNKNOWN


def _still(states: Sequence[QueueState], arrived_at: datetime | None) -> bool:
    return stalls(states[:STALLED_READINGS], arrived_at, least_s=0) is Flowing.STALLED


def lately(states: Sequence[QueueState], arrived_at: datetime | None) -> Flowing:
    """Whether messages leave the queue, over the last readings; until there are enough, it is not stalled."""
    latest = states[-STALLED_READINGS:]
    state = stalls(latest, arrived_at, least_s=0)
    return Flowing.UNKNOWN if state is Flowing.STALLED and len(latest) < STALLED_READINGS else state


def late_stall(states: Sequence[QueueState], arrived_at: datetime | None, window_s: float) -> Sequence[QueueState]:
    """The readings of the last window if messages wait and none left, () if not.

    What waits and changes that are late prove a stall together, so that a window without a message leaving is enough.
    """
    recent = within(tuple(states[-STALLED_READINGS:]), window_s)
    waits = bool(recent and recent[-1].depth)
    return recent if waits and stalls(recent, arrived_at, least_s=window_s) is Flowing.STALLED else ()


def flowing(states: Sequence[QueueState]) -> Flowing:
    """Whether the queue is being consumed, over a window of readings.

    A queue that was empty once is healthy. One that was never empty and that nothing left is stalled; one that
    messages leave but that grows from each reading to the next is slow. If the broker does not count what leaves, an
    unchanged head message shows that nothing does.
    """
    depths = [state.depth for state in states]
    if len(states) < 3 or any(depth is None for depth in depths):
        return Flowing.UNKNOWN
    counted = [depth for depth in depths if depth is not None]
    if min(counted) == 0:
        return Flowing.OK
    gone = _gone(states)
    if gone is None:
        heads = {state.oldest_at for state in states}
        if None in heads:
            return Flowing.UNKNOWN
        gone = len(heads) > 1
    if not gone:
        return Flowing.STALLED if counted[-1] >= counted[0] else Flowing.OK
    growing = all(after > before for before, after in pairwise(counted))
    return Flowing.SLOW if growing else Flowing.OK


def within(states: tuple[QueueState, ...], seconds: float) -> tuple[QueueState, ...]:
    """The latest states that span this time; all if they do not span it."""
    first = next(
        (at for at in reversed(range(len(states))) if _apart_s(states[at], states[-1]) >= seconds),
        0,
    )
    return states[first:]


def _apart_s(earlier: QueueState, later: QueueState) -> float:
    return (later.read_at - earlier.read_at).total_seconds()


def _gone(states: Sequence[QueueState]) -> bool | None:
    """Whether anything left between the readings; None if nothing counts it."""
    taken = [state.taken for state in states]
    if any(each is None for each in taken):
        taken = [
            state.arrived - state.depth if state.arrived is not None and state.depth is not None else None
            for state in states
        ]
    counts = [each for each in taken if each is not None]
    return None if len(counts) < len(states) else any(b != a for a, b in pairwise(counts))

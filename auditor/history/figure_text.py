"""Formats figures with their errors, for the command line and the pages."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR
from typing import TYPE_CHECKING

from checks.queue_states import Trend
from probes.durations import format_duration, measured
from probes.wording import LEAST_SHARE, at_most, figure, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditor.history.backlogs import Backlog
    from checks.funnel import Stage
    from checks.queue_states import Rate


def interval(lower: float | None, upper: float | None) -> str:
    """An interval of seconds; an unknown end is shown as open."""
    if lower is None or math.isnan(lower):
        return "–"
    if upper is None or not math.isfinite(upper):
        return f"> {measured(lower, ROUND_FLOOR)}"
    return f"{measured(lower, ROUND_FLOOR)} … {measured(upper, ROUND_CEILING)}"


def estimate_text(best: float | None, lower: float | None, upper: float | None) -> str:
    """A lag with its interval; without a best estimate the interval alone."""
    bounds = interval(lower, upper)
    return bounds if best is None else f"{measured(best)} ({bounds})"


def window_text(window_s: float) -> str:
    """How long a copy may differ after a change."""
    return format_duration(window_s) if window_s else "none"


def ratio_text(best: float | None, lower: float | None = None, upper: float | None = None) -> str:
    """A share in percent with its bounds; the upper one alone if none was seen, or too few to tell from none."""
    if best is None:
        return "–"
    if lower is None or upper is None:
        return percent(best)
    if best <= 0 or (best < LEAST_SHARE and lower <= 0):
        return at_most(upper)
    return f"{percent(best)} ({percent(lower, ROUND_FLOOR)} … {percent(upper, ROUND_CEILING)})"


def differing_text(differing: tuple[int, int] | None, population: int | None) -> str:
    """How many records differ, as far as known."""
    if differing is None:
        return "–"
    least, most = differing
    return f"{least if least == most else f'{least} … {most}'} of {population}"


def agreement_text(agreement: tuple[float, float] | None) -> str:
    """Bounds of the share of records that agree."""
    if agreement is None:
        return "not known yet"
    least, most = (percent(share) for share in agreement)
    return least if least == most else f"{least} … {most}"


def per_second(rate: Rate | None) -> str:
    """A rate with its error; one that is not counted is unknown, never 0."""
    if rate is None:
        return "unknown"
    return f"{figure(rate.per_s)}/s ({figure(rate.lower, 2)} … {figure(rate.upper, 2)})"


def age_text(backlog: Backlog) -> str:
    """The oldest age, and what it means."""
    if backlog.oldest_age_s is None:
        return "–" if backlog.depth == 0 else "unknown"
    return measured(backlog.oldest_age_s) + (f" {backlog.age_of}" if backlog.age_of else "")


def waiting_letters(queues: Sequence[Backlog]) -> str:
    """The number of dead letters in these queues; an unknown depth does not count as 0."""
    depths = [each.depth for each in queues]
    if not depths:
        return "no queue"
    waiting = sum(depth for depth in depths if depth is not None)
    return str(waiting) if None not in depths else f"≥ {waiting}" if waiting else "unknown"


def looked_text(backlog: Backlog) -> str:
    """How many of a queue's letters were read."""
    looked_at, depth = backlog.looked_at, backlog.depth
    if looked_at is None:
        return ""
    if depth is None:
        return str(looked_at)
    return "all" if looked_at >= depth else f"{looked_at} of {depth}"


def trend_text(backlog: Backlog) -> str:
    """The direction of the depth and, if significant, its speed.

    A depth that has moved in a few steps and stood still otherwise has a direction and no speed.
    """
    if not backlog.slope_per_s or backlog.trend not in {Trend.RISING, Trend.FALLING}:
        return backlog.trend.value
    per_hour = 3600 * backlog.slope_per_s
    return f"{backlog.trend.value}, {'−' if per_hour < 0 else '+'}{figure(abs(per_hour))}/h"


def stage_text(stage: Stage, hours: float) -> str:
    """How many messages reached a stage of the recovery funnel in `hours`, and how many per hour."""
    if stage.least is None:
        return "not seen"
    least, most = (None if end is None else figure(end / hours) for end in (stage.least, stage.most))
    if stage.most is None:
        return f"≥ {stage.least:,} (≥ {least}/h)"
    if stage.least == stage.most:
        return f"{stage.least:,} ({least}/h)"
    return f"{stage.least:,} … {stage.most:,} ({least} … {most}/h)"


def drain_text(backlog: Backlog) -> str:
    """How long until the queue is empty."""
    if backlog.drain is None:
        return "unknown"
    least, most = backlog.drain
    if math.isinf(least):
        return "never at these rates"
    return interval(least, most) if backlog.depth else "empty"

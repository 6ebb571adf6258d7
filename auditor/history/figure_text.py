"""How figures with their errors are written, on the command line and on the pages alike."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from checks.queue_states import Trend
from probes.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditor.history.backlogs import Backlog
    from checks.funnel import Stage
    from checks.queue_states import Rate


def interval(lower: float | None, upper: float | None) -> str:
    """An interval of seconds; an end that is not known is said to be open."""
    if lower is None or math.isnan(lower):
        return "–"
    if upper is None or not math.isfinite(upper):
        return f"> {format_duration(lower)}"
    return f"{format_duration(lower)} … {format_duration(upper)}"


def estimate_text(best: float | None, lower: float | None, upper: float | None) -> str:
    """A lag with the interval it lies in; without a best estimate the interval alone."""
    told = interval(lower, upper)
    return told if best is None else f"{format_duration(best)} ({told})"


def window_text(window_s: float) -> str:
    """How long a copy may differ after a change."""
    return format_duration(window_s) if window_s else "none"


def ratio_text(best: float | None, lower: float | None = None, upper: float | None = None) -> str:
    """A share in percent; where none was seen, what it is at most."""
    if best is None:
        return "–"
    if lower is None or upper is None:
        return f"{best:.2%}"
    return f"at most {upper:.2%}" if best <= 0 else f"{best:.2%} ({lower:.2%} … {upper:.2%})"


def differing_text(differing: tuple[int, int] | None, population: int | None) -> str:
    """How many records differ, as far as it is known."""
    if differing is None:
        return "–"
    least, most = differing
    return f"{least if least == most else f'{least} … {most}'} of {population}"


def agreement_text(agreement: tuple[float, float] | None) -> str:
    """Least and most share of records that agree."""
    if agreement is None:
        return "not known yet"
    least, most = (f"{share:.2%}" for share in agreement)
    return least if least == most else f"{least} … {most}"


def per_second(rate: Rate | None) -> str:
    """A rate with its error; one that is not counted is unknown and never 0."""
    if rate is None:
        return "unknown"
    return f"{rate.per_s:.3g}/s ({rate.lower:.2g} … {rate.upper:.2g})"


def age_text(backlog: Backlog) -> str:
    """The oldest age, and what it means."""
    if backlog.oldest_age_s is None:
        return "–" if backlog.depth == 0 else "unknown"
    return format_duration(backlog.oldest_age_s) + (f" {backlog.age_of}" if backlog.age_of else "")


def waiting_letters(queues: Sequence[Backlog]) -> str:
    """How many dead letters wait in these queues; what one of them does not tell is not taken for 0."""
    depths = [each.depth for each in queues]
    if not depths:
        return "no queue"
    known = sum(depth for depth in depths if depth is not None)
    return str(known) if None not in depths else f"≥ {known}" if known else "unknown"


def looked_text(backlog: Backlog) -> str:
    """How many of a queue's letters are known one by one."""
    looked_at, depth = backlog.looked_at, backlog.depth
    if looked_at is None:
        return ""
    if depth is None:
        return str(looked_at)
    return "all" if looked_at >= depth else f"{looked_at} of {depth}"


def trend_text(backlog: Backlog) -> str:
    """Which way the depth goes and, where that is beyond chance, how fast."""
    if backlog.slope_per_s is None or backlog.trend not in {Trend.RISING, Trend.FALLING}:
        return backlog.trend.value
    per_hour = 3600 * backlog.slope_per_s
    if abs(per_hour) < 1:
        return f"{backlog.trend.value} (< 1/h)"
    return f"{backlog.trend.value}, {'−' if per_hour < 0 else '+'}{_rate(abs(per_hour))}/h"


def _rate(number: float) -> str:
    """Three figures, and no powers of ten."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def stage_text(stage: Stage, hours: float) -> str:
    """How many came as far as a stage of the recovery funnel over so many hours, and how many an hour."""
    if stage.least is None:
        return "not seen"
    least, most = (None if end is None else _rate(end / hours) for end in (stage.least, stage.most))
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

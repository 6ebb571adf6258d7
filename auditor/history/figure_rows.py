"""The figures of one flow or queue as one row: columns that the command line and the pages share, each named once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditor.history.figure_text import (
    age_text,
    differing_text,
    drain_text,
    estimate_text,
    looked_text,
    per_second,
    ratio_text,
    stage_text,
    trend_text,
    window_text,
)
from checks.letters import Prospect
from checks.tables import complete
from probes.durations import measured
from probes.wording import percent

if TYPE_CHECKING:
    from datetime import datetime

    from auditor.history.backlogs import Backlog
    from auditor.history.coverage import FlowCoverage
    from auditor.history.lag import FlowLag
    from auditor.history.letters import Funnel, Group, LetterRow

NOTHING_VERIFIED = "nothing verified yet"

QUANTILES = ("p50", "p95", "p99")

PROSPECTS = complete(
    {
        Prospect.POISON: "poison: failed again and again for this reason",
        Prospect.REPLAY_UNSAFE: "unsafe to replay (side effects)",
        Prospect.REPLAYABLE: "others with this reason succeeded later",
        Prospect.UNKNOWN: "none with this reason has succeeded yet",
    }
)
"""What sending a dead letter again would come to, and why."""


def lag_row(lag: FlowLag) -> dict[str, object]:
    """A flow's lag as a display row."""
    row = lag.as_row()
    return {
        "flow": lag.flow,
        "state": row["state"],
        "changes": lag.changes,
        "in flight": lag.waiting,
        "superseded": lag.superseded,
        "window": window_text(lag.window_s),
        **{name: estimate_text(*(row[f"{name}{end}_s"] for end in ("", "_lower", "_upper"))) for name in QUANTILES},
        "beyond the window": ratio_text(row["beyond_window"], row["beyond_lower"], row["beyond_upper"]),
        "clamped": lag.clamped,
    }


def backlog_row(backlog: Backlog, now: datetime) -> dict[str, object]:
    """A queue as a display row."""
    drops_at = backlog.drops_at
    return {
        "flow": backlog.flow,
        "queue": backlog.queue,
        "role": backlog.role,
        "depth": "unknown" if backlog.depth is None else backlog.depth,
        "inspected": looked_text(backlog),
        "oldest": age_text(backlog),
        "arriving": per_second(backlog.arriving),
        "leaving": per_second(backlog.leaving),
        "empty in": drain_text(backlog),
        "trend": trend_text(backlog),
        "consumer": backlog.flowing.value,
        "oldest expires in": measured(max(0.0, (drops_at - now).total_seconds())) if drops_at else "",
    }


def reason_row(group: Group) -> dict[str, object]:
    """The dead letters of one reason as people read them."""
    prospects = (f"{count} {PROSPECTS[Prospect(name)]}" for name, count in group.prospects.items())
    return {
        "reason": group.signature,
        "flow": group.flow,
        "letters": group.letters,
        "records": group.records,
        "explain": group.explains,
        "succeeded later": group.recovered,
        "first": group.first_at,
        "last": group.last_at,
        "if replayed": "; ".join(prospects),
    }


def funnel_row(funnel: Funnel) -> dict[str, object]:
    """A recovery funnel as a display row."""
    return {"flow": funnel.flow, **{stage.name: stage_text(stage, funnel.hours) for stage in funnel.stages}}


def letter_row(letter: LetterRow) -> dict[str, object]:
    """A dead letter as people read it."""
    return {
        "record": letter.key or "",
        "flow": letter.flow,
        "queue": letter.queue,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "failed": letter.first_failed_at,
        "failed last": letter.last_failed_at,
        "explains": "open divergence" if letter.divergence_id else "–",
        "if replayed": letter.prospect.value.replace("_", " "),
        "remarks": letter.remarks,
    }


def coverage_row(covered: FlowCoverage, now: datetime) -> dict[str, object]:
    """A flow's coverage as a display row."""
    through_at, differ = covered.verified_through_at, covered.disagreement
    ratio, due = covered.verdict_ratio, covered.due
    return {
        "flow": covered.flow,
        "state": covered.state.value,
        "unverified": covered.unverified,
        "verified through": through_at or NOTHING_VERIFIED,
        "behind": measured(max(0.0, (now - through_at).total_seconds())) if through_at else "–",
        "conclusive": "–" if ratio is None else f"{percent(ratio)} of {due:,}",
        "undecided": ratio_text(covered.undecided_ratio),
        "cannot verify": covered.cannot_verify,
        "left out": covered.shed,
        "sweep": "–" if covered.sweep_ratio is None else f"{percent(covered.sweep_ratio)} by {covered.walk}",
        "differ so far": differing_text(covered.differing, covered.population),
        "last sweep": differing_text(covered.differed, covered.population),
        "by sample": ratio_text(differ.share, differ.lower, differ.upper),
    }

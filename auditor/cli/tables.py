"""How the command line shows things: tables for people, one JSON document for programs."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from rich.table import Table

from auditor.cli.rows import out, shown
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
)
from auditor.systems.live_record import RecordView
from probes.durations import format_duration
from probes.wording import counted

if TYPE_CHECKING:
    from auditor.history.backlogs import Backlog
    from auditor.history.coverage import FlowCoverage
    from auditor.history.lag import FlowLag
    from auditor.history.letters import Funnel
    from auditor.history.status import FlowStatus

NOTHING_VERIFIED = "nothing verified yet"

QUANTILES = ("p50", "p95", "p99")

_STYLES = {"owner": "bold", "agrees": "green", "differs": "bold red", "unreadable": "yellow", "absent": "dim"}
_MARKS = {"owner": "", "agrees": "", "differs": " ≠", "unreadable": " ?", "absent": "–"}


def lag_row(lag: FlowLag) -> dict[str, object]:
    """A flow's lag as people read it."""
    row = lag.as_row()
    return {
        "flow": lag.flow,
        "state": row["state"],
        "changes": lag.changes,
        "in flight": lag.waiting,
        "superseded": lag.superseded,
        "window": format_duration(lag.window_s) if lag.window_s else "none",
        **{name: estimate_text(*(row[f"{name}{end}_s"] for end in ("", "_lower", "_upper"))) for name in QUANTILES},
        "beyond the window": ratio_text(row["beyond_window"], row["beyond_lower"], row["beyond_upper"]),
        "clamped": lag.clamped,
    }


def backlog_row(backlog: Backlog, now: datetime) -> dict[str, object]:
    """A queue as people read it."""
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
        "oldest expires in": format_duration(max(0.0, (backlog.drops_at - now).total_seconds()))
        if backlog.drops_at
        else None,
        "notes": backlog.message or backlog.notes,
    }


def funnel_row(funnel: Funnel) -> dict[str, object]:
    """A recovery funnel as people read it."""
    return {"flow": funnel.flow, **{stage.name: stage_text(stage, funnel.hours) for stage in funnel.stages}}


def status_row(status: FlowStatus) -> dict[str, object]:
    """A flow's status as people read it."""
    row = status.as_row()
    return {**row, "verified_through": row["verified_through"] or NOTHING_VERIFIED}


def coverage_row(covered: FlowCoverage, now: datetime) -> dict[str, object]:
    """A flow's coverage as people read it."""
    through_at, differ = covered.verified_through_at, covered.disagreement
    return {
        "flow": covered.flow,
        "state": covered.state.value,
        "unverified": covered.unverified,
        "verified through": through_at or NOTHING_VERIFIED,
        "behind": format_duration(max(0.0, (now - through_at).total_seconds())) if through_at else None,
        "conclusive readings": None
        if covered.verdict_ratio is None
        else f"{covered.verdict_ratio:.2%} of {covered.due}",
        "windows undecided": ratio_text(covered.undecided_ratio),
        "cannot verify": covered.cannot_verify,
        "skipped (budget)": covered.shed,
        "sweep": None if covered.sweep_ratio is None else f"{covered.sweep_ratio:.0%} by {covered.walk}",
        "differing so far": differing_text(covered.differing, covered.population),
        "differed, last sweep": differing_text(covered.differed, covered.population),
        "share that differs, sampled": ratio_text(differ.share, differ.lower, differ.upper),
    }


def print_record(view: RecordView) -> None:
    """Show a record side by side, differing fields first."""
    table = Table(title=shown(f"{view.data_type} {view.key}: {view.verdict}"), title_justify="left")
    table.add_column("field")
    for copy in view.copies:
        table.add_column(shown(f"{copy.system} ({copy.role})"), overflow="fold")
    state = [copy.error or ("not there" if not copy.found else counted(copy.found, "row")) for copy in view.copies]
    table.add_row("[dim]found[/]", *(f"[dim]{shown(each)}[/]" for each in state))
    table.add_row("[dim]changed at[/]", *(f"[dim]{shown(copy.changed_at or '–')}[/]" for copy in view.copies))
    names = list(dict.fromkeys(name for copy in view.copies for name in copy.cells))
    names.sort(key=lambda name: name not in view.differing)
    for name in names:
        cells = []
        for copy in view.copies:
            cell = copy.cells.get(name)
            cells.append("–" if cell is None else f"[{_STYLES[cell.state]}]{shown(cell.text)}{_MARKS[cell.state]}[/]")
        table.add_row(shown(name), *cells)
    out.print(table)

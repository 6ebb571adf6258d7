"""How the command line shows things: tables for people, one JSON document for programs."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from auditor.cli.shared import write
from auditor.escaping import unseen_escaped, visible
from auditor.record import RecordView
from auditor.words import (
    age_text,
    counted,
    differing_text,
    drain_text,
    estimate_text,
    looked_text,
    per_second,
    ratio_text,
    stage_text,
    trend_text,
)
from probes.durations import format_duration

if TYPE_CHECKING:
    from auditor.backlogs import Backlog
    from auditor.figures import FlowCoverage, FlowLag
    from auditor.letters import Funnel
    from auditor.status import FlowStatus

# A file or a pipe has no width of its own; tables there are wide rather than folded.
# Emoji are never made of a text like `:tada:`, which may be a value.
out = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 200, emoji=False)
err = Console(stderr=True, emoji=False)

NOTHING_VERIFIED = "nothing verified yet"

QUANTILES = ("p50", "p95", "p99")

_STYLES = {"owner": "bold", "agrees": "green", "differs": "bold red", "unreadable": "yellow", "absent": "dim"}
_MARKS = {"owner": "", "agrees": "", "differs": " ≠", "unreadable": " ?", "absent": "–"}


def print_json(document: object) -> None:
    """Write one JSON document to standard output."""
    write(unseen_escaped(strict_json(document)) + "\n")


def strict_json(document: object) -> str:
    """The document as JSON that every reader takes: NaN and the infinities, which it has no number for, are text."""
    try:
        return json.dumps(document, default=plain, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(document), default=plain, indent=2, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(Decimal(value))
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


def plain(value: object) -> object:
    """Turn what JSON does not know into what it does."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        if not value.is_finite():
            return str(value)
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value)


def print_rows(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Show rows as a table; every mapping has the same keys."""
    if not rows:
        return
    table = Table(title=escape(visible(title)) or None, title_justify="left")
    for name in rows[0]:
        table.add_column(escape(visible(name.replace("_", " "))), overflow="fold")
    for row in rows:
        table.add_row(*(text_of(value) for value in row.values()))
    out.print(table)


def text_of(value: object) -> str:
    """A value as a table cell; nothing known is an en dash."""
    if value is None or value == "":
        return "–"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return shown(value)


def shown(text: object) -> str:
    """Text from outside for a table or a line on the terminal: nothing in it is markup, and nothing acts."""
    return escape(visible(text))


def lag_row(lag: FlowLag) -> dict[str, object]:
    """A flow's lag as people read it."""
    row = lag.as_row()
    return {
        "flow": lag.flow,
        "state": row["state"],
        "changes": lag.changes,
        "waiting": lag.waiting,
        "superseded": lag.superseded,
        "window": format_duration(lag.window_s) if lag.window_s else "none",
        **{name: estimate_text(*(row[f"{name}{end}_s"] for end in ("", "_lower", "_upper"))) for name in QUANTILES},
        "beyond window": ratio_text(row["beyond_window"], row["beyond_lower"], row["beyond_upper"]),
        "clamped": lag.clamped,
    }


def backlog_row(backlog: Backlog, now: datetime) -> dict[str, object]:
    """A queue as people read it."""
    return {
        "flow": backlog.flow,
        "queue": backlog.queue,
        "role": backlog.role,
        "depth": "unknown" if backlog.depth is None else backlog.depth,
        "looked at": looked_text(backlog),
        "oldest": age_text(backlog),
        "arriving": per_second(backlog.arriving),
        "leaving": per_second(backlog.leaving),
        "drained in": drain_text(backlog),
        "trend": trend_text(backlog),
        "taken from": backlog.flowing.value,
        "drops its oldest in": format_duration(max(0.0, (backlog.drops_at - now).total_seconds()))
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
        "with a verdict": ratio_text(covered.verdict_ratio),
        "of due": covered.due,
        "windows undecided": ratio_text(covered.undecided_ratio),
        "cannot verify": covered.cannot_verify,
        "shed": covered.shed,
        "sweep": None if covered.sweep_ratio is None else f"{covered.sweep_ratio:.0%} by {covered.walk}",
        "differ so far": differing_text(covered.differing, covered.population),
        "last sweep": differing_text(covered.differed, covered.population),
        "share that differs": ratio_text(differ.share, differ.lower, differ.upper),
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

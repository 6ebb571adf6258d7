"""The tables of the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from auditor.cli.rows import out, print_table, shown
from auditor.history.figure_rows import NOTHING_VERIFIED
from auditor.systems.live_record import CopyView, RecordView
from probes.durations import measured
from probes.wording import counted

if TYPE_CHECKING:
    from auditor.history.status import FlowStatus

_STYLES = {"owner": "bold", "agrees": "green", "differs": "bold red", "unreadable": "yellow", "absent": "dim"}
_MARKS = {"owner": "", "agrees": "", "differs": " ≠", "unreadable": " ?", "absent": "–"}


def system_row(status: Mapping[str, Any]) -> dict[str, object]:
    """A system's state as a row."""
    latency_ms = status["latency_ms"]
    latency = measured(None if latency_ms is None else latency_ms / 1000)
    return {"latency" if name == "latency_ms" else name: value for name, value in status.items()} | {
        "latency": latency
    }


def status_row(status: FlowStatus) -> dict[str, object]:
    """A flow's status as a table row; why it stands so is a sentence, and no cell."""
    row = {name: value for name, value in status.as_row().items() if name != "why"}
    return {**row, "verified_through": row["verified_through"] or NOTHING_VERIFIED}


def _presence(copy: CopyView) -> str:
    """How a copy is there, or why it is not."""
    if copy.deleted:
        return f"marked as deleted ({copy.deleted})"
    return counted(copy.found, "row") if copy.found else "not there"


def print_record(view: RecordView) -> None:
    """Show a record side by side, differing fields first."""
    state = [copy.error or _presence(copy) for copy in view.copies]
    rows = [
        ["[dim]found[/]", *(f"[dim]{shown(each)}[/]" for each in state)],
        ["[dim]changed at[/]", *(f"[dim]{shown(copy.changed_at or '–')}[/]" for copy in view.copies)],
    ]
    names = list(dict.fromkeys(name for copy in view.copies for name in copy.cells))
    names.sort(key=lambda name: name not in view.differing)
    for name in names:
        cells = []
        for copy in view.copies:
            cell = copy.cells.get(name)
            cells.append("–" if cell is None else f"[{_STYLES[cell.state]}]{shown(cell.text)}{_MARKS[cell.state]}[/]")
        rows.append([shown(name), *cells])
    headings = ["field", *(shown(f"{copy.system} ({copy.role})") for copy in view.copies)]
    print_table(shown(f"{view.data_type} {view.key}: {view.verdict}"), headings, rows)
    for copy in view.copies:
        if copy.link:
            out.print(f"open in {shown(copy.system)}: {shown(copy.link)}", soft_wrap=True)

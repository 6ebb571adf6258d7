"""The command that connects to everything and reports what does not work."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from auditor.cli.options import (
    CONSISTENT,
    DEFAULT_DATA,
    DEFAULT_MAP,
    UNVERIFIED,
    DataOption,
    JsonOption,
    MapOption,
    app,
    is_there,
    load,
    open_ledger,
)

if TYPE_CHECKING:
    from auditor.ledger import DrillState, Lease, Undelivered


@app.command()
def doctor(map_: MapOption = DEFAULT_MAP, data: DataOption = DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """Connect to everything: latency, clock bounds, proof of read-only, names that do not exist."""
    from auditor.alerts.silent import buttons_report, drill_report, silent_senders
    from auditor.cli.documents import print_json
    from auditor.cli.rows import err, out, print_rows
    from auditor.escaping import visible
    from auditor.systems.doctor import examine

    loaded = load(map_, data)
    with err.status("connecting, and listening to the clocks"):
        known = _known(data)
        findings = [
            *examine(loaded, seed=known.seed, steps=known.steps),
            *silent_senders(loaded, known.lost),
            *buttons_report(loaded),
            *drill_report(loaded, known.drill, known.lease, datetime.now(UTC)),
        ]
    if as_json:
        print_json([finding.as_document() for finding in findings])
    else:
        print_rows("", [finding.as_row() for finding in findings])
        for finding in findings:
            for remark in finding.remarks:
                out.print(visible(f"{finding.system}: {remark}"), markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(UNVERIFIED if any(not finding.ok for finding in findings) else CONSISTENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What an installation says of itself; empty if there is none yet.

    Attributes:
        seed: of its ranks.
        steps: by system, when its clock was last set.
        lost: undelivered messages.
    """

    seed: str | None = None
    steps: dict[str, datetime] = field(default_factory=dict)
    lost: list[Undelivered] = field(default_factory=list)
    drill: DrillState | None = None
    lease: Lease | None = None


def _known(folder: Path) -> _Known:
    """Read what an installation says of itself; does not create one."""
    from probes.ranking import seed_of

    if not is_there(folder, "the data"):
        return _Known()
    workspace, ledger = open_ledger(folder, make=False)
    if ledger is None:
        return _Known()
    steps = {
        row["name"]: row["clock_stepped_at"] for row in ledger.exports.table("systems") if row["clock_stepped_at"]
    }
    lost, drill, lease = ledger.outbox.undelivered(), ledger.drills.state(), ledger.lease.now()
    digest_key = workspace.digest_key()
    ledger.installation.check_key(digest_key)
    ledger.close()
    return _Known(seed=seed_of(digest_key), steps=steps, lost=lost, drill=drill, lease=lease)

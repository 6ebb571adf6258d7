"""The command that connects to everything and reports what does not work."""

from __future__ import annotations

from datetime import datetime
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
    from auditor.ledger import Undelivered


@app.command()
def doctor(map_: MapOption = DEFAULT_MAP, data: DataOption = DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """Connect to everything: latency, clock bounds, proof of read-only, names that do not exist."""
    from auditor.alerts.silent import silent_senders
    from auditor.cli.documents import print_json
    from auditor.cli.rows import err, out, print_rows
    from auditor.escaping import visible
    from auditor.systems.doctor import examine

    loaded = load(map_)
    with err.status("connecting, and listening to the clocks"):
        seed, steps, lost = _known(data)
        findings = [*examine(loaded, seed=seed, steps=steps), *silent_senders(loaded, lost)]
    if as_json:
        print_json([{**finding.as_row(), "remarks": list(finding.remarks)} for finding in findings])
    else:
        print_rows("", [finding.as_row() for finding in findings])
        for finding in findings:
            for remark in finding.remarks:
                out.print(visible(f"{finding.system}: {remark}"), markup=False, highlight=False)
    raise typer.Exit(UNVERIFIED if any(not finding.ok for finding in findings) else CONSISTENT)


def _known(folder: Path) -> tuple[str | None, dict[str, datetime], list[Undelivered]]:
    """The seed of an installation's ranks, the times of clock steps, and undelivered messages.

    Empty if there is no installation yet; does not create one.
    """
    from probes.ranking import seed_of

    if not is_there(folder, "the data"):
        return None, {}, []
    workspace, ledger = open_ledger(folder, make=False)
    if ledger is None:
        return None, {}, []
    steps = {
        row["name"]: row["clock_stepped_at"] for row in ledger.exports.table("systems") if row["clock_stepped_at"]
    }
    lost = ledger.outbox.undelivered()
    digest_key = workspace.digest_key()
    ledger.installation.check_key(digest_key)
    ledger.close()
    return seed_of(digest_key), steps, lost

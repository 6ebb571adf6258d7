"""What of the ledger goes to the archive, and in which types; no driver is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ColumnType = Literal["instant", "boolean", "float", "integer", "text"]

SETTLED = {
    "probe_runs": "finished_at",
    "changes": "settled_at",
    "divergences": "closed_at",
    "unverified": "cleared_at",
    "backlogs": "read_at",
    "dead_letters": "gone_at",
    "lag_cells": "hour_at",
    "samples": "hour_at",
}
"""By table, the instant from which on a row never changes again; what is not listed is never archived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveFile:
    """A Parquet file that holds rows of a table.

    Attributes:
        day: of the instants at which they settled, as YYYY-MM-DD.
        rows: how many were handed over to it.
    """

    source: str
    path: str
    rev: int
    day: str
    rows: int

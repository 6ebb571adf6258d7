"""Which parts of the ledger go to the archive, and in which types; loads no driver."""

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
"""By table, the column with the instant after which a row never changes; other tables are never archived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveFile:
    """A Parquet file that holds rows of a table.

    Attributes:
        day: the day of the rows' settling instants, as YYYY-MM-DD.
        rows: how many rows were moved to it.
    """

    source: str
    path: str
    rev: int
    day: str
    rows: int

"""A result as a file for other programs. Pure."""

from __future__ import annotations

import csv
import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from auditor.console.answers import rows_of
from auditor.escaping import spreadsheet
from auditor.storage.strict_json import strict_json


def csv_text(table: pa.Table) -> str:
    """All rows as CSV for spreadsheets, with texts that cannot act as formulas."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([spreadsheet(name) for name in table.column_names])
    writer.writerows([_cell(value) for value in row.values()] for row in rows_of(table))
    return out.getvalue()


def parquet_bytes(table: pa.Table) -> bytes:
    """All rows as a Parquet file, with the types of the result and texts as they are."""
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return spreadsheet(value)
    if isinstance(value, bytes):
        return value.hex()
    return strict_json(value) if isinstance(value, list | dict) else value

"""A result as CSV and as Parquet: every value as it is, and no formula."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq

from auditor.console.exports import csv_text, parquet_bytes

TABLE = pa.table(
    {
        "@name": pa.array(["=1+1", None]),
        "records": pa.array([2**53 + 1, None], pa.int64()),
        "at": pa.array([datetime(2026, 3, 1, tzinfo=UTC), None], pa.timestamp("us", "UTC")),
        "list": pa.array([[1, 2], None]),
        "bytes": pa.array([b"\x01", None]),
    }
)


def test_csv_keeps_whole_numbers_and_holds_no_formula() -> None:
    head, first, second = csv.reader(io.StringIO(csv_text(TABLE)))
    assert head == ["'@name", "records", "at", "list", "bytes"]
    assert first[:3] == ["'=1+1", "9007199254740993", "2026-03-01 00:00:00+00:00"]
    assert (first[3].split(), first[4]) == (["[", "1,", "2", "]"], "01")
    assert second == [""] * 5


def test_parquet_keeps_types_and_texts() -> None:
    assert pq.read_table(io.BytesIO(parquet_bytes(TABLE))).equals(TABLE)

"""The archive: settled rows leave the ledger for immutable Parquet files, partitioned by day.

A file is written under a temporary name, synced and renamed; only then does one ledger transaction name it and drop
the rows. A crash in between leaves a file that is never read, but no lost or duplicate row.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from auditor.ledger import SETTLED, ColumnType, Ledger
from auditor.storage import private_files
from auditor.storage.private_evidence import cleaned, without_sizes
from auditor.storage.renamed_words import CAUSES, renamed_differences
from probes.wording import counted

KEEP_LIVE_S = 24 * 3600.0
"""Settled rows stay in the ledger this long, because look-ups are fastest there."""

KEEP_DAYS = 400
ROWS_PER_FILE = 500_000
ROWS_PER_GROUP = 32_768
LEDGER_LETTERS = 8
"""Length of the prefix of a file's name that is taken from the ledger's identity."""

GRACE_S = 600
"""A file struck from the list is deleted this much later, when no query can still be reading it."""

log = logging.getLogger(__name__)

_ARROW: dict[ColumnType, pa.DataType] = {
    "instant": pa.timestamp("us", tz="UTC"),
    "boolean": pa.bool_(),
    "float": pa.float64(),
    "integer": pa.int64(),
    "text": pa.string(),
}


def arrow_table(columns: Sequence[tuple[str, ColumnType]], rows: Sequence[Sequence[Any]]) -> pa.Table:
    """Turn ledger rows into an Arrow table.

    Args:
        columns: names and types, in the order of the rows' values.
        rows: instants as microseconds since 1970.
    """
    schema = pa.schema([(name, _ARROW[type_]) for name, type_ in columns])
    if not rows:
        return schema.empty_table()
    arrays = []
    for (_, type_), values in zip(columns, zip(*rows, strict=True), strict=True):
        if type_ == "boolean":
            arrays.append(pa.array([None if each is None else bool(each) for each in values], pa.bool_()))
        elif type_ == "instant":
            arrays.append(pa.array(values, pa.int64()).cast(_ARROW[type_]))
        else:
            arrays.append(pa.array(values, _ARROW[type_]))
    return pa.Table.from_arrays(arrays, schema=schema)


def archive_settled(ledger: Ledger, location: str, now: datetime, *, keep_live_s: float = KEEP_LIVE_S) -> int:
    """Move rows that settled long ago from the ledger to the archive, and drop expired ones.

    Args:
        location: folder or fsspec address.

    Returns:
        The number of rows moved.
    """
    moved_rows = 0
    ours = ledger.installation.ledger_id()
    _bring_up_to_date(ledger, location, now, ours)
    before = now - timedelta(seconds=keep_live_s)
    for source, settled in SETTLED.items():
        columns = ledger.exports.columns(source)
        names = [name for name, _ in columns]
        at, identity = names.index(settled), names.index("id")
        while rows := ledger.exports.settled_rows(source, before, ROWS_PER_FILE):
            by_day: dict[str, list[tuple[Any, ...]]] = {}
            for row in rows:
                by_day.setdefault(f"{datetime.fromtimestamp(row[at] / 1e6, UTC):%Y-%m-%d}", []).append(row)
            for day, of_day in by_day.items():
                path = write_file(location, source, day, arrow_table(columns, of_day), ours=ours)
                ledger.exports.hand_over(source, [row[identity] for row in of_day], path=path, day=day, now=now)
                moved_rows += len(of_day)
    _drop_old(ledger, location, now)
    if moved_rows:
        log.info("archived %s", counted(moved_rows, "row"))
    return moved_rows


_STAMP = {b"plumbline.evidence": b"kinds", b"plumbline.causes": b"write_conflict"}
"""Marks files written since private evidence became a kind from a fixed list and causes got their present names."""


def _bring_up_to_date(ledger: Ledger, location: str, now: datetime, ours: str) -> None:
    """Rewrite files that an earlier version wrote in another form; see `_STAMP`."""
    for source in ("divergences", "unverified"):
        for file in ledger.exports.archive_files(source):
            try:
                filesystem, path = fsspec.core.url_to_fs(file.path)
                with filesystem.open(path, "rb") as opened:
                    if (pq.read_schema(opened).metadata or {}).items() >= _STAMP.items():
                        continue
                    opened.seek(0)
                    stored = pq.read_table(opened)
            except (OSError, pa.ArrowException):
                continue  # readers list it as missing
            if stored.num_rows == file.rows:
                fresh = write_file(location, source, file.day, _as_of_now(stored), ours=ours)
                ledger.exports.exchange_file(file, fresh, now)


def _as_of_now(stored: pa.Table) -> pa.Table:
    rows = stored.to_pylist()
    for row in rows:
        if row.get("differences") is not None:
            differences, row["detail"] = cleaned(row["differences"], row.get("detail") or "")
            row["differences"] = renamed_differences(differences)
        if row.get("cause") is not None:
            row["cause"] = CAUSES.get(row["cause"], row["cause"])
        if row.get("reason") is not None:
            row["reason"] = without_sizes(row["reason"])
    return pa.Table.from_pylist(rows, schema=stored.schema)


def write_file(location: str, source: str, day: str, table: pa.Table, *, ours: str = "") -> str:
    """Write a table as one Parquet file, completely or not at all; returns its path.

    Args:
        ours: prefix of the file's name; it distinguishes the ledger from others that share the folder.

    Rows are in the order of their keys: a time range is found by the day's file, a record in it by the bounds that
    Parquet keeps for each row group.
    """
    if "key" in table.column_names:
        table = table.sort_by("key")
    filesystem, root = fsspec.core.url_to_fs(location)
    folder = f"{root}/{source}/day={day}"
    name = f"{folder}/{ours[:LEDGER_LETTERS]}-{uuid.uuid4().hex}.parquet"
    if "file" in filesystem.protocol:
        private_files.make_folder(Path(folder))
        with private_files.written(Path(name)) as file:
            _write_table(table, file)
        return name
    filesystem.makedirs(folder, exist_ok=True)
    with filesystem.open(f"{name}{private_files.PARTIAL}", "wb") as file:
        _write_table(table, file)
    filesystem.mv(f"{name}{private_files.PARTIAL}", name)
    return str(filesystem.unstrip_protocol(name))


def _write_table(table: pa.Table, file: Any) -> None:
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), **_STAMP})
    pq.write_table(table, file, compression="zstd", row_group_size=ROWS_PER_GROUP, write_page_checksum=True)


_NAMED = re.compile(
    rf"(?P<table>{'|'.join(SETTLED)})/day=(?P<day>\d{{4}}-\d\d-\d\d)/\.?"
    r"(?:(?P<ledger>[0-9a-f]*)-)?[0-9a-f]{32}\.parquet(?:\.[0-9a-f]{32})?(?:\.partial)?"
)
"""Names of archive files; other files in the folder must not be deleted."""


def _drop_old(ledger: Ledger, location: str, now: datetime) -> None:
    filesystem, root = fsspec.core.url_to_fs(location)
    if not filesystem.exists(root):
        return
    ours = ledger.installation.ledger_id()[:LEDGER_LETTERS]
    kept_from_day = f"{now - timedelta(days=KEEP_DAYS):%Y-%m-%d}"
    counted = {path.rpartition("/")[2] for paths in ledger.exports.archive_paths().values() for path in paths}
    for path, info in filesystem.find(root, detail=True).items():
        written = info.get("mtime", info.get("LastModified"))
        if isinstance(written, datetime):
            written = written.timestamp()
        old = written is not None and now.timestamp() - written > GRACE_S
        named = _NAMED.fullmatch(path.removeprefix(root).lstrip("/"))
        if not old or named is None or path.rpartition("/")[2] in counted:
            continue
        # Another ledger may share the folder. Files of older versions do not name their ledger, so their age decides.
        if named["ledger"] == ours or (named["ledger"] is None and named["day"] < kept_from_day):
            filesystem.rm(path)
    # Files struck now are deleted by the next pass, when queries that still read them have ended.
    ledger.exports.forget_files(kept_from_day)

"""Live rows of the ledger as streams of Arrow batches, limited to the columns and ranges that the console needs.

The ledger's own store loads an object mapper first, which takes longer than most queries; this module calls the
drivers directly, read-only, in one transaction, so that all streams show the ledger as of one instant.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from auditor.history.views import COLUMNS
from auditor.storage.archivable import ArchiveFile, ColumnType

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 8192
"""Rows in memory at a time, a few megabytes of the widest table."""

VERSIONS = Path(__file__).parents[1] / "ledger" / "migrations" / "versions"

Bound = tuple[str, Literal[">=", "<=", "=", "is null", "is not null"], int | str | None]
"""A column, and a condition on it that all requested rows meet; instants are microseconds since 1970."""


class NotReadyError(Exception):
    """The ledger is missing, cannot be opened, or is not of this version: its store reports which, or migrates it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a statement reads of a table.

    Attributes:
        columns: the columns that it reads.
        bounds: conditions that all rows it reads meet.
    """

    columns: frozenset[str]
    bounds: tuple[Bound, ...] = ()


class LedgerRows:
    """The ledger's live rows and its list of archive files, as of one instant.

    Attributes:
        failed: the driver's message if it failed while reading rows.

    Args:
        url: `sqlite:///FILE` or `postgresql://...`.

    Raises:
        NotReadyError: it cannot be read in its present state.
    """

    def __init__(self, url: str) -> None:
        self.failed = ""
        self._read: _SQLite | _PostgreSQL = _SQLite(url) if url.startswith("sqlite:") else _PostgreSQL(url)
        try:
            (version,) = next(self._read.rows("SELECT version_num FROM alembic_version"), ("",))
        except Exception as error:
            self._read.close()
            raise NotReadyError(str(error)) from error
        if version != max(file.stem.partition("_")[0] for file in VERSIONS.glob("0*.py")):
            self._read.close()
            raise NotReadyError(f"the ledger is of version {version}")

    def archive_files(self, sources: Sequence[str]) -> list[ArchiveFile]:
        """The current archive files of these tables."""
        rows = self._read.rows("SELECT source, path, rev, day, rows FROM archive_files ORDER BY path")
        files = (ArchiveFile(source=row[0], path=row[1], rev=row[2], day=row[3], rows=row[4]) for row in rows)
        return [file for file in files if file.source in sources]

    def batches(self, source: str, wanted: Wanted, names: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
        """The rows of a table within the bounds; columns that are not requested are NULL.

        Args:
            names: the names of the columns in the batches.
        """
        import pyarrow as pa

        schema = schema_of(source, names)
        columns = [name for name in COLUMNS[source] if name in wanted.columns] or ["id"]
        where, parameters = self._read.where(source, wanted.bounds)
        listed = ", ".join(f'"{name}"' for name in columns)
        sql = f"SELECT {listed} FROM {source}{where}"  # noqa: S608  our own names
        position = {name: number for number, name in enumerate(columns)}
        nothing: dict[pa.DataType, pa.Array] = {}
        for rows in self._watched(self._read.chunks(sql, parameters)):
            values = list(zip(*rows, strict=True))
            arrays = []
            for (name, type_), column in zip(COLUMNS[source].items(), schema, strict=True):
                if name in position and name in wanted.columns:
                    arrays.append(_array(values[position[name]], type_, column.type))
                    continue
                empty = nothing.get(column.type)
                if empty is None or len(empty) < len(rows):
                    empty = nothing[column.type] = pa.nulls(max(len(rows), BATCH_ROWS), column.type)
                arrays.append(empty.slice(0, len(rows)))
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _watched(self, chunks: Iterator[list[tuple[Any, ...]]]) -> Iterator[list[tuple[Any, ...]]]:
        try:
            yield from chunks
        except Exception as error:
            self.failed = " ".join(str(error).split())
            raise

    def close(self) -> None:
        """Release the connection."""
        self._read.close()


@dataclass(slots=True)
class Stream:
    """A table for DuckDB, which requests it as often as its plan reads it; nothing is read before that.

    What the statement reads of the table is known only after planning, and is set then.
    """

    rows: LedgerRows
    source: str
    names: Mapping[str, str]
    wanted: Wanted | None = field(default=None)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        import pyarrow as pa

        reader = pa.RecordBatchReader.from_batches(schema_of(self.source, self.names), self._batches())
        return reader.__arrow_c_stream__(requested_schema)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        if self.wanted is None:
            raise AssertionError(f"{self.source} is read before it was planned what of it")
        yield from self.rows.batches(self.source, self.wanted, self.names)


def schema_of(source: str, names: Mapping[str, str]) -> pa.Schema:
    """A table's Arrow schema, under these names."""
    import pyarrow as pa

    types: dict[ColumnType, pa.DataType] = {
        "instant": pa.timestamp("us", tz="UTC"),
        "boolean": pa.bool_(),
        "float": pa.float64(),
        "integer": pa.int64(),
        "text": pa.string(),
    }
    return pa.schema([(names[name], types[type_]) for name, type_ in COLUMNS[source].items()])


def _array(values: Sequence[Any], type_: ColumnType, arrow: pa.DataType) -> pa.Array:
    import pyarrow as pa

    if type_ == "boolean":
        return pa.array([None if each is None else bool(each) for each in values], arrow)
    return pa.array(values, pa.int64()).cast(arrow) if type_ == "instant" else pa.array(values, arrow)


def _where(bounds: Sequence[Bound], placeholder: str, collated: str) -> tuple[str, list[int | str]]:
    terms, parameters = [], []
    for column, relation, value in bounds:
        if value is None:
            terms.append(f'"{column}" {relation}')
        else:
            terms.append(f'"{column}"{collated if isinstance(value, str) else ""} {relation} {placeholder}')
            parameters.append(value)
    return (" WHERE " + " AND ".join(terms) if terms else ""), parameters


class _SQLite:
    """A SQLite ledger."""

    def __init__(self, url: str) -> None:
        path = url.partition("///")[2].partition("?")[0]
        if not path or not os.path.isfile(path):  # noqa: PTH113  Path raises for a name that no file can have
            raise NotReadyError(f"there is no file {path}")
        try:
            self._connection = sqlite3.connect(
                f"file:{quote(path)}?mode=ro", uri=True, timeout=5, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA query_only = ON")
            self._connection.execute("BEGIN")
        except sqlite3.Error as error:
            raise NotReadyError(str(error)) from error

    def where(self, _source: str, bounds: Sequence[Bound]) -> tuple[str, list[int | str]]:
        return _where(bounds, "?", "")

    def rows(self, sql: str) -> Iterator[tuple[Any, ...]]:
        yield from self._connection.execute(sql)

    def chunks(self, sql: str, parameters: Sequence[int | str]) -> Iterator[list[tuple[Any, ...]]]:
        cursor = self._connection.execute(sql, parameters)
        try:
            while rows := cursor.fetchmany(BATCH_ROWS):
                yield rows
        finally:
            cursor.close()

    def close(self) -> None:
        self._connection.close()


class _PostgreSQL:
    """A PostgreSQL ledger; each stream is a cursor on the server."""

    def __init__(self, url: str) -> None:
        try:
            import psycopg
        except ModuleNotFoundError as error:
            raise NotReadyError(str(error)) from error
        try:
            self._connection = psycopg.connect(
                re.sub(r"^postgres(ql)?(\+\w+)?:", "postgresql:", url), prepare_threshold=None, connect_timeout=10
            )
            self._connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        except psycopg.Error as error:
            raise NotReadyError(str(error)) from error
        self._cursors = 0

    def where(self, _source: str, bounds: Sequence[Bound]) -> tuple[str, list[int | str]]:
        return _where(bounds, "%s", "")

    def rows(self, sql: str) -> Iterator[tuple[Any, ...]]:
        yield from self._connection.execute(sql.encode())

    def chunks(self, sql: str, parameters: Sequence[int | str]) -> Iterator[list[tuple[Any, ...]]]:
        self._cursors += 1
        with self._connection.cursor(f"rows_{self._cursors}") as cursor:
            cursor.execute(sql.encode(), parameters or None, binary=True)
            while rows := cursor.fetchmany(BATCH_ROWS):
                yield rows

    def close(self) -> None:
        self._connection.close()

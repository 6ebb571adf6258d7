"""The lens: documented views over the ledger's live rows and the archive, in an in-memory DuckDB.

Each reader process has its own. Live rows are topped up by the number of the transaction that wrote them;
archived rows are read from Parquet in place. docs/views.md describes every column.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

import duckdb
import fsspec
import pyarrow as pa

from auditor.history.archive import arrow_table
from auditor.history.archive_files import MissingFile, fault
from auditor.history.views import SOURCES, VIEWS, definition, with_archive
from auditor.ledger import ArchiveFile, ColumnType, Ledger

MEMORY_LIMIT = "512MB"

LOOK_AGAIN_S = 10.0
"""Time between two checks whether an unreadable archive file is back."""

READER_THREADS = max(1, (os.cpu_count() or 2) - 1)
"""A reader leaves one core to the daemon; when it used all, commits took twice as long."""

_TYPES: dict[ColumnType, str] = {
    "instant": "TIMESTAMP WITH TIME ZONE",
    "boolean": "BOOLEAN",
    "float": "DOUBLE",
    "integer": "BIGINT",
    "text": "VARCHAR",
}


class Lens:
    """Views over a ledger and its archive; safe to share between threads.

    An archive file that cannot be read is left out and listed in `missing`.

    Args:
        ledger: the source of live rows and of the list of archive files.

    Attributes:
        answered: how many queries it has answered.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self.answered = 0
        self._duckdb = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": MEMORY_LIMIT,
                "threads": READER_THREADS,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )
        self._duckdb.execute("SET TimeZone = 'UTC'")
        self._duckdb.execute("SET GLOBAL parquet_metadata_cache = true")  # for each cursor; files never change
        self._known = dict.fromkeys(SOURCES, 0)
        self._files_known = 0
        self._files: dict[str, list[str]] = {}
        self._archived: dict[str, ArchiveFile] = {}
        self._missing: dict[str, MissingFile] = {}
        self._looked_at = time.monotonic()
        for source in SOURCES:
            columns = ", ".join(f'"{name}" {_TYPES[type_]}' for name, type_ in ledger.exports.columns(source))
            self._duckdb.execute(f"CREATE TABLE live_{source} ({columns})")
        self._define_views()

    @property
    def missing(self) -> list[MissingFile]:
        """The archive files that cannot be read; the views leave their rows out."""
        return list(self._missing.values())

    def refresh(self) -> None:
        """Top up with rows written since the last refresh; one refresh at a time."""
        with self._lock:
            while True:
                try:
                    self._top_up()
                    return
                except duckdb.Error:
                    if not self._find_missing():
                        raise

    def _top_up(self) -> None:
        rows, files = self._ledger.exports.snapshot(self._known, files_since=self._files_known)
        paths = self._ledger.exports.archive_paths() if files or self._files else {}
        struck = any(set(used) - set(paths.get(source, ())) for source, used in self._files.items())
        restored = self._restored()
        if not files and not struck and not restored and not any(rows.values()):
            return
        for file in files:
            self._archived[file.path] = file
        # The rows of a file named after the snapshot are still live in the snapshot.
        paths = {source: [path for path in named if path in self._archived] for source, named in paths.items()}
        self._examine(files)
        listed, files_known = self._files, self._files_known
        seen = dict(self._known)
        self._duckdb.execute("BEGIN")
        try:
            for source, fresh in rows.items():
                if fresh:
                    self._take(source, arrow_table(self._ledger.exports.columns(source), fresh))
            if files or struck or restored:
                self._files = paths
                self._files_known = max((file.rev for file in files), default=files_known)
                for file in (*files, *restored):
                    self._drop_archived(file.source, file.path)
                self._define_views()
            self._duckdb.execute("COMMIT")
        except BaseException:
            self._duckdb.execute("ROLLBACK")
            self._files, self._files_known, self._known = listed, files_known, seen
            raise
        named = {path for used in self._files.values() for path in used}
        self._archived = {path: file for path, file in self._archived.items() if path in named}
        self._missing = {path: each for path, each in self._missing.items() if path in named}

    # -- files that cannot be read

    def _examine(self, files: Iterable[ArchiveFile]) -> None:
        """Find out which files can be used, from their footers alone."""
        for file in files:
            why = fault(file, self._ledger.exports.columns(file.source))
            if why:
                self._leave_out(file, why)

    def _leave_out(self, file: ArchiveFile, why: str) -> None:
        self._missing[file.path] = MissingFile(
            source=file.source, day=file.day, rows=file.rows, path=file.path, why=why
        )

    def _restored(self) -> list[ArchiveFile]:
        """Files that were missing and are back; checked from time to time."""
        if not self._missing or time.monotonic() - self._looked_at < LOOK_AGAIN_S:
            return []
        self._looked_at = time.monotonic()
        again = [self._archived[path] for path in self._missing if not self._unreadable(self._archived[path])]
        for file in again:
            del self._missing[file.path]
        return again

    def _unreadable(self, file: ArchiveFile) -> str:
        """Why a file cannot be used, "" if it is fully readable."""
        why = fault(file, self._ledger.exports.columns(file.source))
        if why:
            return why
        self._register(file.path)
        cursor = self._duckdb.cursor()
        try:
            cursor.execute("SELECT bit_xor(hash(row)) FROM read_parquet(?) row", [file.path]).fetchall()
        except duckdb.Error:
            return "it is damaged"
        finally:
            cursor.close()
        return ""

    def _find_missing(self) -> bool:
        """After a failure, read every file in full; returns whether another one turns out to be unreadable."""
        before = set(self._missing)
        for file in self._archived.values():
            if file.path not in before and (why := self._unreadable(file)):
                self._leave_out(file, why)
        return set(self._missing) != before

    def leave_out_unreadable(self) -> bool:
        """After a failed query, leave out unreadable archive files; returns whether there were any."""
        with self._lock:
            any_missing = self._find_missing()
            if any_missing:
                self._define_views()
            return any_missing

    def _take(self, source: str, fresh: pa.Table) -> None:
        self._duckdb.register("incoming", fresh)
        if self._known[source]:
            self._duckdb.execute(
                f"DELETE FROM live_{source} WHERE id IN (SELECT id FROM incoming)"  # noqa: S608
            )
        self._duckdb.execute(f"INSERT INTO live_{source} SELECT * FROM incoming")  # noqa: S608
        self._duckdb.unregister("incoming")
        self._known[source] = fresh.column("rev")[-1].as_py()

    def _drop_archived(self, source: str, path: str) -> None:
        if path not in self._files.get(source, ()):
            return  # struck again meanwhile
        if path in self._missing:
            return  # the only copy of its rows is what was read while they were live
        self._register(path)
        self._duckdb.execute(
            f"DELETE FROM live_{source} WHERE id IN (SELECT id FROM read_parquet(?))",  # noqa: S608
            [path],
        )

    def _register(self, path: str) -> None:
        protocol, separator, _ = path.partition("://")
        if separator and protocol not in self._duckdb.list_filesystems():
            self._duckdb.register_filesystem(fsspec.filesystem(protocol))

    def _define_views(self) -> None:
        parts = {source: self._relation(source) for source in SOURCES}
        for name in VIEWS:
            self._duckdb.execute(f"CREATE OR REPLACE VIEW {name} AS {definition(name, parts)}")

    def _relation(self, source: str) -> str:
        usable = [path for path in self._files.get(source, ()) if path not in self._missing]
        return with_archive(f"live_{source}", usable)

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """Run one of the product's own queries; queries of people go through `auditor.console.query`."""
        try:
            return self._answer(sql, parameters)
        except duckdb.Error:
            if not self.leave_out_unreadable():
                raise
            return self._answer(sql, parameters)

    def _answer(self, sql: str, parameters: Sequence[Any]) -> pa.Table:
        self.answered += 1
        cursor = self._duckdb.cursor()
        try:
            cursor.execute("SET TimeZone = 'UTC'")
            return cursor.sql(sql, params=list(parameters)).to_arrow_table()
        finally:
            cursor.close()

    def lock_down(self) -> duckdb.DuckDBPyConnection:
        """Hand the connection over to an untrusted query: only the archive's files, no settings.

        Returns:
            The connection; the lens must not be used afterwards.
        """
        paths = [path for files in self._files.values() for path in files]
        self._duckdb.execute("SET allowed_paths = $1", [paths])
        self._duckdb.execute("SET enable_external_access = false")
        self._duckdb.execute("SET lock_configuration = true")
        return self._duckdb

    def close(self) -> None:
        """Release the memory."""
        self._duckdb.close()

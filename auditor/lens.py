"""The lens: documented views over the ledger's live rows and the archive, in an in-memory DuckDB.

Each reader process has its own. Live rows are topped up by the number of the transaction that wrote them;
archived rows are read from Parquet where they lie. docs/views.md describes every column.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any

import duckdb
import fsspec
import pyarrow as pa

from auditor.archive import arrow_table
from auditor.ledger import Ledger
from auditor.views import SOURCES, VIEWS, definition, with_archive

MEMORY_LIMIT = "512MB"

READER_THREADS = max(1, (os.cpu_count() or 2) - 1)
"""A reader leaves a core to the daemon: with all of them its commits waited twice as long."""


class Lens:
    """Views over a ledger and its archive; safe to share between threads.

    Args:
        ledger: where live rows and the list of archive files come from.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
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
        self._known = dict.fromkeys(SOURCES, 0)
        self._files_known = 0
        self._files: dict[str, list[str]] = {}
        for source in SOURCES:
            empty = arrow_table(ledger.columns(source), [])
            self._duckdb.register("incoming", empty)
            self._duckdb.execute(f"CREATE TABLE live_{source} AS SELECT * FROM incoming")  # noqa: S608
            self._duckdb.unregister("incoming")
        self._define_views()

    def refresh(self) -> None:
        """Top up with what has been written since the last time; one refresh at a time."""
        with self._lock:
            rows, files = self._ledger.snapshot(self._known, files_since=self._files_known)
            paths = self._ledger.archive_paths() if files or self._files else {}
            struck = any(set(held) - set(paths.get(source, ())) for source, held in self._files.items())
            if not files and not struck and not any(rows.values()):
                return
            if struck and not files:
                paths = {
                    source: [p for p in held if p in paths.get(source, ())] for source, held in self._files.items()
                }
            listed, files_known = self._files, self._files_known
            known = dict(self._known)
            self._duckdb.execute("BEGIN")
            try:
                for source, fresh in rows.items():
                    if fresh:
                        self._take(source, arrow_table(self._ledger.columns(source), fresh))
                if files or struck:
                    self._files = paths
                    self._files_known = max((file.rev for file in files), default=files_known)
                    for file in files:
                        self._drop_archived(file.source, file.path)
                    self._define_views()
                self._duckdb.execute("COMMIT")
            except BaseException:
                self._duckdb.execute("ROLLBACK")
                self._files, self._files_known, self._known = listed, files_known, known
                raise

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
        return with_archive(f"live_{source}", self._files.get(source, ()))

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """Run one of the product's own queries; people's go through `auditor.query`."""
        cursor = self._duckdb.cursor()
        try:
            cursor.execute("SET TimeZone = 'UTC'")
            return cursor.sql(sql, params=list(parameters)).to_arrow_table()
        finally:
            cursor.close()

    def lock_down(self) -> duckdb.DuckDBPyConnection:
        """Give the connection up to a stranger's query: no files but the archive's, no settings.

        Returns:
            The connection; the lens must not be used any more.
        """
        paths = [path for found in self._files.values() for path in found]
        self._duckdb.execute("SET allowed_paths = $1", [paths])
        self._duckdb.execute("SET enable_external_access = false")
        self._duckdb.execute("SET lock_configuration = true")
        return self._duckdb

    def close(self) -> None:
        """Release the memory."""
        self._duckdb.close()

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
from auditor.incidents import BREACH_OF
from auditor.ledger import Ledger
from checks.causes import FAMILY

SOURCES = (
    "probe_runs",
    "changes",
    "divergences",
    "unverified",
    "backlogs",
    "dead_letters",
    "incidents",
    "alerts",
    "lag_cells",
    "samples",
    "clock_steps",
    "conflicts",
    "decisions",
    "noise",
)

MEMORY_LIMIT = "512MB"

READER_THREADS = max(1, (os.cpu_count() or 2) - 1)
"""A reader leaves a core to the daemon: with all of them its commits waited twice as long."""

_WHEN = " ".join(f"WHEN '{cause}' THEN '{family}'" for cause, family in FAMILY.items())
_FAMILY = f"CASE cause {_WHEN} END"

_BREACHES = " ".join(f"WHEN '{cause}' THEN '{breach}'" for cause, breach in BREACH_OF.items())


def _incident(breach: str, begun_at: str, ended_at: str) -> str:
    """The incident of the row's flow that was live at some time between these two instants, or NULL.

    All incidents are gone through as one list, which costs nothing where the column is not asked for; a join would be
    made all the same.
    """
    return f"""
        list_filter(
            (SELECT list(struct_pack(id := id, flow := flow, breach := breach, opened_at := opened_at,
                                     resolved_at := resolved_at) ORDER BY id)
             FROM {{incidents}} WHERE flow IS NOT NULL),
            lambda each: each.flow = subject.flow AND each.breach = {breach}
                AND each.opened_at <= coalesce({ended_at}, TIMESTAMPTZ 'infinity')
                AND coalesce(each.resolved_at, TIMESTAMPTZ 'infinity') >= {begun_at}
        )[1].id"""  # noqa: S608


_OF_CHANGE = _incident("'not_arriving'", "subject.committed_to_at", "subject.settled_at")
_OF_DIVERGENCE = _incident(f"CASE subject.cause {_BREACHES} END", "subject.opened_at", "subject.closed_at")

VIEWS = {
    "probe_runs": "SELECT * EXCLUDE (rev) FROM {probe_runs}",
    "changes": f"""
        SELECT subject.* EXCLUDE (rev, next_probe_at, mark, unseen_before, lost_sight),
               CASE WHEN verdict IN ('breach', 'breach_then_converged') THEN {_OF_CHANGE}
               END AS incident_id
        FROM {{changes}} subject""",  # noqa: S608
    "divergences": f"""
        SELECT subject.* EXCLUDE (rev, next_check_at, steady_at),
               {{family}} AS family,
               CASE WHEN opened_at IS NOT NULL THEN {_OF_DIVERGENCE}
               END AS incident_id
        FROM {{divergences}} subject""",  # noqa: S608
    "unverified": "SELECT * EXCLUDE (rev, next_check_at) FROM {unverified}",
    "dead_letters": """
        SELECT letter.* EXCLUDE (rev),
               (SELECT min(divergence.id) FROM {divergences} divergence
                WHERE divergence.flow = letter.flow AND divergence.key = letter.key
                  AND divergence.closed_at IS NULL) AS divergence_id
        FROM {dead_letters} letter""",
    "backlogs": "SELECT * EXCLUDE (rev) FROM {backlogs}",
    "incidents": "SELECT * EXCLUDE (rev, told, growth) FROM {incidents}",
    "alerts": "SELECT * EXCLUDE (rev, notice) FROM {alerts}",
    "lag_cells": "SELECT * EXCLUDE (id, rev) FROM {lag_cells}",
    "samples": "SELECT * EXCLUDE (id, rev) FROM {samples}",
    "clock_steps": "SELECT * EXCLUDE (rev) FROM {clock_steps}",
    "conflicts": "SELECT * EXCLUDE (rev) FROM {conflicts}",
    "decisions": "SELECT * EXCLUDE (rev) FROM {decisions}",
    "noise": "SELECT * EXCLUDE (id, rev) FROM {noise}",
    "coverage": """
        SELECT flow, time_bucket(INTERVAL 1 HOUR, started_at) AS hour,
               count(*) AS audits,
               count(*) FILTER (reason IS NOT NULL) AS failed_audits,
               sum(read)::BIGINT AS due,
               sum(agreed + in_flight + suspected + divergent)::BIGINT AS verdicts,
               sum(agreed + in_flight + suspected + divergent) / nullif(sum(read), 0) AS verdict_ratio,
               sum(inconclusive)::BIGINT AS inconclusive,
               sum(cannot_verify)::BIGINT AS cannot_verify,
               sum(shed)::BIGINT AS shed,
               max(verified_through_at) AS verified_through_at
        FROM {probe_runs} GROUP BY ALL""",
}


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
        for name, body in VIEWS.items():
            self._duckdb.execute(f"CREATE OR REPLACE VIEW {name} AS {body.format(**parts, family=_FAMILY)}")

    def _relation(self, source: str) -> str:
        paths = self._files.get(source)
        if not paths:
            return f"live_{source}"
        listed = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
        archived = f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false)"
        return f"(FROM live_{source} UNION ALL BY NAME FROM {archived})"

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

"""The process that runs an untrusted statement: `python -m auditor.console.sandbox`.

It reads its task as one line of JSON from standard input, and ends when that is closed, which also happens when its
parent is gone. The result goes to standard output as an Arrow stream, an error to standard error as one text, and the
exit code says which. The process limits its own memory; its parent also enforces the time limit.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import secrets
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from auditor.console.limits import (
    ANSWER_BYTES,
    MEMORY_BYTES,
    MESSAGE_BYTES,
    NOT_READY,
    REFUSED,
    ROW_LIMIT,
    STOPPED,
    QueryError,
)
from probes.child_process import end_with_parent, limit_memory

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from auditor.console.ledger_rows import LedgerRows, Stream
    from auditor.console.statement import Statement
    from auditor.history.archive_files import MissingFile
    from auditor.storage.archivable import ArchiveFile

DATA_BYTES = MEMORY_BYTES - 160 * 1024**2
"""Memory that it may allocate; the rest is for the code of the engine and its libraries."""

ENGINE_BYTES = 512 * 1024**2
"""Memory that the engine may use for tables, hashes and sorting before it gives up."""

_BATCH_ROWS = 256
"""Rows added to the result between two measurements."""


def main() -> int:
    """Run or check the one statement on standard input."""
    limit_memory(DATA_BYTES)
    task = json.loads(sys.stdin.buffer.readline())
    left_s = float(task["deadline"]) - time.monotonic()
    cpu_s = int(max(left_s, 0) * (os.cpu_count() or 1)) + 5  # in case its parent cannot end it
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    threading.Thread(target=end_with_parent, daemon=True).start()
    sys.meta_path.insert(0, _Without())
    code, message = _guarded(task)
    if message:
        _write(2, _cut(message))
    # The result has been written; skip the interpreter's clean-up.
    os._exit(code)


class _Without:
    """Hides optional modules that pyarrow and the engine would import, slowly and needlessly."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name in {"numpy", "pandas"}:
            raise ModuleNotFoundError(name)


def _guarded(task: Mapping[str, Any]) -> tuple[int, str]:
    import duckdb

    from auditor.console.advice import advised
    from auditor.console.ledger_rows import NotReadyError

    too_much = (
        f"the query needs more than {MEMORY_BYTES >> 30} GiB of memory; "
        "ask for fewer columns, a shorter time, or shorter texts and lists"
    )
    try:
        _write_table(answer(task))
        return 0, ""
    except NotReadyError as error:
        return NOT_READY, str(error)
    except QueryError as error:
        return REFUSED, str(error)
    except duckdb.InterruptException:
        return (
            REFUSED,
            f"{STOPPED} {task['timeout_s']:g} s; ask for a shorter period or fewer columns, or allow more time",
        )
    except (MemoryError, duckdb.Error, OSError) as error:
        return REFUSED, too_much if lacks_memory(error) else advised(str(error), "", {})
    except Exception as error:
        return REFUSED, f"the answer cannot be shown: {type(error).__name__}: {error}"


def answer(task: Mapping[str, Any]) -> pa.Table:
    """Run a task: `ledger_url`, `sql`, `timeout_s`, and `deadline` on the monotonic clock.

    With `only_check`, the statement is not run, and the table is empty.
    """
    import duckdb

    from auditor.console.statement import read_statement

    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": f"{ENGINE_BYTES >> 20}MiB",
            "threads": max(1, (os.cpu_count() or 2) - 1),  # leaves one core to the daemon
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
        },
    )
    clock = threading.Timer(max(0.0, float(task["deadline"]) - time.monotonic()), connection.interrupt)
    clock.daemon = True
    clock.start()
    statement = read_statement(connection, task["sql"])
    if statement.act == "list":
        return _listing()
    return _Cage(connection, task, statement).answer()


def _listing() -> pa.Table:
    import pyarrow as pa

    from auditor.history.views import VIEWS

    return pa.table({"name": pa.array(sorted(VIEWS))})


class _Cage:
    """A connection with only the views that a statement names."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, task: Mapping[str, Any], statement: Statement) -> None:
        from auditor.console.query_plan import Names

        self._connection = connection
        self._task = task
        self._statement = statement
        self._names = Names(f"m{secrets.token_hex(6)}")
        self._rows: LedgerRows | None = None
        self._streams: dict[str, Stream] = {}
        self._files: list[ArchiveFile] = []
        self._missing: dict[str, MissingFile] = {}

    def answer(self) -> pa.Table:
        import duckdb

        from auditor.console.advice import advised

        self._open()
        try:
            table = self._once()
        except (duckdb.InterruptException, duckdb.OutOfMemoryException):
            raise
        except duckdb.BinderException as error:
            raise QueryError(advised(str(error), self._statement.sql, self._columns())) from None
        except (duckdb.Error, OSError) as error:  # a failure while batches are read is Arrow's error
            self._look_at_ledger()
            with contextlib.suppress(duckdb.Error):
                self._connection.execute("ROLLBACK")
            if lacks_memory(error) or not self._leave_out_damaged():
                raise
            table = self._once()
        lacks = [str(each) for each in sorted(self._missing.values(), key=lambda each: (each.day, each.path))]
        return table.replace_schema_metadata({**(table.schema.metadata or {}), "warnings": json.dumps(lacks)})

    def _columns(self) -> dict[str, list[str]]:
        """By view of the statement, its columns."""
        import duckdb

        with contextlib.suppress(duckdb.Error):
            self._connection.execute("ROLLBACK")
        return {view: self._connection.sql(f"FROM {view}").columns for view in sorted(self._statement.views)}

    def _once(self) -> pa.Table:
        import pyarrow as pa

        self._define()
        self._connection.execute("BEGIN TRANSACTION READ ONLY")
        self._connection.sql(self._statement.sql)  # binds only, so errors refer to the original text
        if self._task["only_check"]:
            return pa.table({})
        if self._streams or self._statement.act == "explain":
            # In the transaction that runs it, so now() is the same for both.
            plan = self._plan("EXPLAIN (FORMAT json)")
            for source, wanted in self._names.wanted(plan, list(self._streams)).items():
                self._streams[source].wanted = wanted
        if self._statement.act == "run":
            return self._run()
        if self._statement.act == "analyze":
            plan = self._plan("EXPLAIN (ANALYZE, FORMAT json)")
        lines = pa.table({"plan": pa.array(self._names.shown(plan), pa.string())})
        return _within(lines.to_batches(_BATCH_ROWS), lines.schema)

    def _open(self) -> None:
        from auditor.console.ledger_rows import LedgerRows, Stream
        from auditor.history.views import sources_of

        connection = self._connection
        connection.execute("SET TimeZone = 'UTC'")
        # A statement without a view also runs, as long as there is a ledger.
        self._rows = LedgerRows(self._task["ledger_url"])
        sources = sorted({source for view in self._statement.views for source in sources_of(view)})
        for source in sources:
            self._streams[source] = Stream(self._rows, source, self._names.of(source))
            connection.register(f"live_{source}", self._streams[source])
        self._files = self._rows.archive_files(sources) if sources else []
        self._examine()
        connection.execute("SET allowed_paths = $1", [[file.path for file in self._files]])
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")

    def _examine(self) -> None:
        """Find out which archive files can be used, from their footers alone."""
        if not self._files:
            return
        from auditor.history.archive_files import fault
        from auditor.history.views import COLUMNS

        for file in self._files:
            why = fault(file, list(COLUMNS[file.source].items()))
            if why:
                self._leave_out(file, why)
                continue
            protocol, separator, _ = file.path.partition("://")
            if separator and protocol not in self._connection.list_filesystems():
                import fsspec

                self._connection.register_filesystem(fsspec.filesystem(protocol))

    def _leave_out(self, file: ArchiveFile, why: str) -> None:
        from auditor.history.archive_files import MissingFile

        self._missing[file.path] = MissingFile(
            source=file.source, day=file.day, rows=file.rows, path=file.path, why=why
        )

    def _leave_out_damaged(self) -> bool:
        """After a failure, read every file in full; returns whether one of them is unreadable."""
        import duckdb

        any_damaged = False
        for file in self._files:
            if file.path in self._missing:
                continue
            try:
                self._connection.execute("SELECT bit_xor(hash(row)) FROM read_parquet(?) row", [file.path]).fetchall()
            except duckdb.InterruptException:
                raise
            except duckdb.Error:
                self._leave_out(file, "it is damaged")
                any_damaged = True
        return any_damaged

    def _look_at_ledger(self) -> None:
        from auditor.console.ledger_rows import NotReadyError

        if self._rows and self._rows.failed:
            raise NotReadyError(self._rows.failed)

    def _define(self) -> None:
        from auditor.history.views import COLUMNS, definition, sources_of, with_archive

        relations = {}
        for source in self._streams:
            named = self._names.of(source)
            listed = ", ".join(f'"{named[column]}" AS "{column}"' for column in COLUMNS[source])
            usable = [each.path for each in self._files if each.source == source and each.path not in self._missing]
            relations[source] = with_archive(f"(SELECT {listed} FROM live_{source})", usable)  # noqa: S608
        for view in sorted(self._statement.views):
            parts = {source: relations[source] for source in sources_of(view)}
            self._connection.execute(f"CREATE OR REPLACE VIEW {view} AS {definition(view, parts)}")

    def _plan(self, how: str) -> list[dict[str, Any]]:
        rows = self._connection.execute(f"{how} {self._statement.sql}").fetchall()
        plan = json.loads(rows[0][1])
        steps: list[dict[str, Any]] = plan if isinstance(plan, list) else plan["operator"]
        return steps

    def _run(self) -> pa.Table:
        from auditor.console.answers import distinct, exotic, quoted
        from auditor.console.statement import ONLY_SELECT

        answer = self._connection.sql(self._statement.sql)
        if answer is None:
            raise QueryError(ONLY_SELECT)
        names = distinct(answer.columns)
        if names != answer.columns or any(exotic(type_) for type_ in answer.types):
            answer = answer.project(
                ", ".join(
                    f"{f'CAST(#{number} AS VARCHAR)' if exotic(type_) else f'#{number}'} AS {quoted(name)}"
                    for number, (name, type_) in enumerate(zip(names, answer.types, strict=True), 1)
                )
            )
        reader = answer.to_arrow_reader(_BATCH_ROWS)
        return _within(reader, reader.schema)


def lacks_memory(error: BaseException) -> bool:
    """Whether an error of the engine or of Arrow reports that memory ran out."""
    message = str(error)[:1000]
    return isinstance(error, MemoryError) or any(
        sign in message for sign in ("Out of Memory", "bad_alloc", "llocation failure", "realloc", "malloc")
    )


def _within(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """As many rows as the result's limits allow, in types that every reader supports; `cut` names the limit."""
    import pyarrow as pa

    from auditor.console.answers import plain_batch, row_lengths

    kept: list[pa.RecordBatch] = []
    rows, size, cut = 0, 0, ""
    for batch in batches:
        plain = plain_batch(batch)
        fits = 0
        for length in row_lengths(plain, ANSWER_BYTES):
            size += length
            if size > ANSWER_BYTES:
                cut = "size"
            elif rows + fits == ROW_LIMIT:
                cut = "rows"
            if cut:
                break
            fits += 1
        kept.append(plain.slice(0, fits))
        rows += fits
        if cut:
            break
    if cut == "size" and rows == 0:
        raise QueryError(
            f"one row of the answer is longer than {ANSWER_BYTES >> 20} MiB; "
            "ask for fewer columns, or for parts of its texts and lists"
        )
    if not kept:
        kept.append(plain_batch(pa.RecordBatch.from_pylist([], schema=schema)))
    return pa.Table.from_batches(kept).replace_schema_metadata({"cut": cut})


def _write_table(table: pa.Table) -> None:
    import pyarrow as pa

    with os.fdopen(os.dup(1), "wb") as out, pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)


def _cut(message: str) -> bytes:
    encoded = message[:MESSAGE_BYTES].encode(errors="replace")
    if len(message) <= MESSAGE_BYTES and len(encoded) <= MESSAGE_BYTES:
        return encoded
    return encoded[: MESSAGE_BYTES - 100].decode(errors="ignore").encode() + b" ... (the message is cut here)"


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


if __name__ == "__main__":
    sys.exit(main())

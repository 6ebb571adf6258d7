"""Ad-hoc drift queries: one read-only query over the views, in a process of its own.

The sandbox has four walls. The parsed tree may name only the views and harmless functions; the engine has no files,
no network and no settings left; the transaction is read-only; and the process has limits of memory, time, rows and
length, and is killed if it does not end by itself.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.console.limits import ANSWER_BYTES, MESSAGE_BYTES, NOT_READY, ROW_LIMIT, STOPPED, QueryError
from probes.child_process import KILL_AFTER_S, command, end_of, environment, kill

if TYPE_CHECKING:
    import pyarrow as pa

    from auditor.workspace import Workspace

__all__ = [
    "ROW_LIMIT",
    "TIMEOUT_S",
    "NoLedgerError",
    "QueryError",
    "QueryResult",
    "UnusableLedgerError",
    "check_query",
    "run_query",
]

TIMEOUT_S = 20.0

_OUTPUT_BYTES = 8 * ANSWER_BYTES
"""Most bytes read from the process; a result is far smaller."""

_QUIET = {
    # Threads and arenas of libraries, which use memory that the statement could have.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}


class NoLedgerError(QueryError):
    """There is no ledger to query yet."""


class UnusableLedgerError(QueryError):
    """The ledger cannot be queried: it is damaged, unreachable, or of another version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryResult:
    """The result of a query.

    Attributes:
        table: its rows, at most `ROW_LIMIT` of them and no longer than `ANSWER_BYTES` when printed.
        cut: the limit that cut it off: `rows`, `size`, or "" for none.
        warnings: what the result lacks.
    """

    table: pa.Table
    cut: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def truncated(self) -> bool:
        """Whether the result was cut off."""
        return bool(self.cut)

    @property
    def cut_text(self) -> str:
        """The note about a result that was cut off."""
        if self.cut == "rows":
            return f"only the first {ROW_LIMIT:,} rows are shown"
        rows = self.table.num_rows
        return (
            f"the answer was cut after {rows:,} row{'s' * (rows != 1)}, at {ANSWER_BYTES >> 20} MiB; "
            "ask for fewer columns or rows"
        )


def run_query(workspace: Workspace, sql: str, *, timeout_s: float = TIMEOUT_S) -> QueryResult:
    """Run an untrusted query in a process of its own.

    Raises:
        QueryError: for anything but one harmless query over the views, and for every limit.
        NoLedgerError: nothing has been recorded yet.
        UnusableLedgerError: the ledger cannot be read.
    """
    import pyarrow as pa

    with pa.ipc.open_stream(_answer(workspace, sql, timeout_s, only_check=False)) as reader:
        table = reader.read_all()
    metadata = table.schema.metadata or {}
    return QueryResult(
        table=table.replace_schema_metadata(None),
        cut=metadata.get(b"cut", b"").decode(),
        warnings=tuple(json.loads(metadata.get(b"warnings", b"[]"))),
    )


def check_query(workspace: Workspace, sql: str, *, timeout_s: float = TIMEOUT_S) -> None:
    """Check an untrusted query as `run_query` does before it runs one: its tree, and its names against the views.

    Raises:
        QueryError: it would be refused.
        NoLedgerError: nothing has been recorded yet.
        UnusableLedgerError: the ledger cannot be read.
    """
    _answer(workspace, sql, timeout_s, only_check=True)


def _answer(workspace: Workspace, sql: str, timeout_s: float, *, only_check: bool) -> bytes:
    """The Arrow stream that the process answers with."""
    deadline = time.monotonic() + timeout_s
    task = {"sql": sql, "timeout_s": timeout_s, "deadline": deadline, "only_check": only_check}
    code, answer, message = _run(workspace, task)
    if code == NOT_READY:
        _make_ready(workspace, message)
        code, answer, message = _run(workspace, task)
    if code == 0:
        return answer
    if code == NOT_READY:
        from auditor.ledger.failures import unreadable

        raise UnusableLedgerError(unreadable(message, workspace.ledger_url))
    raise QueryError(message or _death(code))


def _make_ready(workspace: Workspace, problem: str) -> None:
    """Let the ledger's own store migrate it to this version, or report what is wrong with it."""
    from auditor.storage.ledger_error import LedgerError, LedgerSettingError

    try:
        ledger = workspace.existing_ledger()
    except LedgerSettingError as error:
        raise QueryError(str(error)) from None
    except LedgerError as error:
        raise UnusableLedgerError(str(error)) from None
    except Exception as error:
        raise UnusableLedgerError(f"cannot open the ledger: {type(error).__name__}") from error
    if ledger is None:
        raise NoLedgerError("there is no ledger yet: run `auditor run` or `auditor once`")
    ledger.close()


def _death(code: int) -> str:
    return (
        f"the query's process {end_of(code)}, which happens if it needs more memory than allowed; "
        "ask for fewer columns, a shorter time, or shorter texts and lists"
    )


def _run(workspace: Workspace, task: Mapping[str, Any]) -> tuple[int, bytes, str]:
    """Start the process, and make sure that it ends: by itself, at its time limit, or with this process."""
    deadline, content = task["deadline"], json.dumps({**task, "ledger_url": workspace.ledger_url})
    with subprocess.Popen(  # noqa: S603
        command("auditor.console.sandbox"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env={**environment(), **_QUIET},
        start_new_session=True,
    ) as child:
        try:
            answer, message = _talk(child, content.encode() + b"\n", deadline + KILL_AFTER_S)
            child.wait(max(0.0, deadline + KILL_AFTER_S - time.monotonic()))
        except (TimeoutError, subprocess.TimeoutExpired):
            raise QueryError(
                f"{STOPPED} {task['timeout_s']:g} s; ask for a shorter period or fewer columns, or allow more time"
            ) from None
        finally:
            kill(child)
            child.wait()
        return child.returncode, answer, message.decode(errors="replace").strip()


def _talk(child: subprocess.Popen[bytes], task: bytes, until: float) -> tuple[bytes, bytes]:
    """Send the process its task, and read its output; it ends when its standard input is closed."""
    assert child.stdin
    assert child.stdout
    assert child.stderr
    limits = {child.stdout: _OUTPUT_BYTES, child.stderr: 4 * MESSAGE_BYTES}
    output = {child.stdout: bytearray(), child.stderr: bytearray()}
    left = memoryview(task)
    os.set_blocking(child.stdin.fileno(), False)
    with selectors.DefaultSelector() as waiting:
        waiting.register(child.stdin, selectors.EVENT_WRITE)
        for pipe in output:
            waiting.register(pipe, selectors.EVENT_READ)
        open_pipes = set(output)
        while open_pipes:
            if (left_s := until - time.monotonic()) <= 0:
                raise TimeoutError
            for key, _ in waiting.select(left_s):
                if key.fileobj is child.stdin:
                    left = _give(child.stdin.fileno(), left)
                    if not left:
                        waiting.unregister(child.stdin)
                    continue
                pipe = child.stdout if key.fileobj is child.stdout else child.stderr
                data = os.read(pipe.fileno(), 1 << 16)
                room = limits[pipe] - len(output[pipe])
                output[pipe] += data[:room]
                if not data:
                    waiting.unregister(pipe)
                    open_pipes.discard(pipe)
                elif len(data) > room and pipe is child.stdout:
                    raise QueryError(f"the answer is larger than {_OUTPUT_BYTES >> 20} MiB; ask for fewer columns")
    return bytes(output[child.stdout]), bytes(output[child.stderr])


def _give(descriptor: int, left: memoryview) -> memoryview:
    try:
        return left[os.write(descriptor, left) :]
    except BlockingIOError:
        return left
    except BrokenPipeError:
        return memoryview(b"")  # it has ended and reported why

"""What `auditor query` takes before the query itself, on ledgers with 1.2 million live changes.

Of a statement that names no view that is all of it. Of one that names `changes` it is what EXPLAIN of it takes: the
processes, the ledger, the views and the plan, and nothing of the reading of rows.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from auditor.ledger import Ledger
from benchmarks.report import arguments, emit, percentile, say
from tests.servers import postgresql

LIVE = 1_200_000
QUICK_LIVE = 200_000
ROUNDS = 9
SPACING_US = 70_000
"""Between two changes: 1.2 million of them are a day."""

HOUR = "SELECT flow, count(*) FROM changes WHERE settled_at > now() - INTERVAL 1 HOUR GROUP BY flow"
QUESTIONS = {
    "nothing": "SELECT 1",
    "last_hour": f"EXPLAIN {HOUR}",
    "whole_history": "EXPLAIN SELECT flow, verdict, count(*) FROM changes GROUP BY ALL",
}
"""What is held to the goals."""

WHOLE = {
    "last_hour_answered": HOUR,
    "count_answered": "SELECT count(*) FROM changes",
    "ten_rows_answered": "SELECT * FROM changes LIMIT 10",
    "all_columns_answered": "SUMMARIZE changes",
}
"""The query itself, too."""

_NUMBERS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :live) ",
    "postgresql": "WITH n(i) AS (SELECT generate_series(CAST(1 AS bigint), :live)) ",
}
_ROW = (
    "i, i / 200 + 1, 'flow_' || (i % 20), 'customer-' || i, :digest, :now - i * :step, :now - i * :step + 5000, 30, "
    ":now - i * :step + 8000, 3, false, CASE WHEN i % 50 = 0 THEN 'breach_then_converged' ELSE 'met' END, 1.5, 2.5, "
    ":now - i * :step + 2000000, :now - i * :step + 1500000, :now - i * :step + 2100000, false, 'update'"
)
_COLUMNS = (
    "id, rev, flow, key, fingerprint, committed_from_at, committed_to_at, window_s, enrolled_at, probes, superseded, "
    "verdict, lag_lower_s, lag_upper_s, shown_at, differed_at, settled_at, clamped, operation"
)


def fill(url: str, live: int) -> None:
    """Write live changes, one every 70 ms up to now."""
    ledger = Ledger(url)
    ledger.migrate()
    kind = ledger.database.engine.dialect.name
    head = f"INSERT INTO changes ({_COLUMNS}) "
    body = f"SELECT {_ROW} FROM n"
    sql = _NUMBERS[kind] + head + body if kind == "postgresql" else head + _NUMBERS[kind] + body
    with ledger.database.unnumbered() as connection:
        values = {"live": live, "digest": b"f" * 16, "now": int(time.time() * 1e6), "step": SPACING_US}
        connection.execute(sa.text(sql), values)
    if kind == "postgresql":
        with ledger.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("ANALYZE changes"))
    ledger.close()


def ask(url: str, folder: Path, sql: str) -> tuple[float, float, float]:
    """CPU seconds of all processes of one `auditor query`, bytes of the largest, and seconds on the clock."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "auditor", "query", sql, "--json", "--timeout", "2m", "--data", str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "AUDITOR_LEDGER": url},
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.stderr
    said = process.stderr.read()
    process.stderr.close()
    assert process.returncode == 0, said
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024.0, time.perf_counter() - begun


@contextlib.contextmanager
def places(folder: Path, quick: bool) -> Iterator[dict[str, str]]:
    """The ledgers: SQLite, and PostgreSQL where the short form leaves time for it."""
    sqlite = f"sqlite:///{folder / 'ledger.sqlite'}"
    if quick:
        yield {"sqlite": sqlite}
        return
    with postgresql() as server:
        yield {"sqlite": sqlite, "postgresql": f"{server}/postgres"}


def main() -> int:
    """Run the benchmark."""
    asked = arguments(__doc__)
    live = QUICK_LIVE if asked.quick else LIVE
    good = True
    with tempfile.TemporaryDirectory() as folder, places(Path(folder), asked.quick) as urls:
        for kind, url in urls.items():
            say(f"writing {live} live changes to {kind}")
            fill(url, live)
            common = {"ledger": kind, "live": live, "quick": asked.quick}
            for name, sql in QUESTIONS.items():
                taken = [ask(url, Path(folder), sql) for _ in range(ROUNDS)]
                cpu, peak = [each[0] for each in taken], [each[1] / 2**20 for each in taken]
                good &= emit(
                    "console_start", f"{name}_cpu", percentile(cpu, 0.5), "s", goal="<= 0.5",
                    n=ROUNDS, spread=(min(cpu), max(cpu)), **common,
                )  # fmt: skip
                good &= emit(
                    "console_start", f"{name}_peak", max(peak), "MiB", goal="<= 250",
                    n=ROUNDS, spread=(min(peak), max(peak)), **common,
                )  # fmt: skip
            for name, sql in WHOLE.items():
                taken = [ask(url, Path(folder), sql) for _ in range(1 if asked.quick else 3)]
                cpu, peak = [each[0] for each in taken], [each[1] / 2**20 for each in taken]
                emit("console_start", f"{name}_cpu", percentile(cpu, 0.5), "s", n=len(taken), **common)
                emit("console_start", f"{name}_peak", max(peak), "MiB", n=len(taken), **common)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

"""Records compared per second and per core through the whole path, PostgreSQL against MariaDB, and peak memory.

A large table is swept by key, a small or indexed one by rank, which reads each key once more.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from auditor.audit.flow_audit import Auditor
from auditor.daemon.daemon import settle_memory
from auditor.ledger import Ledger
from auditor.map.flow import Flow
from auditor.map.loader import load_map
from auditor.systems.reader import SystemReader
from benchmarks import flights
from benchmarks.report import arguments, emit, percentile, say
from probes.records.sql import probe as sql
from probes.registry import open_record_probe
from tests import servers

BATCH = 500

MAP = """
systems:
  owner: {kind: sql, url: "${OWNER_URL}", budget: {records_per_s: 1000000}}
  target: {kind: sql, url: "${TARGET_URL}", zone: UTC, budget: {records_per_s: 1000000}}
data_types:
  order:
    owner: owner
    window: 30s
    key_type: integer
    fields:
      customer: {type: integer}
      amount: {type: decimal}
      status: {type: string}
      note: {type: string}
      email: {type: string}
      created_at: {type: timestamp}
    in:
      owner: {collection: orders, key: id, changed_at: updated_at}
      target: {collection: orders, key: id, changed_at: updated_at}
flows:
  orders: {data_type: order, from: owner, to: target, pattern: near-real-time, every: 1s}
"""


def load(owner_url: str, target_url: str, rows: int) -> None:
    """Put the same orders into both databases."""
    shape = (
        "id bigint PRIMARY KEY, customer integer, amount {}, status varchar(20), note varchar(80), email varchar(80)"
    )
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute(
            f"CREATE TABLE orders ({shape.format('numeric(12,2)')}, created_at timestamptz, updated_at timestamptz)"
        )
        owner.execute(
            "INSERT INTO orders SELECT i, i %% 1000, (i * 7 %% 10000) / 100.0, 'open', "
            "CASE WHEN i %% 3 = 0 THEN NULL ELSE 'note ' || i END, 'user' || i || '@example.com', "
            "now() - interval '1 day', now() - interval '1 hour' FROM generate_series(1, %s) i",
            [rows],
        )
        owner.execute("CREATE INDEX ON orders (updated_at)")
        found = owner.execute(
            "SELECT id, customer, amount, status, note, email, created_at AT TIME ZONE 'UTC', "
            "updated_at AT TIME ZONE 'UTC' FROM orders"
        ).fetchall()
    with flights.target(target_url) as database:
        cursor = database.cursor()
        cursor.execute(
            f"CREATE TABLE orders ({shape.format('decimal(12,2)')}, created_at datetime(6), updated_at datetime(6))"
        )
        for at in range(0, len(found), 5_000):
            cursor.executemany("INSERT INTO orders VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", found[at : at + 5_000])
        database.commit()


def main() -> int:
    """Run the benchmark."""
    asked = arguments(__doc__)
    rows, sweeps = (20_000, 3) if asked.quick else (100_000, 5)
    with servers.postgresql() as postgresql, servers.mariadb() as mariadb, tempfile.TemporaryDirectory() as place:
        with psycopg.connect(f"{postgresql}/postgres", autocommit=True) as admin:
            admin.execute("CREATE DATABASE audit")
        with flights.target(f"{mariadb}/mysql") as admin_target:
            admin_target.cursor().execute("CREATE DATABASE audit CHARACTER SET utf8mb4")
        # The loader's memory is not the auditor's: it loads in a process of its own.
        child = os.fork()
        if child == 0:
            try:
                load(f"{postgresql}/audit", f"{mariadb}/audit", rows)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        if os.waitpid(child, 0)[1] != 0:
            raise RuntimeError("loading failed")
        file = Path(place) / "map.yaml"
        file.write_text(MAP)
        urls = {"OWNER_URL": f"{postgresql}/audit", "TARGET_URL": f"{mariadb}/audit"}
        say(f"sweeping {rows} records {sweeps} times in batches of {BATCH}, by key and by rank")
        quick = {"quick": asked.quick, "batch": BATCH}
        scanned = sql.RANK_SCAN_LIMIT
        sql.RANK_SCAN_LIMIT = 0  # what a table meets that is too large to be ranked without an index
        by_key = _sweep(load_map(file, urls).flow("orders"), Path(place) / "by_key.sqlite", sweeps)
        sql.RANK_SCAN_LIMIT = scanned
        by_rank = _sweep(load_map(file, urls).flow("orders"), Path(place) / "by_rank.sqlite", sweeps)
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    good = True
    for walk, pace, goal in (("", by_key, ">= 20000"), ("by_rank_", by_rank, "")):
        good &= emit(
            "tick", f"{walk}records_per_s_per_core", percentile(pace.per_core, 0.5), "1/s", goal=goal,
            n=rows * sweeps, spread=(min(pace.per_core), max(pace.per_core)), **quick,
        )  # fmt: skip
        emit(
            "tick", f"{walk}records_per_s", percentile(pace.per_s, 0.5), "1/s",
            n=rows * sweeps, spread=(min(pace.per_s), max(pace.per_s)), **quick,
        )  # fmt: skip
        emit("tick", f"{walk}first_sweep_records_per_s_per_core", pace.first, "1/s", n=rows, **quick)
    good &= emit("tick", "peak_memory", peak_mib, "MiB", goal="< 300", **quick)
    return 0 if good else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Records per second of CPU and of the clock, for each sweep; the first one also writes every baseline."""

    first: float
    per_core: list[float]
    per_s: list[float]


def _sweep(flow: Flow, ledger_file: Path, sweeps: int) -> Pace:
    ledger = Ledger(f"sqlite:///{ledger_file}")
    ledger.migrate()
    readers = [
        SystemReader(name, settings, open_record_probe(settings))
        for name, settings in (("owner", flow.source), ("target", flow.target))
    ]
    auditor = Auditor(flow=flow, source=readers[0], target=readers[1], ledger=ledger, digest_key=b"k" * 32)
    settle_memory()
    per_core, per_s = [], []
    for _ in range(sweeps + 1):
        wall, cpu, read = time.perf_counter(), time.process_time(), 0
        while True:
            result = auditor.audit(datetime.now(UTC), sample=BATCH)
            if result.error is not None:
                raise RuntimeError(str(result.error[1]))
            read += result.read
            if result.swept:
                break
        per_core.append(read / (time.process_time() - cpu))
        per_s.append(read / (time.perf_counter() - wall))
    for reader in readers:
        reader.close()
    ledger.close()
    return Pace(first=per_core[0], per_core=per_core[1:], per_s=per_s[1:])


if __name__ == "__main__":
    sys.exit(main())

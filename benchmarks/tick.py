"""Records compared per second and per core through the whole path, PostgreSQL against MariaDB, and peak memory."""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from auditor.audit import Auditor
from auditor.ledger import Ledger
from auditor.map_file import load_map
from auditor.reading import SystemReader
from auditor.scheduler import settle_memory
from benchmarks import flights
from benchmarks.report import arguments, emit, say
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
        flow = load_map(file, {"OWNER_URL": f"{postgresql}/audit", "TARGET_URL": f"{mariadb}/audit"}).flow("orders")
        ledger = Ledger(f"sqlite:///{place}/ledger.sqlite")
        ledger.migrate()
        readers = [
            SystemReader(name, settings, open_record_probe(settings))
            for name, settings in (("owner", flow.source), ("target", flow.target))
        ]
        auditor = Auditor(flow=flow, source=readers[0], target=readers[1], ledger=ledger, digest_key=b"k" * 32)
        settle_memory()
        say(f"sweeping {rows} records {sweeps} times in batches of {BATCH}")
        per_core, per_s = [], []
        first = None
        for _ in range(sweeps + 1):
            wall, cpu, read = time.perf_counter(), time.process_time(), 0
            while True:
                result = auditor.audit(datetime.now(UTC), sample=BATCH)
                if result.error is not None:
                    raise RuntimeError(str(result.error[1]))
                read += result.read
                if result.swept:
                    break
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            if first is None:  # the first sweep also writes every baseline
                first = read / cpu
                continue
            per_core.append(read / cpu)
            per_s.append(read / wall)
        for reader in readers:
            reader.close()
        ledger.close()
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        quick = {"quick": asked.quick, "batch": BATCH}
        per_core.sort()
        per_s.sort()
        middle = per_core[len(per_core) // 2]
        good = emit(
            "tick", "records_per_s_per_core", middle, "1/s", goal=">= 20000",
            n=rows * sweeps, spread=(per_core[0], per_core[-1]), **quick,
        )  # fmt: skip
        emit(
            "tick", "records_per_s", per_s[len(per_s) // 2], "1/s",
            n=rows * sweeps, spread=(per_s[0], per_s[-1]), **quick,
        )  # fmt: skip
        emit("tick", "first_sweep_records_per_s_per_core", first or 0.0, "1/s", n=rows, **quick)
        good &= emit("tick", "peak_memory", peak_mib, "MiB", goal="< 300", **quick)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

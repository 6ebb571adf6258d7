"""`auditor run` with 1,000 flows, a third of which need a system that hangs."""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.report import arguments, emit, wait_until
from tests import servers
from tests.daemons import running, stopped_after
from tests.proxy import Proxy

TYPES, HEALTHY, HUNG = 50, 14, 6
RECORDS = 20
EVERY_S = 5
WATCHED_S = 60.0
GIVE_UP_S = 30.0

TABLE = "(id integer PRIMARY KEY, name text, updated_at text)"


def main() -> int:
    """Run the benchmark."""
    asked = arguments(__doc__)
    return 0 if _flows(quick=asked.quick) else 1


def _flows(*, quick: bool) -> bool:
    watched_s = 12.0 if quick else WATCHED_S
    good = True
    with servers.postgresql() as server, tempfile.TemporaryDirectory() as folder:
        place, proxy = Path(folder), Proxy(int(server.rpartition(":")[2]))
        systems = [f"target_{at}" for at in range(HEALTHY + HUNG)]
        hung = systems[HEALTHY:]
        for system in ("owner", *systems[:HEALTHY]):
            _fill(place / f"{system}.sqlite")
        with psycopg.connect(f"{server}/postgres", autocommit=True) as target:
            for at in range(TYPES):
                target.execute(f"CREATE TABLE t{at} {TABLE}")
                target.execute(f"INSERT INTO t{at} SELECT i, 'name', '' FROM generate_series(1, {RECORDS}) i")
        (place / "map.yaml").write_text(_many_flows(systems, hung, proxy.port))
        for state in ("all answer", "a third hangs"):
            proxy.mode = "pass" if state == "all answer" else "swallow"
            good = _watch(place, state, hung, watched_s, quick=quick) and good
        proxy.close()
    return good


def _watch(place: Path, state: str, hung: list[str], watched_s: float, *, quick: bool) -> bool:
    name = state.replace(" ", "_")
    data = place / name
    with running(place / "map.yaml", data) as daemon:
        wait_until(lambda: bool(_runs(data)), 120)
        begins_us, threads = time.time() * 1e6, 0
        until = time.monotonic() + watched_s
        while time.monotonic() < until:
            threads = max(threads, _threads(daemon.pid))
            time.sleep(0.2)
        before = len(_runs(data))
        stopped_s = stopped_after(daemon, GIVE_UP_S)
    runs = _runs(data)
    readable = [row for row in runs if state == "all answer" or row["flow"].partition("__")[2] not in hung]
    watched = [row for row in readable if row["finished_at"] >= begins_us and not row["reason"]]
    flows = TYPES * (HEALTHY if state != "all answer" else HEALTHY + HUNG)
    cut_off = [row for row in runs[before:] if row["reason"] and "closed" in row["message"]]
    wrong = len([row for row in readable if row["reason"]]) + len(cut_off)
    more = {"flows": TYPES * (HEALTHY + HUNG), "quick": quick}
    emit("daemon", f"threads, {state}", threads, "threads", goal="<= 120", **more)  # type: ignore[arg-type]
    emit("daemon", f"audits a second of flows that can be read, {state}", len(watched) / watched_s, "1/s", **more)  # type: ignore[arg-type]
    seen = len({row["flow"] for row in watched}) / flows
    emit("daemon", f"share of them that was audited, {state}", seen, "ratio", **more)  # type: ignore[arg-type]
    told = len(runs) - len(readable)
    emit("daemon", f"audits that said that a system does not answer, {state}", told, "audits", **more)  # type: ignore[arg-type]
    emit("daemon", f"time to stop, {state}", stopped_s, "s", goal="<= 10", **more)  # type: ignore[arg-type]
    return emit("daemon", f"failures that are none, {state}", wrong, "audits", goal="= 0", **more)  # type: ignore[arg-type]


def _many_flows(systems: list[str], hung: list[str], port: int) -> str:
    lines = ["systems:", '  owner: {kind: sql, url: "sqlite:///${PLACE}/owner.sqlite", zone: UTC}']
    for system in systems:
        url = (
            f"postgresql://postgres@127.0.0.1:{port}/postgres"
            if system in hung
            else f"sqlite:///${{PLACE}}/{system}.sqlite"
        )
        lines.append(f'  {system}: {{kind: sql, url: "{url}", zone: UTC}}')
    lines.append("data_types:")
    for at in range(TYPES):
        lines += [
            f"  type_{at}:",
            "    owner: owner",
            "    window: 10s",
            "    key_type: integer",
            "    fields: {name: {type: string}}",
            "    in:",
            f"      owner: {{collection: t{at}, key: id, changed_at: updated_at}}",
            *(f"      {system}: {{collection: t{at}, key: id}}" for system in systems),
        ]
    lines.append("flows:")
    rest = f"pattern: near-real-time, every: {EVERY_S}s}}"
    for at in range(TYPES):
        lines += [
            f"  type_{at}__{system}: {{data_type: type_{at}, from: owner, to: {system}, {rest}" for system in systems
        ]
    return "\n".join(lines) + "\n"


def _fill(file: Path) -> None:
    with sqlite3.connect(file) as database:
        for at in range(TYPES):
            database.execute(f"CREATE TABLE t{at} {TABLE}")
            database.execute(f"CREATE INDEX i{at} ON t{at} (updated_at)")
            rows = [(key, "name", "2026-03-01 00:00:00.000000") for key in range(1, RECORDS + 1)]
            database.executemany(f"INSERT INTO t{at} VALUES (?, ?, ?)", rows)
    database.close()


# -- the process


def _threads(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("Threads:")[2].split()[0])


def _runs(data: Path) -> list[dict[str, Any]]:
    file = data / "ledger.sqlite"
    if not file.exists():
        return []
    database = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)
    database.row_factory = sqlite3.Row
    try:
        found = database.execute("SELECT flow, reason, message, finished_at FROM probe_runs ORDER BY id")
        return [dict(row) for row in found]
    except sqlite3.OperationalError:
        return []
    finally:
        database.close()


if __name__ == "__main__":
    sys.exit(main())

"""`auditor run` on PostgreSQL to MariaDB with injected faults: recall, precision, causes, lags against the truth.

A pipeline copies changes from owner to target while the auditor runs, and delays, drops and corrupts some of
them. It writes down what it did; what the auditor says is compared with that.
"""

from __future__ import annotations

import heapq
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pymysql

from auditor.ledger import Ledger
from auditor.workspace import Workspace
from benchmarks import flights
from benchmarks.report import arguments, emit, say, wait_until
from tests import servers

WINDOW_S = 5.0
LATE_S = (WINDOW_S + 5, WINDOW_S + 9)
ON_TIME_S = (0.05, 2.0)

FAULTS = {
    "late_update": {"late", "lost"},
    "dropped_update": {"late", "lost"},
    "dropped_insert": {"late", "lost"},
    "dropped_delete": {"late", "lost"},
    "corrupted": {"foreign_write"},
    "truncated": {"foreign_write"},
    "lost_row": {"lost"},
    "orphan": {"orphan"},
    "duplicated": {"duplicate"},
    "overwritten": {"regression"},
}
"""Kinds of fault and the causes that name them rightly."""


@dataclass(slots=True)
class Truth:
    """What really happened.

    Attributes:
        faults: by key, the kind of fault.
        committed, arrived: by key, the local instants around the commit and around its arrival.
    """

    faults: dict[int, str] = field(default_factory=dict)
    committed: dict[int, tuple[float, float]] = field(default_factory=dict)
    arrived: dict[int, tuple[float, float]] = field(default_factory=dict)


class Pipeline:
    """The integration under audit, with its faults."""

    def __init__(self, owner_url: str, target_url: str, chance: random.Random, total: int) -> None:
        self.truth = Truth()
        self._owner = psycopg.connect(owner_url, autocommit=True)
        self._target: pymysql.Connection[Any] = flights.target(target_url)
        self._target.autocommit(True)
        self._chance = chance
        self._keys = list(range(1, total + 1))
        chance.shuffle(self._keys)
        self._next_new = total + 1
        self._waiting: list[tuple[float, int, str, tuple[Any, ...]]] = []
        self._drawn = 0

    def run(self, faults: int, normal: int, seconds: float) -> None:
        """Do everything in this many seconds, then wait for what is on its way."""
        kinds = [kind for number in range(faults) for kind in [list(FAULTS)[number % len(FAULTS)]]]
        deeds = kinds + ["normal"] * normal
        self._chance.shuffle(deeds)
        begun = time.monotonic()
        for number, deed in enumerate(deeds):
            while time.monotonic() < begun + seconds * number / len(deeds):
                self._deliver()
                time.sleep(0.001)
            self._do(deed)
            self._deliver()
        while self._waiting:
            self._deliver()
            time.sleep(0.005)

    def prepare(self, overwritten: int) -> None:
        """Change the keys that are to be overwritten later once, so that an older version exists."""
        self._older = [self._key() for _ in range(overwritten)]
        for key in self._older:
            self._owner.execute(
                "UPDATE flights SET tailnum = 'v2', updated_at = clock_timestamp() WHERE id = %s", [key]
            )
            self._apply("UPDATE flights SET tailnum = 'v2' WHERE id = %s", (key,))

    def _key(self) -> int:
        return self._keys.pop()

    def _do(self, deed: str) -> None:
        if deed == "normal":
            self._normal()
        elif deed in {"late_update", "dropped_update"}:
            key = self._key()
            self.truth.faults[key] = deed
            self._update(key, None if deed == "dropped_update" else self._chance.uniform(*LATE_S))
        elif deed == "dropped_insert":
            self.truth.faults[self._insert(None)] = deed
        elif deed == "dropped_delete":
            key = self._key()
            self.truth.faults[key] = deed
            self._owner.execute("DELETE FROM flights WHERE id = %s", [key])
        else:
            self._spoil(deed)

    def _normal(self) -> None:
        drawn, lag_s = self._chance.random(), self._chance.uniform(*ON_TIME_S)
        if drawn < 0.8:
            self._update(self._key(), lag_s)
        elif drawn < 0.9:
            self._insert(lag_s)
        else:
            key = self._key()
            self._owner.execute("DELETE FROM flights WHERE id = %s", [key])
            self._later(lag_s, "DELETE FROM flights WHERE id = %s", (key,), 0)

    def _update(self, key: int, lag_s: float | None) -> None:
        delay = self._chance.randrange(10_000, 99_999)
        before = time.time()
        self._owner.execute(
            "UPDATE flights SET arr_delay = %s, updated_at = clock_timestamp() WHERE id = %s", [delay, key]
        )
        self.truth.committed[key] = (before, time.time())
        if lag_s is not None:
            self._later(lag_s, "UPDATE flights SET arr_delay = %s WHERE id = %s", (delay, key), key)

    def _insert(self, lag_s: float | None) -> int:
        key, self._next_new = self._next_new, self._next_new + 1
        before = time.time()
        self._owner.execute(
            "INSERT INTO flights (id, year, carrier, time_hour, updated_at) "
            "VALUES (%s, 2013, 'ZZ', '2013-01-01T00:00:00Z', clock_timestamp())",
            [key],
        )
        self.truth.committed[key] = (before, time.time())
        if lag_s is not None:
            sql = "INSERT INTO flights (id, year, carrier, time_hour) VALUES (%s, 2013, 'ZZ', '2013-01-01 00:00:00')"
            self._later(lag_s, sql, (key,), key)
        return key

    def _spoil(self, deed: str) -> None:
        """Change the target behind the owner's back."""
        key = self._older.pop() if deed == "overwritten" else self._key()
        if deed == "orphan":
            key = 10_000_000 + key
            self._apply("INSERT INTO flights (id, year, carrier) VALUES (%s, 2013, 'QQ')", (key,))
        elif deed == "corrupted":
            self._apply("UPDATE flights SET distance = distance + 1 WHERE id = %s", (key,))
        elif deed == "truncated":
            self._apply("UPDATE flights SET origin = left(origin, 2) WHERE id = %s", (key,))
        elif deed == "lost_row":
            self._apply("DELETE FROM flights WHERE id = %s", (key,))
        elif deed == "duplicated":
            self._apply("INSERT INTO flights SELECT * FROM flights WHERE id = %s LIMIT 1", (key,))
        elif deed == "overwritten":
            old = self._originals[key]
            self._apply("UPDATE flights SET tailnum = %s WHERE id = %s", (old, key))
        self.truth.faults[key] = deed

    def remember_originals(self) -> None:
        """Note what the keys to be overwritten held first."""
        found = self._owner.execute("SELECT id, tailnum FROM flights").fetchall()
        self._originals: dict[int, str | None] = dict(found)

    def _later(self, lag_s: float, sql: str, values: tuple[Any, ...], key: int) -> None:
        self._drawn += 1
        heapq.heappush(self._waiting, (time.monotonic() + lag_s, self._drawn, sql, (key, values)))

    def _deliver(self) -> None:
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            _, _, sql, (key, values) = heapq.heappop(self._waiting)
            before = time.time()
            self._apply(sql, values)
            if key:
                self.truth.arrived[key] = (before, time.time())

    def _apply(self, sql: str, values: tuple[Any, ...]) -> None:
        self._target.cursor().execute(sql, values)


def main() -> int:
    """Run the benchmark."""
    asked = arguments(__doc__)
    limit, faults, normal, seconds = (8_000, 200, 400, 6.0) if asked.quick else (None, 2_000, 6_000, 90.0)
    chance = random.Random(asked.seed)
    with servers.postgresql() as postgresql, servers.mariadb() as mariadb, tempfile.TemporaryDirectory() as place:
        with psycopg.connect(f"{postgresql}/postgres", autocommit=True) as admin:
            admin.execute("CREATE DATABASE audit")
        with flights.target(f"{mariadb}/mysql") as admin_target:
            admin_target.cursor().execute("CREATE DATABASE audit CHARACTER SET utf8mb4")
        owner_url, target_url = f"{postgresql}/audit", f"{mariadb}/audit"
        say("loading")
        total = flights.load(owner_url, target_url, limit)
        pipeline = Pipeline(owner_url, target_url, chance, total)
        pipeline.remember_originals()
        ledger = Workspace.at(Path(place) / "var").ledger()
        environment = {**os.environ, "OWNER_URL": owner_url, "TARGET_URL": target_url}
        command = [sys.executable, "-m", "auditor", "run", "--map", str(flights.write_map(Path(place)))]
        daemon = subprocess.Popen([*command, "--data", str(Path(place) / "var")], env=environment)
        try:
            say(f"auditor run: the first sweep over {total} rows")
            wait_until(lambda: _sweeps(ledger) >= 1, 600)
            pipeline.prepare(faults // len(FAULTS) + 1)
            time.sleep(2)
            wait_until(lambda: not ledger.findings.pending_count("flights"), 60)
            say("auditing while the pipeline runs")
            pipeline.run(faults, normal, seconds)
            finished = time.monotonic()
            time.sleep(WINDOW_S)
            say("waiting for one more whole sweep, and for what is undecided")
            swept = _sweeps(ledger) + 2  # the one under way, and one that began after the last fault
            wait_until(lambda: _sweeps(ledger) >= swept, 600)
            wait_until(lambda: not ledger.findings.pending_count("flights"), 120)
            say(f"finished {time.monotonic() - finished:.0f} s after the last fault")
        finally:
            daemon.terminate()
            daemon.wait(30)
        good = _score(ledger, pipeline.truth, total, quick=asked.quick)
        ledger.close()
    return 0 if good else 1


def _sweeps(ledger: Ledger) -> int:
    return ledger.flows.state("flights").swept.count


def _score(ledger: Ledger, truth: Truth, total: int, *, quick: bool) -> bool:
    rows, _ = ledger.exports.snapshot({"divergences": 0, "changes": 0}, files_since=0)
    divergence = [name for name, _ in ledger.exports.columns("divergences")]
    told = [dict(zip(divergence, row, strict=True)) for row in rows["divergences"]]
    opened = [each for each in told if each["opened_at"] is not None]
    detected = {int(each["key"]) for each in opened}
    kinds = Counter(truth.faults.values())
    found = Counter(kind for key, kind in truth.faults.items() if key in detected)
    false = [each for each in opened if int(each["key"]) not in truth.faults]
    for each in false[:5]:
        say(f"false: {each}")
    for key, kind in list(truth.faults.items()):
        if key not in detected and kinds[kind]:
            say(f"missed: {kind} {key} {[each for each in told if int(each['key']) == key]}")
            kinds[kind] = 0  # one example of each kind is enough
    rightly = Counter(
        truth.faults[int(each["key"])]
        for each in opened
        if int(each["key"]) in truth.faults and each["cause"] in FAULTS[truth.faults[int(each["key"])]]
    )
    faults = len(truth.faults)
    recall, precision = sum(found.values()) / faults, 1 - len(false) / max(1, len(opened))
    by_kind = {kind: [found[kind], sum(k == kind for k in truth.faults.values())] for kind in FAULTS}
    good = emit(
        "end_to_end", "recall", recall, "ratio", goal=">= 1.0", n=faults, quick=quick, rows=total, by_kind=by_kind
    )
    good &= emit("end_to_end", "precision", precision, "ratio", goal=">= 1.0", n=len(opened), quick=quick)
    emit("end_to_end", "cause_named", sum(rightly.values()) / faults, "ratio", n=faults, quick=quick)
    return _score_lags(ledger, rows["changes"], truth, quick=quick) and good


def _score_lags(ledger: Ledger, changes: list[tuple[Any, ...]], truth: Truth, *, quick: bool) -> bool:
    names = [name for name, _ in ledger.exports.columns("changes")]
    inside = compared = 0
    widths = []
    for row in changes:
        change = dict(zip(names, row, strict=True))
        key = int(change["key"])
        if key not in truth.committed or key not in truth.arrived or change["lag_upper_s"] is None:
            continue
        least = truth.arrived[key][0] - truth.committed[key][1]
        most = truth.arrived[key][1] - truth.committed[key][0]
        compared += 1
        widths.append(change["lag_upper_s"] - change["lag_lower_s"])
        if change["lag_lower_s"] <= most and change["lag_upper_s"] >= least:
            inside += 1
        else:
            say(f"outside: {change} true lag {least:.3f} .. {most:.3f}")
    widths.sort()
    emit("end_to_end", "lag_interval_width_p50", widths[len(widths) // 2], "s", n=compared, quick=quick)
    share = inside / max(1, compared)
    return emit("end_to_end", "lag_interval_contains_truth", share, "ratio", goal=">= 0.999", n=compared, quick=quick)


if __name__ == "__main__":
    sys.exit(main())

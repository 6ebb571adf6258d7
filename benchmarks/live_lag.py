"""Lags of a real PostgreSQL logical replication, paused and resumed: what `auditor run` says against the truth.

The truth is bracketed apart from the auditor: the writer's clock around each commit, and a tight poller of
the subscriber.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from auditor.ledger import Ledger
from auditor.workspace import Workspace
from benchmarks.report import arguments, emit, percentile, say, wait_until
from tests import servers

CHANGES, PER_S = 5_000, 60.0
WINDOW_S = 5.0
PAUSES_S = (1.0, 3.0, 4.5, 8.0)
RUNS_S = 6.0
POLL_PAUSE_S = 0.0005

MAP = """\
systems:
  publisher: {kind: sql, url: "${PUBLISHER}"}
  subscriber: {kind: sql, url: "${SUBSCRIBER}"}
data_types:
  account:
    owner: publisher
    window: 5s
    key_type: integer
    fields:
      balance: {type: decimal}
    in:
      publisher: {collection: accounts, key: id, changed_at: updated_at}
      subscriber: {collection: accounts, key: id}
flows:
  replication: {data_type: account, from: publisher, to: subscriber, pattern: near-real-time, every: 1s}
"""

Bracket = tuple[float, float]


@dataclass(slots=True, kw_only=True)
class Truth:
    """By key, between which local instants a change was committed and became visible."""

    committed: dict[int, Bracket] = field(default_factory=dict)
    visible: dict[int, Bracket] = field(default_factory=dict)

    def lag(self, key: int) -> Bracket | None:
        """The least and the most the lag can have been."""
        if key not in self.committed or key not in self.visible:
            return None
        committed, visible = self.committed[key], self.visible[key]
        return max(0.0, visible[0] - committed[1]), visible[1] - committed[0]


def main() -> int:
    """Run the benchmark."""
    asked = arguments(__doc__)
    changes = 600 if asked.quick else CHANGES
    truth = Truth()
    with (
        servers.postgresql() as publisher,
        servers.postgresql() as subscriber,
        tempfile.TemporaryDirectory() as place,
    ):
        publisher_url, subscriber_url = f"{publisher}/postgres", f"{subscriber}/postgres"
        _replicate(publisher_url, subscriber_url, changes)
        ledger = Workspace.at(Path(place) / "var").ledger()
        (Path(place) / "map.yaml").write_text(MAP)
        daemon = subprocess.Popen(
            [
                *(sys.executable, "-m", "auditor", "run", "--map", str(Path(place) / "map.yaml")),
                *("--data", str(Path(place) / "var")),
            ],
            env={**os.environ, "PUBLISHER": publisher_url, "SUBSCRIBER": subscriber_url},
        )
        try:
            wait_until(lambda: ledger.flows.state("replication").swept.count >= 1, 120)
            say(f"{changes} changes, {PER_S:.0f} a second, with the subscription paused in between")
            _run(publisher_url, subscriber_url, truth, changes, asked.seed)
            wait_until(lambda: not ledger.findings.pending_count("replication"), 120)
        finally:
            daemon.terminate()
            daemon.wait(30)
        good = _score(ledger, truth, quick=asked.quick)
        ledger.close()
    return 0 if good else 1


def _replicate(publisher_url: str, subscriber_url: str, rows: int) -> None:
    """Publish a table of one cluster to the other, and wait for its first copy."""
    table = "CREATE TABLE accounts (id bigint PRIMARY KEY, balance numeric(12, 2), updated_at timestamptz)"
    with psycopg.connect(publisher_url, autocommit=True) as owner:
        owner.execute(table)
        owner.execute("CREATE INDEX ON accounts (updated_at)")
        owner.execute(
            "INSERT INTO accounts SELECT i, i, now() - interval '1 day' FROM generate_series(1, %s) i", [rows]
        )
        owner.execute("CREATE PUBLICATION everything FOR TABLE accounts")
        at = psycopg.conninfo.conninfo_to_dict(publisher_url)
    with psycopg.connect(subscriber_url, autocommit=True) as target:
        target.execute(table)
        target.execute("CREATE INDEX ON accounts (updated_at)")
        connection = f"host={at['host']} port={at['port']} user={at['user']} dbname={at['dbname']}"
        target.execute(f"CREATE SUBSCRIPTION copies CONNECTION '{connection}' PUBLICATION everything")
        wait_until(lambda: target.execute("SELECT count(*) FROM accounts").fetchone() == (rows,), 60)


def _run(publisher_url: str, subscriber_url: str, truth: Truth, changes: int, seed: int) -> None:
    over = threading.Event()
    poller = threading.Thread(target=_poll, args=(subscriber_url, truth, changes, over))
    pauser = threading.Thread(target=_pause, args=(subscriber_url, over))
    poller.start()
    pauser.start()
    keys = list(range(1, changes + 1))
    random.Random(seed).shuffle(keys)
    began = time.monotonic()
    with psycopg.connect(publisher_url, autocommit=True) as owner:
        for number, key in enumerate(keys):
            time.sleep(max(0.0, began + number / PER_S - time.monotonic()))
            before = time.time()
            owner.execute(
                "UPDATE accounts SET balance = balance + 0.5, updated_at = clock_timestamp() WHERE id = %s", [key]
            )
            truth.committed[key] = (before, time.time())
    wait_until(lambda: len(truth.visible) >= changes, 60)
    over.set()
    poller.join()
    pauser.join()


def _poll(url: str, truth: Truth, changes: int, over: threading.Event) -> None:
    """Look at the subscriber again and again; commits arrive in order, so the latest stamp says what is new."""
    with psycopg.connect(url, autocommit=True) as target:
        ((seen,),) = target.execute("SELECT max(updated_at) FROM accounts").fetchall()
        before = time.time()
        while len(truth.visible) < changes and not over.is_set():
            sent = time.time()
            found = target.execute("SELECT id, updated_at FROM accounts WHERE updated_at > %s", [seen]).fetchall()
            received = time.time()
            for key, stamp in found:
                truth.visible[key] = (before, received)
                seen = max(seen, stamp)
            before = sent
            time.sleep(POLL_PAUSE_S)


def _pause(url: str, over: threading.Event) -> None:
    with psycopg.connect(url, autocommit=True) as target:
        for number in range(1_000):
            if over.wait(RUNS_S):
                return
            target.execute("ALTER SUBSCRIPTION copies DISABLE")
            over.wait(PAUSES_S[number % len(PAUSES_S)])
            target.execute("ALTER SUBSCRIPTION copies ENABLE")


def _score(ledger: Ledger, truth: Truth, *, quick: bool) -> bool:
    rows, _ = ledger.exports.snapshot({"changes": 0}, files_since=0)
    names = [name for name, _ in ledger.exports.columns("changes")]
    held = wrong = compared = 0
    widths, precision = [], []
    verdicts: Counter[str] = Counter()
    for row in rows["changes"]:
        change: dict[str, Any] = dict(zip(names, row, strict=True))
        lag = truth.lag(int(change["key"]))
        verdicts[change["verdict"]] += 1
        if lag is None or change["lag_upper_s"] is None:
            continue
        compared += 1
        inside = change["lag_lower_s"] <= lag[1] and lag[0] <= change["lag_upper_s"]
        held += inside
        widths.append(change["lag_upper_s"] - change["lag_lower_s"])
        precision.append(lag[1] - lag[0])
        wrong += (change["verdict"] == "met" and lag[0] > WINDOW_S) or (
            change["verdict"].startswith("breach") and lag[1] <= WINDOW_S
        )
        if not inside:
            say(f"outside: {lag} {change}")
    good = emit(
        "live_lag",
        "interval_contains_truth",
        held / max(1, compared),
        "ratio",
        goal=">= 0.999",
        n=compared,
        quick=quick,
        width_p50_s=round(percentile(widths, 0.5), 3),
        truth_width_p50_s=round(percentile(precision, 0.5), 4),
        changes=len(truth.committed),
    )
    return good & emit(
        "live_lag", "wrong_verdicts", wrong, "changes", goal="<= 0", n=compared, quick=quick, verdicts=dict(verdicts)
    )


if __name__ == "__main__":
    sys.exit(main())

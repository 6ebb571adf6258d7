"""Dead letters at scale, on each broker: depth, age, joining to records, and that looking changes nothing there.

Ten thousand letters of twenty reasons are written while the auditor looks; records that fail again and again and
letters that succeed later are mixed in. Then the queue is left quiet, and what the ledger knows is held against what
was written. RabbitMQ, NATS, Redis, Kafka and PostgreSQL are the servers themselves, ElasticMQ speaks the protocol of
SQS, pstest is Google's own fake of Pub/Sub, which has no counts.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import redis as redis_client
import sqlalchemy as sa

from auditor.audit.letter_scan import LETTERS_FOLLOWED
from auditor.audit.queue_audit import QueueAuditor
from auditor.history.lens import Lens
from auditor.history.letters import letters as letters_of
from auditor.ledger import Ledger
from auditor.ledger import tables as t
from auditor.map.loader import load_map
from benchmarks.brokers import ALL, Broker, Failure, Kafka, Redis, brokers
from benchmarks.report import emit
from checks.letters import Prospect
from probes import registry
from tests import engines, servers

EVERY_S = 2.0
REASONS = (
    "409 from billing: {key} is locked by job {n}",
    "422 from billing: e-mail '{key}@example.org' is not valid",
    "503 from billing at https://billing/{n}: no capacity",
    "timeout after {n} ms",
    'duplicate key value violates unique constraint "customers_{n}_key"',
    "KeyError: 'plan of {key}'",
    "customer {key} is unknown",
    "schema version {n} is not supported",
    "504 gateway timeout after {n} s",
    "deadlock detected: process {n} waits",
    "connection to 10.0.0.{n} refused",
    "value {n} is out of range for amount",
    "currency of {key} differs from its invoice",
    "429 too many requests, retry after {n} s",
    "signature of message {n} does not match",
    "field 'status_{n}' is missing",
    "token expired at 2026-03-01T00:00:{n:02d}Z",
    "401 from billing: session {n} has ended",
    "permission denied for table invoices of {key}",
    "payload of {n} bytes is too large",
)
MAP = """\
systems:
  crm: {{kind: sql, url: "sqlite:///{place}/crm.sqlite", zone: UTC}}
  billing: {{kind: sql, url: "{billing}", zone: UTC}}
data_types:
  customer:
    owner: crm
    window: 4s
    fields: {{name: {{type: string}}}}
    in: {{crm: {{collection: customers, key: id}}, billing: {{collection: customers, key: id}}}}
flows:
  to_billing:
    data_type: customer
    from: crm
    to: billing
    pattern: real-time
    every: 1s
    sla: {{drop_notice: 1s}}
    queues:
      dead: {queue}
"""


def failures_of(count: int, chance: random.Random) -> list[Failure]:
    """Letters in the order they are written: one record in fifty fails again and again for one reason."""
    poison = [
        (f"cus_{number:05}", chance.randrange(len(REASONS) // 2, len(REASONS))) for number in range(count // 50)
    ]
    found = []
    for number in range(count):
        key, reason = f"cus_{10_000 + number:05}", chance.randrange(len(REASONS))
        if chance.random() < 0.1:
            key, reason = chance.choice(poison)
        text = REASONS[reason].format(key=key, n=chance.randrange(10, 60))
        found.append(Failure(number, key, reason, text, 0.0))
    return found


def stamped(failure: Failure) -> Failure:
    """The letter as given up on now."""
    return Failure(failure.number, failure.key, failure.reason, failure.text, time.time())


class Measurement:
    """One broker's run: pipeline and auditor side by side, then quiet."""

    def __init__(self, broker: Broker, count: int, place: Path, seed: int) -> None:
        self.broker, self.count = broker, count
        billing = getattr(broker, "url", f"sqlite:///{place}/billing.sqlite")
        text = MAP.format(place=place, billing=billing, queue=json.dumps(broker.settings()))
        (place / "map.yaml").write_text(text)
        self.map = load_map(place / "map.yaml", {})
        self.ledger = Ledger(f"sqlite:///{place}/ledger.sqlite")
        self.ledger.migrate()
        settings = self.map.queues["to_billing", "dead"]
        self.probe = registry.open_queue_probe(settings, self.map.system_of(settings))
        if isinstance(broker, Kafka):
            broker.probe = getattr(self.probe, "_probe", self.probe)
        self.auditor = QueueAuditor(
            flow=self.map.flow("to_billing"), queue="dead", settings=settings, probe=self.probe, ledger=self.ledger
        )
        self.failures = failures_of(count, random.Random(seed))
        self.written: dict[int, Failure] = {}
        self.recovered: set[int] = set()
        self.differing = {each.key for each in self.failures if each.number % 3 == 0}
        self._open_divergences()

    def _open_divergences(self) -> None:
        """One record in three differs: these the letters must be joined to."""
        now = datetime.now(UTC)
        words = {
            "flow": "to_billing",
            "data_type": "customer",
            "kind": "value",
            "cause": "lost",
            "state": "open",
            "first_seen_at": now,
            "last_seen_at": now,
            "readings": 2,
            "permitted": False,
            "version": b"",
            "fields": "name",
            "differences": "[]",
            "detail": "",
        }
        with self.ledger.write() as transaction:
            rows = [{"rev": transaction.revision, "key": key, **words} for key in sorted(self.differing)]
            transaction.execute(sa.insert(t.divergences), rows)

    def run(self) -> None:
        """The pipeline writes and recovers in the foreground while the auditor looks in the background."""
        stopping = threading.Event()

        def watch() -> None:
            while not stopping.is_set():
                begun = time.monotonic()
                self.auditor.audit(datetime.now(UTC))
                stopping.wait(max(0.05, EVERY_S - (time.monotonic() - begun)))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            batch = max(10, self.count // 40)
            for begin in range(0, self.count, batch):
                fresh = [stamped(each) for each in self.failures[begin : begin + batch]]
                self.broker.give_up_on(fresh)
                self.written.update((each.number, each) for each in fresh)
                if begin and begin % (5 * batch) == 0:
                    self.recovered.update(self.broker.recover(batch // 2 // 3 * 3))
                time.sleep(0.1)
        finally:
            stopping.set()
            watcher.join()

    def settle(self, within_s: float = 240) -> float | None:
        """Look on until all letters are known; answers how long that took, None where they never are."""
        begun = time.monotonic()
        while time.monotonic() - begun < within_s:
            self.auditor.audit(datetime.now(UTC))
            if not self.broker.looks or self._known() == len(self.waiting):
                return time.monotonic() - begun
            time.sleep(EVERY_S)
        return None

    @property
    def waiting(self) -> list[Failure]:
        return [each for number, each in self.written.items() if number not in self.recovered]

    def _known(self) -> int:
        column = t.dead_letters.c
        with self.ledger.database.read() as connection:
            asked = sa.select(sa.func.count()).select_from(t.dead_letters).where(column.gone_at.is_(None))
            return int(connection.execute(asked).scalar_one())

    def report(self, emitted: Callable[..., bool]) -> bool:
        """Hold what the ledger knows against what was written."""
        good = True
        counters = self.broker.counters()
        before, begun = self.broker.requests(), time.monotonic()
        readings = []
        while time.monotonic() - begun < 6 * EVERY_S:
            readings.append(self.auditor.audit(datetime.now(UTC)))
            time.sleep(EVERY_S)
        per_minute = (self.broker.requests() - before) / (time.monotonic() - begun) * 60
        reading = readings[-1]
        assert not isinstance(reading, Exception), reading
        if self.broker.allows_depth:
            off = abs((reading.depth if reading.depth is not None else -1) - len(self.waiting))
            good &= emitted("depth_error", off, "letters", goal="<= 0", n=len(self.waiting))
        if self.broker.allows_age and reading.oldest_at is not None:
            truth = min(each.at for each in self.waiting)
            good &= emitted("age_error", abs(reading.oldest_at.timestamp() - truth), "s", goal="<= 1", n=1)
        same = self.broker.counters() == counters
        good &= emitted(
            "counters_unchanged", float(same), "ratio", **({"goal": ">= 1"} if not self._touches() else {})
        )
        emitted("requests_per_minute", per_minute, "1/min", n=len(readings), every_s=EVERY_S)
        if not self.broker.looks:
            return good
        lens = Lens(self.ledger)
        try:
            lens.refresh()
            told_of = letters_of(self.map, lens, datetime.now(UTC) - timedelta(hours=1))
            rows, groups = told_of.rows, told_of.groups
            asked = lens.query("SELECT id, key FROM divergences WHERE closed_at IS NULL").to_pylist()
        finally:
            lens.close()
        divergences = {row["key"]: row["id"] for row in asked}
        left = Counter((each.key, each.text) for each in self.waiting)
        joined = 0
        for row in rows:
            right = left[row.key or "", row.reason or ""] > 0 and row.divergence_id == divergences.get(row.key or "")
            joined += right
            left[row.key or "", row.reason or ""] -= right
        good &= emitted("joined", joined / len(self.waiting), "ratio", goal=">= 0.99", n=len(self.waiting))
        good &= emitted("reasons", len(groups), "reasons", goal="= 20", n=len(rows))
        times: Counter[tuple[str, int]] = Counter((each.key, each.reason) for each in self.written.values())
        by_text = {(each.key, each.text): each.reason for each in self.waiting}
        poison = {each for each, count in times.items() if count >= 3}
        told = [
            (
                row.prospect is Prospect.POISON,
                (row.key or "", by_text.get((row.key or "", row.reason or ""), -1)) in poison,
            )
            for row in rows
        ]
        right_poison = sum(said == true for said, true in told) / max(1, len(told))
        good &= emitted("poison_told", right_poison, "ratio", goal=">= 0.99", n=sum(true for _, true in told))
        replayable = sum(row.prospect is Prospect.REPLAYABLE for row in rows)
        emitted("replayable", replayable, "letters", n=len(rows), recovered=len(self.recovered))
        return good

    def _touches(self) -> bool:
        return bool(self.broker.settings().get("peek", "never") != "never")

    def close(self) -> None:
        self.auditor.close()
        self.ledger.close()


def million(place: Path) -> bool:
    """A queue of a million letters: what a daemon that follows the first of them needs."""
    with servers.redis() as url:
        broker = Redis(url)
        client = redis_client.Redis.from_url(url)
        count = 1_000_000
        for begin in range(0, count, 10_000):
            pipe = client.pipeline(transaction=False)
            for number in range(begin, begin + 10_000):
                key = f"cus_{number}"
                text = REASONS[number % 20].format(key=key, n=number % 60)
                pipe.xadd("letters", {"payload": Failure(number, key, 0, text, 0.0).body})
            pipe.execute()
        measurement = Measurement(broker, 100, place, 1)
        before = _peak_mb()
        begun = time.monotonic()
        depth = None
        while measurement._known() < LETTERS_FOLLOWED and time.monotonic() - begun < 300:
            reading = measurement.auditor.audit(datetime.now(UTC))
            assert not isinstance(reading, Exception), reading
            depth = reading.depth
        took_s, grown = time.monotonic() - begun, _peak_mb() - before
        known = measurement._known()
        measurement.close()
    more: dict[str, Any] = {"broker": "redis", "letters": count}
    emit("dead_letters", "million_followed", known, "letters", **more)
    emit("dead_letters", "million_known_after", took_s, "s", **more)
    good = emit("dead_letters", "million_depth_error", abs((depth or 0) - count), "letters", goal="<= 0", **more)
    return good & emit("dead_letters", "million_memory_grown", grown, "MiB", goal="<= 300", **more)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short form, within 50 s")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--broker", action="append", choices=ALL)
    asked = parser.parse_args()
    count = 600 if asked.quick else 10_000
    wanted = asked.broker or (("redis", "postgresql") if asked.quick else ALL)
    good = True
    for line in engines.told():
        print(line, file=sys.stderr)
    if "redis" in wanted and not asked.quick:
        with tempfile.TemporaryDirectory() as place:
            good &= million(Path(place))
    with brokers(wanted) as found:
        for broker in found:
            with tempfile.TemporaryDirectory() as place:
                measurement = Measurement(broker, count, Path(place), asked.seed)

                def emitted(metric: str, value: float, unit: str, broker: Broker = broker, **more: Any) -> bool:
                    return emit(
                        "dead_letters",
                        metric,
                        value,
                        unit,
                        quick=asked.quick,
                        broker=broker.name,
                        letters=count,
                        **more,
                    )

                measurement.run()
                settled_s = measurement.settle()
                if broker.looks:
                    emitted("known_after", -1.0 if settled_s is None else settled_s, "s")
                good &= measurement.report(emitted)
                measurement.close()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

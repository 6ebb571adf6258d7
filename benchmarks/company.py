"""A company of three systems for `benchmarks.attribution`: CRM on PostgreSQL, billing on MariaDB, marketing behind
an HTTP API, and the pipeline between them with its faults."""

from __future__ import annotations

import heapq
import itertools
import json
import random
import threading
import time
from bisect import bisect_right, insort
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import psycopg
import pymysql

from benchmarks import flights
from tests import servers

WINDOW_S = 5.0
LATE_S = (WINDOW_S + 5, WINDOW_S + 9)
ON_TIME_S = (0.05, 2.0)
FLOWS = ("to_billing", "to_marketing")
TARGETS = ("billing", "marketing")
FIELDS = ("name", "email", "plan", "status", "credit", "signed_at")
PLANS = ("free", "team", "pro", "scale")

FAULTS = {
    "late_update": {"late", "lost"},
    "dropped_update": {"late", "lost"},
    "dropped_insert": {"late", "lost"},
    "dropped_delete": {"late", "lost"},
    "lost_row": {"lost"},
    "orphan": {"orphan"},
    "foreign_write": {"foreign_write"},
    "conflict": {"write_conflict"},
    "lost_update": {"lost_update"},
    "regression": {"regression"},
    "duplicate": {"duplicate"},
    "truncated": {"transformation"},
    "zone_shifted": {"transformation"},
    "invalid": {"invalid"},
}
"""Kinds of fault and the causes that name them rightly."""

MAP = """\
systems:
  crm: {kind: sql, url: "${CRM_URL}", zone: UTC, budget: {records_per_s: 20000}}
  billing: {kind: sql, url: "${BILLING_URL}", zone: UTC, budget: {records_per_s: 20000}}
  marketing: {kind: rest, url: "${MARKETING_URL}", budget: {records_per_s: 20000, connections: 4}}
data_types:
  customer:
    owner: crm
    window: 5s
    key_type: integer
    business_key: [email]
    rules: {credit is not negative: "credit >= 0"}
    fields:
      name: {type: string, evidence: clear}
      email: {type: string, casefold: true, evidence: clear}
      plan: {type: enum, evidence: clear}
      status: {type: enum, writers: [billing, marketing], evidence: clear}
      credit: {type: decimal, evidence: clear}
      signed_at: {type: timestamp, evidence: clear}
    in:
      crm: {collection: customers, key: id, changed_at: updated_at}
      billing: {collection: customers, key: id}
      marketing:
        collection: customers
        key: id
        records: "$.data[*]"
        many: "/{collection}?ids={keys}"
        list: "/{collection}?after={after}&limit={limit}"
        batch: 200
flows:
  to_billing:
    data_type: customer
    from: crm
    to: billing
    pattern: near-real-time
    every: 1s
    sample: SAMPLE
    conflict_policy: field-merge
  to_marketing:
    data_type: customer
    from: crm
    to: marketing
    pattern: near-real-time
    every: 1s
    sample: SAMPLE
    conflict_policy: field-merge
"""

Record = dict[str, Any]


class Target(Protocol):
    """A system that holds copies."""

    def put(self, key: int, record: Record) -> None:
        """Write a whole record."""

    def remove(self, key: int) -> None:
        """Delete a record."""


class Billing:
    """The copies on MariaDB."""

    def __init__(self, url: str) -> None:
        self._connection: pymysql.Connection[Any] = flights.target(url)
        self._connection.autocommit(True)
        columns = "name varchar(100), email varchar(100), plan varchar(20), status varchar(20)"
        self._run(
            f"CREATE TABLE customers (id bigint PRIMARY KEY, {columns}, credit decimal(12,2), signed_at datetime(6))",
            (),
        )

    def _run(self, sql: str, values: tuple[Any, ...]) -> None:
        self._connection.cursor().execute(sql, values)

    def fill(self, records: dict[int, Record]) -> None:
        """Write many records."""
        marks = ", ".join(["%s"] * (len(FIELDS) + 1))
        rows = [(key, *self._values(record)) for key, record in records.items()]
        for at in range(0, len(rows), 2_000):
            self._connection.cursor().executemany(f"INSERT INTO customers VALUES ({marks})", rows[at : at + 2_000])

    def _values(self, record: Record) -> list[Any]:
        return [*(record[name] for name in FIELDS[:-1]), record["signed_at"].replace(tzinfo=None)]

    def put(self, key: int, record: Record) -> None:
        marks = ", ".join(["%s"] * (len(FIELDS) + 1))
        self._run(f"REPLACE INTO customers VALUES ({marks})", (key, *self._values(record)))

    def remove(self, key: int) -> None:
        self._run("DELETE FROM customers WHERE id = %s", (key,))


class Marketing:
    """The copies behind an HTTP API, by ids and by page."""

    def __init__(self) -> None:
        self._records: dict[int, str] = {}
        self._keys: list[int] = []
        self._lock = threading.Lock()
        marketing = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
                body = marketing.answer(query).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            def do_HEAD(self) -> None:
                self.do_GET()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, query: dict[str, str]) -> str:
        """The JSON of what is asked for."""
        with self._lock:
            if "ids" in query:
                keys = [int(each) for each in query["ids"].split(",")]
            else:
                begin = bisect_right(self._keys, int(query["after"])) if query.get("after") else 0
                keys = self._keys[begin : begin + int(query.get("limit", 1))]
            found = [self._records[key] for key in keys if key in self._records]
        return f'{{"data": [{", ".join(found)}]}}'

    def fill(self, records: dict[int, Record]) -> None:
        """Write many records."""
        for key, record in records.items():
            self.put(key, record)

    def put(self, key: int, record: Record) -> None:
        text = json.dumps({"id": key, **record}, default=str)
        with self._lock:
            if key not in self._records:
                insort(self._keys, key)
            self._records[key] = text

    def remove(self, key: int) -> None:
        with self._lock:
            if self._records.pop(key, None) is not None:
                self._keys.remove(key)


@dataclass(slots=True, kw_only=True)
class Systems:
    """The three systems, and where they are."""

    crm: psycopg.Connection[Any]
    billing: Billing
    marketing: Marketing
    environment: dict[str, str]

    def write_map(self, folder: Path, *, quick: bool) -> Path:
        """Write the integration map."""
        file = folder / "map.yaml"
        file.write_text(MAP.replace("SAMPLE", "800" if quick else "1500"))
        return file


@contextmanager
def systems() -> Iterator[Systems]:
    """Start the three systems, empty."""
    with servers.postgresql() as postgresql, servers.mariadb() as mariadb:
        with psycopg.connect(f"{postgresql}/postgres", autocommit=True) as admin:
            admin.execute("CREATE DATABASE crm")
        with flights.target(f"{mariadb}/mysql") as admin_target:
            admin_target.cursor().execute("CREATE DATABASE billing CHARACTER SET utf8mb4")
        crm = psycopg.connect(f"{postgresql}/crm", autocommit=True)
        crm.execute(
            "CREATE TABLE customers (id bigint PRIMARY KEY, name text, email text, plan text, status text, "
            "credit numeric(12,2), signed_at timestamptz, updated_at timestamptz)"
        )
        crm.execute("CREATE INDEX ON customers (updated_at)")
        marketing = Marketing()
        urls = {
            "CRM_URL": f"{postgresql}/crm",
            "BILLING_URL": f"{mariadb}/billing",
            "MARKETING_URL": f"http://127.0.0.1:{marketing.server.server_port}",
        }
        try:
            yield Systems(crm=crm, billing=Billing(f"{mariadb}/billing"), marketing=marketing, environment=urls)
        finally:
            marketing.server.shutdown()
            crm.close()


@dataclass(order=True, slots=True)
class _Delivery:
    due_s: float
    number: int
    deed: Callable[[], None] = field(compare=False)


class Pipeline:
    """Copies the CRM's changes to the two others, and spoils some of them.

    Attributes:
        truth: by flow and key, the kind of fault that was injected.
    """

    def __init__(self, held: Systems, chance: random.Random, rows: int) -> None:
        self.truth: dict[tuple[str, int], str] = {}
        self._crm = held.crm
        self._targets: dict[str, Target] = {"billing": held.billing, "marketing": held.marketing}
        self._chance = chance
        self._records = {key: self._new_record(key) for key in range(1, rows + 1)}
        self._next_key = rows + 1
        self._unused = list(self._records)
        chance.shuffle(self._unused)
        self._waiting: list[_Delivery] = []
        self._number = itertools.count()
        self._delivered: dict[tuple[str, int], int] = {}
        self._older: list[tuple[int, Record]] = []
        self._edits: list[tuple[str, int]] = []
        with self._crm.cursor().copy("COPY customers FROM STDIN") as copy:
            for key, record in self._records.items():
                copy.write_row((key, *(record[name] for name in FIELDS), record["signed_at"]))
        self._crm.execute("ANALYZE customers")
        held.billing.fill(self._records)
        held.marketing.fill(self._records)

    def _new_record(self, key: int) -> Record:
        return {
            "name": f"Customer {key} of the company",
            "email": f"customer{key}@example.com",
            "plan": self._chance.choice(PLANS),
            "status": "active",
            "credit": Decimal(self._chance.randrange(0, 100_000)) / 100,
            "signed_at": datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=self._chance.randrange(10_000_000)),
        }

    def prepare(self, count: int) -> None:
        """Change some records once everywhere, so that there is an older version of them."""
        for key in [self._unused.pop() for _ in range(count)]:
            self._older.append((key, dict(self._records[key])))
            self._change(key, name=f"Renamed {key} for good")
            for target in self._targets.values():
                target.put(key, self._records[key])

    def run(self, faults: int, normal: int, seconds: float) -> None:
        """Inject all faults among normal traffic within this time, then deliver what is on its way."""
        kinds = [kind for _, kind in zip(range(faults), itertools.cycle(FAULTS), strict=False)]
        deeds = [*kinds, *["normal"] * normal]
        self._chance.shuffle(deeds)
        begun = time.monotonic()
        for number, deed in enumerate(deeds):
            while time.monotonic() < begun + seconds * number / len(deeds):
                self._deliver()
                time.sleep(0.001)
            if deed == "normal":
                self._normal()
            else:
                self._spoil(deed)
            self._deliver()
        while self._waiting:
            self._deliver()
            time.sleep(0.005)

    def overwrite_edits(self) -> None:
        """Let the flow write over what the targets themselves had changed and may change."""
        for system, key in self._edits:
            self._targets[system].put(key, self._records[key])

    def _change(self, key: int, **values: Any) -> None:
        self._records[key].update(values)
        named = ", ".join(f"{name} = %s" for name in values)
        self._crm.execute(
            f"UPDATE customers SET {named}, updated_at = clock_timestamp() WHERE id = %s", [*values.values(), key]
        )

    def _create(self) -> int:
        key, self._next_key = self._next_key, self._next_key + 1
        record = self._records[key] = self._new_record(key)
        marks = ", ".join(["%s"] * (len(FIELDS) + 1))
        self._crm.execute(
            f"INSERT INTO customers VALUES ({marks}, clock_timestamp())", [key, *(record[name] for name in FIELDS)]
        )
        return key

    def _send(self, system: str, key: int, lag_s: float | None = None, **spoiled: Any) -> None:
        """Deliver a record as it is now, with some values spoiled on the way."""
        record, number = {**self._records[key], **spoiled}, next(self._number)

        def put() -> None:
            """Deliver in order: what comes after a newer version is thrown away."""
            if self._delivered.get((system, key), -1) < number:
                self._delivered[system, key] = number
                self._targets[system].put(key, record)

        self._later(lag_s, put)

    def _later(self, lag_s: float | None, deed: Callable[[], None]) -> None:
        due_s = time.monotonic() + (self._chance.uniform(*ON_TIME_S) if lag_s is None else lag_s)
        heapq.heappush(self._waiting, _Delivery(due_s, next(self._number), deed))

    def _deliver(self) -> None:
        while self._waiting and self._waiting[0].due_s <= time.monotonic():
            heapq.heappop(self._waiting).deed()

    def _normal(self) -> None:
        drawn = self._chance.random()
        if drawn < 0.1:
            key = self._create()
        else:
            # Some records are never spoiled and change again and again.
            key = self._unused[self._chance.randrange(max(1, len(self._unused) // 10))]
            self._change(key, plan=self._chance.choice(PLANS), credit=Decimal(self._chance.randrange(100_000)) / 100)
        for system in TARGETS:
            self._send(system, key)

    def _spoil(self, kind: str) -> None:
        system = self._chance.choice(TARGETS)
        key, spoiled = getattr(self, f"_{kind}")(system)
        self.truth[f"to_{spoiled}", key] = kind

    def _take(self) -> int:
        return self._unused.pop()

    def _others(self, system: str, key: int) -> None:
        for other in TARGETS:
            if other != system:
                self._send(other, key)

    def _late_update(self, system: str) -> tuple[int, str]:
        key = self._take()
        self._change(key, credit=self._records[key]["credit"] + 1)
        self._send(system, key, self._chance.uniform(*LATE_S))
        self._others(system, key)
        return key, system

    def _dropped_update(self, system: str) -> tuple[int, str]:
        key = self._take()
        self._change(key, credit=self._records[key]["credit"] + 1)
        self._others(system, key)
        return key, system

    def _dropped_insert(self, system: str) -> tuple[int, str]:
        key = self._create()
        self._others(system, key)
        return key, system

    def _dropped_delete(self, system: str) -> tuple[int, str]:
        key = self._take()
        self._crm.execute("DELETE FROM customers WHERE id = %s", [key])
        for other in TARGETS:
            if other != system:
                target = self._targets[other]
                self._later(None, lambda target=target: target.remove(key))  # type: ignore[misc]
        return key, system

    def _lost_row(self, system: str) -> tuple[int, str]:
        key = self._take()
        self._targets[system].remove(key)
        return key, system

    def _orphan(self, system: str) -> tuple[int, str]:
        key, self._next_key = self._next_key, self._next_key + 1
        self._targets[system].put(key, self._new_record(key))
        return key, system

    def _duplicate(self, system: str) -> tuple[int, str]:
        original = self._take()
        key, self._next_key = self._next_key, self._next_key + 1
        self._targets[system].put(key, {**self._new_record(key), "email": self._records[original]["email"].upper()})
        return key, system

    def _foreign_write(self, system: str) -> tuple[int, str]:
        key = self._take()
        self._targets[system].put(key, {**self._records[key], "name": f"Changed in {system}"})
        return key, system

    def _conflict(self, system: str) -> tuple[int, str]:
        key = self._take()
        self._change(key, status="cancelled")
        self._others(system, key)
        self._targets[system].put(key, {**self._records[key], "status": "paused"})
        return key, system

    def _lost_update(self, system: str) -> tuple[int, str]:
        key = self._take()
        self._targets[system].put(key, {**self._records[key], "status": "paused"})
        self._edits.append((system, key))
        return key, system

    def _regression(self, system: str) -> tuple[int, str]:
        key, older = self._older.pop()
        self._targets[system].put(key, older)
        return key, system

    def _truncated(self, system: str) -> tuple[int, str]:
        key = self._take()
        self._change(key, name=f"A customer with quite a long name {key}")
        self._send(system, key, name=self._records[key]["name"][:20])
        self._others(system, key)
        return key, system

    def _zone_shifted(self, system: str) -> tuple[int, str]:
        key = self._take()
        self._change(key, signed_at=self._records[key]["signed_at"] + timedelta(days=1))
        self._send(system, key, signed_at=self._records[key]["signed_at"] + timedelta(hours=2))
        self._others(system, key)
        return key, system

    def _invalid(self, _system: str) -> tuple[int, str]:
        """A wrong value that is synced perfectly; the first flow from its owner tells it."""
        key = self._take()
        self._change(key, credit=Decimal("-5.00"))
        for system in TARGETS:
            self._send(system, key)
        return key, TARGETS[0]

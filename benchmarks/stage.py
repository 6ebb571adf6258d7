"""A company for `benchmarks.stories`, watched by `auditor run`, and what can be broken in it.

A CRM owns customers and billing owns invoices; a worker carries every change from a queue in RabbitMQ to the other
systems, and a loader brings batches to the reports. All of them but marketing, an HTTP API, are databases in
PostgreSQL. The auditor has a login and a way into each system of its own, which can be broken without the company
noticing, and two receivers: a Slack webhook and a program that gets the same notices as JSON.
"""

from __future__ import annotations

import contextlib
import html
import itertools
import json
import random
import re
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psycopg
from psycopg import sql

from auditor.workspace import Workspace
from benchmarks.report import wait_until
from tests import servers
from tests.daemons import running
from tests.http_api import Api, Request, Response
from tests.proxy import Proxy

WINDOW_S, BATCH_S = 5.0, 8.0
EVERY_S, HOLD_S, CLEAR_AFTER_S = 1.0, 6.0, 4.0
"""Seconds stand for minutes: changes, audits, the wait of a first message and the end of an incident are faster."""

RECORDS = 240
EDITS_PER_S = 3.0
PLANS = ("free", "team", "pro", "scale")
DATABASES = ("crm", "billing", "warehouse", "reports")
TABLES = {
    "customers": "id bigint PRIMARY KEY, name text, email text, plan text, credit numeric, signed_at timestamptz",
    "invoices": "id bigint PRIMARY KEY, customer_id bigint, amount numeric, state text",
}
OWNED = {"customers": "crm", "invoices": "billing"}

Record = dict[str, Any]
Spoil = Callable[[str, Record], Record | None]
"""What becomes of a record on its way to a system; None if it is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a receiver got: `at_s` on the monotonic clock, and the JSON."""

    at_s: float
    document: Mapping[str, Any]

    @property
    def text(self) -> str:
        """All text of a message in Slack, as people read it."""
        blocks = [*self.document.get("blocks", ())]
        for each in self.document.get("attachments", ()):
            blocks += each.get("blocks", ())
        lines = []
        for block in blocks:
            parts = [*block.get("fields", ()), *block.get("elements", ())]
            lines.append("  |  ".join(_plain(_text_of(part)).replace("\n", ": ") for part in parts))
            lines += _plain(_text_of(block["text"])).split("\n") if block.get("text") else []
        return "\n".join(filter(None, lines)) or _plain(self.document.get("text", ""))


def _text_of(part: Mapping[str, Any]) -> str:
    inner = part.get("text", "")
    label = inner if isinstance(inner, str) else str(inner.get("text", ""))
    return f"[{label}] {part['url']}" if part.get("url") else label


def _plain(text: str) -> str:
    dated = re.sub(r"<!date\^[^|]*\|([^>]*)>", r"\1", text)
    return html.unescape(dated.replace("`", "").replace("*", ""))


@dataclass(slots=True)
class Receivers:
    """A Slack webhook and a program, on one port."""

    slack: list[Message] = field(default_factory=list)
    notices: list[Message] = field(default_factory=list)
    api: Api = field(init=False)

    def __post_init__(self) -> None:
        self.api = Api(self._take)

    def _take(self, request: Request) -> Response:
        kept = self.slack if request.path == "/slack" else self.notices
        kept.append(Message(at_s=time.monotonic(), document=json.loads(request.body)))
        return Response(document=b"ok", headers={"Content-Type": "text/plain"})


class World:
    """The servers that all stages share."""

    def __init__(self, stack: ExitStack, place: Path) -> None:
        self.place = place
        self.postgresql = stack.enter_context(servers.postgresql())
        self.rabbitmq = stack.enter_context(servers.rabbitmq())
        self.port = int(self.postgresql.rpartition(":")[2])


class Broker:
    """The queues of one stage, in a virtual host of their own."""

    def __init__(self, url: str, vhost: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=30)
        self._vhost = quote(vhost, safe="")
        self._http.put(f"/api/vhosts/{self._vhost}").raise_for_status()
        rights = {"configure": ".*", "write": ".*", "read": ".*"}
        self._http.put(f"/api/permissions/{self._vhost}/guest", json=rights).raise_for_status()
        for name in ("sync", "sync.dead"):
            self._http.put(f"/api/queues/{self._vhost}/{name}", json={"durable": True}).raise_for_status()

    def publish(self, queue: str, document: Mapping[str, Any]) -> None:
        """Put a message into a queue."""
        body = {
            "routing_key": queue,
            "payload": json.dumps(document, default=str),
            "payload_encoding": "string",
            "properties": {"timestamp": int(time.time()), "delivery_mode": 1},
        }
        self._http.post(f"/api/exchanges/{self._vhost}/amq.default/publish", json=body).raise_for_status()

    def take(self, queue: str, count: int) -> list[dict[str, Any]]:
        """Consume up to so many messages."""
        body = {"count": count, "ackmode": "ack_requeue_false", "encoding": "auto"}
        response = self._http.post(f"/api/queues/{self._vhost}/{queue}/get", json=body).raise_for_status()
        return [json.loads(each["payload"]) for each in response.json()]

    def close(self) -> None:
        """Remove the queues."""
        with contextlib.suppress(httpx.HTTPError):
            self._http.delete(f"/api/vhosts/{self._vhost}")
        self._http.close()


class Tables:
    """The company's own connections to its databases; one per thread that writes."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._connections = {name: psycopg.connect(url, autocommit=True) for name, url in urls.items()}

    def run(self, system: str, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Run a statement; answers its rows."""
        cursor = self._connections[system].execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []

    def record(self, table: str, key: int) -> Record:
        """A record as its owner holds it."""
        names = _columns(table)
        (row,) = self.run(OWNED[table], f"SELECT {', '.join(names)} FROM {table} WHERE id = %s", [key])
        return dict(zip(names, row, strict=True))

    def put(self, system: str, table: str, record: Record) -> None:
        """Write a whole record."""
        names = _columns(table)
        changed = ", ".join(f"{name} = excluded.{name}" for name in names[1:])
        statement = (
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))}) "
            f"ON CONFLICT (id) DO UPDATE SET {changed}"
        )
        self.run(system, statement, [record[name] for name in names])

    def close(self) -> None:
        """End the connections."""
        for each in self._connections.values():
            each.close()


def _columns(table: str) -> list[str]:
    return [each.split()[0] for each in TABLES[table].split(", ")]


class Stage:
    """One company with its auditor.

    Attributes:
        flows: the flows that are audited.
        down: systems that the company itself cannot write to at present.
        stopped: the worker carries nothing.
        per_s: how many messages the worker carries in a second; None for as many as come.
        spoil: what becomes of a record on its way.
        refuses: why billing refuses a customer, "" if it does not.
        bad_addresses: sales enters e-mail addresses that billing refuses.
        halfway: the loader stops in the middle of its next batch.
    """

    def __init__(self, world: World, name: str, flows: Sequence[str], *, seed: int) -> None:
        self.flows = tuple(flows)
        self.receivers = Receivers()
        self.down: set[str] = set()
        self.stopped = self.bad_addresses = self.halfway = False
        self.per_s: float | None = None
        self.spoil: Spoil = lambda _, record: record
        self._world, self._name = world, name
        self._place = world.place / name
        self._place.mkdir()
        self._chance = random.Random(seed)
        self._over = threading.Event()
        self._parked: dict[str, deque[tuple[str, Record]]] = {}
        self._quota_until_s = 0.0
        self._marketing: dict[int, Record] = {}
        self._api = Api(self._serve_marketing)
        self._way = Proxy(world.port)
        self._failures: list[BaseException] = []

    # -- what can be broken

    @property
    def way(self) -> Proxy:
        """The auditor's way to billing."""
        return self._way

    def revoke(self, *, login: bool) -> None:
        """Take the auditor's login to the warehouse away, or give it back."""
        self._tables.run("warehouse", f"ALTER ROLE {self._login('warehouse')} {'LOGIN' if login else 'NOLOGIN'}")
        if not login:
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s"
            self._tables.run("warehouse", ended, [self._login("warehouse")])

    def step_clock(self, seconds: float) -> None:
        """Set the clock of the CRM's server forward."""
        self._tables.run("crm", "UPDATE clock_step SET step = step + make_interval(secs => %s)", [seconds])

    def use_up_quota(self, seconds: float) -> None:
        """Let marketing refuse everybody for so long."""
        self._quota_until_s = time.monotonic() + seconds
        self.down.add("marketing")

    def write_to_billing(self, key: int) -> None:
        """Somebody else changes a customer in billing."""
        statement = "UPDATE customers SET plan = 'legacy ' || %s WHERE id = %s"
        self._tables.run("billing", statement, [str(self._chance.randrange(10**6)), key])

    def repair(self, *systems: str) -> None:
        """Write every record again, from its owner."""
        for table, owner in OWNED.items():
            for (key,) in self._tables.run(owner, f"SELECT id FROM {table}"):
                for system in systems:
                    if system in self._copies(table):
                        self._tables.put(system, table, self._tables.record(table, key))

    def replay(self) -> int:
        """Carry the dead letters again; answers how many there were."""
        letters = self._broker.take("sync.dead", 100)
        for letter in letters:
            self._broker.publish("sync", {"table": "customers", "key": letter["customer"]["id"]})
        return len(letters)

    def correct_addresses(self) -> None:
        """Correct the addresses that billing refuses."""
        self._tables.run(
            "crm",
            "UPDATE customers SET email = email || 'example.com', updated_at = public.clock_timestamp() "
            "WHERE right(email, 1) = '@'",
        )

    # -- its life

    def __enter__(self) -> Stage:
        self._stack = ExitStack()
        try:
            self._begin()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        if self._failures:
            raise self._failures[0]

    def _begin(self) -> None:
        leave = self._stack.callback
        for opened in (self.receivers.api, self._api, self._way):
            leave(opened.close)
        urls = self._databases()
        self._tables = Tables(urls)
        leave(self._tables.close)
        self._broker = Broker(self._world.rabbitmq, self._name)
        leave(self._broker.close)
        self._fill()
        (self._place / "map.json").write_text(json.dumps(self._map()))
        threads = [
            threading.Thread(target=self._live, args=(each, Tables(urls)))
            for each in (self._business, self._worker, self._loader)
        ]
        data = self._place / "data"
        daemon = self._stack.enter_context(running(self._place / "map.json", data))

        def end() -> None:
            self._over.set()
            for each in threads:
                each.join()

        leave(end)
        wait_until(lambda: daemon.poll() is not None or self._swept(), 120)
        if daemon.poll() is not None:
            raise RuntimeError((data / "log").read_text(errors="replace")[-2_000:])
        for each in threads:
            each.start()

    def _login(self, system: str) -> str:
        return f"{self._name}_{system}_auditor"

    def _databases(self) -> dict[str, str]:
        urls = {name: f"{self._world.postgresql}/{self._name}_{name}" for name in DATABASES}
        with psycopg.connect(f"{self._world.postgresql}/postgres", autocommit=True) as admin:
            for name in DATABASES:
                admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(f"{self._name}_{name}")))
                admin.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(self._login(name))))
        with contextlib.closing(Tables(urls)) as made:
            for name in DATABASES:
                for table, columns in TABLES.items():
                    stamp = ", updated_at timestamptz" if OWNED[table] == name else ""
                    made.run(name, f"CREATE TABLE {table} ({columns}{stamp})")
                    if stamp:
                        made.run(name, f"CREATE INDEX ON {table} (updated_at)")
            # What the server says of its time follows this table, for everybody who asks it by the usual name.
            made.run("crm", "CREATE TABLE clock_step AS SELECT interval '0' AS step")
            made.run(
                "crm",
                "CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS "
                "'SELECT pg_catalog.clock_timestamp() + step FROM public.clock_step'",
            )
            made.run("crm", f"ALTER DATABASE {self._name}_crm SET search_path = public, pg_catalog")
            for name in DATABASES:
                made.run(name, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {self._login(name)}")
        return urls

    def _fill(self) -> None:
        long_ago = datetime.now(UTC) - timedelta(days=60)
        for key in range(1, RECORDS + 1):
            customer = {
                "id": key,
                "name": f"Customer {key}",
                "email": f"customer{key}@example.com",
                "plan": self._chance.choice(PLANS),
                "credit": Decimal(self._chance.randrange(10_000)) / 100,
                "signed_at": long_ago - timedelta(seconds=self._chance.randrange(10_000_000)),
            }
            amount = Decimal(self._chance.randrange(90_000)) / 100
            invoice = {"id": key, "customer_id": key, "amount": amount, "state": "open"}
            self._marketing[key] = customer
            for table, record in (("customers", customer), ("invoices", invoice)):
                for system in (OWNED[table], *self._copies(table)):
                    if system in DATABASES:
                        self._tables.put(system, table, record)
        for table, owner in OWNED.items():
            self._tables.run(owner, f"UPDATE {table} SET updated_at = now() - interval '1 day'")
            self._tables.run(owner, f"ANALYZE {table}")

    def _copies(self, table: str) -> tuple[str, ...]:
        return ("billing", "warehouse", "marketing", "reports") if table == "customers" else ("warehouse",)

    def _map(self) -> dict[str, Any]:
        budget = {"records_per_s": 20_000, "connections": 4, "timeout": "2s"}

        def database(name: str) -> dict[str, Any]:
            port = self._way.port if name == "billing" else self._world.port
            url = f"postgresql://{self._login(name)}@127.0.0.1:{port}/{self._name}_{name}"
            return {"kind": "sql", "url": url, "zone": "UTC", "budget": budget}

        systems: dict[str, Any] = {name: database(name) for name in DATABASES}
        systems["marketing"] = {"kind": "rest", "url": self._api.url, "budget": budget}
        clear = {"evidence": "clear"}
        fields = {
            "customers": {
                "name": {"type": "string", **clear},
                "email": {"type": "string", **clear},
                "plan": {"type": "enum", **clear},
                "credit": {"type": "decimal", **clear},
                "signed_at": {"type": "timestamp", **clear},
            },
            "invoices": {
                "customer_id": {"type": "integer", **clear},
                "amount": {"type": "decimal", **clear},
                "state": {"type": "enum", **clear},
            },
        }
        bindings: dict[str, dict[str, Any]] = {
            table: {
                system: {
                    "collection": table,
                    "key": "id",
                    **({"changed_at": "updated_at"} if system == owner else {}),
                }
                for system in (owner, *self._copies(table))
            }
            for table, owner in OWNED.items()
        }
        bindings["customers"]["marketing"] |= {
            "records": "$.data[*]",
            "many": "/{collection}?ids={keys}",
            "list": "/{collection}?after={after}&limit={limit}",
        }
        consumers = [
            {"name": "dunning", "role": "automation", "reads": "billing"},
            {"name": "churn model", "role": "decision-system", "reads": "warehouse"},
        ]
        common = {"window": f"{WINDOW_S:g}s", "key_type": "integer"}
        types: dict[str, Any] = {
            "customer": {"owner": "crm", "consumers": consumers, "fields": fields["customers"], **common},
            "invoice": {"owner": "billing", "fields": fields["invoices"], **common},
        }
        types["customer"]["in"], types["invoice"]["in"] = bindings["customers"], bindings["invoices"]
        message = {"kind": "rabbitmq", "url": self._world.rabbitmq, "vhost": self._name, "timeout": "10s"}
        waiting = {**message, "queue": "sync", "role": "main"}
        dead = {
            **message,
            **{"queue": "sync.dead", "role": "dead", "peek": "requeue", "evidence": "clear"},
            **{"key": "$.customer.id", "reason": "$.error"},
        }
        audited = {
            "every": f"{EVERY_S:g}s",
            "sample": RECORDS,
            "alert": {"clear_after": f"{CLEAR_AFTER_S:g}s"},
            "conflict_policy": "source-of-truth-wins",
            "team": "integration",
        }
        customer = {"data_type": "customer", "from": "crm", "pattern": "near-real-time", **audited}
        batch = {"pattern": "batch", "frequency": f"every {BATCH_S:g}s", "window": f"{2 * BATCH_S:g}s"}
        flows: dict[str, Any] = {
            "to_billing": {**customer, "to": "billing", "queues": {"sync": waiting, "dead": dead}},
            "to_warehouse": {**customer, "to": "warehouse", "queues": {"sync": waiting}},
            "invoice_to_warehouse": {
                **{"data_type": "invoice", "from": "billing", "to": "warehouse", "pattern": "near-real-time"},
                **{**audited, "queues": {"sync": waiting}},
            },
            "to_marketing": {**customer, "to": "marketing"},
            "to_reports": {**customer, "to": "reports", **batch},
        }
        at = self.receivers.api.url
        return {
            "version": 1,
            "alerts": {
                "slack": {"webhook": f"{at}/slack"},
                "webhook": {"url": f"{at}/notices"},
                "dashboard": "http://127.0.0.1:8501",
                "hold": f"{HOLD_S:g}s",
            },
            "systems": systems,
            "data_types": types,
            "flows": {name: flows[name] for name in self.flows},
        }

    def _swept(self) -> bool:
        with contextlib.closing(Workspace.at(self._place / "data").ledger()) as ledger:
            return all(ledger.flows.state(flow).watermark.at is not None for flow in self.flows)

    def incidents(self) -> list[dict[str, Any]]:
        """The incidents in the ledger, without those that are part of another one."""
        file = self._place / "data" / "ledger.sqlite"
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as ledger:
            ledger.row_factory = sqlite3.Row
            rows = [dict(row) for row in ledger.execute("SELECT * FROM incidents ORDER BY id")]
        return [row for row in rows if not row.get("merged_into")]

    def told_the_end(self) -> bool:
        """Whether no incident is open, and the end was reported of all that were reported."""
        told = {each.document["incident"] for each in list(self.receivers.notices)}
        ends = [each for each in list(self.receivers.notices) if each.document["transition"] == "resolved"]
        ended = {each.document["incident"] for each in ends}
        return bool(told) and told == ended and all(each["state"] == "resolved" for each in self.incidents())

    # -- what the company does

    def _live(self, deed: Callable[[Tables], Iterator[float]], tables: Tables) -> None:
        try:
            with contextlib.closing(tables):
                for pause_s in deed(tables):
                    if self._over.wait(pause_s):
                        return
        except BaseException as failure:
            self._failures.append(failure)

    def _business(self, tables: Tables) -> Iterator[float]:
        """Customers change, and now and then an invoice is paid."""
        keys = list(range(1, RECORDS + 1))
        self._chance.shuffle(keys)
        for number, key in enumerate(itertools.cycle(keys)):
            yield 1 / EDITS_PER_S
            if number % 5 == 4 and "billing" not in self.down:
                tables.run(
                    "billing", "UPDATE invoices SET amount = amount + 1, updated_at = now() WHERE id = %s", [key]
                )
                self._broker.publish("sync", {"table": "invoices", "key": key})
                continue
            address = f"customer{key}@" + ("" if self.bad_addresses and number % 2 else "example.com")
            tables.run(
                "crm",
                "UPDATE customers SET credit = credit + 1, email = %s, updated_at = public.clock_timestamp() "
                "WHERE id = %s",
                [address, key],
            )
            self._broker.publish("sync", {"table": "customers", "key": key})

    def _worker(self, tables: Tables) -> Iterator[float]:
        """Every message is carried to all systems that hold the record."""
        while True:
            self._flush(tables)
            if self.stopped:
                yield 0.2
                continue
            jobs = self._broker.take("sync", 10 if self.per_s is None else 1)
            for job in jobs:
                self._carry(tables, job["table"], job["key"])
            yield 0.1 if self.per_s is None else 1 / self.per_s

    def _carry(self, tables: Tables, table: str, key: int) -> None:
        record = tables.record(table, key)
        for system in self._copies(table):
            if system == "reports":
                continue
            if system == "billing" and record["email"].endswith("@"):
                letter = {"customer": {"id": key}, "error": "422 from billing: email is not valid"}
                self._broker.publish("sync.dead", letter)
                continue
            spoiled = self.spoil(system, dict(record))
            if spoiled is not None:
                self._parked.setdefault(system, deque()).append((table, spoiled))
        self._flush(tables)

    def _flush(self, tables: Tables) -> None:
        for system, parked in self._parked.items():
            while parked and system not in self.down:
                table, record = parked.popleft()
                if system == "marketing":
                    self._marketing[record["id"]] = record
                else:
                    tables.put(system, table, record)

    def _loader(self, tables: Tables) -> Iterator[float]:
        """Every batch brings what has changed since the last one."""
        done_at = datetime.now(UTC) - timedelta(hours=1)
        while True:
            yield BATCH_S
            statement = "SELECT id, updated_at FROM customers WHERE updated_at > %s ORDER BY id"
            changed = tables.run("crm", statement, [done_at])
            loaded = changed[: len(changed) // 2] if self.halfway else changed
            self.halfway = False
            for key, _ in loaded:
                tables.put("reports", "customers", tables.record("customers", key))
            done_at = max((at for _, at in changed), default=done_at)

    def _serve_marketing(self, request: Request) -> Any:
        left_s = self._quota_until_s - time.monotonic()
        if left_s > 0:
            refusal = {"error": "daily request quota exceeded"}
            return Response(document=refusal, status=429, headers={"Retry-After": str(int(left_s) + 1)})
        self.down.discard("marketing")
        records = dict(self._marketing)
        if "ids" in request.values:
            keys = [int(each) for each in request.values["ids"].split(",")]
        else:
            after, limit = int(request.values.get("after") or 0), int(request.values.get("limit") or 1)
            keys = [key for key in sorted(records) if key > after][:limit]
        return {"data": [_json(records[key]) for key in keys if key in records]}


def _json(record: Record) -> Record:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in record.items()} | {
        "credit": str(record["credit"])
    }

"""Stops of `auditor run` under load, at any instant, whatever of its systems, brokers, receivers and ledger hangs.

Chains of stops run side by side, each on a ledger of its own that every next daemon of the chain goes on with. New
records are written and delivered all the time, also while no daemon runs. At the end every record that came after the
first audit must be known to each flow whose systems can be read, and no change may be there twice.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa

from auditor.ledger import Ledger
from auditor.ledger import tables as t
from auditor.workspace import Workspace
from benchmarks import brokers, flights
from benchmarks.report import arguments, emit, percentile, say, wait_until
from tests import servers
from tests.daemons import Deaf, running, stopped_after
from tests.http_api import Api, Request, Response
from tests.probes.queues.test_anypoint_mq import Platform
from tests.probes.queues.test_service_bus import Namespace
from tests.proxy import Mode, Proxy

STOPS = 200
CHAINS = 4
WITHIN_S = 10.0
GIVE_UP_S = 30.0
WRITES_PER_S = 10.0

MODES: tuple[Mode, ...] = ("pass", "pass", "swallow", "swallow", "drip", "reset", "garbage")
HEALTHY = ("copy", "maria", "api")
COLUMNS = "(id integer PRIMARY KEY, name text, updated_at text)"

SITUATIONS = {
    "under load": 8,
    "SIGINT": 2,
    "while it reloads": 2,
    "several signals": 2,
    "while it starts": 3,
    "the ledger hangs": 3,
    "the ledger hangs from the start": 1,
}
"""What is done, and how often among the sum of these."""


def _catches_sigterm(pid: int) -> bool:
    """Whether a process has a handler for SIGTERM. Source: proc_pid_status(5), `SigCgt`."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


class Records:
    """What the owner and every healthy copy hold; a record is written once and delivered at once."""

    def __init__(self, place: Path, postgresql: str, mariadb: str) -> None:
        self.keys: list[int] = []
        self._stamps: dict[int, str] = {}
        self._place = place
        self._owner = psycopg.connect(postgresql, autocommit=True)
        self._owner.execute("CREATE TABLE things (id integer PRIMARY KEY, name text, updated_at timestamptz)")
        self._owner.execute("CREATE INDEX ON things (updated_at)")
        self._owner.execute("CREATE TABLE copies (id integer PRIMARY KEY, name text)")
        self._copy = sqlite3.connect(place / "copy.sqlite", timeout=60, check_same_thread=False)
        self._copy.execute(f"CREATE TABLE things {COLUMNS}")
        self._maria = flights.target(mariadb)
        self._maria.cursor().execute("CREATE TABLE things (id integer PRIMARY KEY, name varchar(20))")
        self._maria.commit()
        self._over = threading.Event()
        self._writer = threading.Thread(target=self._write, daemon=True)
        for key in range(1, 51):
            self.put(key)

    def put(self, key: int) -> None:
        name = f"name {key}"
        at = datetime.now(UTC)
        with self._copy:
            self._copy.execute("INSERT INTO things VALUES (?, ?, '')", (key, name))
        self._maria.cursor().execute("INSERT INTO things VALUES (%s, %s)", (key, name))
        self._maria.commit()
        self._stamps[key] = at.isoformat()
        self._owner.execute("INSERT INTO copies VALUES (%s, %s)", (key, name))
        self._owner.execute("INSERT INTO things VALUES (%s, %s, %s)", (key, name, datetime.now(UTC)))
        self.keys.append(key)

    def start(self) -> None:
        self._writer.start()

    def _write(self) -> None:
        while not self._over.wait(1 / WRITES_PER_S):
            self.put(len(self.keys) + 1)

    def stop(self) -> None:
        self._over.set()
        self._writer.join()

    def answer(self, request: Request) -> Any:
        """The API that holds copies."""
        asked = request.values
        if "ids" in asked:
            keys = [int(each) for each in asked["ids"].split(",") if int(each) in self._stamps]
        else:
            after, limit = int(asked.get("after") or 0), int(asked.get("limit") or 100)
            keys = [key for key in self.keys if key > after][:limit]
        return {"data": [{"id": key, "name": f"name {key}"} for key in keys]}

    def slowly(self, request: Request) -> Any:
        time.sleep(1.5)
        return self.answer(request)

    def dripping(self, request: Request) -> Response:
        def drip() -> Iterator[bytes]:
            for each in json.dumps(self.answer(request)):
                time.sleep(0.2)
                yield each.encode()

        return Response(document=drip())


class Chain:
    """One ledger, and what its daemons read through proxies of its own.

    Attributes:
        took: by situation, how long each stop took.
    """

    def __init__(self, number: int, place: Path, stack: ExitStack, world: World, chance: random.Random) -> None:
        self.number, self._chance, self._world = number, chance, world
        self.data = place / f"var{number}"
        self.data.mkdir(mode=0o700)
        self.on_postgresql = number % 2 == 1
        self._proxies: list[Proxy] = []
        self.took: dict[str, list[float]] = defaultdict(list)
        self.ends: Counter[int | None] = Counter()
        self._environment = {"AUDITOR_DIGEST_KEY": "k" * 32}
        self.ledger_url: str | None = None
        if self.on_postgresql:
            with psycopg.connect(f"{world.postgresql}/postgres", autocommit=True) as admin:
                admin.execute(f"CREATE DATABASE ledger{number}")
            self.ledger_url = f"{world.postgresql}/ledger{number}"
            self._way = Proxy(int(world.postgresql.rpartition(":")[2]))
            stack.callback(self._way.close)
            at = f"postgresql://postgres@127.0.0.1:{self._way.port}/ledger{number}"
            self._environment["AUDITOR_LEDGER"] = at
        self.map_file = place / f"map{number}.yaml"
        self.map_file.write_text(self._map(stack))

    def _through(self, stack: ExitStack, port: int) -> int:
        proxy = Proxy(port)
        stack.callback(proxy.close)
        self._proxies.append(proxy)
        return proxy.port

    def _map(self, stack: ExitStack) -> str:
        """Healthy flows, the same over ways that break, and every kind of queue over such a way."""
        world = self._world
        patient, short = {"timeout": "60s"}, {"timeout": "20s"}
        maria = sa.make_url(world.mariadb).set(database="things")
        broken_maria = maria.set(port=self._through(stack, maria.port or 3306))
        port = self._through(stack, int(world.postgresql.rpartition(":")[2]))
        systems: dict[str, Any] = {
            "owner": {"kind": "sql", "url": f"{world.postgresql}/things", "budget": {**patient, "connections": 8}},
            "copy": {"kind": "sql", "url": f"sqlite:///{world.place}/copy.sqlite", "budget": patient},
            "maria": {"kind": "sql", "url": maria.render_as_string(hide_password=False), "budget": patient},
            "api": {"kind": "rest", "url": world.api.url, "budget": patient},
            "far_postgresql": {"kind": "sql", "url": f"postgresql://postgres@127.0.0.1:{port}/things"},
            "far_maria": {"kind": "sql", "url": broken_maria.render_as_string(hide_password=False)},
            "far_api": {"kind": "rest", "url": f"http://127.0.0.1:{self._through(stack, world.api.port)}"},
            "slow_api": {"kind": "rest", "url": world.slow.url},
            "dripping_api": {"kind": "rest", "url": world.drip.url},
            "deaf_api": {"kind": "rest", "url": f"http://127.0.0.1:{world.deaf.port}"},
        }
        for system in systems.values():
            system.setdefault("budget", short)
            system["zone"] = "UTC"
        bindings: dict[str, Any] = {name: {"collection": "things", "key": "id"} for name in systems}
        bindings["owner"]["changed_at"] = "updated_at"
        bindings["far_postgresql"]["collection"] = "copies"
        for name, system in systems.items():
            if system["kind"] == "rest":
                many, listed = "/{collection}?ids={keys}", "/{collection}?after={after}&limit={limit}"
                bindings[name] |= {"records": "$.data[*]", "many": many, "list": listed}
        words = {"data_type": "thing", "from": "owner", "pattern": "real-time", "every": "500ms"}
        flows: dict[str, Any] = {
            f"to_{name}_{at}": {**words, "to": name} for name in HEALTHY for at in range(world.flows_each)
        }
        flows |= {f"to_{name}": {**words, "to": name} for name in systems if name not in {"owner", *HEALTHY}}
        for at, queue in enumerate(world.queues):
            settings = queue(lambda port: self._through(stack, port))
            patience = {} if settings["kind"] == "sql_queue" else {"timeout": "20s"}
            named = {"role": "dead", **patience, **settings}
            flows[f"to_copy_{at % world.flows_each}"].setdefault("queues", {})[named["kind"]] = named
        owner = {"owner": "owner", "window": "2s", "key_type": "integer", "fields": {"name": {"type": "string"}}}
        receivers = {"webhook": {"url": f"http://127.0.0.1:{world.deaf.port}/x"}, "slack": {"webhook": world.ok.url}}
        whole = {"systems": systems, "data_types": {"thing": {**owner, "in": bindings}}, "flows": flows}
        return json.dumps({**whole, "alerts": receivers})

    def ledger(self) -> Ledger:
        """Its ledger, past the way that breaks."""
        return Workspace.at(self.data, ledger_url=self.ledger_url).ledger()

    @contextmanager
    def _hanging_ledger(self) -> Iterator[None]:
        if self.on_postgresql:
            self._way.mode = "swallow"
            yield
            self._way.mode = "pass"
            return
        holder = sqlite3.connect(self.data / "ledger.sqlite", timeout=60, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        yield
        holder.execute("ROLLBACK")
        holder.close()

    def stop_once(self, situation: str) -> None:
        """Start a daemon, break some of its ways, and stop it."""
        chance = self._chance
        before = self._runs() if "start" not in situation else 0
        with ExitStack() as hung:
            if situation == "the ledger hangs from the start":
                hung.enter_context(self._hanging_ledger())
            with running(self.map_file, self.data, environment=self._environment) as daemon:
                if "start" in situation:
                    # Before that, the interpreter is starting, and any signal ends it with the signal's own code.
                    wait_until(lambda: _catches_sigterm(daemon.pid), 120)
                    time.sleep(chance.uniform(0, 6))
                else:
                    wait_until(lambda: self._runs() > before + 6, 120)
                    for proxy in self._proxies:
                        proxy.mode = chance.choice(MODES)
                    time.sleep(chance.uniform(0, 3))
                if situation == "the ledger hangs":
                    hung.enter_context(self._hanging_ledger())
                how = getattr(signal, situation) if situation.startswith("SIG") else signal.SIGTERM
                if situation == "while it reloads":
                    daemon.send_signal(signal.SIGHUP)
                    time.sleep(chance.uniform(0, 1))
                if situation == "several signals":
                    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                        daemon.send_signal(each)
                took_s = stopped_after(daemon, GIVE_UP_S, how)
                self.ends[daemon.poll()] += 1
        for proxy in self._proxies:
            proxy.mode = "pass"
        self.took[situation].append(took_s)
        say(f"chain {self.number}: {situation}: {took_s:.2f} s")

    def begin(self) -> None:
        """Audit every record once, so that what comes from now on is a change."""
        with running(self.map_file, self.data, environment=self._environment) as daemon:
            whole = len(HEALTHY) * self._world.flows_each
            wait_until(lambda: daemon.poll() is not None or self._swept() == whole, 180)
            if daemon.poll() is not None:
                raise RuntimeError((self.data / "log").read_text(errors="replace")[-2_000:])
            stopped_after(daemon, GIVE_UP_S)

    def catch_up(self, keys: list[int]) -> None:
        """Let a last daemon find what was written before."""
        with running(self.map_file, self.data, environment=self._environment) as daemon:
            wait_until(lambda: self.counted(keys)[0] == 0, 180)
            stopped_after(daemon, GIVE_UP_S)

    def _runs(self) -> int:
        with contextlib.closing(self.ledger()) as ledger:
            return len(ledger.exports.snapshot({"probe_runs": 0}, files_since=0)[0]["probe_runs"])

    def _swept(self) -> int:
        with contextlib.closing(self.ledger()) as ledger:
            flows = [f"to_{name}_{at}" for name in HEALTHY for at in range(self._world.flows_each)]
            return sum(ledger.flows.state(flow).watermark.at is not None for flow in flows)

    def rows(self, source: str) -> list[dict[str, Any]]:
        """What its ledger holds in a table."""
        with contextlib.closing(self.ledger()) as ledger:
            found, _ = ledger.exports.snapshot({source: 0}, files_since=0)
            names = [name for name, _ in ledger.exports.columns(source)]
            return [dict(zip(names, row, strict=True)) for row in found[source]]

    def counted(self, keys: list[int]) -> tuple[int, int]:
        """How many of these keys a healthy flow knows nothing of, and how many changes it has twice.

        A record that was delivered before it was first seen agreed at first sight: it has a baseline and no change.
        """
        found = Counter((row["flow"], int(row["key"])) for row in self.rows("changes"))
        with contextlib.closing(self.ledger()) as ledger, ledger.database.read() as connection:
            agreed = {(row.flow, int(row.key)) for row in connection.execute(sa.select(t.baselines))}
        flows = [f"to_{name}_{at}" for name in HEALTHY for at in range(self._world.flows_each)]
        missing = sum(not found[flow, key] and (flow, key) not in agreed for flow in flows for key in keys)
        twice = sum(found[flow, key] > 1 for flow in flows for key in keys)
        return missing, twice

    def damaged(self) -> int:
        """Whether its file is damaged."""
        if self.on_postgresql:
            return 0
        with contextlib.closing(sqlite3.connect(self.data / "ledger.sqlite")) as file:
            return int(file.execute("PRAGMA integrity_check").fetchall() != [("ok",)])


class World:
    """The servers that all chains share."""

    def __init__(self, stack: ExitStack, place: Path, *, quick: bool) -> None:
        self.place = place
        self.flows_each = 2 if quick else 4
        self.postgresql = stack.enter_context(servers.postgresql())
        self.mariadb = stack.enter_context(servers.mariadb())
        with psycopg.connect(f"{self.postgresql}/postgres", autocommit=True) as admin:
            admin.execute("CREATE DATABASE things")
        with flights.target(f"{self.mariadb}/mysql") as admin_target:
            admin_target.cursor().execute("CREATE DATABASE things CHARACTER SET utf8mb4")
        self.records = Records(place, f"{self.postgresql}/things", f"{self.mariadb}/things")
        self.api, self.slow = Api(self.records.answer), Api(self.records.slowly)
        self.drip, self.ok = Api(self.records.dripping), Api(lambda _: "ok")
        self.deaf = Deaf()
        for each in (self.api, self.slow, self.drip, self.ok, self.deaf):
            stack.callback(each.close)
        self.queues = list(_queues(stack, place, self.postgresql, quick=quick))


def _queues(
    stack: ExitStack, place: Path, postgresql: str, *, quick: bool
) -> Iterator[Callable[[Callable[[int], int]], dict[str, Any]]]:
    """For every kind of broker what makes the settings of a queue in it, told how a port is reached."""
    made: list[brokers.Broker] = [
        brokers.Redis(stack.enter_context(servers.redis())),
        brokers.Nats(stack.enter_context(servers.nats())),
    ]
    if not quick:
        made += [
            brokers.RabbitMq(stack.enter_context(servers.rabbitmq()), "requeue"),
            brokers.Kafka(stack.enter_context(servers.kafka())),
        ]
        if (sqs := stack.enter_context(servers.elasticmq())) is not None:
            made.append(brokers.Sqs(sqs, "receive"))
        if (pubsub := stack.enter_context(servers.pubsub())) is not None:
            made.append(brokers.PubSub(pubsub))
    for broker in made:
        letters = [brokers.Failure(at, str(at), 1, "no", time.time()) for at in range(300)]
        broker.give_up_on(letters)
        yield lambda way, broker=broker: _over(broker.settings(), way)  # type: ignore[misc]
    with psycopg.connect(f"{postgresql}/things", autocommit=True) as database:
        database.execute("CREATE TABLE failed (id bigint PRIMARY KEY, record text, failed_at timestamptz)")
        database.execute("INSERT INTO failed SELECT i, i::text, now() FROM generate_series(1, 300) i")
    table = {
        "kind": "sql_queue",
        "system": "far_postgresql",
        "table": "failed",
        "key": "record",
        "since": "failed_at",
    }
    yield lambda _: dict(table)
    platform = Platform()
    platform.put(*("{}" for _ in range(50)))
    names = {name: "x" for name in ("region", "client_id")}
    where = {"organization": "acme", "environment": "prod", "queue": "dead", "peek": "lock", "client_secret": "s" * 9}
    at = f"http://127.0.0.1:{platform.port}"
    yield lambda way: _over({"kind": "anypoint_mq", **names, **where, "url": at, "broker_url": at}, way)
    namespace = Namespace(place)
    stack.callback(namespace.close)
    namespace.active["orders"] = 3
    namespace.give_up_on("orders", *("{}" for _ in range(50)))
    with contextlib.suppress(Exception):  # where the system's Python has no Proton, only its management answers
        peer = namespace.peer()
        signed = "SharedAccessKeyName=looker;SharedAccessKey=c2VjcmV0LWtleQ==;UseDevelopmentEmulator=true"
        words = {"kind": "service_bus", "queue": "orders", "management": namespace.management}
        yield lambda way: {**words, "connection": f"Endpoint=sb://127.0.0.1:{way(peer)};{signed}"}


def _over(settings: dict[str, Any], way: Callable[[int], int]) -> dict[str, Any]:
    """The same queue, reached over other ports."""
    ways: dict[int, int] = {}
    told = dict(settings)
    for name in ("url", "servers", "endpoint", "broker_url", "queue_url"):
        address = told.get(name)
        if not isinstance(address, str):
            continue
        port = int(address.rpartition("@")[2].removeprefix("http://").partition("/")[0].rpartition(":")[2])
        ways.setdefault(port, way(port) if port not in ways else 0)
        told[name] = address.replace(f":{port}", f":{ways[port]}")
    return told


@contextmanager
def _busy_cores() -> Iterator[None]:
    """Every core has something else to do, too."""
    burning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for each in burning:
            each.kill()
            each.wait()


def _tracebacks(log: str) -> list[str]:
    """The tracebacks of a log, each with the line before it."""
    return re.findall(r"(?:.*\n)?.*Traceback.*\n(?:[ \t].*\n|\n)*.*", log)


def main() -> int:
    """Run the benchmark."""
    asked = arguments(__doc__)
    chains_wanted, stops = (2, 6) if asked.quick else (CHAINS, STOPS)
    bag = [situation for situation, often in SITUATIONS.items() for _ in range(often)]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        place = Path(folder)
        place.chmod(0o755)
        world = World(stack, place, quick=asked.quick)
        chains = [
            Chain(number, place, stack, world, random.Random(asked.seed * 100 + number))
            for number in range(chains_wanted)
        ]
        _side_by_side([chain.begin for chain in chains])
        first = len(world.records.keys) + 1
        world.records.start()

        def go(chain: Chain) -> None:
            chance = random.Random(asked.seed * 100 + 50 + chain.number)
            order: list[str] = []
            for _ in range(stops // chains_wanted):
                order = order or chance.sample(bag, len(bag))
                chain.stop_once(order.pop())

        with _busy_cores():
            _side_by_side([lambda chain=chain: go(chain) for chain in chains])  # type: ignore[misc]
        world.records.stop()
        keys = [key for key in world.records.keys if key >= first]
        _side_by_side([lambda chain=chain: chain.catch_up(keys) for chain in chains])  # type: ignore[misc]
        return 0 if _report(chains, keys, quick=asked.quick) else 1


def _side_by_side(calls: list[Callable[[], None]]) -> None:
    with ThreadPoolExecutor(len(calls)) as pool:
        for each in [pool.submit(call) for call in calls]:
            each.result()


def _report(chains: list[Chain], keys: list[int], *, quick: bool) -> bool:
    good = True
    every: list[float] = []
    for kind, chosen in (("SQLite", False), ("PostgreSQL", True)):
        took = [s for chain in chains if chain.on_postgresql is chosen for each in chain.took.values() for s in each]
        every += took
        _told(f"ledger on {kind}", took, quick=quick)
    for situation in SITUATIONS:
        took = [s for chain in chains for s in chain.took.get(situation, ())]
        if took:
            _told(situation, took, quick=quick)
    late = sum(each > WITHIN_S for each in every)
    n = len(every)
    good &= emit("stops", "over_10_s", late, "stops", goal="= 0", n=n, quick=quick)
    _told("all", every, quick=quick)
    ends = sum((chain.ends for chain in chains), Counter())
    codes = {str(code): count for code, count in ends.items() if code != 0}
    otherwise = sum(codes.values())
    good &= emit(
        "stops", "ended_otherwise_than_with_0", otherwise, "stops", goal="= 0", n=n, quick=quick, codes=codes
    )
    tracebacks = [each for chain in chains for each in _tracebacks((chain.data / "log").read_text(errors="replace"))]
    for each in tracebacks:
        print(each, file=sys.stderr)
    good &= emit("stops", "tracebacks_in_logs", len(tracebacks), "tracebacks", goal="= 0", n=n, quick=quick)
    healthy = {"to_copy_", "to_maria_", "to_api_"}
    wrong = [
        row["message"]
        for chain in chains
        for row in chain.rows("probe_runs")
        if row["reason"] and any(str(row["flow"]).startswith(each) for each in healthy)
    ]
    for each in wrong[:5]:
        say(f"a failure that is none: {each}")
    good &= emit("stops", "failures_that_are_none", len(wrong), "audits", goal="= 0", n=n, quick=quick)
    counted = [chain.counted(keys) for chain in chains]
    sought = len(keys) * len(chains) * len(HEALTHY) * chains[0]._world.flows_each
    missing, twice = (sum(each[at] for each in counted) for at in (0, 1))
    good &= emit("stops", "records_missing", missing, "records", goal="= 0", n=sought, quick=quick)
    good &= emit("stops", "changes_twice", twice, "changes", goal="= 0", n=sought, quick=quick)
    damaged = sum(chain.damaged() for chain in chains)
    good &= emit("stops", "ledgers_damaged", damaged, "ledgers", goal="= 0", n=len(chains), quick=quick)
    return good


def _told(what: str, took: list[float], *, quick: bool) -> None:
    spread = (min(took), max(took))
    name = what.replace(" ", "_")
    emit("stops", f"p95_{name}", percentile(took, 0.95), "s", n=len(took), spread=spread, quick=quick)
    emit("stops", f"max_{name}", max(took), "s", goal=f"<= {WITHIN_S:g}", n=len(took), spread=spread, quick=quick)


if __name__ == "__main__":
    sys.exit(main())

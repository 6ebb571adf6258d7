"""The company's stores as real servers: documents in MongoDB, the warehouse in PostgreSQL, the bus in Redis.

The other systems are APIs of vendors, and stay what they are. Nothing is touched but a database, a schema and keys
called `plumbline_demo`, which are made anew when the company is founded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from demo.stores import LOADED, STAMP, Job, Row, StoreError, Tables, Writer

NAME = "plumbline_demo"
"""The database in MongoDB, the schema in PostgreSQL, and the beginning of each key in Redis."""

VARIABLES = {"documents": "DEMO_DOCUMENTS", "warehouse": "DEMO_WAREHOUSE", "bus": "DEMO_BUS"}
"""By system, the variable with its address."""

ROUTES = (
    *((target, "customer") for target in ("billing", "marketing", "documents", "messaging", "warehouse")),
    ("messaging", "welcome"),
    ("warehouse", "invoice"),
    ("warehouse", "payment"),
)
"""The targets and entities whose streams are there from the beginning."""

SERVERS = {"documents": "MongoDB", "warehouse": "PostgreSQL", "bus": "Redis"}
TIMEOUT_S = 5

TABLES = f"""
    DROP SCHEMA IF EXISTS {NAME} CASCADE;
    CREATE SCHEMA {NAME};
    CREATE TABLE {NAME}.dim_customer (customer_id text PRIMARY KEY, full_name text, email text, plan text, status
        text, signed_at timestamp, loaded_at timestamp NOT NULL);
    CREATE TABLE {NAME}.fact_invoice (invoice_id text PRIMARY KEY, customer_id text, amount numeric(12, 2),
        currency text, state text, loaded_at timestamp NOT NULL);
    CREATE TABLE {NAME}.fact_payment (payment_id text PRIMARY KEY, invoice_id text, amount numeric(12, 2),
        currency text, loaded_at timestamp NOT NULL);
    CREATE INDEX ON {NAME}.dim_customer (loaded_at);
    CREATE INDEX ON {NAME}.fact_invoice (loaded_at);
    CREATE INDEX ON {NAME}.fact_payment (loaded_at);"""


class Engines:
    """The three servers; connections are made when they are needed, and again when one was lost.

    Args:
        addresses: by system, see `VARIABLES`.

    Raises:
        StoreError: an address or a driver is missing.
    """

    systems = frozenset({"documents", "warehouse"})
    """The copies that are kept in them."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        missing = [variable for system, variable in VARIABLES.items() if not addresses.get(system)]
        if missing:
            raise StoreError(f"{', '.join(missing)} not set: the addresses of {', '.join(SERVERS.values())}")
        try:
            import psycopg
            import pymongo
            import redis
        except ModuleNotFoundError as error:
            raise StoreError(
                f"{error.name} is not installed: pip install 'plumbline-auditor[mongodb,postgresql,redis]'"
            ) from error
        self._addresses = addresses
        self._psycopg, self._pymongo, self._redis = psycopg, pymongo, redis
        try:
            self._bus: Any = redis.Redis.from_url(
                addresses["bus"], socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
            )
        except ValueError as error:
            raise _of("bus", addresses["bus"], error) from None
        with self._named("documents"):
            self._documents: Any = pymongo.MongoClient(
                addresses["documents"], serverSelectionTimeoutMS=TIMEOUT_S * 1000
            )
        self.queue = Streams(self._bus, lambda: self._named("bus"))

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Engines:
        """Those that an environment names."""
        return cls({system: environment.get(variable, "") for system, variable in VARIABLES.items()})

    def founded(self) -> str:
        """Which company these servers belong to; "" if none."""
        with self._named("bus"):
            return (self._bus.get(f"{NAME}:founded") or b"").decode()

    @contextmanager
    def founding(self, company: str) -> Iterator[None]:
        """Make everything anew; once the caller has filled it, it belongs to this company."""
        with self._named("bus"):
            for key in self._bus.scan_iter(f"{NAME}:*"):
                self._bus.delete(key)
        with self._named("documents"):
            self._documents.drop_database(NAME)
            self._documents[NAME].accounts.create_index("meta.updated_at")
        with self._named("warehouse"), self._connect() as connection:
            connection.execute(TABLES)
        with self._named("bus"):
            self.queue.make(ROUTES)
        yield
        with self._named("bus"):
            self._bus.set(f"{NAME}:founded", company)

    @contextmanager
    def writer(self, target: str) -> Iterator[Writer]:
        """A transaction in a copy; MongoDB writes each document at once.

        Raises:
            StoreError: its server cannot be used.
        """
        with self._named(target):
            if target == "documents":
                yield Documents(self._documents[NAME].accounts)
            else:
                with self._connect() as connection:
                    yield Tables(connection, LOADED, "%s")

    def _connect(self) -> Any:
        return self._psycopg.connect(
            self._addresses["warehouse"], connect_timeout=TIMEOUT_S, options=f"-c search_path={NAME}"
        )

    @contextmanager
    def _named(self, system: str) -> Iterator[None]:
        """Say which server an error is of, without the login."""
        try:
            yield
        except (self._psycopg.Error, self._pymongo.errors.PyMongoError, self._redis.RedisError) as error:
            raise _of(system, self._addresses[system], error) from None


class Documents:
    """The customers in MongoDB, a document for each."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection

    def put(self, entity: str, row: Row) -> None:
        assert entity == "customer"
        key, name, email, plan, status, _, updated_at = row
        document = {
            "_id": key,
            "profile": {"name": name, "email": email},
            "account": {"plan": plan, "status": status},
            "meta": {"updated_at": datetime.strptime(updated_at, STAMP).replace(tzinfo=UTC)},
        }
        self._collection.replace_one({"_id": key}, document, upsert=True)

    def holds(self, entity: str, key: str) -> bool:
        assert entity == "customer"
        return self._collection.find_one({"_id": key}) is not None

    def delete(self, entity: str, key: str) -> None:
        assert entity == "customer"
        self._collection.delete_one({"_id": key})


class Streams:
    """The queue in Redis: for each target and entity a stream of jobs and one of dead letters.

    What cannot be put or discarded at the moment is remembered and done later.

    Args:
        client: of redis-py.
        named: a context that names the server in errors.
    """

    def __init__(self, client: Any, named: Callable[[], AbstractContextManager[None]]) -> None:
        self._client = client
        self._named = named
        self._unsent: deque[tuple[str, str, str, str]] = deque()
        self._discards = False

    def make(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Make the empty streams of these targets and entities."""
        for target, entity in pairs:
            for name in (_waiting(target, entity), _dead(target, entity)):
                place = self._client.xadd(name, {"key": ""})
                self._client.xdel(name, place)
            self._client.sadd(f"{NAME}:streams", f"{target}:{entity}")

    def put(self, jobs: Sequence[tuple[str, str, str, str]]) -> None:
        self._unsent.extend(jobs)
        with suppress(StoreError):
            self._catch_up()

    def _catch_up(self) -> None:
        """Do what could not be done before."""
        with self._named():
            if self._discards:
                for each in self._client.smembers(f"{NAME}:streams"):
                    self._client.xtrim(_dead(*each.decode().split(":")), maxlen=0)
                self._discards = False
            while self._unsent:
                target, entity, key, payload = self._unsent[0]
                number = self._client.incr(f"{NAME}:jobs")
                self._client.sadd(f"{NAME}:streams", f"{target}:{entity}")
                self._client.xadd(_waiting(target, entity), {"number": number, "key": key, "payload": payload})
                self._unsent.popleft()

    def waiting(self, limit: int) -> list[Job]:
        self._catch_up()
        with self._named():
            pairs = [each.decode().split(":") for each in sorted(self._client.smembers(f"{NAME}:streams"))]
            read = self._client.pipeline(transaction=False)
            for target, entity in pairs:
                read.xrange(_waiting(target, entity), count=limit)
            found = [
                (
                    int(fields[b"number"]),
                    Job(place, pair[0], pair[1], fields[b"key"].decode(), fields[b"payload"].decode()),
                )
                for pair, entries in zip(pairs, read.execute(), strict=True)
                for place, fields in entries
            ]
        return [job for _, job in sorted(found, key=itemgetter(0))[:limit]]

    def settle(self, done: Sequence[Job], refused: Sequence[tuple[Job, str]], tries: int) -> None:
        with self._named():
            all_at_once = self._client.pipeline()
            for job, error in refused:
                letter = {"key": job.key, "payload": job.payload, "error": error, "attempts": tries}
                all_at_once.xadd(_dead(job.target, job.entity), letter)
            for job in done:
                all_at_once.xdel(_waiting(job.target, job.entity), job.place)
            all_at_once.execute()

    def discard(self) -> None:
        self._discards = True
        with suppress(StoreError):
            self._catch_up()


def _waiting(target: str, entity: str) -> str:
    return f"{NAME}:waiting:{target}:{entity}"


def _dead(target: str, entity: str) -> str:
    return f"{NAME}:dead:{target}:{entity}"


def _of(system: str, address: str, error: Exception) -> StoreError:
    before, _, after = address.rpartition("@")
    login, place = before.rpartition("//")[2], after.rpartition("//")[2]
    said = (str(error).splitlines() or [type(error).__name__])[0]
    said = said.replace(login, "…") if login else said  # drivers quote an address that they cannot parse
    return StoreError(f"{VARIABLES[system]}, {SERVERS[system]} at {place}: {said}")

"""Dead letters at scale, on each broker: depth, age, joining to records, and that looking changes nothing there.

Ten thousand letters of twenty reasons are written while the auditor looks; records that fail again and again and
letters that succeed later are mixed in. Then the queue is left quiet, and what the ledger knows is held against what
was written. RabbitMQ, NATS, Redis, Kafka and PostgreSQL are the servers themselves, ElasticMQ speaks the protocol of
SQS, pstest is Google's own fake of Pub/Sub, which has no counts.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import resource
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import botocore.client
import confluent_kafka
import confluent_kafka.admin
import grpc
import httpx
import nats as nats_client
import nats.aio.client
import redis as redis_client
import sqlalchemy as sa
from google import pubsub_v1
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from auditor.lap import LETTERS_FOLLOWED
from auditor.ledger import Ledger
from auditor.ledger import tables as t
from auditor.lens import Lens
from auditor.letters import letters as letters_of
from auditor.map_file import load_map
from auditor.queue_audit import QueueAuditor
from benchmarks.report import emit
from checks.letters import Prospect
from probes import registry
from probes.queues.kafka import KafkaSettings
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


@dataclass(frozen=True, slots=True)
class Failure:
    """A letter as it was written."""

    number: int
    key: str
    reason: int
    text: str
    at: float

    @property
    def body(self) -> str:
        return json.dumps({"number": self.number, "customer": {"id": self.key}, "error": self.text})


class Broker:
    """A queue of dead letters in one broker, as the pipeline and the measurement see it.

    Attributes:
        allows_age: the broker lets the age of the oldest letter be told without touching one.
    """

    name = ""
    allows_age = True
    allows_depth = True
    looks = True

    def settings(self) -> dict[str, Any]:
        """The queue in the map."""
        raise NotImplementedError

    def give_up_on(self, failures: Sequence[Failure]) -> None:
        """Write letters."""
        raise NotImplementedError

    def recover(self, count: int) -> list[int]:
        """Take out the oldest letters, as a consumer that sends them again does; answers their numbers."""
        raise NotImplementedError

    def counters(self) -> Any:
        """What a look must leave as it was."""
        raise NotImplementedError

    def requests(self) -> int:
        """Requests the auditor has sent so far."""
        raise NotImplementedError

    def close(self) -> None:
        """Release what this side holds."""


class Redis(Broker):
    name = "redis"

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = redis_client.Redis.from_url(url)
        self._mine = 0

    def settings(self) -> dict[str, Any]:
        words = {"kind": "redis", "url": self._url, "name": "letters"}
        return {**words, "key": "$.customer.id", "reason": "$.error"}

    def give_up_on(self, failures: Sequence[Failure]) -> None:
        pipe = self._client.pipeline(transaction=False)
        for each in failures:
            pipe.xadd("letters", {"payload": each.body})
        pipe.execute()

    def recover(self, count: int) -> list[int]:
        found: Any = self._client.xrange("letters", count=count)
        self._client.xdel("letters", *(identity for identity, _ in found))
        return [json.loads(fields[b"payload"])["number"] for _, fields in found]

    def counters(self) -> Any:
        told: Any = self._client.info("commandstats")
        writes = {name: each["calls"] for name, each in told.items() if name in {"cmdstat_xadd", "cmdstat_xdel"}}
        return (
            writes,
            self._client.xlen("letters"),
            sorted(name for name in told if "xgroup" in name or "ack" in name),
        )

    def requests(self) -> int:
        told: Any = self._client.info("stats")
        self._mine += 1
        return int(told["total_commands_processed"]) - self._mine


class Nats(Broker):
    name = "nats"

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._js = self._run(self._open())
        self._first = 1
        self._count = 0
        client: Any = nats.aio.client.Client
        request = client.request

        async def counted(this: Any, *words: Any, **named: Any) -> Any:
            if this is not self._connection:
                self._count += 1
            return await request(this, *words, **named)

        client.request = counted

    async def _open(self) -> Any:
        self._connection = await nats_client.connect(self._url)
        js = self._connection.jetstream()
        await js.add_stream(name="letters", subjects=["dead.billing"])
        return js

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def settings(self) -> dict[str, Any]:
        words = {"kind": "nats", "url": self._url, "stream": "letters"}
        return {**words, "key": "$.customer.id", "reason": "$.error"}

    def give_up_on(self, failures: Sequence[Failure]) -> None:
        async def publish() -> None:
            await asyncio.gather(*(self._js.publish("dead.billing", each.body.encode()) for each in failures))

        self._run(publish())

    def recover(self, count: int) -> list[int]:
        numbers = []
        for _ in range(count):
            message = self._run(self._js.get_msg("letters", seq=self._first, next=True, subject=">"))
            self._run(self._js.delete_msg("letters", message.seq))
            numbers.append(json.loads(message.data)["number"])
            self._first = message.seq + 1
        return numbers

    def counters(self) -> Any:
        told = self._run(self._js.stream_info("letters"))
        return told.state.messages, told.state.last_seq, told.state.num_deleted, told.state.consumer_count

    def requests(self) -> int:
        return self._count


class RabbitMq(Broker):
    name = "rabbitmq"

    def __init__(self, url: str, peek: str) -> None:
        self._url, self._peek = url, peek
        self.name = f"rabbitmq, peek {peek}"
        self.looks = self.allows_age = peek == "requeue"
        self._http = httpx.Client(base_url=url, timeout=30)
        self._http.delete("/api/queues/%2F/dead")
        self._http.put("/api/queues/%2F/dead", json={"durable": True}).raise_for_status()
        self._count = 0
        send = httpx.Client.send

        def counted(client: httpx.Client, *words: Any, **named: Any) -> httpx.Response:
            self._count += client is not self._http
            return send(client, *words, **named)

        httpx.Client.send = counted  # type: ignore[method-assign, assignment]

    def settings(self) -> dict[str, Any]:
        words = {"kind": "rabbitmq", "url": self._url, "queue": "dead", "peek": self._peek, "timeout": "30s"}
        return {**words, "key": "$.customer.id", "reason": "$.error"}

    def give_up_on(self, failures: Sequence[Failure]) -> None:
        for each in failures:
            death = {"reason": "rejected", "queue": "orders", "count": 1, "time": int(each.at)}
            body = {
                "routing_key": "dead",
                "payload": each.body,
                "payload_encoding": "string",
                "properties": {"message_id": str(each.number), "headers": {"x-death": [death]}, "delivery_mode": 1},
            }
            self._http.post("/api/exchanges/%2F/amq.default/publish", json=body).raise_for_status()

    def recover(self, count: int) -> list[int]:
        body = {"count": count, "ackmode": "ack_requeue_false", "encoding": "auto"}
        found = self._http.post("/api/queues/%2F/dead/get", json=body).raise_for_status().json()
        return [json.loads(each["payload"])["number"] for each in found]

    def counters(self) -> Any:
        time.sleep(6)  # the management's counters are collected every few seconds
        told = self._http.get("/api/queues/%2F/dead").json()
        stats = told.get("message_stats") or {}
        return {name: value for name, value in stats.items() if isinstance(value, int)}, told["messages"]

    def requests(self) -> int:
        return self._count


class Kafka(Broker):
    name = "kafka"

    def __init__(self, running: servers.Kafka) -> None:
        self._servers = running.servers
        self.name = "kafka" if running.login else "kafka (librdkafka's mock cluster)"
        self._admin: Any = confluent_kafka.admin.AdminClient({"bootstrap.servers": self._servers})
        if running.login:
            topics: Any = confluent_kafka.admin
            for made in self._admin.create_topics([topics.NewTopic("dead", 3, 1)], operation_timeout=10).values():
                made.result()
        self._producer = confluent_kafka.Producer({"bootstrap.servers": self._servers, "linger.ms": 2})
        self._consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": self._servers, "group.id": "replay", "enable.auto.commit": False}
        )
        self._sent: dict[str, int] = {}
        self.probe: Any = None
        client = KafkaSettings.client

        def counted(settings: KafkaSettings) -> dict[str, Any]:
            def told(text: str) -> None:
                stats = json.loads(text)
                self._sent[stats["name"]] = stats["tx"]

            return {**client(settings), "statistics.interval.ms": 200, "stats_cb": told}

        KafkaSettings.client = counted  # type: ignore[method-assign, assignment]

    def settings(self) -> dict[str, Any]:
        words = {"kind": "kafka", "servers": self._servers, "topic": "dead", "group": "replay"}
        return {**words, "key": "$.customer.id", "reason": "$.error"}

    def give_up_on(self, failures: Sequence[Failure]) -> None:
        for each in failures:
            self._producer.produce("dead", each.body, partition=each.number % 3, timestamp=int(each.at * 1000))
        self._producer.flush(30)

    def recover(self, count: int) -> list[int]:
        places = [confluent_kafka.TopicPartition("dead", at) for at in range(3)]
        committed = self._consumer.committed(places, timeout=10)
        begun = [confluent_kafka.TopicPartition("dead", each.partition, max(0, each.offset)) for each in committed]
        numbers = []
        for place in begun:
            for at in range(count // 3):
                numbers.append((place.offset + at) * 3 + place.partition)
        ends = [confluent_kafka.TopicPartition("dead", each.partition, each.offset + count // 3) for each in begun]
        self._consumer.commit(offsets=ends, asynchronous=False)
        return numbers

    def counters(self) -> Any:
        groups = sorted(each.group_id for each in self._admin.list_consumer_groups().result().valid)
        places = [confluent_kafka.TopicPartition("dead", at) for at in range(3)]
        ends = [self._consumer.get_watermark_offsets(place, timeout=10) for place in places]
        return groups, ends, [each.offset for each in self._consumer.committed(places, timeout=10)]

    def requests(self) -> int:
        # A client tells its statistics only when it is polled.
        for client in (self.probe._admin, self.probe._consumer):
            client.poll(0)
        return sum(self._sent.values())


class Table(Broker):
    name = "postgresql"

    def __init__(self, url: str) -> None:
        self._engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
        self.url = url
        with self._engine.begin() as connection:
            connection.execute(
                sa.text(
                    "CREATE TABLE failed (id bigint PRIMARY KEY, record text, error text, tries int,"
                    " failed_at timestamptz)"
                )
            )
        self._count = 0

        @sa.event.listens_for(sa.Engine, "before_cursor_execute")
        def counted(connection: Any, *_: Any) -> None:
            self._count += connection.engine is not self._engine and connection.dialect.name == "postgresql"

    def settings(self) -> dict[str, Any]:
        columns = {"key": "record", "since": "failed_at", "reason": "error", "attempts": "tries"}
        return {"kind": "sql_queue", "system": "billing", "table": "failed", **columns}

    def give_up_on(self, failures: Sequence[Failure]) -> None:
        rows = [
            {"n": each.number, "k": each.key, "e": each.text, "at": datetime.fromtimestamp(each.at, UTC)}
            for each in failures
        ]
        with self._engine.begin() as connection:
            connection.execute(sa.text("INSERT INTO failed VALUES (:n, :k, :e, 5, :at)"), rows)

    def recover(self, count: int) -> list[int]:
        statement = "DELETE FROM failed WHERE id IN (SELECT id FROM failed ORDER BY id LIMIT :n) RETURNING id"
        with self._engine.begin() as connection:
            return [row.id for row in connection.execute(sa.text(statement), {"n": count})]

    def counters(self) -> Any:
        time.sleep(1.5)  # statistics are flushed once a second
        with self._engine.begin() as connection:
            statement = "SELECT n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables WHERE relname = 'failed'"
            return tuple(connection.execute(sa.text(statement)).one())

    def requests(self) -> int:
        return self._count


class Sqs(Broker):
    """ElasticMQ has no CloudWatch: the age is not told."""

    allows_age = False

    def __init__(self, url: str, peek: str) -> None:
        self._url, self._peek = url, peek
        self.name, self.looks = f"sqs (ElasticMQ), peek {peek}", peek == "receive"
        login = {"region_name": "r", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
        self._sqs: Any = boto3.client("sqs", endpoint_url=url, **login)
        self._queue = self._sqs.create_queue(QueueName=f"dead-{peek}")["QueueUrl"]
        self._calls: Counter[str] = Counter()
        call = botocore.client.BaseClient._make_api_call

        def counted(client: Any, operation: str, words: Any) -> Any:
            if client is not self._sqs:
                self._calls[operation] += 1
            return call(client, operation, words)

        botocore.client.BaseClient._make_api_call = counted

    def settings(self) -> dict[str, Any]:
        words = {"kind": "sqs", "queue_url": self._queue, "region": "r", "endpoint": self._url, "peek": self._peek}
        login = {"access_key": "x", "secret_key": "x", "cloudwatch": False}
        return {**words, **login, "key": "$.customer.id", "reason": "$.error"}

    def give_up_on(self, failures: Sequence[Failure]) -> None:
        for begin in range(0, len(failures), 10):
            entries = [{"Id": str(each.number), "MessageBody": each.body} for each in failures[begin : begin + 10]]
            self._sqs.send_message_batch(QueueUrl=self._queue, Entries=entries)

    def recover(self, count: int) -> list[int]:
        numbers: list[int] = []
        while len(numbers) < count:
            found = self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10).get("Messages") or []
            for each in found:
                self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=each["ReceiptHandle"])
                numbers.append(json.loads(each["Body"])["number"])
        return numbers

    def counters(self) -> Any:
        # A message's receive count rises by being received and by nothing else.
        attributes = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["All"])["Attributes"]
        waiting = {name: value for name, value in attributes.items() if name.startswith("ApproximateNumber")}
        return waiting, self._calls["ReceiveMessage"]

    def requests(self) -> int:
        return sum(self._calls.values())


class PubSub(Broker):
    """Google's fake has no counts, so nothing can be said of depth and age; what is looked at is joined."""

    allows_age = allows_depth = False

    def __init__(self, address: str) -> None:
        self._address, self.name = address, "pubsub (pstest), peek pull"
        channel = grpc.insecure_channel(address)
        self._publisher: Any = pubsub_v1.PublisherClient(transport=PublisherGrpcTransport(channel=channel))
        subscriber: Any = pubsub_v1.SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        self._publisher.create_topic(name="projects/p/topics/dead")
        wanted = {"name": "projects/p/subscriptions/looker", "topic": "projects/p/topics/dead"}
        subscriber.create_subscription(request={**wanted, "ack_deadline_seconds": 60})
        self._subscriber = subscriber
        self._count = 0
        client: Any = pubsub_v1.SubscriberClient
        for name in ("pull", "modify_ack_deadline", "get_subscription"):
            setattr(client, name, self._counted(getattr(client, name)))

    def _counted(self, call: Any) -> Any:
        def counted(client: Any, *words: Any, **named: Any) -> Any:
            self._count += client is not self._subscriber
            return call(client, *words, **named)

        return counted

    def settings(self) -> dict[str, Any]:
        place = {"kind": "pubsub", "project": "p", "subscription": "looker", "endpoint": self._address}
        return {**place, "peek": "pull", "key": "$.customer.id", "reason": "$.error"}

    def give_up_on(self, failures: Sequence[Failure]) -> None:
        messages = [{"data": each.body.encode()} for each in failures]
        self._publisher.publish(topic="projects/p/topics/dead", messages=messages)

    def recover(self, count: int) -> list[int]:
        return []  # what is taken out while a look hides it would be taken at random

    def counters(self) -> Any:
        return self._subscriber.get_subscription(subscription="projects/p/subscriptions/looker")

    def requests(self) -> int:
        return self._count


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
            broker.probe = self.probe
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
        with self.ledger.write() as connection:
            rev = self.ledger.next_revision(connection)
            rows = [{"rev": rev, "key": key, **words} for key in sorted(self.differing)]
            connection.execute(sa.insert(t.divergences), rows)

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
        with self.ledger.read() as connection:
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
        self.broker.close()


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


@contextlib.contextmanager
def brokers(only: Sequence[str]) -> Iterator[Iterator[Broker]]:
    """The brokers, each started when it is its turn."""
    with contextlib.ExitStack() as running:

        def each() -> Iterator[Broker]:
            if "redis" in only:
                yield Redis(running.enter_context(servers.redis()))
            if "nats" in only:
                yield Nats(running.enter_context(servers.nats()))
            if "postgresql" in only:
                yield Table(running.enter_context(servers.postgresql()) + "/postgres")
            if "kafka" in only:
                yield Kafka(running.enter_context(servers.kafka()))
            if "rabbitmq" in only:
                url = running.enter_context(servers.rabbitmq())
                for peek in ("never", "requeue"):
                    yield RabbitMq(url, peek)
            if "sqs" in only:
                endpoint = running.enter_context(servers.elasticmq())
                for peek in ("never", "receive") if endpoint else ():
                    yield Sqs(endpoint or "", peek)

            if "pubsub" in only:
                address = running.enter_context(servers.pubsub())
                if address:
                    yield PubSub(address)

        yield each()


ALL = ("redis", "nats", "postgresql", "kafka", "rabbitmq", "sqs", "pubsub")


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

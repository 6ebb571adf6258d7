"""Brokers as the pipeline that gives messages up, and as what measures the auditor, see them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
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

from benchmarks.kafka_counted import counts
from probes.queues.kafka import KafkaProbe
from tests import servers


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


class Broker(ABC):
    """A queue of dead letters in one broker, as the pipeline and the measurement see it.

    Attributes:
        allows_age: the broker lets the age of the oldest letter be told without touching one.
    """

    name = ""
    allows_age = True
    allows_depth = True
    looks = True

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The queue in the map."""

    @abstractmethod
    def give_up_on(self, failures: Sequence[Failure]) -> None:
        """Write letters."""

    @abstractmethod
    def recover(self, count: int) -> list[int]:
        """Take out the oldest letters, as a consumer that sends them again does; answers their numbers."""

    @abstractmethod
    def counters(self) -> Any:
        """What a look must leave as it was."""

    @abstractmethod
    def requests(self) -> int:
        """Requests the auditor has sent so far."""


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
        self.probe: Any = None
        KafkaProbe.driver = "benchmarks.kafka_counted"

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
        return sum(json.loads(counts(self.probe._child.pid).read_text()).values())


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

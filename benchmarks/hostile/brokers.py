"""Putting an attack's messages into a queue of its own in each kind of broker."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

import boto3
import confluent_kafka
import confluent_kafka.admin
import grpc
import httpx
import nats as nats_client
import redis as redis_client
from google import pubsub_v1
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from tests import servers
from tests.probes.queues.test_anypoint_mq import Platform
from tests.probes.queues.test_service_bus import Namespace

if TYPE_CHECKING:
    from benchmarks.hostile.bench import Bench

_numbers = count(1)

COMMON = {"role": "dead", "key": "$.id", "evidence": "clear"}


def letters_in(bench: Bench, kind: str, payloads: Sequence[bytes]) -> dict[str, Any] | None:
    """The words of `places.letters` for a queue in which these messages wait; None where it refuses them."""
    name = f"q{next(_numbers)}"
    with contextlib.suppress(UnicodeError, _RefusedError):
        made: dict[str, Any] = _KINDS[kind](bench, name, payloads)
        timeout = {} if kind == "sql_queue" else {"timeout": "10s"}
        return {"settings": {**COMMON, **timeout, "kind": kind, **made.pop("queue")}, **made}
    return None


class _RefusedError(Exception):
    """What the broker itself does not take is no attack on us."""


def _text(payload: bytes) -> str:
    text = payload.decode()
    if any(ord(each) < 32 and each not in "\t\n\r" for each in text) or not text:
        raise _RefusedError
    return text


def _redis(bench: Bench, name: str, payloads: Sequence[bytes]) -> dict[str, Any]:
    url = bench.of("redis", lambda: bench.shared.enter_context(servers.redis()))
    with contextlib.closing(redis_client.Redis.from_url(url)) as client:
        for each in payloads:
            client.xadd(name, {"payload": each})
    return {"queue": {"url": url, "name": name}}


def _nats(bench: Bench, name: str, payloads: Sequence[bytes]) -> dict[str, Any]:
    url = bench.of("nats", lambda: bench.shared.enter_context(servers.nats()))

    async def publish() -> None:
        connection = await nats_client.connect(url)
        stream = connection.jetstream()
        await stream.add_stream(name=name, subjects=[name])
        for each in payloads:
            await stream.publish(name, each)
        await connection.close()

    asyncio.run(publish())
    return {"queue": {"url": url, "stream": name}}


def _kafka(bench: Bench, name: str, payloads: Sequence[bytes]) -> dict[str, Any]:
    running = bench.of("kafka", lambda: bench.shared.enter_context(servers.kafka()))
    if running.login:
        topics: Any = confluent_kafka.admin
        admin = topics.AdminClient({"bootstrap.servers": running.servers})
        for made in admin.create_topics([topics.NewTopic(name, 1, 1)], operation_timeout=10).values():
            made.result()
    producer = confluent_kafka.Producer({"bootstrap.servers": running.servers})
    for each in payloads:
        producer.produce(name, each)
    producer.flush(30)
    return {"queue": {"servers": running.servers, "topic": name}}


def _rabbitmq(bench: Bench, name: str, payloads: Sequence[bytes]) -> dict[str, Any]:
    import base64

    url = bench.of("rabbitmq", lambda: bench.shared.enter_context(servers.rabbitmq()))
    with httpx.Client(base_url=url, timeout=30) as http:
        http.put(f"/api/queues/%2F/{name}", json={"durable": False}).raise_for_status()
        for each in payloads:
            body = {
                "routing_key": name,
                "payload": base64.b64encode(each).decode(),
                "payload_encoding": "base64",
                "properties": {},
            }
            http.post("/api/exchanges/%2F/amq.default/publish", json=body).raise_for_status()
        # Its figures are collected once a second.
        for _ in range(300):
            if http.get(f"/api/queues/%2F/{name}").json().get("messages") == len(payloads):
                break
            asyncio.run(asyncio.sleep(0.1))
    return {"queue": {"url": url, "queue": name, "peek": "requeue"}}


def _sqs(bench: Bench, name: str, payloads: Sequence[bytes]) -> dict[str, Any]:
    texts = [_text(each) for each in payloads]
    url = bench.of("sqs", lambda: bench.shared.enter_context(servers.elasticmq()))
    if url is None:
        raise _RefusedError
    login = {"region_name": "r", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
    sqs: Any = bench.of("sqs client", lambda: boto3.client("sqs", endpoint_url=url, **login))
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    for text in texts:
        try:
            sqs.send_message(QueueUrl=queue, MessageBody=text)
        except sqs.exceptions.ClientError:
            raise _RefusedError from None
    words = {"queue_url": queue, "region": "r", "endpoint": url, "peek": "receive", "cloudwatch": False}
    return {"queue": {**words, "access_key": "x", "secret_key": "x"}}


def _pubsub(bench: Bench, name: str, payloads: Sequence[bytes]) -> dict[str, Any]:
    address = bench.of("pubsub", lambda: bench.shared.enter_context(servers.pubsub()))
    if address is None or not all(payloads):
        raise _RefusedError
    channel = bench.of("pubsub channel", lambda: grpc.insecure_channel(address))
    publisher: Any = pubsub_v1.PublisherClient(transport=PublisherGrpcTransport(channel=channel))
    subscriber: Any = pubsub_v1.SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
    topic = f"projects/p/topics/{name}"
    publisher.create_topic(name=topic)
    subscriber.create_subscription(request={"name": f"projects/p/subscriptions/{name}", "topic": topic})
    publisher.publish(topic=topic, messages=[{"data": each} for each in payloads])
    words = {"project": "p", "subscription": name, "endpoint": address, "peek": "pull"}
    return {"queue": words, "depth_known": False}


def _sql_queue(bench: Bench, name: str, payloads: Sequence[bytes]) -> dict[str, Any]:
    file = bench.of("queues", bench.folder) / "queues.sqlite"
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute(f"CREATE TABLE {name} (id integer PRIMARY KEY, body text, failed_at text)")
        for each in payloads:
            row = (each.decode(errors="surrogateescape").encode(errors="surrogateescape"), "2026-03-01 00:00:00")
            database.execute(f"INSERT INTO {name} (body, failed_at) VALUES (CAST(? AS TEXT), ?)", row)
    system = {"kind": "sql", "url": f"sqlite:///{file}", "zone": "UTC"}
    return {"queue": {"system": "billing", "table": name, "payload": "body", "since": "failed_at"}, "system": system}


def _anypoint_mq(_bench: Bench, name: str, payloads: Sequence[bytes]) -> dict[str, Any]:
    platform = Platform()
    platform.put(*(_text(each) for each in payloads))
    url = f"http://127.0.0.1:{platform.port}"
    place = {"organization": "acme", "environment": "prod", "region": "r", "queue": "dead", "client_id": name}
    return {"queue": {**place, "client_secret": "secret", "url": url, "broker_url": url, "peek": "lock"}}


def _service_bus(bench: Bench, name: str, payloads: Sequence[bytes]) -> dict[str, Any]:
    texts = [_text(each) for each in payloads]
    namespace: Namespace = bench.of("service bus", lambda: Namespace(bench.folder()))
    peer = bench.of("service bus peer", lambda: _peer(bench, namespace))
    namespace.active[name] = 0
    namespace.give_up_on(name, *texts)
    signed = "SharedAccessKeyName=looker;SharedAccessKey=c2VjcmV0LWtleQ==;UseDevelopmentEmulator=true"
    connection = f"Endpoint=sb://127.0.0.1:{peer};{signed}"
    return {"queue": {"connection": connection, "queue": name, "management": namespace.management}}


def _peer(bench: Bench, namespace: Namespace) -> int:
    bench.shared.callback(namespace.close)
    namespace.give_up_on("first", "{}")
    return namespace.peer()


_KINDS: dict[str, Callable[[Any, str, Sequence[bytes]], dict[str, Any]]] = {
    "anypoint_mq": _anypoint_mq,
    "kafka": _kafka,
    "nats": _nats,
    "pubsub": _pubsub,
    "rabbitmq": _rabbitmq,
    "redis": _redis,
    "service_bus": _service_bus,
    "sql_queue": _sql_queue,
    "sqs": _sqs,
}

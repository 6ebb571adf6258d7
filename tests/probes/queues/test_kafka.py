"""Queues in Kafka: the broker and Connect themselves where they can be had, librdkafka's mock cluster otherwise."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import confluent_kafka
import confluent_kafka.admin
import httpx
import pytest

from probes.contract import ProbeError, Reason
from probes.queue_contract import QueueProbe, QueueReading
from probes.queues.kafka import KafkaProbe, KafkaSettings
from tests.attacks import messages
from tests.attacks.wires import KAFKA
from tests.probes.harness import all_letters, assert_told
from tests.servers import Kafka
from tests.waiting import PATIENCE_S, wait_until
from tests.wire_server import WireServer

admin: Any = confluent_kafka.admin
_numbers = itertools.count(1)


class Topic:
    """A topic of its own for each test."""

    def __init__(self, kafka: Kafka, partitions: int = 2, config: dict[str, str] | None = None) -> None:
        self.kafka = kafka
        self.name = f"orders.{next(_numbers)}.dead"
        self.admin = admin.AdminClient({"bootstrap.servers": kafka.servers})
        self.make(self.name, partitions, config)
        self._producer = confluent_kafka.Producer({"bootstrap.servers": kafka.servers, "linger.ms": 1})

    def make(self, name: str, partitions: int = 1, config: dict[str, str] | None = None) -> None:
        if self.kafka.login is None:
            return  # the mock makes topics when they are written to
        topic = admin.NewTopic(name, partitions, 1, config=config or {})
        for made in self.admin.create_topics([topic], operation_timeout=10).values():
            made.result()

    def write(self, *records: dict[str, Any], topic: str | None = None) -> None:
        for record in records:
            self._producer.produce(topic or self.name, **record)
        self._producer.flush(20)

    def commit(self, group: str, *offsets: int) -> None:
        """Say that a group has replayed so much of each partition."""
        words = {"bootstrap.servers": self.kafka.servers, "group.id": group, "enable.auto.commit": False}
        consumer = confluent_kafka.Consumer(words)
        places = [confluent_kafka.TopicPartition(self.name, at, offset) for at, offset in enumerate(offsets)]
        consumer.commit(offsets=places, asynchronous=False)
        consumer.close()

    def state(self) -> Any:
        """What a look must not change: the groups, and what each has committed."""
        groups = sorted(each.group_id for each in self.admin.list_consumer_groups().result().valid)
        asked = [confluent_kafka.ConsumerGroupTopicPartitions(group) for group in groups]
        committed = [self.admin.list_consumer_group_offsets([each]) for each in asked]
        return groups, [
            [
                (place.topic, place.partition, place.offset)
                for place in next(iter(each.values())).result().topic_partitions
            ]
            for each in committed
        ]

    def probe(self, **words: Any) -> KafkaProbe:
        settings = {"kind": "kafka", "servers": self.kafka.servers, "topic": self.name, **words}
        return KafkaProbe(KafkaSettings.model_validate(settings))


@pytest.fixture
def topic(kafka_server: Kafka) -> Topic:
    return Topic(kafka_server)


@pytest.fixture
def real(kafka_server: Kafka) -> Kafka:
    if kafka_server.login is None:
        pytest.skip("librdkafka's mock cluster cannot do this, and Kafka itself cannot be had here")
    return kafka_server


def reading_of(probe: KafkaProbe, peek: int = 100, after: str | None = None) -> QueueReading:
    try:
        return probe.read(peek, after)
    finally:
        probe.close()


def test_what_waits_is_the_end_less_what_the_replaying_group_committed(topic: Topic) -> None:  # D: Kafka topic DLQ
    assert isinstance(topic.probe(), QueueProbe)
    stamped = int(time.time() * 1000) - 60_000
    for number in range(6):
        topic.write(
            {
                "key": f"cus_{number}",
                "value": json.dumps({"id": number}),
                "partition": number % 2,
                "timestamp": stamped,
            }
        )
    whole = reading_of(topic.probe(key="$.id"))
    assert (whole.depth, whole.arrived, whole.taken, whole.truncated) == (6, 6, 0, False)
    assert "its depth only grows" in whole.notes[-1]
    assert {letter.key for letter in whole.letters} == {str(number) for number in range(6)}
    assert whole.oldest_at is not None
    assert whole.oldest_at.timestamp() * 1000 == pytest.approx(stamped, abs=1)
    assert whole.age_of == "since its producer stamped it"
    topic.commit("replay", 2, 1)
    waits = reading_of(topic.probe(group="replay", key="field:key"))
    assert (waits.depth, waits.arrived, waits.taken) == (3, 6, 3)
    assert {letter.key for letter in waits.letters} == {"cus_3", "cus_4", "cus_5"}
    topic.commit("replay", 3, 3)
    empty = reading_of(topic.probe(group="replay"))
    assert (empty.depth, empty.oldest_at, empty.letters, empty.truncated) == (0, None, (), False)
    assert whole.left_mark != waits.left_mark != empty.left_mark


def test_letters_are_read_page_by_page_from_all_partitions(topic: Topic) -> None:
    topic.write(*({"value": json.dumps({"id": number}), "partition": number % 2} for number in range(50)))
    asked = topic.probe(key="$.id", group="replay")
    keys: list[Any] = []
    after, pages = None, 0
    while True:
        reading = asked.read(20, after)
        keys += [letter.key for letter in reading.letters]
        after, pages = reading.next, pages + 1
        if not reading.truncated:
            break
    assert (sorted(map(int, keys)), pages) == (list(range(50)), 3)
    mark = reading.left_mark
    topic.write({"value": b'{"id": 50}', "partition": 1})
    more = asked.read(20, after)
    assert ([letter.key for letter in more.letters], more.left_mark, more.depth) == (["50"], mark, 51)
    assert asked.read(0).letters == ()
    asked.close()


def test_a_group_behind_in_a_main_topic_is_a_backlog_without_letters(topic: Topic) -> None:
    topic.write(*({"value": "{}", "partition": 0} for _ in range(4)))
    topic.commit("billing", 1)
    reading = reading_of(topic.probe(role="main", group="billing"))
    assert (reading.depth, reading.arrived, reading.taken, reading.letters) == (3, 4, 1, ())
    with pytest.raises(ValueError, match="requires group:"):
        topic.probe(role="main")


def test_a_look_changes_nothing_at_the_broker(real: Kafka) -> None:
    topic = Topic(real)
    topic.write(*({"value": "{}", "partition": 0} for _ in range(30)))
    topic.commit("replay", 5)
    before = topic.state()
    for group in (None, "replay"):
        assert len(reading_of(topic.probe(group=group)).letters) == (25 if group else 30)
    assert topic.state() == before
    assert "nothing is committed" in topic.probe().prove_read_only()


@pytest.fixture
def sink(connect_url: str, real: Kafka) -> Iterator[Callable[..., Topic]]:
    """Makes a sink that gives up on what it cannot read, and answers the topic of its dead letters."""
    made: list[str] = []
    with httpx.Client(base_url=connect_url, timeout=20) as http:

        def make(records: list[dict[str, Any]], headers: bool = True) -> Topic:
            dead = Topic(real, partitions=1)
            source = dead.name.removesuffix(".dead")
            dead.make(source)
            dead.write(*records, topic=source)
            config = {
                "connector.class": "FileStreamSink",
                "tasks.max": "1",
                "topics": source,
                "file": "/dev/null",
                "errors.tolerance": "all",
                "errors.deadletterqueue.topic.name": dead.name,
                "errors.deadletterqueue.topic.replication.factor": "1",
                "errors.deadletterqueue.context.headers.enable": str(headers).lower(),
                "transforms": "cast",
                "transforms.cast.type": "org.apache.kafka.connect.transforms.Cast$Value",
                "transforms.cast.spec": "amount:int32",
            }
            http.post("/connectors", json={"name": source, "config": config}).raise_for_status()
            made.append(source)
            return dead

        yield make
        for name in made:
            http.delete(f"/connectors/{name}")


def test_connect_tells_why_and_keeps_the_originals_stamp(sink: Callable[..., Topic]) -> None:  # D: Kafka Connect
    stamped = int(time.time() * 1000) - 3_600_000
    dead = sink(
        [
            {"key": "cus_1", "value": '{"amount": "abc"}', "timestamp": stamped},
            {"key": "cus_2", "value": "{broken", "timestamp": stamped + 1000},
            {"key": "cus_3", "value": '{"amount": 7}'},
        ]
    )
    asked = dead.probe(key="field:key")
    wait_until(lambda: asked.read(0).depth == 2)
    reading = asked.read(10)
    asked.close()
    first, second = reading.letters
    assert (first.key, second.key) == ("cus_1", "cus_2")
    assert first.reason == "TRANSFORMATION: DataException: Value (abc) was out of range for requested data type"
    assert second.reason is not None
    assert second.reason.startswith("VALUE_CONVERTER: JsonParseException: Unexpected character")
    assert first.headers["__connect.errors.topic"] == dead.name.removesuffix(".dead")
    assert (first.first_failed_at, reading.age_of) == (None, "since the original record was made")
    assert reading.oldest_at is not None
    assert reading.oldest_at.timestamp() * 1000 == pytest.approx(stamped, abs=1)


def test_without_context_headers_the_reason_is_unknown(
    sink: Callable[..., Topic],
) -> None:  # D: headers off by default
    dead = sink([{"key": "cus_1", "value": "{broken"}], headers=False)
    asked = dead.probe(key="field:key")
    wait_until(lambda: asked.read(0).depth == 1)
    (letter,) = asked.read(10).letters
    asked.close()
    assert (letter.key, letter.reason) == ("cus_1", None)


def test_springs_headers_are_read_as_the_numbers_they_are(topic: Topic) -> None:
    headers = [
        ("kafka_dlt-original-offset", (4711).to_bytes(8, "big")),
        ("kafka_dlt-original-topic", b"orders"),
        ("kafka_dlt-exception-fqcn", b"org.springframework.ListenerExecutionFailedException"),
        ("kafka_dlt-exception-cause-fqcn", b"com.example.NoSuchCustomerException"),
        ("kafka_dlt-exception-message", b"cus_7 is unknown"),
        ("kafka_deliveryAttempt", (3).to_bytes(4, "big")),
        ("trace", b"first"),
        ("trace", b"second"),
        ("nothing", None),
    ]
    topic.write({"value": b"\xff\xfe", "headers": headers, "partition": 0})
    reading = reading_of(topic.probe(key="field:kafka_dlt-original-offset"))
    (letter,) = reading.letters
    assert (letter.key, letter.attempts) == ("4711", 3)
    assert letter.reason == "NoSuchCustomerException: cus_7 is unknown"
    assert letter.headers["trace"] == "first"
    assert letter.first_failed_at is not None
    assert reading.age_of == ""
    assert letter.payload == "2 bytes that are no text"


def test_how_long_a_topic_keeps_its_records_is_told(real: Kafka) -> None:
    kept = Topic(real, config={"retention.ms": "7200000"})
    kept.write({"value": "{}", "partition": 0})
    reading = reading_of(kept.probe())
    assert reading.retention_s == 7200
    assert reading.oldest_at is not None
    assert reading.drops_at is not None
    assert (reading.drops_at - reading.oldest_at).total_seconds() == 7200
    assert reading_of(Topic(real, config={"retention.ms": "-1"}).probe()).retention_s is None
    stamped = Topic(real, config={"message.timestamp.type": "LogAppendTime"})
    stamped.write({"value": "{}", "partition": 0, "timestamp": 1})
    reading = reading_of(stamped.probe())
    assert reading.age_of == ""
    assert reading.oldest_at is not None
    assert abs((datetime.now(UTC) - reading.oldest_at).total_seconds()) < 120


def test_a_login_sees_what_it_may_and_a_wrong_one_is_named_without_the_secret(real: Kafka) -> None:
    topic = Topic(real)
    topic.write({"value": "{}", "partition": 0})
    login = {"servers": real.login, "security": "sasl_plaintext", "user": "looker", "timeout": "8s"}
    with pytest.raises(ProbeError) as caught:
        reading_of(topic.probe(**login, password="wrong-secret"))
    assert caught.value.reason is Reason.AUTH
    assert "wrong-secret" not in str(caught.value)
    with pytest.raises(ProbeError) as caught:
        reading_of(topic.probe(**login, password="secret-of-looker"))
    assert caught.value.reason is Reason.PERMISSION
    literal = admin.ResourcePatternType.LITERAL
    allowed = [
        admin.AclBinding(kind, name, literal, "User:looker", "*", operation, admin.AclPermissionType.ALLOW)
        for kind, name, operation in (
            (admin.ResourceType.TOPIC, topic.name, admin.AclOperation.READ),
            (admin.ResourceType.GROUP, "replay", admin.AclOperation.DESCRIBE),
        )
    ]
    for done in topic.admin.create_acls(allowed).values():
        done.result()
    wait_until(lambda: _may(topic, login))
    reading = reading_of(topic.probe(**login, password="secret-of-looker", group="replay"))
    assert (reading.depth, len(reading.letters), reading.retention_s) == (1, 1, None)
    assert "its settings cannot be read" in reading.notes[0]


def _may(topic: Topic, login: dict[str, Any]) -> bool:
    try:
        return reading_of(topic.probe(**login, password="secret-of-looker", group="replay")).depth == 1
    except ProbeError:
        return False


def test_wrong_names_and_servers_are_named_errors(topic: Topic) -> None:
    with pytest.raises(ProbeError) as caught:
        reading_of(topic.probe(servers="127.0.0.1:1", timeout="1s"))
    assert caught.value.reason is Reason.UNREACHABLE
    if topic.kafka.login is not None:
        with pytest.raises(ProbeError, match="there is no topic nowhere") as caught:
            reading_of(topic.probe(topic="nowhere"))
        assert caught.value.reason is Reason.QUERY
    with pytest.raises(ValueError, match="wants user: and password:"):
        topic.probe(security="sasl_ssl")


def test_a_deadline_beyond_what_the_driver_can_be_told_is_no_failure() -> None:
    words = {"kind": "kafka", "role": "dead", "topic": "t", "servers": "127.0.0.1:1", "timeout": "1h"}
    probe = KafkaProbe(KafkaSettings.model_validate(words))
    with pytest.raises(ProbeError) as caught:
        probe.read(1)
    probe.close()
    assert caught.value.reason is Reason.UNREACHABLE


def test_a_server_that_never_stops_answering_ends_the_reading_and_is_joined_by_no_second_one() -> None:
    server = WireServer(KAFKA["answers to nothing without end"], asked_first=False)
    place = f"127.0.0.1:{server.port}"
    words = {"kind": "kafka", "role": "dead", "topic": "t", "servers": place, "timeout": "2s"}
    probe = KafkaProbe(KafkaSettings.model_validate(words))
    ended: list[ProbeError] = []

    def read() -> None:
        for _ in range(2):
            with pytest.raises(ProbeError) as caught:
                probe.read(1)
            ended.append(caught.value)
        probe.close()

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    reading.join(PATIENCE_S)
    assert not reading.is_alive()
    server.close()
    assert {each.reason for each in ended} <= {Reason.TIMEOUT, Reason.UNREACHABLE}


def test_a_huge_letter_and_many_headers_stay_bounded(real: Kafka) -> None:
    topic = Topic(real, partitions=1, config={"max.message.bytes": "12000000"})
    words = {"bootstrap.servers": real.servers, "message.max.bytes": 12_000_000}
    producer = confluent_kafka.Producer(words)
    producer.produce(topic.name, b'{"id": 1, "filler": "' + b"x" * 10_000_000 + b'"}')
    producer.produce(topic.name, b'{"id": 2}', headers=[(f"h{number}", b"x" * 2_000) for number in range(400)])
    producer.flush(20)
    reading = reading_of(topic.probe(key="$.id", timeout="20s"))
    assert [letter.key for letter in reading.letters] == [None, "2"]
    assert max(len(letter.headers) for letter in reading.letters) == 50


@pytest.mark.usefixtures("patient")
def test_messages_of_any_content_are_letters(kafka_server: Kafka) -> None:
    topic = Topic(kafka_server, partitions=1)
    made = [*messages.PAYLOADS.values(), messages.GOOD]
    odd: list[Any] = [
        ("__connect.errors.exception.stacktrace", b"\nCaused by: "),
        ("kafka_deliveryAttempt", b"\xff" * 4),
    ]
    odd += [("kafka_dlt-original-timestamp", b"\x7f" + b"\xff" * 7), ("x-death", b"\xff\0"), ("id", None)]
    odd += [(f"name{at}", b"x") for at in range(1_000)]
    topic.write(*({"value": payload, "headers": odd, "partition": 0, "key": b"\xff"} for payload in made))
    for key in ("$.id", "$..id"):
        asked = topic.probe(key=key, timeout="60s")
        depth, letters = all_letters(asked)
        assert (depth, len(letters), letters[-1].key) == (len(made), len(made), messages.GOOD_KEY)
        assert {letter.attempts for letter in letters} == {None}
        if key == "$.id":
            assert_told(messages.PAYLOADS, letters)
    assert all(
        "its key is not UTF-8" in letter.unreadable
        for letter in topic.probe(key="field:key", timeout="60s").read(1_000).letters
    )


@pytest.mark.parametrize("stamp_ms", [2**63 - 1, 2**53, 253_402_300_800_000])
def test_a_stamp_beyond_the_calendar_is_no_age(kafka_server: Kafka, stamp_ms: int) -> None:
    topic = Topic(kafka_server, partitions=1)
    topic.write({"value": messages.GOOD, "partition": 0, "timestamp": stamp_ms})
    reading = topic.probe(key="$.id").read(5)
    assert (reading.depth, reading.oldest_at) == (1, None)
    assert [letter.key for letter in reading.letters] == [messages.GOOD_KEY]


def test_headers_that_name_another_topic_are_told_and_not_followed(kafka_server: Kafka) -> None:
    topic = Topic(kafka_server, partitions=1)
    other = f"{topic.name}.payroll"
    topic.make(other)
    topic.write({"value": messages.SECRET.encode(), "partition": 0}, topic=other)
    named = [("__connect.errors.topic", other.encode()), ("__connect.errors.partition", b"0")]
    named += [("__connect.errors.offset", b"0"), ("kafka_dlt-original-topic", other.encode())]
    topic.write({"value": messages.GOOD, "partition": 0, "headers": named})
    reading = topic.probe(key="$.id").read(5)
    assert messages.SECRET not in str(reading)
    assert [letter.key for letter in reading.letters] == [messages.GOOD_KEY]

"""Queues in SQS: ElasticMQ for the flow of messages, moto for what it does not have (retention, CloudWatch)."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from probes.contract import ProbeError, Reason
from probes.queue_contract import QueueProbe
from probes.queues.sqs import SqsProbe, SqsSettings
from tests.attacks import messages, wires
from tests.wire_server import WireServer

_numbers = itertools.count(1)
LOGIN = {"region_name": "us-east-1", "aws_access_key_id": "looker", "aws_secret_access_key": "secret-of-looker"}


class Queues:
    """A main queue that moves what was received once to a queue of dead letters."""

    def __init__(self, endpoint: str, suffix: str = "") -> None:
        self.endpoint = endpoint
        self.sqs: Any = boto3.client("sqs", endpoint_url=endpoint, **LOGIN)
        name = f"orders-{next(_numbers)}"
        fifo = {"FifoQueue": "true"} if suffix else {}
        self.dead = self.sqs.create_queue(QueueName=f"{name}-dead{suffix}", Attributes=fifo)["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1})
        attributes = {**fifo, "RedrivePolicy": policy, "VisibilityTimeout": "0"}
        self.main = self.sqs.create_queue(QueueName=f"{name}{suffix}", Attributes=attributes)["QueueUrl"]

    def give_up_on(self, *bodies: str) -> None:
        """Send to the main queue, receive in vain, receive once more: only then is a message moved."""
        for body in bodies:
            error = {"error": {"DataType": "String", "StringValue": "422: no e-mail"}}
            self.sqs.send_message(QueueUrl=self.main, MessageBody=body, MessageAttributes=error)
        while int(self.depth(self.main)):
            self.sqs.receive_message(QueueUrl=self.main, MaxNumberOfMessages=10, VisibilityTimeout=0)

    def depth(self, queue: str) -> str:
        asked = ["ApproximateNumberOfMessages"]
        answer = self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=asked)
        told: str = answer["Attributes"]["ApproximateNumberOfMessages"]
        return told

    def received(self) -> list[int]:
        answer = self.sqs.receive_message(
            QueueUrl=self.dead, MaxNumberOfMessages=10, VisibilityTimeout=0, MessageSystemAttributeNames=["All"]
        )
        return [int(each["Attributes"]["ApproximateReceiveCount"]) for each in answer["Messages"]]

    def probe(self, **words: Any) -> SqsProbe:
        settings = {
            "kind": "sqs",
            "queue_url": self.dead,
            "region": "us-east-1",
            "access_key": "looker",
            "secret_key": "secret-of-looker",
            "endpoint": self.endpoint,
            "cloudwatch": False,
            **words,
        }
        return SqsProbe(SqsSettings.model_validate(settings))


@pytest.fixture
def queues(elasticmq_url: str) -> Queues:
    return Queues(elasticmq_url)


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_depth_is_told_without_receiving_anything(queues: Queues) -> None:  # D: SQS, no peek
    assert isinstance(queues.probe(), QueueProbe)
    queues.give_up_on('{"id": "cus_1"}', '{"id": "cus_2"}')
    reading = queues.probe().read(10)
    assert (reading.depth, reading.letters, reading.truncated, reading.next) == (2, (), True, None)
    assert (reading.arrived, reading.taken) == (None, None), "automatic moves are not counted as sent"  # D: SQS
    assert "each look would count as a receive" in "; ".join(reading.notes)
    assert queues.received() == [2, 2], "one in the main queue, one by this test"
    assert queues.probe().prove_read_only() == "asks for attributes alone, receives nothing"


def test_where_the_map_allows_it_letters_are_received_and_released(queues: Queues) -> None:
    before = datetime.now(UTC)
    queues.give_up_on(*(json.dumps({"id": f"cus_{number}"}) for number in range(25)))
    asked = queues.probe(peek="receive", key="$.id", reason="field:error")
    reading = asked.read(100)
    assert {letter.key for letter in reading.letters} == {f"cus_{number}" for number in range(25)}
    assert {(letter.reason, letter.attempts) for letter in reading.letters} == {("422: no e-mail", 1)}
    assert not reading.truncated
    (first, *_) = reading.letters
    assert first.first_failed_at is not None
    assert abs((first.first_failed_at - before).total_seconds()) < 120
    again = asked.read(100)
    assert {each.letter_id for each in again.letters} == {each.letter_id for each in reading.letters}
    assert again.depth == 25
    assert "raises the letters' receive counts" in "; ".join(reading.notes)
    assert "raises their receive counts" in asked.prove_read_only()


def test_a_queue_that_moves_on_what_is_received_is_never_looked_into(queues: Queues) -> None:
    queues.sqs.send_message(QueueUrl=queues.main, MessageBody="{}")
    reading = queues.probe(queue_url=queues.main, peek="receive").read(10)
    assert (reading.depth, reading.letters) == (1, ())
    assert "moves on what is received too often" in reading.notes[0]
    waiting = queues.probe(queue_url=queues.main, role="main").read(0)
    assert (waiting.depth, waiting.letters) == (1, ())


def test_age_counts_from_the_move_and_retention_from_the_first_sending(moto_url: str) -> None:  # D: SQS, both rows
    queues = Queues(moto_url)
    queues.sqs.set_queue_attributes(QueueUrl=queues.dead, Attributes={"MessageRetentionPeriod": "86400"})
    queues.sqs.send_message(QueueUrl=queues.dead, MessageBody="{}")
    now = datetime.now(UTC)
    boto3.client("cloudwatch", endpoint_url=moto_url, **LOGIN).put_metric_data(
        Namespace="AWS/SQS",
        MetricData=[
            {
                "MetricName": "ApproximateAgeOfOldestMessage",
                "Dimensions": [{"Name": "QueueName", "Value": queues.dead.rpartition("/")[2]}],
                "Timestamp": now - timedelta(minutes=2),
                "Value": 3_600.0,
            }
        ],
    )
    unlooked = queues.probe(cloudwatch=True).read(10)
    assert (unlooked.retention_s, unlooked.age_of, unlooked.drops_at) == (86_400, "since it was moved here", None)
    assert unlooked.oldest_at is not None
    assert abs((now - unlooked.oldest_at).total_seconds() - 3_720) < 65
    assert "counts from when it was first sent" in unlooked.notes[-1]
    looked = queues.probe(cloudwatch=True, peek="receive").read(10)
    assert looked.drops_at is not None
    assert abs((looked.drops_at - now).total_seconds() - 86_400) < 10, "from the sending, not from the age above"
    silent = Queues(moto_url)
    silent.sqs.send_message(QueueUrl=silent.dead, MessageBody="{}")
    assert "CloudWatch has no point" in "; ".join(silent.probe(cloudwatch=True).read(0).notes)


def test_in_a_fifo_queue_retention_counts_from_the_move(moto_url: str) -> None:  # D: FIFO resets it
    queues = Queues(moto_url, ".fifo")
    queues.sqs.send_message(QueueUrl=queues.dead, MessageBody="{}", MessageGroupId="g", MessageDeduplicationId="1")
    boto3.client("cloudwatch", endpoint_url=moto_url, **LOGIN).put_metric_data(
        Namespace="AWS/SQS",
        MetricData=[
            {
                "MetricName": "ApproximateAgeOfOldestMessage",
                "Dimensions": [{"Name": "QueueName", "Value": queues.dead.rpartition("/")[2]}],
                "Timestamp": datetime.now(UTC) - timedelta(minutes=2),
                "Value": 60.0,
            }
        ],
    )
    reading = queues.probe(cloudwatch=True).read(10)
    assert reading.oldest_at is not None
    assert reading.drops_at is not None
    assert (reading.drops_at - reading.oldest_at).total_seconds() == reading.retention_s


def test_wrong_names_and_servers_are_named_errors(queues: Queues, moto_url: str) -> None:
    nowhere = Queues(moto_url).probe(queue_url=f"{moto_url}/1/nowhere")
    for asked in (queues.probe(queue_url=f"{queues.dead}x"), nowhere):
        with pytest.raises(ProbeError, match="there is no queue") as caught:
            asked.read(1)
        assert caught.value.reason is Reason.QUERY
    with pytest.raises(ProbeError) as caught:
        queues.probe(endpoint="http://127.0.0.1:1").read(1)
    assert caught.value.reason is Reason.UNREACHABLE


def test_without_credentials_that_is_said(queues: Queues, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(ProbeError, match="there are no AWS credentials") as caught:
        queues.probe(access_key=None, secret_key=None).read(1)
    assert caught.value.reason is Reason.AUTH


def test_a_queue_that_keeps_letters_no_longer_than_its_source_is_told(moto_url: str) -> None:  # D: they vanish
    queues = Queues(moto_url)
    (whose, short) = queues.probe().read(0).notes[:2]
    name = queues.main.rpartition("/")[2]
    assert whose == f"dead letters of {name}"
    assert short.startswith(f"{name} keeps messages for 4 d and this queue for no longer")
    queues.sqs.set_queue_attributes(QueueUrl=queues.dead, Attributes={"MessageRetentionPeriod": "1209600"})
    assert queues.probe().read(0).notes == (whose,)


@pytest.mark.usefixtures("patient")
def test_messages_of_any_content_are_letters(queues: Queues) -> None:
    made = {
        name: payload.decode()
        for name, payload in messages.PAYLOADS.items()
        if payload and len(payload) < 200_000 and _allowed(payload)
    }
    odd: dict[str, Any] = {f"name{at}": {"DataType": "String", "StringValue": "x"} for at in range(9)}
    odd["id"] = {"DataType": "Binary", "BinaryValue": b"\xff\0"}
    for body in (*made.values(), messages.GOOD.decode()):
        queues.sqs.send_message(QueueUrl=queues.dead, MessageBody=body, MessageAttributes=odd)
    for key in ("$.id", "$..id"):
        reading = queues.probe(peek="receive", key=key, timeout="60s").read(1_000)
        assert (reading.depth, len(reading.letters), reading.truncated) == (len(made) + 1, len(made) + 1, False)
        assert [letter.key for letter in reading.letters].count(messages.GOOD_KEY) >= 1
    told = Counter(letter.unreadable for letter in queues.probe(peek="receive", key="$.id").read(1_000).letters)
    assert told["its payload is not JSON"] == sum(
        messages.UNREADABLE.get(name) == "its payload is not JSON" for name in made
    )
    told = Counter(letter.unreadable for letter in queues.probe(peek="receive", key="field:id").read(1_000).letters)
    assert told == {"its key is not UTF-8": len(made) + 1}


def _allowed(payload: bytes) -> bool:
    try:
        return all(each >= " " or each in "\t\n\r" for each in payload.decode())
    except UnicodeDecodeError:
        return False


def test_an_answer_of_too_many_values_is_refused_before_it_is_read() -> None:
    server = WireServer(wires.HTTP["a million lists"], asked_first=True)
    url = f"http://127.0.0.1:{server.port}"
    words = {"kind": "sqs", "queue_url": f"{url}/1/q", "region": "r", "endpoint": url, "cloudwatch": False}
    login = {"access_key": "x", "secret_key": "x", "timeout": "60s"}
    probe = SqsProbe(SqsSettings.model_validate({**words, **login, "role": "dead", "key": "$.id"}))
    try:
        with pytest.raises(ProbeError, match="500,000 values") as failed:
            probe.read(0)
    finally:
        probe.close()
        server.close()
    assert failed.value.reason is Reason.TOO_LARGE

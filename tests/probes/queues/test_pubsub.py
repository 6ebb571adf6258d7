"""Pub/Sub: Google's own fake (pstest), and a stand-in for Cloud Monitoring made from its documentation."""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
import pytest
from google import pubsub_v1
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from probes.contract import ProbeError, Reason
from probes.queue_contract import QueueProbe
from probes.queues.pubsub import PubSubProbe, PubSubSettings
from tests.attacks import messages, wires
from tests.probes.harness import assert_told
from tests.wire_server import WireServer

_numbers = itertools.count(1)


class Topic:
    """A topic of dead letters with a subscription of the auditor's own."""

    def __init__(self, address: str) -> None:
        self.address = address
        number = next(_numbers)
        channel = grpc.insecure_channel(address)
        self._publisher: Any = pubsub_v1.PublisherClient(transport=PublisherGrpcTransport(channel=channel))
        self.subscriber: Any = pubsub_v1.SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        self.topic, self.name = f"projects/p/topics/dead-{number}", f"looker-{number}"
        self._publisher.create_topic(name=self.topic)
        self.subscribe(self.name)

    def subscribe(self, name: str, **words: Any) -> None:
        self.subscriber.create_subscription(
            request={
                "name": f"projects/p/subscriptions/{name}",
                "topic": self.topic,
                "ack_deadline_seconds": 10,
                **words,
            }
        )

    def publish(self, *payloads: bytes, **attributes: str) -> None:
        messages = [{"data": payload, "attributes": attributes} for payload in payloads]
        self._publisher.publish(topic=self.topic, messages=messages)

    def probe(self, **words: Any) -> PubSubProbe:
        settings = {
            "kind": "pubsub",
            "project": "p",
            "subscription": self.name,
            "endpoint": self.address,
            "peek": "pull",
            **words,
        }
        return PubSubProbe(PubSubSettings.model_validate(settings))


@pytest.fixture
def topic(pubsub_address: str) -> Topic:
    return Topic(pubsub_address)


class Monitoring:
    """Answers as `projects.timeSeries.list` is documented to: newest point first, int64 as text, nothing for none."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.status = 200
        self.sampled_at = datetime.now(UTC) - timedelta(seconds=90)
        monitoring = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = parse_qs(urlsplit(self.path).query)["filter"][0]
                found = [value for name, value in monitoring.values.items() if f"subscription/{name}" in asked]
                points = [
                    {
                        "interval": {"endTime": (monitoring.sampled_at - timedelta(minutes=back)).isoformat()},
                        "value": {"int64Value": str(value + back) if type(value) is int else value},
                    }
                    for value in found
                    for back in (0, 1)
                ]
                body = json.dumps({"timeSeries": [{"points": points}]} if found else {}).encode()
                self.send_response(monitoring.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()


@pytest.fixture
def monitoring() -> Iterator[Monitoring]:
    made = Monitoring()
    yield made
    made.close()


def test_letters_are_pulled_and_released_and_tell_where_they_failed(topic: Topic) -> None:
    assert isinstance(topic.probe(), QueueProbe)
    source = {
        "CloudPubSubDeadLetterSourceSubscription": "billing",
        "CloudPubSubDeadLetterSourceDeliveryCount": "5",
        "CloudPubSubDeadLetterSourceTopicPublishTime": "2026-01-01T00:00:00Z",
    }
    before = datetime.now(UTC)
    topic.publish(*(json.dumps({"id": number}).encode() for number in range(20)), **source)
    topic.publish(b"\xff\xfe")
    asked = topic.probe(key="$.id")
    reading = asked.read(100)
    assert {letter.key for letter in reading.letters} == {*map(str, range(20)), None}
    assert {(each.reason, each.attempts) for each in reading.letters if each.key} == {
        ("delivered in vain to billing", 5)
    }
    assert all(
        each.first_failed_at is not None and abs((each.first_failed_at - before).total_seconds()) < 120
        for each in reading.letters
    ), "since it was dead-lettered, not since it was first published"
    assert len(asked.read(100).letters) == 21, "they were released at once"
    assert "hides the letters for a moment" in reading.notes[0]
    assert asked.prove_read_only() == "pulls letters and releases them, acknowledges nothing"


def test_how_many_wait_is_unknown_without_monitoring_and_never_0(topic: Topic) -> None:
    topic.publish(b"{}")
    reading = topic.probe(peek="never").read(10)
    assert (reading.depth, reading.oldest_at, reading.letters, reading.truncated) == (None, None, (), True)
    assert "only Cloud Monitoring tells it" in reading.notes[-1]
    assert reading.retention_s == 7 * 86_400


def test_depth_and_age_are_those_monitoring_sampled_last(topic: Topic, monitoring: Monitoring) -> None:
    monitoring.values = {"num_undelivered_messages": 7, "oldest_unacked_message_age": 600}
    reading = topic.probe(monitoring=monitoring.url).read(10)
    assert (reading.depth, reading.truncated) == (7, True)
    assert reading.oldest_at is not None
    assert reading.oldest_at == monitoring.sampled_at - timedelta(seconds=600)
    assert reading.drops_at == reading.oldest_at + timedelta(days=7)
    assert "when Cloud Monitoring sampled it" in reading.notes[-1]
    monitoring.values = {}
    reading = topic.probe(monitoring=monitoring.url).read(10)
    assert (reading.depth, "has no point of the last ten minutes" in reading.notes[-1]) == (None, True)
    monitoring.status = 403
    assert "Cloud Monitoring answered 403" in topic.probe(monitoring=monitoring.url).read(10).notes[-1]


def test_a_subscription_in_which_a_look_counts_is_never_looked_into(topic: Topic) -> None:
    policy = {"dead_letter_topic": topic.topic, "max_delivery_attempts": 5}
    topic.subscribe("counting", dead_letter_policy=policy)
    topic.publish(b"{}")
    reading = topic.probe(subscription="counting").read(10)
    assert (reading.letters, "each look counts" in reading.notes[0]) == ((), True)


def test_wrong_names_and_servers_are_named_errors(topic: Topic) -> None:
    with pytest.raises(ProbeError, match="there is no subscription nowhere in p") as caught:
        topic.probe(subscription="nowhere").read(1)
    assert caught.value.reason is Reason.QUERY
    with pytest.raises(ProbeError) as caught:
        topic.probe(endpoint="127.0.0.1:1").read(1)
    assert caught.value.reason is Reason.UNREACHABLE


def test_without_credentials_that_is_said(topic: Topic, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "key.json").write_text("{}")
    with pytest.raises(ProbeError, match="no readable file") as caught:
        topic.probe(endpoint=None, credentials=str(tmp_path / "key.json")).read(1)
    assert caught.value.reason is Reason.AUTH
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(ProbeError, match="there are no Google credentials") as caught:
        topic.probe(endpoint=None).read(1)
    assert caught.value.reason is Reason.AUTH


@pytest.mark.usefixtures("patient")
def test_messages_of_any_content_are_letters(topic: Topic) -> None:
    made = [*messages.PAYLOADS.values(), messages.GOOD]
    named = {f"name{at}": "x" for at in range(90)} | {"CloudPubSubDeadLetterSourceDeliveryCount": "-5"}
    named |= {"CloudPubSubDeadLetterSourceSubscription": "projects/p/subscriptions/payroll", "id": "a\0b"}
    for payload in made:
        topic.publish(payload, **named)
    for key in ("$.id", "$..id"):
        reading = topic.probe(key=key, timeout="60s").read(1_000)
        letters = sorted(reading.letters, key=lambda letter: int(re.sub(r"\D", "", letter.letter_id)))
        assert (len(letters), letters[-1].key) == (len(made), messages.GOOD_KEY)
        assert {letter.attempts for letter in letters} == {None}
        if key == "$.id":
            assert_told(messages.PAYLOADS, letters)
    (told,) = {letter.unreadable for letter in topic.probe(key="field:id", timeout="60s").read(1_000).letters}
    assert "NUL" in told


@pytest.mark.parametrize("name", messages.FIGURES)
def test_figures_of_monitoring_that_cannot_be_true_are_unknown(topic: Topic, name: str) -> None:
    value = messages.FIGURES[name]
    for metric in ("num_undelivered_messages", "oldest_unacked_message_age"):
        monitoring = Monitoring()
        monitoring.values = {"num_undelivered_messages": 3, "oldest_unacked_message_age": 3, metric: value}
        reading = topic.probe(peek="never", monitoring=monitoring.url).read(0)
        assert (reading.depth, reading.oldest_at) == (None, None)
        assert "how many wait is not known: Cloud Monitoring gave no sensible answer" in "; ".join(reading.notes)
        monitoring.close()


def test_a_server_that_always_says_goodbye_is_unreachable_and_not_asked_without_end() -> None:
    server = WireServer(wires.HTTP2["a goodbye"], asked_first=False)
    words = {"kind": "pubsub", "project": "p", "subscription": "s", "timeout": "60s", "role": "dead", "key": "$.id"}
    settings = PubSubSettings.model_validate({**words, "endpoint": f"127.0.0.1:{server.port}"})
    probe = PubSubProbe(settings)
    try:
        with pytest.raises(ProbeError) as failed:
            probe.read(10)
    finally:
        probe.close()
        server.close()
    assert failed.value.reason is Reason.UNREACHABLE


def test_a_connection_that_had_just_ended_costs_no_reading(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = topic.probe()
    probe.read(0)
    ask, asked = probe._client.get_subscription, []

    def gone_once(**words: Any) -> Any:
        asked.append(words)
        if len(asked) == 1:
            raise probe._errors.ServiceUnavailable("GOAWAY received")
        return ask(**words)

    monkeypatch.setattr(probe._client, "get_subscription", gone_once)
    assert probe.read(0).depth is None
    assert len(asked) == 2


def _soon(call: Callable[[], Any]) -> tuple[list[Any], threading.Thread]:
    """What a call answers or ends with, on a thread of its own; who waits for it need not wait for ever."""
    ended: list[Any] = []

    def run() -> None:
        try:
            ended.append(call())
        except ProbeError as error:
            ended.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return ended, thread


def test_a_server_that_pings_without_end_and_reads_nothing_holds_no_call_and_no_close() -> None:
    """GRPC itself then ends a request in about every second case only: six at once."""
    server = WireServer(wires.HTTP2["pings without end"], asked_first=False)
    words = {"kind": "pubsub", "project": "p", "subscription": "s", "timeout": "1s", "role": "dead", "key": "$.id"}
    settings = PubSubSettings.model_validate({**words, "endpoint": f"127.0.0.1:{server.port}"})
    probes = [PubSubProbe(settings) for _ in range(6)]
    try:
        reads = [_soon(lambda probe=probe: probe.read(10)) for probe in probes]  # type: ignore[misc]
        for ended, thread in reads:
            thread.join(60)
            assert [error.reason for error in ended] == [Reason.TIMEOUT]
        for probe in probes:
            _, thread = _soon(probe.close)
            thread.join(60)
            assert not thread.is_alive()
    finally:
        server.close()
    for probe in probes:  # what was given up ends with its connection
        if probe._stuck is not None:
            probe._stuck.join(60)
            assert not probe._stuck.is_alive()


@pytest.mark.parametrize("method", ["get_subscription", "pull", "modify_ack_deadline"])
def test_a_request_that_grpc_never_ends_is_given_up_and_not_joined_by_another(
    topic: Topic, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    topic.publish(b'{"id": 1}')
    probe = topic.probe(key="$.id", timeout="5s", role="dead")
    probe._open()
    over, asked = threading.Event(), []

    def hang(**words: Any) -> Any:
        asked.append(words["timeout"])
        over.wait()
        raise probe._errors.DeadlineExceeded("at last")

    monkeypatch.setattr(probe._client, method, hang)
    ended, thread = _soon(lambda: probe.read(10))
    thread.join(60)
    (first,) = ended
    if method == "get_subscription":
        assert first.reason is Reason.TIMEOUT
    else:
        said = {"pull": "not all letters were looked at", "modify_ack_deadline": "they could not be released"}
        assert said[method] in "; ".join(first.notes)
        assert [letter.key for letter in first.letters] == ([] if method == "pull" else ["1"])
    ended, thread = _soon(lambda: probe.read(10))
    thread.join(60)
    assert (ended[0].reason, len(asked)) == (Reason.TIMEOUT, 1)
    assert "keeps the last request" in ended[0].message
    over.set()
    probe._stuck.join(60)  # type: ignore[union-attr]
    assert probe.read(0).letters == ()
    probe.close()

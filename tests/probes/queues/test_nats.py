"""Queues in a real NATS JetStream: a consumer's backlog, and the advisories of what it was given too often."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import nats
import pytest
from nats.js.api import AckPolicy, ConsumerConfig

from probes.contract import ProbeError, Reason
from probes.queue_contract import QueueProbe
from probes.queues.nats import NatsProbe, NatsSettings
from tests.attacks import messages
from tests.probes.harness import all_letters, assert_told
from tests.waiting import wait_until

_numbers = itertools.count(1)


class Bus:
    """A stream of orders with a consumer that may be given a message twice, and a stream that captures advisories."""

    def __init__(self, url: str) -> None:
        self.url = url
        number = next(_numbers)
        self.orders, self.advisories, self.consumer = f"orders{number}", f"advisories{number}", f"worker{number}"
        self.run(self._set_up)

    def run(self, act: Callable[[Any], Awaitable[Any]]) -> Any:
        async def connected() -> Any:
            connection = await nats.connect(self.url)
            try:
                return await act(connection.jetstream())
            finally:
                await connection.close()

        return asyncio.run(connected())

    async def _set_up(self, js: Any) -> None:
        subject = f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{self.orders}.>"
        await js.add_stream(name=self.advisories, subjects=[subject], max_age=3600)
        await js.add_stream(name=self.orders, subjects=[f"{self.orders}.>"])
        asked = ConsumerConfig(durable_name=self.consumer, max_deliver=2, ack_wait=0.2, ack_policy=AckPolicy.EXPLICIT)
        await js.add_consumer(self.orders, asked)

    def publish(self, *payloads: bytes, headers: dict[str, str] | None = None) -> None:
        async def act(js: Any) -> None:
            for payload in payloads:
                await js.publish(f"{self.orders}.new", payload, headers=headers)

        self.run(act)

    def fail(self, times: int = 2) -> None:
        """Take everything this often, and acknowledge nothing."""

        async def act(js: Any) -> None:
            taken = await js.pull_subscribe_bind(self.consumer, self.orders)
            for _ in range(times):
                await taken.fetch(100, timeout=2)
                await asyncio.sleep(0.4)
            # The server notices that a message was given too often when it is asked for the next one.
            with contextlib.suppress(nats.errors.TimeoutError):
                await taken.fetch(1, timeout=0.5)

        self.run(act)

    def probe(self, **words: Any) -> NatsProbe:
        return NatsProbe(
            NatsSettings.model_validate({"kind": "nats", "url": self.url, "stream": self.advisories, **words})
        )

    def remove(self, sequence: int) -> None:
        self.run(lambda js: js.delete_msg(self.orders, sequence))


@pytest.fixture
def bus(nats_url: str) -> Iterator[Bus]:
    made = Bus(nats_url)
    yield made
    made.run(lambda js: js.delete_stream(made.orders))
    made.run(lambda js: js.delete_stream(made.advisories))


def test_keeps_to_the_contract(bus: Bus) -> None:
    assert isinstance(bus.probe(), QueueProbe)


def test_what_was_given_too_often_is_joined_to_its_own_message(bus: Bus) -> None:  # D: NATS
    bus.publish(json.dumps({"customer": {"id": "cus_1"}}).encode(), headers={"error": "422"})
    bus.publish(b"\xff not json", b"{}")
    before = bus.run(lambda js: js.consumer_info(bus.orders, bus.consumer))
    bus.fail()
    asked = bus.probe(key="$.customer.id", reason="field:error", consumer=bus.consumer, of=bus.orders)
    wait_until(lambda: asked.read(5).depth == 3)
    reading = asked.read(5)
    assert (reading.depth, reading.truncated, reading.retention_s) == (3, False, 3600)
    assert [(letter.key, letter.attempts) for letter in reading.letters] == [("cus_1", 2), (None, 2), (None, 2)]
    assert reading.letters[0].reason == "422"
    assert reading.letters[1].reason == f"delivered in vain to {bus.consumer}"
    assert reading.oldest_at is not None
    assert abs((datetime.now(UTC) - reading.oldest_at).total_seconds()) < 120
    assert bus.probe().read(5).depth == 3
    unheard = bus.probe(consumer="other", of=bus.orders).read(5)
    assert unheard.depth == 0
    assert "a name is misspelt" in unheard.missing
    known = bus.run(lambda js: js.consumer_info(bus.orders, bus.consumer))
    for _ in range(3):
        asked.read(5)
    again = bus.run(lambda js: js.consumer_info(bus.orders, bus.consumer))
    assert (again.delivered, again.ack_floor, again.num_ack_pending) == (
        known.delivered,
        known.ack_floor,
        known.num_ack_pending,
    )
    assert before.num_pending == 3


def test_a_letter_whose_message_is_gone_says_so(bus: Bus) -> None:
    bus.publish(b'{"id": 1}')
    bus.fail()
    wait_until(lambda: bus.probe().read(5).depth == 1)
    bus.remove(1)
    (letter,) = bus.probe(key="$.id", of=bus.orders).read(5).letters
    assert (letter.key, letter.reason) == (None, f"its message is gone from {bus.orders}")


def advised(bus: Bus, odd: Mapping[str, Any], *, subject: str = "") -> None:
    """Publish an advisory as the server writes it, but for what is odd."""
    whole = {"stream": bus.orders, "consumer": bus.consumer, "stream_seq": 1, "deliveries": 2}
    forged = json.dumps({"type": "io.nats.jetstream.advisory.v1.max_deliver", **whole, **odd}).encode()
    place = f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{subject or f'{bus.orders}.{bus.consumer}'}"
    bus.run(lambda js: js.publish(place, forged))


@pytest.mark.usefixtures("patient")
def test_advisories_of_any_content_leave_no_letter_unread(bus: Bus) -> None:
    bus.publish(b'{"id": 1}')
    for odd in messages.ADVISORIES.values():
        advised(bus, odd)
    for count in messages.VALUES.values():
        advised(bus, {"deliveries": count})
    advised(bus, {})
    asked = bus.probe(key="$.id", of=bus.orders, consumer=bus.consumer, timeout="60s")
    total = len(messages.ADVISORIES) + len(messages.VALUES) + 1
    depth, letters = all_letters(asked)
    assert (depth, len(letters)) == (total, total)
    assert letters[-1].key == "1"
    assert letters[-1].attempts == 2
    counted = letters[len(messages.ADVISORIES) : -1]
    assert {(letter.key, letter.attempts) for letter in counted} == {("1", None)}


@pytest.mark.parametrize("name", messages.FORGED)
@pytest.mark.parametrize("consumer", [True, False])
def test_a_forged_advisory_is_followed_to_no_other_stream(bus: Bus, name: str, consumer: bool) -> None:
    payroll = f"payroll{next(_numbers)}"
    secret = json.dumps({"id": 1, "note": messages.SECRET}).encode()

    async def act(js: Any) -> None:
        await js.add_stream(name=payroll, subjects=[payroll])
        await js.publish(payroll, secret, headers={"error": messages.SECRET})

    bus.run(act)
    bus.publish(b'{"id": 7}')
    claim = messages.FORGED[name](payroll)
    named = {"stream": bus.orders, "consumer": bus.consumer, **claim}
    advised(bus, claim)  # under the subject of the true ones
    advised(bus, claim, subject=f"{bus.orders}.{named['stream']}.{named['consumer']}")
    advised(bus, {})
    asked = bus.probe(key="$.id", of=bus.orders, **({"consumer": bus.consumer} if consumer else {}))
    reading = asked.read(10)
    assert messages.SECRET not in str(reading)
    *forged, true = reading.letters
    assert (true.key, true.note, true.letter_id) == ("7", "", f"{bus.orders}/{bus.consumer}/1")
    assert len(forged) == (1 if consumer else 2)
    for letter in forged:
        assert (letter.key, letter.payload, letter.headers) == (None, None, {})
        assert "it is not followed" in letter.note
        assert letter.letter_id != true.letter_id, "it hides none that is founded"
    bus.run(lambda js: js.delete_stream(payroll))


def test_without_a_stream_on_the_map_no_advisory_is_followed(bus: Bus) -> None:
    bus.publish(json.dumps({"id": 1, "note": messages.SECRET}).encode())
    advised(bus, {})
    (letter,) = (reading := bus.probe(key="$.id").read(5)).letters
    assert (letter.key, letter.reason) == (None, f"delivered in vain to {bus.consumer}")
    assert letter.note == f"its message is not fetched: the map does not name the stream {bus.orders} (of:)"
    assert messages.SECRET not in str(reading)


def test_an_advisory_is_followed_among_the_subjects_of_its_consumer_alone(bus: Bus) -> None:
    narrow = f"narrow{next(_numbers)}"

    async def act(js: Any) -> None:
        await js.add_consumer(bus.orders, ConsumerConfig(durable_name=narrow, filter_subject=f"{bus.orders}.new"))
        await js.publish(f"{bus.orders}.secret", json.dumps({"id": 1, "note": messages.SECRET}).encode())
        await js.publish(f"{bus.orders}.new", b'{"id": 7}')

    bus.run(act)
    for sequence in (1, 2):
        advised(bus, {"stream_seq": sequence, "consumer": narrow}, subject=f"{bus.orders}.{narrow}")
    reading = bus.probe(key="$.id", of=bus.orders, consumer=narrow).read(5)
    assert [letter.key for letter in reading.letters] == [None, "7"]
    assert (
        reading.letters[0].reason == f"its message is gone from {bus.orders}, or is none of those that {narrow} reads"
    )
    assert messages.SECRET not in str(reading)


@pytest.mark.usefixtures("patient")
def test_messages_of_any_content_are_letters(bus: Bus) -> None:
    stream = f"{bus.orders}-dead"

    async def act(js: Any) -> None:
        await js.add_stream(name=stream, subjects=[f"dead.{bus.orders}"])
        for payload in (*messages.PAYLOADS.values(), messages.GOOD):
            await js.publish(f"dead.{bus.orders}", payload)

    bus.run(act)
    for key in ("$.id", "$..id"):
        asked = bus.probe(stream=stream, key=key)
        depth, letters = all_letters(asked)
        assert (depth, len(letters), letters[-1].key) == (len(messages.PAYLOADS) + 1, depth, "7")
        if key == "$.id":
            assert_told(messages.PAYLOADS, letters)


RAW_HEADERS = {
    "no name": b"NATS/1.0\r\n: value\r\n\r\n",
    "no colon": b"NATS/1.0\r\nvalue\r\n\r\n",
    "no UTF-8": b"NATS/1.0\r\n\xff\xfe: \xff\r\nid: \xff\r\n\r\n",
    "NUL": b"NATS/1.0\r\na\0: \0\r\n\r\n",
    "folded": b"NATS/1.0\r\na: b\r\n c\r\n\r\n",
    "an encoded word": b"NATS/1.0\r\na: =?utf-16?b?//4=?=\r\n\r\n",
    "a name a thousand times": b"NATS/1.0\r\n" + b"a: b\r\n" * 1_000 + b"\r\n",
    "a thousand": b"NATS/1.0\r\n" + b"".join(b"a%d: b\r\n" % at for at in range(1_000)) + b"\r\n",
    "long": b"NATS/1.0\r\na: " + b"x" * 50_000 + b"\r\n\r\n",
}
"""Headers as any client can send them, past what a driver lets through."""


def test_headers_of_any_content_leave_no_letter_unread(bus: Bus) -> None:
    stream = f"{bus.orders}-raw"
    bus.run(lambda js: js.add_stream(name=stream, subjects=[f"raw.{bus.orders}"]))
    place = urlsplit(bus.url)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=10) as line:
        line.recv(65_536)
        line.sendall(b'CONNECT {"verbose":false,"headers":true,"user":"t","pass":"secret-of-t"}\r\n')
        for raw in (*RAW_HEADERS.values(), b"NATS/1.0\r\nid: 7\r\n\r\n"):
            words = f"HPUB raw.{bus.orders} {len(raw)} {len(raw) + 2}\r\n".encode()
            line.sendall(words + raw + b"{}\r\n")
        line.sendall(b"PING\r\n")
        assert b"PONG" in line.recv(65_536)
    asked = bus.probe(stream=stream, key="field:id")
    wait_until(lambda: asked.read(0).depth == len(RAW_HEADERS) + 1)
    reading = asked.read(100)
    letters = dict(zip(RAW_HEADERS, reading.letters, strict=False))
    assert (len(reading.letters), reading.letters[-1].key) == (len(RAW_HEADERS) + 1, "7")
    assert letters["no UTF-8"].unreadable == "its key is not UTF-8"
    assert all(not letter.unreadable for name, letter in letters.items() if name != "no UTF-8")


def test_a_consumers_backlog_is_what_it_has_not_acknowledged(bus: Bus) -> None:
    bus.publish(*[b"{}" for _ in range(5)])

    async def take_two(js: Any) -> None:
        taken = await js.pull_subscribe_bind(bus.consumer, bus.orders)
        for message in await taken.fetch(2, timeout=2):
            await message.ack_sync()

    bus.run(take_two)
    reading = bus.probe(stream=bus.orders, consumer=bus.consumer, role="main").read(5)
    assert (reading.depth, reading.arrived, reading.taken, reading.letters) == (3, 5, 2, ())
    assert reading.age_of == "since it was published"
    whole = bus.probe(stream=bus.orders, role="main").read(5)
    assert (whole.depth, whole.arrived) == (5, 5)


def test_wrong_names_and_logins_are_named_errors_without_the_secret(bus: Bus) -> None:
    with pytest.raises(ProbeError, match="there is no stream nowhere") as caught:
        bus.probe(stream="nowhere").read(1)
    assert caught.value.reason is Reason.QUERY
    with pytest.raises(ProbeError, match="there is no consumer nobody") as caught:
        bus.probe(stream=bus.orders, consumer="nobody", role="main").read(1)
    assert caught.value.reason is Reason.QUERY
    with pytest.raises(ProbeError) as caught:
        bus.probe(url=bus.url.replace("secret-of-t", "hunter2")).read(1)
    assert caught.value.reason is Reason.AUTH
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ProbeError) as caught:
        bus.probe(url="nats://127.0.0.1:1").read(1)
    assert caught.value.reason is Reason.UNREACHABLE


def test_letters_are_read_page_by_page_past_what_was_deleted(bus: Bus) -> None:
    async def publish(js: Any) -> None:
        await js.add_stream(name=f"{bus.orders}-dead", subjects=[f"dead.{bus.orders}"])
        for number in range(150):
            await js.publish(f"dead.{bus.orders}", json.dumps({"id": number}).encode())
        for sequence in range(10, 120):
            await js.delete_msg(f"{bus.orders}-dead", sequence)

    bus.run(publish)
    asked = NatsProbe(
        NatsSettings.model_validate({"kind": "nats", "url": bus.url, "stream": f"{bus.orders}-dead", "key": "$.id"})
    )
    keys, after, pages = [], None, 0
    while True:
        reading = asked.read(15, after)
        keys += [letter.key for letter in reading.letters]
        after, pages = reading.next, pages + 1
        if not reading.truncated:
            break
    assert keys == [str(number) for number in range(150) if not 9 <= number < 119]
    assert (reading.depth, pages) == (40, 3)
    mark = reading.left_mark
    bus.run(lambda js: js.publish(f"dead.{bus.orders}", b"{}"))
    assert (asked.read(5, after).letters[0].letter_id, asked.read(0).left_mark) == ("151", mark)
    bus.run(lambda js: js.delete_msg(f"{bus.orders}-dead", 1))
    assert asked.read(0).left_mark != mark

"""Queues in a real NATS JetStream: a consumer's backlog, and the advisories of what it was given too often."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import nats
import pytest
from nats.js.api import AckPolicy, ConsumerConfig

from probes.contract import ProbeError, QueueProbe, Reason
from probes.queues.nats import NatsProbe, NatsSettings

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


def until(done: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        time.sleep(0.2)


def test_keeps_to_the_contract(bus: Bus) -> None:
    assert isinstance(bus.probe(), QueueProbe)


def test_what_was_given_too_often_is_joined_to_its_own_message(bus: Bus) -> None:  # D: NATS
    bus.publish(json.dumps({"customer": {"id": "cus_1"}}).encode(), headers={"error": "422"})
    bus.publish(b"\xff not json", b"{}")
    before = bus.run(lambda js: js.consumer_info(bus.orders, bus.consumer))
    bus.fail()
    asked = bus.probe(key="$.customer.id", reason="field:error", consumer=bus.consumer, of=bus.orders)
    until(lambda: asked.read(5).depth == 3)
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
    until(lambda: bus.probe().read(5).depth == 1)
    bus.remove(1)
    (letter,) = bus.probe(key="$.id").read(5).letters
    assert (letter.key, letter.reason) == (None, f"its message is gone from {bus.orders}")


@pytest.mark.parametrize(
    "odd",
    [
        {"stream_seq": "first"},
        {"stream_seq": 0},
        {"stream_seq": 2**70},
        {"stream_seq": None},
        {"stream": "no name"},
        {"stream": ["orders"]},
        {"consumer": ""},
        {"deliveries": "many"},
        {"deliveries": 2**40},
    ],
)
def test_an_advisory_that_is_none_leaves_no_letter_unread(bus: Bus, odd: dict[str, Any]) -> None:
    whole = {"stream": bus.orders, "consumer": bus.consumer, "stream_seq": 1, "deliveries": 2}
    forged = json.dumps({"type": "io.nats.jetstream.advisory.v1.max_deliver", **whole, **odd}).encode()
    bus.publish(b'{"id": 1}')

    async def act(js: Any) -> None:
        await js.publish(f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{bus.orders}.{bus.consumer}", forged)

    bus.run(act)
    (letter,) = bus.probe(key="$.id").read(5).letters
    assert letter.attempts is None
    assert letter.key == ("1" if "deliveries" in odd else None)


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

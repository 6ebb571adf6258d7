"""Queues in a real RabbitMQ: what it tells without being touched, and what a look costs."""

from __future__ import annotations

import itertools
import json
import re
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest

from auditor.audit.queue_audit import QueueAuditor
from auditor.history.status import flow_status
from auditor.systems.doctor import examine
from probes.contract import ProbeError, Reason
from probes.queue_contract import QueueProbe
from probes.queues.rabbitmq import RabbitMqProbe, RabbitMqSettings
from tests import amqp, servers
from tests.attacks import messages
from tests.probes.harness import assert_told
from tests.proxy import Proxy
from tests.stand import Stand
from tests.waiting import wait_until

_numbers = itertools.count(1)


class Broker:
    """A main queue whose rejected messages are dead-lettered, managed over the API."""

    def __init__(self, url: str, kind: str = "classic") -> None:
        self.url = url
        number = next(_numbers)
        self.main, self.dead = f"orders.{number}", f"orders.{number}.dead"
        self._http = httpx.Client(base_url=url, timeout=10, verify=False)
        self.declare(self.dead, {"x-message-ttl": 3_600_000} if kind == "classic" else {}, kind)
        dead_letters = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": self.dead}
        self.declare(self.main, dead_letters, "classic")

    def declare(self, name: str, arguments: dict[str, Any], kind: str) -> None:
        body = {"durable": True, "arguments": {**arguments, "x-queue-type": kind}}
        self._http.put(f"/api/queues/%2F/{quote(name)}", json=body).raise_for_status()

    def publish(self, payload: str, headers: dict[str, Any] | None = None, encoding: str = "string") -> None:
        body = {
            "routing_key": self.main,
            "payload": payload,
            "payload_encoding": encoding,
            "properties": {"headers": headers or {}, "delivery_mode": 2},
        }
        self.post(body)

    def post(self, body: dict[str, Any]) -> None:
        self._http.post("/api/exchanges/%2F/amq.default/publish", json=body).raise_for_status()

    def reject(self, count: int) -> None:
        body = {"count": count, "ackmode": "reject_requeue_false", "encoding": "auto"}
        self._http.post(f"/api/queues/%2F/{quote(self.main)}/get", json=body).raise_for_status()

    def told(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self._http.get(f"/api/queues/%2F/{quote(name)}").json()
        return found

    def probe(self, **words: Any) -> RabbitMqProbe:
        return RabbitMqProbe(
            RabbitMqSettings.model_validate({"kind": "rabbitmq", "url": self.url, "queue": self.dead, **words})
        )

    def close(self) -> None:
        for name in (self.main, self.dead):
            self._http.delete(f"/api/queues/%2F/{quote(name)}")
        self._http.close()


@pytest.fixture
def broker(rabbitmq_url: str) -> Iterator[Broker]:
    made = Broker(rabbitmq_url)
    yield made
    made.close()


def test_keeps_to_the_contract(broker: Broker) -> None:
    assert isinstance(broker.probe(), QueueProbe)


def test_depth_and_time_to_live_are_told_without_touching_a_letter(broker: Broker) -> None:
    for number in range(3):
        broker.publish(json.dumps({"customer": {"id": f"cus_{number}"}}))
    broker.reject(3)
    wait_until(lambda: broker.probe().read(5).depth == 3)
    reading = broker.probe(key="$.customer.id").read(5)
    assert (reading.depth, reading.letters, reading.oldest_at, reading.retention_s) == (3, (), None, 3600)
    assert reading.truncated
    assert "letters are not looked at" in reading.notes[0]
    assert "redeliver" not in (broker.told(broker.dead).get("message_stats") or {})


def test_where_the_map_allows_it_letters_are_looked_at_and_put_back(broker: Broker) -> None:
    before = datetime.now(UTC)
    broker.publish(json.dumps({"customer": {"id": "cus_1"}}), {"error": "422: no e-mail"})
    broker.publish("/v8=", encoding="base64")  # not UTF-8
    broker.publish("{broken")
    broker.reject(3)
    wait_until(lambda: broker.probe().read(5).depth == 3)
    asked = broker.probe(key="$.customer.id", reason="field:error", peek="requeue")
    reading = asked.read(5)
    assert [(letter.key, letter.reason) for letter in reading.letters] == [
        ("cus_1", "422: no e-mail"),
        (None, f"rejected in {broker.main}"),
        (None, f"rejected in {broker.main}"),
    ]
    assert [letter.attempts for letter in reading.letters] == [1, 1, 1]
    assert reading.oldest_at is not None
    assert abs((reading.oldest_at - before).total_seconds()) < 120
    assert not reading.truncated
    assert "looking marks letters as redelivered" in reading.notes
    again = asked.read(5)
    assert {letter.letter_id for letter in again.letters} == {letter.letter_id for letter in reading.letters}
    assert again.depth == 3


def test_a_quorum_queue_is_never_looked_into(rabbitmq_url: str) -> None:  # D: x-delivery-count
    broker = Broker(rabbitmq_url, kind="quorum")
    broker.publish("{}")
    broker.reject(1)
    wait_until(lambda: broker.probe().read(5).depth == 1)
    reading = broker.probe(peek="requeue").read(5)
    assert (reading.depth, reading.letters) == (1, ())
    assert "in a quorum queue each look counts as a delivery" in reading.notes[0]
    broker.close()


def test_what_comes_and_goes_in_a_main_queue_is_counted(broker: Broker) -> None:
    for number in range(4):
        broker.publish(str(number))
    asked = broker.probe(queue=broker.main, role="main")
    wait_until(lambda: (asked.read(0).arrived or 0) >= 4 and asked.read(0).depth is not None)
    reading = asked.read(0)
    assert (reading.depth, reading.arrived, reading.letters) == (4, 4, ())
    assert broker.probe().read(0).arrived is None, "what is dead-lettered is not counted as published"


def test_wrong_names_and_logins_are_named_errors_without_the_secret(broker: Broker) -> None:
    with pytest.raises(ProbeError, match="there is no queue nowhere") as caught:
        broker.probe(queue="nowhere").read(1)
    assert caught.value.reason is Reason.QUERY
    with pytest.raises(ProbeError) as caught:
        broker.probe(url=broker.url.replace("guest:guest", "guest:hunter2")).read(1)
    assert caught.value.reason is Reason.AUTH
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ProbeError) as caught:
        broker.probe(url="http://127.0.0.1:1").read(1)
    assert caught.value.reason is Reason.UNREACHABLE


def test_thousands_of_letters_are_seen_in_one_look_and_large_ones_are_cut(broker: Broker) -> None:
    broker.publish(json.dumps({"id": "first", "filler": "x" * 3_000_000}), {"error": "too large"})
    for number in range(300):
        broker.publish(json.dumps({"id": number}))
    broker.reject(301)
    wait_until(lambda: broker.probe().read(0).depth == 301)
    reading = broker.probe(peek="requeue", key="$.id", reason="field:error").read(1_000)
    assert (len(reading.letters), reading.truncated) == (301, False)
    assert len({letter.letter_id for letter in reading.letters}) == 301
    assert [letter.key for letter in reading.letters[:3]] == [None, "0", "1"], "a cut payload is not read into"
    assert (reading.letters[0].reason, reading.letters[0].headers["error"]) == ("too large", "too large")


def test_what_the_login_may_do_is_told(broker: Broker) -> None:
    assert broker.probe().prove_read_only() == "sends GET requests alone, as guest (administrator)"
    assert "puts them back" in broker.probe(peek="requeue").prove_read_only()


def test_why_a_message_died_is_told_by_x_death_and_by_no_other_header(broker: Broker) -> None:  # D: x-death
    """From 3.13 on a republished message keeps its old count, and 4.1 wrote a wrong first death."""
    deaths = [
        {"reason": "rejected", "queue": "orders", "count": 3, "time": 1_767_225_700},
        {"reason": "expired", "queue": "orders.retry", "count": 9, "time": 1_767_225_600},
    ]
    lying = {"x-death": deaths, "x-first-death-reason": "maxlen", "x-delivery-count": 0}
    for headers in (
        lying,
        {"x-death": [{"reason": "maxlen", "queue": "orders"}]},
        {"x-death": "not a list of deaths"},
    ):
        body = {
            "routing_key": broker.dead,
            "payload": "{}",
            "payload_encoding": "string",
            "properties": {"headers": headers},
        }
        broker.post(body)
    wait_until(lambda: broker.probe().read(0).depth == 3)
    first, second, third = broker.probe(peek="requeue").read(5).letters
    assert (first.reason, first.attempts) == ("rejected in orders", 3)
    assert first.first_failed_at == datetime.fromtimestamp(1_767_225_600, UTC)
    assert first.last_failed_at == datetime.fromtimestamp(1_767_225_700, UTC)
    assert (second.reason, second.attempts, second.first_failed_at) == ("maxlen in orders", None, None)
    assert (third.reason, third.attempts) == (None, None)


JSON_VALUES = [value for name, value in messages.VALUES.items() if name != "half of a surrogate pair"]
"""What RabbitMQ's own API takes to publish."""

ODD_DEATHS: list[Any] = [
    5,
    {"reason": "rejected"},
    [{"reason": "rejected", "queue": "orders", "count": "many", "time": 253_402_300_800_000}],
    [{"reason": ["rejected"], "count": 2**40, "time": -(2**60)}, "no death", {"reason": "rejected", "count": 2}],
]


def test_headers_that_nobody_expects_leave_no_letter_unread(broker: Broker) -> None:
    for deaths in ODD_DEATHS:
        properties = {
            "headers": {"x-death": deaths},
            "timestamp": 1_767_225_600_000,
        }  # in milliseconds, as many write
        broker.post(
            {"routing_key": broker.dead, "payload": "{}", "payload_encoding": "string", "properties": properties}
        )
    wait_until(lambda: broker.probe().read(0).depth == len(ODD_DEATHS))
    reading = broker.probe(peek="requeue").read(10)
    assert [letter.attempts for letter in reading.letters] == [None, None, None, 2]
    assert [letter.first_failed_at for letter in reading.letters] == [None] * len(ODD_DEATHS)
    assert (reading.depth, reading.oldest_at) == (len(ODD_DEATHS), None)


def _amqp_port(broker: Broker) -> int:
    listeners = httpx.get(f"{broker.url}/api/overview").json()["listeners"]
    (port,) = [each["port"] for each in listeners if each["protocol"] == "amqp"]
    return int(port)


@pytest.mark.usefixtures("patient")
def test_messages_of_any_content_are_letters(broker: Broker) -> None:
    made = [*messages.PAYLOADS.values(), b'{"id": 7, "filler": "' + b"x" * messages.HUGE_BYTES + b'"}', messages.GOOD]
    amqp.publish(_amqp_port(broker), broker.dead, [(amqp.table(), payload) for payload in made])
    wait_until(lambda: broker.probe().read(0).depth == len(made))
    for key in ("$.id", "$..id"):
        reading = broker.probe(peek="requeue", key=key).read(1_000)
        assert (reading.depth, len(reading.letters), reading.truncated) == (len(made), len(made), False)
        assert reading.letters[-1].key == messages.GOOD_KEY
        assert "its payload is larger than" in reading.letters[-2].unreadable
        if key == "$.id":
            assert_told(messages.PAYLOADS, reading.letters)


def test_x_death_and_headers_of_any_content_leave_no_letter_unread(broker: Broker) -> None:
    made: list[dict[str, Any]] = [{"x-death": deaths} for deaths in messages.DEATHS.values()]
    made += [{"x-death": [{"reason": "rejected", "count": value, "time": value}]} for value in JSON_VALUES]
    made += [{"id": value, "x-first-death-reason": value, "x-delivery-count": value} for value in JSON_VALUES]
    made += [{f"name{at}": "x" for at in range(1_000)}]
    made, offered = [], [*made, {"id": "7", "x-death": [{"reason": "rejected", "queue": "orders", "count": 2}]}]
    for headers in offered:
        properties = {"headers": headers, "timestamp": 2**63 - 1}
        body = {"routing_key": broker.dead, "payload": "{}", "payload_encoding": "string", "properties": properties}
        try:
            broker.post(body)
        except httpx.HTTPStatusError:
            continue  # the broker's own API takes no null and no number beyond 64 bits
        made.append(headers)
    assert (len(made) >= len(offered) - 8, made.pop()["id"]) == (True, "7")
    wait_until(lambda: broker.probe().read(0).depth == len(made) + 1)
    reading = broker.probe(peek="requeue", key="field:id").read(1_000)
    assert (reading.depth, len(reading.letters), reading.oldest_at) == (len(made) + 1, len(made) + 1, None)
    last = reading.letters[-1]
    assert (last.key, last.attempts, last.reason, last.unreadable) == ("7", 2, "rejected in orders", "")
    for headers, letter in zip(made, reading.letters, strict=False):
        if "x-death" in headers:
            assert letter.attempts is None or letter.attempts in [each["count"] for each in headers["x-death"]]
            assert letter.first_failed_at is None or letter.first_failed_at.year < 2039


RAW_HEADERS = {
    "no UTF-8": amqp.table((b"id", amqp.text(b"\xff\xfe"))),
    "a name that is no UTF-8": amqp.table((b"\xff", amqp.text(b"x"))),
    "x-death that is no UTF-8": amqp.table((b"x-death", amqp.text(b"\xff"))),
    "NUL": amqp.table((b"v\0", amqp.text(b"\0"))),
    "nested 300 deep": amqp.table((b"n", amqp.nested(300))),
    "nested 5,000 deep": amqp.table((b"n", amqp.nested(5_000))),
    "a stamp beyond the calendar": amqp.table((b"x-death", b"T" + struct.pack(">Q", 2**64 - 1))),
    "a decimal": amqp.table((b"id", b"D\xff" + struct.pack(">I", 2**32 - 1))),
    "a name twice": amqp.table((b"id", amqp.text(b"1")), (b"id", amqp.text(b"2"))),
    "nothing": amqp.table((b"id", b"V")),
}
"""Headers as only a client that writes AMQP itself can send them."""


def test_headers_that_no_driver_writes_leave_no_letter_unread(broker: Broker) -> None:
    made = [(raw, b'{"id": 7}') for raw in RAW_HEADERS.values()]
    amqp.publish(_amqp_port(broker), broker.dead, [*made, (amqp.table(), messages.GOOD)])
    wait_until(lambda: broker.probe().read(0).depth == len(made) + 1)
    reading = broker.probe(peek="requeue", key="$.id").read(100)
    assert [letter.key for letter in reading.letters] == ["7"] * (len(made) + 1)
    assert not reading.truncated


def test_x_death_names_queues_that_nobody_asks_for(broker: Broker) -> None:
    proxy = Proxy(int(urlsplit(broker.url).port or 0))
    broker.post(
        {
            "routing_key": broker.dead,
            "payload": "{}",
            "payload_encoding": "string",
            "properties": {"headers": {"x-death": messages.DEATHS["of another queue"]}, "reply_to": "payroll"},
        }
    )
    wait_until(lambda: broker.probe().read(0).depth == 1)
    (letter,) = broker.probe(peek="requeue", url=f"http://guest:guest@127.0.0.1:{proxy.port}").read(5).letters
    assert letter.reason == "rejected in payroll", "it is told, and not followed"
    asked = re.findall(rb"(?:GET|POST) (\S+) HTTP", proxy.sent)
    assert {path.decode() for path in asked} == {
        f"/api/queues/%2F/{broker.dead}",
        f"/api/queues/%2F/{broker.dead}/get",
    }


@pytest.fixture(
    scope="module",
    params=["management_agent.disable_metrics_collector = true\n", "management.disable_stats = true\n"],
)
def uncounted(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """Seven letters in a broker that collects no statistics."""
    with servers.rabbitmq(request.param) as url:
        made = Broker(url)
        for number in range(7):
            made.post(
                {"routing_key": made.dead, "payload": str(number), "payload_encoding": "string", "properties": {}}
            )
        yield made
        made.close()


def test_without_statistics_the_depth_is_unknown_and_the_reason_is_told(uncounted: Broker) -> None:
    reading = uncounted.probe().read(0)
    assert (reading.depth, reading.arrived, reading.taken) == (None, None, None)
    assert "statistics are switched off (management_agent.disable_metrics_collector" in "; ".join(reading.notes)


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path)
    yield made
    made.close()


def test_without_statistics_the_flow_is_unverified_and_the_doctor_says_why(uncounted: Broker, stand: Stand) -> None:
    stand.remap(
        "dead: {kind: sql_queue, system: billing, table: letters, key: record, since: failed_at, reason: error}",
        f'dead: {{kind: rabbitmq, url: "{uncounted.url}", queue: {uncounted.dead}}}',
    )
    stand.agree(5)
    watcher = QueueAuditor(
        flow=stand.map.flow("to_billing"),
        queue="dead",
        settings=stand.map.queues["to_billing", "dead"],
        probe=uncounted.probe(),
        ledger=stand.ledger,
    )
    begun_at = datetime.now(UTC)
    for second in (0, 2, 6):
        assert not isinstance(watcher.audit(begun_at + timedelta(seconds=second)), ProbeError)
    (found,) = flow_status(stand.map, stand.ledger, begun_at + timedelta(seconds=6))
    assert found.state == "unverified"
    assert "statistics are switched off" in found.why
    assert [each["breach"] for each in stand.rows("incidents")] == ["unmeasured_queue"]
    (queue,) = [each for each in examine(stand.map, seed=None, steps={}) if each.system == "queue to_billing/dead"]
    assert (queue.ok, queue.as_row()["state"]) == (False, "depth unknown")
    assert "how many messages wait is not known" in queue.remarks[0]
    assert "statistics are switched off" in queue.remarks[0]

"""Kafka's driver in a process of its own: whatever it does or suffers is one named error, and all else goes on."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest

from probes import child_process
from probes.contract import ProbeError, Reason
from probes.queue_contract import Letter
from probes.queues import kafka_driver
from probes.queues.kafka import ANSWER, Answer, KafkaProbe, KafkaSettings
from tests.attacks.wires import ANY, KAFKA, Wire
from tests.probes.queues.test_kafka import Topic
from tests.proxy import Proxy
from tests.servers import Kafka, free_port
from tests.waiting import PATIENCE_S, wait_until
from tests.wire_server import WireServer

IMPOSSIBLE = struct.pack(">h", 0) + bytes(6)
"""A list of -1 versions, as its third version has it."""


class TwoFaced:
    """Answers the first who asks for its versions rightly, and everybody else impossibly."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.asked = itertools.count(1)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                taken, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(taken,), daemon=True).start()

    def _serve(self, taken: socket.socket) -> None:
        with contextlib.suppress(OSError, struct.error), taken, taken.makefile("rb") as asked:
            while True:
                (size,) = struct.unpack(">i", asked.read(4))
                _, version, number = struct.unpack_from(">hhi", asked.read(size))
                answer = struct.pack(">i", number) + (IMPOSSIBLE if next(self.asked) > 1 else self._versions(version))
                taken.sendall(struct.pack(">i", len(answer)) + answer)

    @staticmethod
    def _versions(version: int) -> bytes:
        if version >= 3:
            return struct.pack(">hBhhhBiB", 0, 2, 18, 0, 3, 0, 0, 0)
        return struct.pack(">hihhh", 0, 1, 18, 0, 3)

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def two_faced() -> Iterator[TwoFaced]:
    server = TwoFaced()
    yield server
    server.close()


@pytest.fixture
def topic(kafka_server: Kafka) -> Topic:
    made = Topic(kafka_server, partitions=1)
    made.write({"value": b'{"id": 1}', "partition": 0})
    return made


def probe_of(port: int, **more: Any) -> KafkaProbe:
    words = {"kind": "kafka", "role": "dead", "topic": "t", "servers": f"127.0.0.1:{port}", "timeout": "10s", **more}
    return KafkaProbe(KafkaSettings.model_validate(words))


def failure(probe: KafkaProbe) -> ProbeError:
    with pytest.raises(ProbeError) as caught:
        probe.read(5)
    return caught.value


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def pid_of(probe: KafkaProbe) -> int:
    pid = probe._child.pid
    assert pid is not None
    return pid


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that died is started again without a pause."""
    monkeypatch.setattr(child_process, "STARTS_APART_S", 0.0)


def test_who_answers_the_driver_impossibly_ends_one_reading_and_no_other(two_faced: TwoFaced, topic: Topic) -> None:
    healthy, attacked = topic.probe(key="$.id"), probe_of(two_faced.port)
    assert [letter.key for letter in healthy.read(5).letters] == ["1"]
    reading = pid_of(healthy)
    for _ in range(3):
        error = failure(attacked)
        assert (error.reason, "SIGABRT" in error.message) == (Reason.DECODE, True), error
        assert [letter.key for letter in healthy.read(5).letters] == ["1"]
    assert pid_of(healthy) == reading
    attacked.close()
    healthy.close()


VERSIONS = {
    f"{count} versions": Wire(first=struct.pack(">iihi", 16, 1, 0, count) + bytes(6), again=b"")
    for count in (-1, -(2**31), 0, 2)
}
WIRES = {**ANY, **KAFKA, **VERSIONS}


def test_who_refuses_connections_is_not_asked_until_the_deadline() -> None:
    class Patient(KafkaSettings):
        def client(self) -> dict[str, Any]:
            return {**super().client(), "reconnect.backoff.ms": 290_000, "reconnect.backoff.max.ms": 290_000}

    settings = Patient.model_validate({"kind": "kafka", "topic": "t", "servers": f"127.0.0.1:{free_port()}"})
    topic = kafka_driver.KafkaTopic(settings)
    topic._open()
    wait_until(lambda: (topic._admin.poll(0), topic._errors)[1])  # the client says so when it tries, and this was it
    failed: list[ProbeError] = []

    def ask() -> None:
        with pytest.raises(ProbeError) as caught:
            topic.read(0, None, time.monotonic() + 300)
        failed.append(caught.value)

    threading.Thread(target=ask, daemon=True).start()
    wait_until(lambda: failed)  # five times sooner than the deadline
    topic.close()
    assert failed[0].reason is Reason.UNREACHABLE


@pytest.mark.parametrize("name", WIRES)
def test_whatever_a_server_says_is_one_named_error(name: str) -> None:
    server = WireServer(WIRES[name], asked_first=False)
    probe = probe_of(server.port, timeout="2s")
    with ThreadPoolExecutor(1) as pool:
        error = pool.submit(failure, probe).result(PATIENCE_S)
    assert error.reason in {Reason.TIMEOUT, Reason.UNREACHABLE, Reason.DECODE, Reason.QUERY}, error
    probe.close()
    server.close()


@pytest.mark.usefixtures("at_once")
def test_a_driver_that_is_killed_while_it_reads_is_one_named_error_and_comes_back(topic: Topic) -> None:
    proxy = Proxy(int(topic.kafka.servers.rpartition(":")[2]))
    probe = topic.probe(servers=f"127.0.0.1:{proxy.port}", key="$.id", timeout="1h")
    proxy.mode = "swallow"
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(failure, probe)
        wait_until(lambda: proxy.sent)
        os.kill(pid_of(probe), signal.SIGKILL)
        error = under_way.result(PATIENCE_S)
    assert error.reason is Reason.UNREACHABLE
    assert error.message == "the process of Kafka's driver was ended by SIGKILL"
    again = topic.probe(key="$.id", timeout="60s")
    assert [letter.key for letter in again.read(5).letters] == ["1"]
    for each in (probe, again):
        each.close()
    proxy.close()


@pytest.mark.usefixtures("at_once")
def test_a_driver_that_hangs_is_killed_at_the_deadline_and_comes_back(topic: Topic) -> None:
    probe = topic.probe(key="$.id", timeout="2s")
    probe._child.start(probe._number, PATIENCE_S)
    hanging = pid_of(probe)
    os.kill(hanging, signal.SIGSTOP)
    error = failure(probe)
    assert (error.reason, error.message) == (Reason.TIMEOUT, "no answer within 2 s")
    wait_until(lambda: is_gone(hanging))
    probe.close()
    again = topic.probe(key="$.id", timeout="60s")
    assert [letter.key for letter in again.read(5).letters] == ["1"]
    again.close()


@pytest.mark.usefixtures("at_once")
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts all memory of a process")
def test_letters_that_are_huge_when_unpacked_end_one_reading(
    kafka_server: Kafka, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kafka_server.login is None:
        pytest.skip("librdkafka's mock cluster keeps no packed messages, and Kafka itself cannot be had here")
    bomb = Topic(kafka_server, partitions=1)
    words = {"bootstrap.servers": kafka_server.servers, "compression.type": "gzip", "message.max.bytes": 400_000_000}
    producer = confluent_kafka.Producer({**words, "queue.buffering.max.kbytes": 1_000_000})
    producer.produce(bomb.name, bytes(300_000_000))
    assert producer.flush(60) == 0
    monkeypatch.setattr(KafkaProbe, "driver", "tests.probes.small_kafka_driver")
    attacked = bomb.probe(key="$.id", timeout="60s")
    error = failure(attacked)
    assert (error.reason, "SIGABRT" in error.message) == (Reason.DECODE, True), error
    assert "huge when unpacked" in error.hint
    attacked.close()
    healthy = topic.probe(key="$.id", timeout="60s")
    assert [letter.key for letter in healthy.read(5).letters] == ["1"]
    healthy.close()


def test_all_queues_of_a_cluster_share_a_process_that_ends_with_the_last(kafka_server: Kafka, topic: Topic) -> None:
    other = Topic(kafka_server)
    login = {"security": "plaintext", "user": "of this test", "password": "alone", "timeout": "60s"}
    probes = [topic.probe(**login), other.probe(**login), topic.probe(group="g", **login)]
    with ThreadPoolExecutor(3) as pool:
        assert [each.depth for each in pool.map(lambda probe: probe.read(5), probes)][::2] == [1, 1]
    (shared,) = {pid_of(each) for each in probes}
    stranger = topic.probe(security="plaintext", user="somebody", password="else", timeout="60s")
    stranger.read(0)
    assert pid_of(stranger) != shared
    apart = pid_of(stranger)
    stranger.close()
    wait_until(lambda: is_gone(apart))
    for each in probes[:2]:
        each.close()
    assert probes[2].read(0).depth == 1
    assert pid_of(probes[2]) == shared
    probes[2].close()
    wait_until(lambda: is_gone(shared))


def test_as_many_queues_of_a_cluster_as_anybody_has_are_read_by_one_process(topic: Topic) -> None:
    probes = [topic.probe(key="$.id", timeout="60s") for _ in range(40)]
    with ThreadPoolExecutor(8) as pool:
        readings = list(pool.map(lambda probe: probe.read(5), probes))
    assert [len(each.letters) for each in readings] == [1] * len(probes)
    assert len({pid_of(each) for each in probes}) == 1
    for each in probes:
        each.close()


def test_a_probe_that_is_closed_ends_its_reading_under_way() -> None:
    silent = WireServer(Wire(again=b""), asked_first=False)
    probe = probe_of(silent.port, timeout="1h")
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(failure, probe)
        wait_until(lambda: probe._child.pid)
        pid = pid_of(probe)
        wait_until(lambda: not under_way.done())
        probe.close()
        assert under_way.result(PATIENCE_S).reason is Reason.UNREACHABLE
    wait_until(lambda: is_gone(pid))
    silent.close()


def test_the_login_stands_neither_in_the_words_nor_in_the_environment_of_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", "secret-of-looker")
    silent = WireServer(Wire(again=b""), asked_first=False)
    probe = probe_of(silent.port, security="sasl_plaintext", user="u", password="secret-of-looker", timeout="2s")
    assert "secret-of-looker" not in str(failure(probe))
    place = Path(f"/proc/{pid_of(probe)}")
    assert b"secret-of-looker" not in (place / "cmdline").read_bytes() + (place / "environ").read_bytes()
    probe.close()
    silent.close()


@pytest.mark.parametrize(
    "said", [b"", b"null", b"[]", b"{", b'{"reading": 7}', b'{"reading": {"depth": "7", "oldest_at": null}}']
)
def test_an_answer_that_is_no_reading_is_a_named_error(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = probe_of(1)
    monkeypatch.setattr(probe._child, "start", lambda *_: None)
    monkeypatch.setattr(probe._child, "ask", lambda *_: said)
    assert failure(probe).message == "Kafka's driver answers what is no reading"


def test_a_page_of_the_longest_letters_is_less_than_an_answer_may_hold(
    kafka_server: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = Letter(letter_id="0/1", key="k", payload="\x01" * 4_000, headers={"h" * 500: "\x01" * 500})
    assert kafka_driver._characters(longest) >= 5_000
    page = len(ANSWER.dump_json(Answer(message="\x01" * 1_000_000)))
    assert page / 1_000_000 * (kafka_driver.PAGE_CHARACTERS + 100_000) < child_process.ANSWER_BYTES
    topic = Topic(kafka_server, partitions=1)
    topic.write(*({"value": b'{"id": %d}' % at, "partition": 0} for at in range(10)))
    monkeypatch.setattr(kafka_driver, "PAGE_CHARACTERS", 40)
    reader, found, after = kafka_driver.KafkaTopic(topic.probe(key="$.id")._settings), list[str](), None
    while True:
        reading = reader.read(1_000, after, time.monotonic() + PATIENCE_S)
        assert 0 < len(reading.letters) < 5
        found += [str(letter.key) for letter in reading.letters]
        after = reading.next
        if not reading.truncated:
            break
    reader.close()
    assert found == [str(at) for at in range(10)]

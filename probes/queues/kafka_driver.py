"""The process that uses librdkafka to read all topics of one cluster, `python -m probes.queues.kafka_driver`.

librdkafka aborts the whole process if memory runs out or a response is impossible, such as a list of -1 versions: so
it gets its own process, started only by `KafkaProbe`. Requests and responses are JSON, `Question` and `Answer` of
`probes.queues.kafka`; messages become letters here, and nothing else of them leaves.
"""

from __future__ import annotations

import json
import logging
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import confluent_kafka
import confluent_kafka.admin

from probes.call_deadline import timed_out
from probes.child_process import limit_memory, serve
from probes.contract import ProbeError, Reason
from probes.queue_contract import Letter, QueueReading
from probes.queues.kafka import ANSWER, QUESTION, Answer, KafkaSettings
from probes.queues.message import Message, dropped_at, instant_at, read_one, sayable, storable
from probes.refusal import all_refuse

FAILED_SHOWN = 20_000
"""Most characters passed on of an unexpected error."""

MEMORY_BYTES = 512 * 1024**2
"""Memory that the process may allocate: a page of letters and librdkafka's buffers need a tenth of it."""

TOPIC_BYTES = 64 * 1024**2
"""Additional memory for each topic it reads: two clients, each with a thread and buffers for every broker of the
cluster."""

PAGE_CHARACTERS = 16 * 1024**2
"""A peek ends after the letter with which its page reaches this many characters: as JSON, where one may become six
bytes, it is still shorter than a child's longest response."""

LOOKER = "plumbline-looks"
"""The group name given to the broker; the group is never joined, so it is never created."""

CLOSED_WITHIN_S = 0.5
"""How long a new connection waits for the last one to close."""

DESCRIBED_S = 5 * 60
"""How long a topic's settings are cached."""

SPARED_S = 0.3
"""The time that a peek leaves if it ends before the last letter."""

QUIET = logging.getLogger("plumbline.librdkafka")
"""librdkafka's unsolicited messages; the affected call reports what they mean."""
QUIET.propagate = False
QUIET.addHandler(logging.NullHandler())

CONNECT = "__connect.errors."
SPRING = "kafka_dlt-"
BINARY = {
    f"{SPRING}original-partition": ">i",
    f"{SPRING}original-offset": ">q",
    f"{SPRING}original-timestamp": ">q",
    "kafka_deliveryAttempt": ">i",
}
"""Headers that Spring encodes as big-endian numbers."""

FETCH = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "earliest",
    "allow.auto.create.topics": False,
    # Small buffers: a peek keeps a page of letters, not librdkafka's default prefetch.
    "message.max.bytes": 1_000_000,
    "receive.message.max.bytes": 64 * 1024 * 1024,
    "fetch.max.bytes": 1_048_576,
    "max.partition.fetch.bytes": 262_144,
    "queued.max.messages.kbytes": 2_048,
    "fetch.wait.max.ms": 100,
}

T = TypeVar("T")

Offsets = dict[int, int]
"""Partition to offset."""


@dataclass(frozen=True, slots=True)
class _Span:
    """The backlog of a topic: by partition, the first offset kept, the next to come, the next to replay."""

    low: Offsets
    high: Offsets
    begin: Offsets

    @property
    def depth(self) -> int:
        return sum(self.high[partition] - self.begin[partition] for partition in self.high)


class KafkaTopic:
    """Reads one topic, through one client for figures and one for records."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._kafka: Any = confluent_kafka
        self._errors: list[Any] = []
        self._lock = threading.Lock()
        self._admin: Any = None
        self._consumer: Any = None
        self._shutting: threading.Thread | None = None
        self._kept_s: float | None = None
        self._kept_note: list[str] = []
        self._kept_until = 0.0
        self._oldest: tuple[Offsets, tuple[datetime | None, str]] | None = None

    def read(self, peek: int, after: str | None, until: float) -> QueueReading:
        """Read it as `QueueProbe.read` does, until an instant of the monotonic clock."""
        settings = self._settings
        if not self._lock.acquire(timeout=_left(until)):  # another reading of the same queue
            raise timed_out(settings.timeout_s)
        try:
            try:
                self._open()
                notes: list[str] = []
                span = self._span(until)
                retention_s = self._retention_s(until, notes)
                oldest_at, age_of = self._oldest_of(span, until)
                letters: list[Letter] = []
                behind = span.begin
                if peek and settings.role == "dead":
                    offsets = {int(partition): offset for partition, offset in json.loads(after or "{}").items()}
                    begin = {each: max(span.begin[each], offsets.get(each, 0)) for each in span.high}
                    letters, behind = self._fetch(begin, span.high, peek, until, self._read)
            except self._kafka.KafkaException as error:
                failed = self._explain(error.args[0])
                if failed.reason not in {Reason.QUERY, Reason.PERMISSION}:
                    # librdkafka would keep retrying in the background, even with a refused login.
                    self._shut()
                raise failed from None
        finally:
            self._lock.release()
        if settings.group is None:
            notes.append("no group replays these letters: the topic never shrinks, and its depth only grows")
        return QueueReading(
            depth=span.depth,
            oldest_at=oldest_at,
            age_of=age_of,
            arrived=sum(span.high.values()),
            taken=sum(span.begin.values()),
            retention_s=retention_s,
            drops_at=dropped_at(oldest_at, retention_s),
            notes=tuple(notes),
            letters=tuple(letters),
            truncated=any(behind[each] < span.high[each] for each in span.high),
            next=json.dumps({str(partition): offset for partition, offset in behind.items()}),
            left_mark=json.dumps([span.low, span.begin]),
        )

    # -- figures

    def _open(self) -> None:
        if self._admin is not None:
            return
        if self._shutting is not None:  # while one cannot be closed, do not open another
            self._shutting.join(CLOSED_WITHIN_S)
            if self._shutting.is_alive():
                raise ProbeError(Reason.TIMEOUT, "the server keeps the last connection busy", hint="is it Kafka?")
        words = {**self._settings.client(), "error_cb": self._errors.append}
        admin = self._kafka.admin.AdminClient(words, logger=QUIET)
        self._consumer = self._kafka.Consumer({**words, **FETCH, "group.id": LOOKER}, logger=QUIET)
        self._admin = admin

    def _span(self, until: float) -> _Span:
        settings, kafka = self._settings, self._kafka
        topic = self._described(until)
        if topic.error is not None:
            raise kafka.KafkaException(topic.error)
        places = [kafka.TopicPartition(settings.topic, partition) for partition in topic.partitions]
        low, high = (
            self._offsets(places, spec, until)
            for spec in (kafka.admin.OffsetSpec.earliest(), kafka.admin.OffsetSpec.latest())
        )
        committed: Offsets = {}
        if settings.group is not None:
            requests = [kafka.ConsumerGroupTopicPartitions(settings.group, places)]
            answer = self._admin.list_consumer_group_offsets(requests, request_timeout=_left(until))
            offsets = next(iter(answer.values())).result()
            committed = {each.partition: each.offset for each in offsets.topic_partitions if each.offset >= 0}
        begin = {each: min(max(low[each], committed.get(each, low[each])), high[each]) for each in high}
        return _Span(low, high, begin)

    def _described(self, until: float) -> Any:
        """The topic's metadata. A client reports why it cannot connect only when polled, so poll in between."""
        kafka, errors, topic = self._kafka, self._kafka.KafkaError, self._settings.topic
        self._admin.poll(0)
        self._errors.clear()
        while True:
            try:
                return self._admin.list_topics(topic, timeout=min(0.5, _left(until))).topics[topic]
            except kafka.KafkaException:
                self._admin.poll(0)
                codes = {error.code() for error in self._errors}
                if (
                    codes & {errors._AUTHENTICATION, errors._RESOLVE, errors._ALL_BROKERS_DOWN}
                    or until - time.monotonic() < 0.5
                    or all_refuse(_places(self._settings.servers))  # which a client reports only once
                ):
                    raise

    def _offsets(self, places: Sequence[Any], spec: Any, until: float) -> Offsets:
        answer = self._admin.list_offsets(dict.fromkeys(places, spec), request_timeout=_left(until))
        return {place.partition: future.result().offset for place, future in answer.items()}

    def _retention_s(self, until: float, notes: list[str]) -> float | None:
        """How long the topic keeps its records; refreshed every `DESCRIBED_S`."""
        if time.monotonic() > self._kept_until:
            self._kept_s, self._kept_note = self._described_retention(until)
            self._kept_until = time.monotonic() + DESCRIBED_S
        notes += self._kept_note
        return self._kept_s

    def _described_retention(self, until: float) -> tuple[float | None, list[str]]:
        admin = self._kafka.admin
        resource = admin.ConfigResource(admin.ResourceType.TOPIC, self._settings.topic)
        try:
            (future,) = self._admin.describe_configs([resource], request_timeout=min(1.0, _left(until) / 2)).values()
            kept_ms = int(future.result()["retention.ms"].value)
        except (self._kafka.KafkaException, KeyError, ValueError):
            return None, ["how long the topic keeps its records is not known: its settings cannot be read"]
        return kept_ms / 1000 if kept_ms >= 0 else None, []

    def _oldest_of(self, span: _Span, until: float) -> tuple[datetime | None, str]:
        """When the oldest waiting record was stamped, and what the stamp means; read again when it changes."""
        if not span.depth:
            return None, ""
        if self._oldest is None or self._oldest[0] != span.begin:
            first: list[tuple[datetime | None, str]] = []
            for partition, begin in span.begin.items():
                if begin < span.high[partition]:
                    first += self._fetch({partition: begin}, span.high, 1, until, _stamp)[0]
            stamps = [(at, meaning) for at, meaning in first if at is not None]
            self._oldest = span.begin, min(stamps, default=(None, ""))
        return self._oldest[1]

    # -- records

    def _fetch(
        self, begin: Offsets, high: Offsets, count: int, until: float, take: Callable[[Any], T]
    ) -> tuple[list[T], Offsets]:
        """Read up to `count` records, starting at these offsets.

        Args:
            take: returns what to keep of a record; the records themselves may be too large.

        Returns:
            What was kept, and by partition where to continue.
        """
        kafka, behind = self._kafka, dict(begin)
        waiting = {partition for partition, offset in begin.items() if offset < high[partition]}
        if not waiting:
            return [], behind
        self._consumer.assign([kafka.TopicPartition(self._settings.topic, each, begin[each]) for each in waiting])
        taken: list[T] = []
        characters = 0
        try:
            while waiting and len(taken) < count and characters < PAGE_CHARACTERS:
                if taken and time.monotonic() > until - SPARED_S:
                    break  # the next peek continues from there
                record = self._consumer.poll(min(0.2, _left(until)))
                if record is None:
                    continue
                error = record.error()
                if error is None:
                    behind[record.partition()] = record.offset() + 1
                    taken.append(take(record))
                    characters += _characters(taken[-1])
                elif error.code() == kafka.KafkaError._PARTITION_EOF:
                    behind[record.partition()] = record.offset()
                    waiting.discard(record.partition())
                elif error.code() != kafka.KafkaError.GROUP_AUTHORIZATION_FAILED:  # no group is used
                    raise kafka.KafkaException(error)
        finally:
            self._consumer.unassign()
        return taken, behind

    def _read(self, record: Any) -> Letter:
        return storable(read_one(record, self._letter, lambda each: f"{each.partition()}/{each.offset()}"))

    def _letter(self, record: Any) -> Letter:
        headers = _headers(record)
        message = Message({**({"key": record.key()} if record.key() is not None else {}), **headers}, record.value())
        attempts = headers.get("kafka_deliveryAttempt")
        return message.letter(
            self._settings,
            f"{record.partition()}/{record.offset()}",
            reason=_reason(headers),
            attempts=attempts if isinstance(attempts, int) else None,
            # Connect keeps the original's stamp: the time of dead-lettering is recorded nowhere.
            first_failed_at=None if _by_connect(headers) else _stamped_at(record),
        )

    # -- failures

    def _explain(self, error: Any) -> ProbeError:
        kafka, topic = self._kafka.KafkaError, self._settings.topic
        self._admin.poll(0)
        codes = {error.code(), *(each.code() for each in self._errors)}
        if kafka._AUTHENTICATION in codes or kafka.SASL_AUTHENTICATION_FAILED in codes:
            return ProbeError(Reason.AUTH, "Kafka refuses the login")
        if codes & {kafka.TOPIC_AUTHORIZATION_FAILED, kafka.GROUP_AUTHORIZATION_FAILED}:
            whose = f"of group {self._settings.group}" if kafka.GROUP_AUTHORIZATION_FAILED in codes else f"of {topic}"
            return ProbeError(
                Reason.PERMISSION, f"the login may not read the offsets {whose}", hint="DESCRIBE and READ are needed"
            )
        if codes & {kafka.UNKNOWN_TOPIC_OR_PART, kafka._UNKNOWN_TOPIC, kafka._NOENT, kafka._UNKNOWN_PARTITION}:
            return ProbeError(Reason.QUERY, f"there is no topic {topic}")
        if codes & {kafka._TRANSPORT, kafka._ALL_BROKERS_DOWN, kafka._RESOLVE, kafka._SSL}:
            return ProbeError(Reason.UNREACHABLE, "Kafka cannot be reached")
        if codes & {kafka._TIMED_OUT, kafka.REQUEST_TIMED_OUT}:
            return ProbeError(Reason.TIMEOUT, f"no answer within {self._settings.timeout_s:g} s")
        return ProbeError(Reason.QUERY, " ".join(error.str().split())[:200])

    def close(self) -> None:
        """Close the clients, after a running reading."""
        with self._lock:
            self._shut()

    def _shut(self) -> None:
        """Close the clients, on a separate thread, because closing waits for whatever a server still sends."""
        if self._consumer is not None:
            clients = [self._admin, self._consumer]
            self._shutting = threading.Thread(target=_close, args=(clients,), name="kafka-close", daemon=True)
            self._shutting.start()
        self._admin = self._consumer = None


def _close(clients: list[Any]) -> None:
    """Close the last of these, the consumer; the other one closes when it is released, which may take as long."""
    clients.pop().close()
    clients.clear()


def _characters(letter: object) -> int:
    """The length of a letter."""
    if not isinstance(letter, Letter):
        return 0
    texts = [letter.letter_id, letter.key, letter.reason, letter.payload, letter.unreadable, letter.note]
    return sum(len(str(each)) for each in (*texts, *letter.headers, *letter.headers.values()))


def _places(servers: str) -> list[tuple[str, int]]:
    """The hosts and ports of `HOST:PORT,...`; one that is not of this form is at a port that nobody has."""
    split = [each.strip().rpartition(":") for each in servers.split(",")]
    return [(host.strip("[]"), int(port) if port.isdecimal() else -1) for host, _, port in split]


def _left(until: float) -> float:
    """Seconds until the deadline. Raises `timeout` after it."""
    seconds = until - time.monotonic()
    if seconds <= 0:
        raise ProbeError(Reason.TIMEOUT, "no whole answer within the deadline", hint="raise timeout: of the queue")
    return seconds


def _headers(record: Any) -> dict[str, Any]:
    """The record's headers, the first of each name; numbers where Spring encodes them as such."""
    headers: dict[str, Any] = {}
    for name, value in record.headers() or ():
        form = BINARY.get(name)
        if form is not None and value is not None and len(value) == struct.calcsize(form):
            headers.setdefault(name, struct.unpack(form, value)[0])
        headers.setdefault(name, value)
    return headers


def _by_connect(headers: Mapping[str, Any]) -> bool:
    return any(name.startswith(CONNECT) for name in headers)


def _reason(headers: Mapping[str, Any]) -> str | None:
    """Why it was dead-lettered, from the headers of Connect or Spring."""

    def told(name: str) -> str:
        value = headers.get(name)
        return value.decode("utf-8", "replace").strip() if isinstance(value, bytes) else ""

    if _by_connect(headers):
        kind, message = told(f"{CONNECT}exception.class.name").rpartition(".")[2], told(f"{CONNECT}exception.message")
        _, caused, cause = told(f"{CONNECT}exception.stacktrace").rpartition("\nCaused by: ")
        if message.endswith(":") and caused:
            # A converter reports every fault alike; the innermost cause names the problem.
            kind, _, message = cause.partition("\n")[0].partition(": ")
        return ": ".join(part for part in (told(f"{CONNECT}stage"), kind.rpartition(".")[2], message) if part) or None
    kind = told(f"{SPRING}exception-cause-fqcn") or told(f"{SPRING}exception-fqcn")
    message = told(f"{SPRING}exception-message") or told("x-exception-message")
    return ": ".join(part for part in (kind.rpartition(".")[2], message) if part) or None


def _stamped_at(record: Any) -> datetime | None:
    kind, stamp_ms = record.timestamp()
    return instant_at(stamp_ms / 1000) if kind and stamp_ms >= 0 else None


def _stamp(record: Any) -> tuple[datetime | None, str]:
    """A record's stamp, and what its age means: brokers stamp the time of arrival only if configured."""
    at = _stamped_at(record)
    try:
        headers = _headers(record)
    except Exception:  # unreadable for the driver; the letter notes it
        headers = {}
    if _by_connect(headers):
        return at, "since the original record was made"
    anew = record.timestamp()[0] == 2 or any(name.startswith(SPRING) for name in headers)
    return at, "" if anew else "since its producer stamped it"


class Topics:
    """All topics that this process reads, by the number of the calling probe; its first request opens one."""

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self._memory_bytes = memory_bytes
        self._guard = threading.Lock()
        self._open: dict[int, KafkaTopic] = {}

    def answer(self, question: bytes) -> bytes:
        """Respond to one request; a failure is a response, too."""
        try:
            request = QUESTION.validate_json(question)
            if request.settings is None:
                with self._guard:
                    left = self._open.pop(request.probe, None)
                if left is not None:
                    left.close()
                return ANSWER.dump_json(Answer())
            with self._guard:
                topic = self._open.get(request.probe)
                if topic is None:
                    topic = self._open[request.probe] = KafkaTopic(KafkaSettings.model_validate(request.settings))
                    limit_memory(self._memory_bytes + len(self._open) * TOPIC_BYTES, for_good=False)
            return ANSWER.dump_json(Answer(reading=topic.read(request.peek, request.after, request.until)))
        except ProbeError as error:
            return ANSWER.dump_json(Answer(reason=error.reason, message=_plain(error.message), hint=error.hint))
        except Exception as error:
            return ANSWER.dump_json(Answer(failed=_plain(f"{type(error).__name__}: {error}")))


def _plain(text: str) -> str:
    """The part of an error to pass on; it is cut to its final length after secrets have been removed."""
    return sayable(text)[:FAILED_SHOWN]


if __name__ == "__main__":
    serve(Topics().answer, memory_bytes=MEMORY_BYTES, for_good=False)

"""Queues in Kafka: what a consumer group has not committed yet, and dead-letter topics.

A topic does not shrink when it is read, so its backlog is its end minus the commits of a group: for dead letters the
group that replays them. Records are fetched from given offsets without joining a group, and nothing is committed;
offsets of transactions and compaction count as messages, because Kafka cannot distinguish them without reading them.
Kafka Connect records why it dead-lettered a record only if `errors.deadletterqueue.context.headers.enable` is set,
keeps the original record's timestamp, and dead-letters only for sinks; Spring stamps the record anew.
Source: kafka.apache.org/documentation (Connect error reporting), apache/kafka DeadLetterQueueReporter,
spring-projects/spring-kafka DeadLetterPublishingRecoverer.

librdkafka runs only in a child process (`probes.queues.kafka_driver`), one for all queues of a cluster with the same
login: if it crashes, hangs or fills that process, other clusters and flows continue.
"""

from __future__ import annotations

import importlib.util
import itertools
import threading
import time
from dataclasses import dataclass, replace
from typing import Any, Literal, Self
from weakref import WeakValueDictionary

from pydantic import Field, SecretStr, TypeAdapter, ValidationError, field_validator, model_validator

from probes.call_deadline import left, one_call, timed_out
from probes.child_process import Child, ChildEndedError
from probes.contract import ProbeError, Reason
from probes.queue_contract import QueueReading
from probes.queues.message import MessageSettings, missing_driver

ANSWER_LIMIT_BYTES = 16 * 1024 * 1024
"""The largest response accepted; librdkafka would allocate 100 MB if a server announces that much."""

SOCKET_LIMIT_MS = 300_000
"""The longest wait for one response that librdkafka can be given; a reading's own deadline may be later."""


STARTING_S = 10.0
"""The longest that one reading waits for the driver process to get ready, which takes less than a second."""


class KafkaSettings(MessageSettings):
    """A topic in Kafka.

    Attributes:
        servers: `HOST:PORT`, several with commas.
        security: how to connect; `sasl_...` requires user and password.
        ca: file with the certificates to trust, if the system's own are not enough.
        group: the group with the backlog; for role `dead` the group that replays letters.
        key: `field:key` is the record's own key.
    """

    kind: Literal["kafka"]
    servers: str
    security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = "plaintext"
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    user: str | None = None
    password: SecretStr | None = None
    ca: str | None = None
    topic: str
    group: str | None = Field(default=None, min_length=1)

    @field_validator("servers")
    @classmethod
    def _without_login(cls, servers: str) -> str:
        if "@" in servers:
            raise ValueError("servers: is HOST:PORT alone; the login goes into user: and password:")
        return servers

    @model_validator(mode="after")
    def _login(self) -> Self:
        if self.security.startswith("sasl") and (self.user is None or self.password is None):
            raise ValueError(f"security: {self.security} wants user: and password:")
        if self.role != "dead" and self.group is None:
            raise ValueError(f"role: {self.role} requires group: the backlog is what the group has not committed")
        return self

    def client(self) -> dict[str, Any]:
        """The configuration of every librdkafka client."""
        words: dict[str, Any] = {
            "bootstrap.servers": self.servers,
            "security.protocol": self.security,
            "socket.timeout.ms": max(1_000, min(SOCKET_LIMIT_MS, int(self.timeout_s * 1000))),
            "receive.message.max.bytes": ANSWER_LIMIT_BYTES,
            "client.id": "plumbline",
            "reconnect.backoff.ms": 500,
        }
        if self.user is not None and self.password is not None:
            login = {"sasl.username": self.user, "sasl.password": self.password.get_secret_value()}
            words |= {"sasl.mechanism": self.mechanism, **login}
        if self.ca is not None:
            words["ssl.ca.location"] = self.ca
        return words


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request to the driver process.

    Attributes:
        probe: the number of the calling probe.
        settings: of its queue, secrets and all; None to close it.
        until: the deadline of the response, in monotonic seconds.
    """

    probe: int
    settings: dict[str, Any] | None = None
    peek: int = 0
    after: str | None = None
    until: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Its response: a reading, the parts of a `ProbeError`, or another failure."""

    reading: QueueReading | None = None
    reason: Reason | None = None
    message: str = ""
    hint: str = ""
    failed: str = ""


QUESTION = TypeAdapter(Question)
ANSWER = TypeAdapter(Answer)


class DriverError(Exception):
    """The driver process failed unexpectedly."""


class KafkaProbe:
    """Reads one topic through the process that all queues of its cluster share.

    Attributes:
        driver: the module that the process runs.
    """

    page_limit = 1_000
    driver = "probes.queues.kafka_driver"

    def __init__(self, settings: KafkaSettings, _system: object = None) -> None:
        if importlib.util.find_spec("confluent_kafka") is None:
            raise missing_driver("confluent-kafka", "kafka")
        self._settings = settings
        self.timeout_s = settings.timeout_s
        self._number = next(_numbers)
        self._child = _child_of(settings, self.driver)

    def read(self, peek: int, after: str | None = None) -> QueueReading:
        # Starting the process must not reduce the time that the broker has.
        try:
            self._child.start(self._number, left(STARTING_S))
        except ChildEndedError as ended:
            raise _ended(ended) from None
        except TimeoutError:
            raise ProbeError(
                Reason.TIMEOUT,
                f"the process of Kafka's driver is not up within {STARTING_S:g} s",
                hint="the machine is slow or short of memory; the next reading waits for the same process",
            ) from None
        except OSError as error:
            message = f"the process of Kafka's driver cannot be started: {error.strerror}"
            raise ProbeError(Reason.UNREACHABLE, message) from None
        return self._read(peek, after)

    @one_call
    def _read(self, peek: int, after: str | None) -> QueueReading:
        settings = self._settings
        words = settings.model_dump(mode="json", by_alias=True)
        if settings.password is not None:
            words["password"] = settings.password.get_secret_value()
        until = time.monotonic() + left()
        question = Question(probe=self._number, settings=words, peek=peek, after=after, until=until)
        try:
            answer = ANSWER.validate_json(
                self._child.ask(self._number, QUESTION.dump_json(question), until), strict=True
            )
        except ChildEndedError as ended:
            raise _ended(ended) from None
        except TimeoutError:
            raise timed_out(settings.timeout_s) from None
        except ValidationError:
            raise ProbeError(Reason.DECODE, "Kafka's driver answers what is no reading") from None
        if answer.reason is not None:
            raise ProbeError(answer.reason, answer.message, hint=answer.hint)
        if answer.reading is None:
            raise DriverError(answer.failed)
        return replace(answer.reading, letters=tuple(answer.reading.letters))

    def prove_read_only(self) -> str:
        return "fetches from given offsets: no group is joined, nothing is committed"

    def close(self) -> None:
        self._child.leave(self._number, QUESTION.dump_json(Question(probe=self._number)))


def _ended(ended: ChildEndedError) -> ProbeError:
    """The error of a reading after its process died."""
    if not ended.crashed:
        return ProbeError(
            Reason.UNREACHABLE, f"the process of Kafka's driver {ended}", hint="the next reading starts it again"
        )
    return ProbeError(
        Reason.DECODE,
        f"the process of Kafka's driver {ended}",
        hint="is it Kafka? check who answers at servers:, and whether messages of the topic are huge when unpacked",
    )


_numbers = itertools.count(1)
_children: WeakValueDictionary[tuple[object, ...], Child] = WeakValueDictionary()
_guard = threading.Lock()


def _child_of(settings: KafkaSettings, driver: str) -> Child:
    """The process that reads the queues of this cluster with this login."""
    password = settings.password.get_secret_value() if settings.password is not None else None
    cluster = (driver, settings.servers, settings.security, settings.mechanism, settings.user, password, settings.ca)
    with _guard:
        child = _children.get(cluster)
        if child is None:
            child = _children[cluster] = Child(driver)
        return child

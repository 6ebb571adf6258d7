"""Which probe serves which kind of system: one line a plug-in, imported on first use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from probes.contract import Binding, PluginSettings
from probes.secrets import Scrubber

if TYPE_CHECKING:
    from probes.contract import QueueProbe, QueueReading, RecordProbe

# kind -> (module, settings, binding, probe)
RECORD_KINDS: dict[str, tuple[str, str, str, str]] = {
    "sql": ("probes.records.sql.probe", "SqlSettings", "SqlBinding", "SqlProbe"),
    "rest": ("probes.records.rest.probe", "RestSettings", "RestBinding", "RestProbe"),
    "mongodb": ("probes.records.mongodb", "MongoDbSettings", "MongoDbBinding", "MongoDbProbe"),
}

# kind -> (module, settings, probe)
QUEUE_KINDS: dict[str, tuple[str, str, str]] = {
    "sql_queue": ("probes.queues.sql_queue", "SqlQueueSettings", "SqlQueueProbe"),
    "anypoint_mq": ("probes.queues.anypoint_mq", "AnypointMqSettings", "AnypointMqProbe"),
    "kafka": ("probes.queues.kafka", "KafkaSettings", "KafkaProbe"),
    "nats": ("probes.queues.nats", "NatsSettings", "NatsProbe"),
    "pubsub": ("probes.queues.pubsub", "PubSubSettings", "PubSubProbe"),
    "rabbitmq": ("probes.queues.rabbitmq", "RabbitMqSettings", "RabbitMqProbe"),
    "redis": ("probes.queues.redis", "RedisSettings", "RedisProbe"),
    "service_bus": ("probes.queues.service_bus", "ServiceBusSettings", "ServiceBusProbe"),
    "sqs": ("probes.queues.sqs", "SqsSettings", "SqsProbe"),
}

# kind -> (module, function that writes out one statement for people to run)
STATEMENTS: dict[str, tuple[str, str]] = {
    "sql": ("probes.records.sql.statements", "statement"),
}


def _load(module: str, name: str) -> Any:
    return getattr(import_module(module), name)


def record_settings(kind: str) -> type[PluginSettings]:
    """The settings model of a kind of system. Raises KeyError for an unknown kind."""
    module, settings, _, _ = RECORD_KINDS[kind]
    loaded: type[PluginSettings] = _load(module, settings)
    return loaded


def record_binding(kind: str) -> type[Binding]:
    """The model of `in: SYSTEM:` for a kind of system. Raises KeyError for an unknown kind."""
    module, _, binding, _ = RECORD_KINDS[kind]
    loaded: type[Binding] = _load(module, binding)
    return loaded


def queue_settings(kind: str) -> type[PluginSettings]:
    """The settings model of a kind of queue. Raises KeyError for an unknown kind."""
    module, settings, _ = QUEUE_KINDS[kind]
    loaded: type[PluginSettings] = _load(module, settings)
    return loaded


def open_record_probe(settings: Any) -> RecordProbe:
    """Open the probe for a system's settings; nothing is connected before the first call."""
    module, _, _, probe = RECORD_KINDS[settings.kind]
    try:
        opened: RecordProbe = _load(module, probe)(settings)
    except Exception as error:
        raise Scrubber.of(settings).error(error) from None
    return opened


def open_queue_probe(settings: Any, system: Any) -> QueueProbe:
    """Open the probe for a queue; `system` is the settings of the system it lives in, None where it names none."""
    module, _, probe = QUEUE_KINDS[settings.kind]
    scrub = Scrubber.of(settings, system)
    try:
        opened: QueueProbe = _load(module, probe)(settings, system)
    except Exception as error:
        raise scrub.error(error) from None
    return _Discreet(opened, scrub)


class _Discreet:
    """A queue probe whose failures are `ProbeError`s without secrets, whatever its driver raises."""

    def __init__(self, probe: QueueProbe, scrub: Scrubber) -> None:
        self.page_limit = probe.page_limit
        self._probe = probe
        self._scrub = scrub

    def read(self, peek: int, after: str | None = None) -> QueueReading:
        try:
            reading = self._probe.read(peek, after)
        except Exception as error:
            raise self._scrub.error(error) from None
        return replace(reading, notes=tuple(map(self._scrub, reading.notes)))

    def prove_read_only(self) -> str:
        try:
            return self._probe.prove_read_only()
        except Exception as error:
            raise self._scrub.error(error) from None

    def close(self) -> None:
        self._probe.close()


def statement_writer(settings: Any) -> Callable[..., str] | None:
    """What writes a change out in a system's own language (`probes.records.sql.statements`); None where nothing does."""
    if settings.kind not in STATEMENTS:
        return None
    writer: Callable[..., str] = partial(_load(*STATEMENTS[settings.kind]), settings)
    return writer

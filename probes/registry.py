"""Which probe serves which kind of system: one line per plug-in, imported on first use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from probes.contract import WRITTEN_FREELY
from probes.letter_case import CASELESS
from probes.metering import UNMETERED, Meter, metered
from probes.secrets import Scrubber
from probes.settings import Binding, PluginSettings, SystemSettings
from probes.sign_in_words import SignIn

if TYPE_CHECKING:
    from probes.contract import RecordProbe
    from probes.queue_contract import QueueProbe, QueueReading


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordKind:
    """A kind of system that holds records, and what it can do. Names are `module:name`, loaded on first use.

    Attributes:
        title: its display name.
        settings: the model of a system's settings; its module loads no driver.
        binding: the model of `in: SYSTEM:`.
        probe: the probe class.
        statements: the function that writes a change in the system's own language; None if it has none.
        sign_in: what a person enters to sign in to one; None for a kind that has to be described in the map.
        schemes: address schemes that identify a system of this kind by themselves.
        names_columns: field names are looked up as columns, and never evaluated as expressions.
        lists_all: its lists contain every record of a collection; false if an API's author has to ensure that.
        lists_by_key: a list goes by the key, and so holds other records first for another key; otherwise it goes by
            the system's own order.
        keys_are_unique: only fields that the system describes as unique can be keys.
        reads_by_any_field: records can be looked up by whatever field, so it can hold the pairs of a crosswalk.
        finds: of the types of keys that one system may write in several ways, those that are found in each.
        finds_mistaken: keys that may be mistaken for others are found by `ReadSpec.mistaken`; not where a whole list
            is read, or where only the API compares.
    """

    title: str
    settings: str
    binding: str
    probe: str
    statements: str | None = None
    sign_in: str | None = None
    schemes: tuple[str, ...] = ()
    names_columns: bool = False
    lists_all: bool = True
    lists_by_key: bool = False
    keys_are_unique: bool = False
    reads_by_any_field: bool = False
    finds: frozenset[str] = frozenset()
    finds_mistaken: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueKind:
    """A kind of queue. Names are `module:name`, loaded on first use.

    Attributes:
        settings: the model of a queue's settings; its module loads no driver.
        probe: the probe class.
        stands_in: the kind of system of the map that such a queue is part of; None if it has its own address.
    """

    settings: str
    probe: str
    stands_in: str | None = None


RECORD_KINDS: Mapping[str, RecordKind] = {
    "sql": RecordKind(
        title="SQL",
        settings="probes.records.sql.settings:SqlSettings",
        binding="probes.records.sql.settings:SqlBinding",
        probe="probes.records.sql.probe:SqlProbe",
        statements="probes.records.sql.statements:statement",
        schemes=("postgresql", "postgres", "mariadb", "mysql", "sqlite"),
        names_columns=True,
        lists_by_key=True,
        reads_by_any_field=True,
        finds=WRITTEN_FREELY,
        finds_mistaken=True,
    ),
    "rest": RecordKind(
        title="HTTP",
        settings="probes.records.rest.settings:RestSettings",
        binding="probes.records.rest.settings:RestBinding",
        probe="probes.records.rest.probe:RestProbe",
        lists_all=False,
    ),
    "mongodb": RecordKind(
        title="MongoDB",
        settings="probes.records.mongodb.settings:MongoDbSettings",
        binding="probes.records.mongodb.settings:MongoDbBinding",
        probe="probes.records.mongodb.probe:MongoDbProbe",
        schemes=("mongodb",),
        lists_by_key=True,
        reads_by_any_field=True,
        finds=WRITTEN_FREELY,
        finds_mistaken=True,
    ),
    "salesforce": RecordKind(
        title="Salesforce",
        settings="probes.records.salesforce.settings:SalesforceSettings",
        sign_in="probes.records.salesforce.settings:SIGN_IN",
        binding="probes.records.salesforce.settings:SalesforceBinding",
        probe="probes.records.salesforce.probe:SalesforceProbe",
        reads_by_any_field=True,
        finds=frozenset({CASELESS}),
        finds_mistaken=True,
    ),
    "stripe": RecordKind(
        title="Stripe",
        settings="probes.records.stripe.settings:StripeSettings",
        sign_in="probes.records.stripe.settings:SIGN_IN",
        binding="probes.records.stripe.settings:StripeBinding",
        probe="probes.records.stripe.probe:StripeProbe",
        finds=WRITTEN_FREELY,
    ),
    "hubspot": RecordKind(
        title="HubSpot",
        settings="probes.records.hubspot.settings:HubSpotSettings",
        sign_in="probes.records.hubspot.settings:SIGN_IN",
        binding="probes.records.hubspot.settings:HubSpotBinding",
        probe="probes.records.hubspot.probe:HubSpotProbe",
        keys_are_unique=True,
        finds=frozenset({CASELESS}),
        finds_mistaken=True,
    ),
}


def _queue(name: str, class_name: str, stands_in: str | None = None) -> QueueKind:
    module = f"probes.queues.{name}"
    return QueueKind(
        settings=f"{module}:{class_name}Settings", probe=f"{module}:{class_name}Probe", stands_in=stands_in
    )


QUEUE_KINDS: Mapping[str, QueueKind] = {
    "sql_queue": _queue("sql_queue", "SqlQueue", stands_in="sql"),
    "anypoint_mq": _queue("anypoint_mq", "AnypointMq"),
    "kafka": _queue("kafka", "Kafka"),
    "nats": _queue("nats", "Nats"),
    "pubsub": _queue("pubsub", "PubSub"),
    "rabbitmq": _queue("rabbitmq", "RabbitMq"),
    "redis": _queue("redis", "Redis"),
    "salesforce_events": _queue("salesforce_events", "SalesforceEvents", stands_in="salesforce"),
    "service_bus": _queue("service_bus", "ServiceBus"),
    "sqs": _queue("sqs", "Sqs"),
}


def _load(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)


def record_settings(kind: str) -> type[PluginSettings]:
    """The settings model of a kind of system. Raises KeyError for an unknown kind."""
    loaded: type[PluginSettings] = _load(RECORD_KINDS[kind].settings)
    return loaded


def record_binding(kind: str) -> type[Binding]:
    """The model of `in: SYSTEM:` for a kind of system. Raises KeyError for an unknown kind."""
    loaded: type[Binding] = _load(RECORD_KINDS[kind].binding)
    return loaded


def queue_settings(kind: str) -> type[PluginSettings]:
    """The settings model of a kind of queue. Raises KeyError for an unknown kind."""
    loaded: type[PluginSettings] = _load(QUEUE_KINDS[kind].settings)
    return loaded


def sign_ins() -> dict[str, SignIn]:
    """The kinds of system whose sign-in is described, each with what a person enters."""
    return {name: _load(kind.sign_in) for name, kind in RECORD_KINDS.items() if kind.sign_in}


def record_kind(settings: SystemSettings) -> RecordKind:
    """What the kind of a system can do."""
    return RECORD_KINDS[settings.kind]


def kind_of_address(address: str) -> str:
    """The kind of system that an address belongs to; for an unknown one, a kind that explains the error."""
    scheme = address.partition("://")[0].partition("+")[0]
    addressed = [name for name, kind in RECORD_KINDS.items() if kind.schemes]
    return next((name for name in addressed if scheme in RECORD_KINDS[name].schemes), addressed[0])


def open_record_probe(settings: Any) -> RecordProbe:
    """Open the probe for a system's settings; nothing is connected before the first call."""
    try:
        opened: RecordProbe = _load(RECORD_KINDS[settings.kind].probe)(settings)
    except Exception as error:
        raise Scrubber.of(settings).error(error) from None
    return opened


def open_queue_probe(settings: Any, system: Any, meter: Meter = UNMETERED) -> QueueProbe:
    """Open the probe for a queue.

    Args:
        system: the settings of the system it lives in, None if it names none.
        meter: of that system.
    """
    scrub = Scrubber.of(settings, system)
    try:
        opened: QueueProbe = _load(QUEUE_KINDS[settings.kind].probe)(settings, system)
    except Exception as error:
        raise scrub.error(error) from None
    return _Discreet(opened, scrub, meter)


class _Discreet:
    """A metered queue probe whose failures are `ProbeError`s without secrets, whatever its driver raises."""

    def __init__(self, probe: QueueProbe, scrub: Scrubber, meter: Meter) -> None:
        self._meter = meter
        self.page_limit = probe.page_limit
        self._probe = probe
        self._scrub = scrub

    def read(self, peek: int, after: str | None = None) -> QueueReading:
        try:
            with metered(self._meter):
                reading = self._probe.read(peek, after)
        except Exception as error:
            raise self._scrub.error(error) from None
        return replace(reading, notes=tuple(map(self._scrub, reading.notes)))

    def prove_read_only(self) -> str:
        try:
            with metered(self._meter):
                return self._probe.prove_read_only()
        except Exception as error:
            raise self._scrub.error(error) from None

    def close(self) -> None:
        self._probe.close()


def statement_writer(settings: Any) -> Callable[..., str] | None:
    """The function that writes a change in a system's own language; None if there is none."""
    name = RECORD_KINDS[settings.kind].statements
    return partial(_load(name), settings) if name else None

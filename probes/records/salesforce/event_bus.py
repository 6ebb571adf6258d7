"""An org's event bus, read through the Pub/Sub API (gRPC): topics, schemas, and events from a position on.

Reading takes nothing from the bus. A subscription only names the position from which it reads on, and nothing of it
remains; the org counts what it delivers towards the day's allocation. Events are kept for 72 hours.
Source: Pub/Sub API Developer Guide (2026): "Subscribe RPC Method", "Pull Subscription and Flow Control", "Headers for
RPC Method Calls", "Handle Errors", "Event Message Durability"; pubsub_api.proto of forcedotcom/pub-sub-api (package
eventbus.v1, commits 03d49a9 and 0ba4701), of which names, numbers and types are kept here as data.
"""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from queue import Empty, Full, Queue, SimpleQueue
from typing import Any, Protocol, TypeVar

from probes.call_deadline import left
from probes.contract import ProbeError, Reason
from probes.metering import spend

SERVICE = "eventbus.v1.PubSub"
LATEST, EARLIEST, FROM_POSITION = 0, 1, 2

MOST_REQUESTED = 100
"""The most events of one request. Source: "Subscribe RPC Method"."""

MESSAGE_LIMIT_BYTES = 16 * 1024 * 1024
"""The largest response: an event has 1 MB at most."""

ENOUGH_BYTES = 8 * 1024 * 1024
"""A reading ends once its events have this many bytes together."""

QUIET_S = 0.2
"""A reading ends when nothing more has arrived for this long."""

SCHEMAS_KEPT = 64

MOST_FOLLOWED = 16
"""Subscriptions that stay open between two readings."""

MOST_BACKOFF_MS = 10_000
"""The longest pause of gRPC between two attempts to connect."""

LONGEST_REQUEST_S = 60.0
"""The deadline of a request outside a call with a deadline of its own."""

GRACE_S = 0.5
"""How much longer than its deadline to wait for a request, so that gRPC can report its outcome."""

_STRING, _BYTES, _BOOL, _INT32 = 9, 12, 8, 5
_REPEATED = "*"
_FIELDS: Mapping[str, Mapping[str, tuple[int, int | str]]] = {
    "TopicRequest": {"topic_name": (1, _STRING)},
    "TopicInfo": {"topic_name": (1, _STRING), "can_subscribe": (4, _BOOL), "schema_id": (5, _STRING)},
    "SchemaRequest": {"schema_id": (1, _STRING)},
    "SchemaInfo": {"schema_json": (1, _STRING), "schema_id": (2, _STRING)},
    "ProducerEvent": {"id": (1, _STRING), "schema_id": (2, _STRING), "payload": (3, _BYTES)},
    "ConsumerEvent": {"event": (1, "ProducerEvent"), "replay_id": (2, _BYTES)},
    "FetchRequest": {
        "topic_name": (1, _STRING),
        "replay_preset": (2, _INT32),
        "replay_id": (3, _BYTES),
        "num_requested": (4, _INT32),
    },
    "FetchResponse": {
        "events": (1, f"ConsumerEvent{_REPEATED}"),
        "latest_replay_id": (2, _BYTES),
        "pending_num_requested": (4, _INT32),
    },
}
"""The fields that are read or written, by message: their numbers and types. All others are skipped."""

_CODES = "sfdc.platform.eventbus.grpc."
_LOST = frozenset(f"{_CODES}subscription.fetch.replayid.{name}" for name in ("corrupted", "validation.failed"))

ResultT = TypeVar("ResultT")


class Login(Protocol):
    """Signs requests in."""

    def signed_in(self, use: Callable[[str, str], ResultT]) -> ResultT:
        """Call a function with a token and the org's id; once more with a new token if the first is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusEvent:
    """An event as delivered.

    Attributes:
        payload: in Avro, by the schema of this id.
    """

    event_id: str
    replay_id: bytes
    schema_id: str
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What one reading got.

    Attributes:
        position: where the next reading continues; None if the bus did not say.
        more: the limit was reached, so there may be more.
    """

    events: Sequence[BusEvent] = ()
    position: bytes | None = None
    more: bool = False


class EventBus:
    """Reads one org's event bus. Calls may come from several threads at once.

    Args:
        address: `HOST:PORT`.
        instance_url: the org's own address.
        scrub: returns a text on one line, without secrets, at most this long.
    """

    def __init__(self, address: str, instance_url: str, login: Login, scrub: Callable[[str, int], str]) -> None:
        try:
            import grpc
            from google.protobuf import descriptor_pb2  # noqa: F401
        except ModuleNotFoundError as error:
            raise missing_driver("grpcio") from error
        self._grpc: Any = grpc
        self._address = address
        self._instance_url = instance_url
        self._login = login
        self._scrub = scrub
        self._opening = threading.Lock()
        self._channel: Any = None
        self._closed = False
        self._schema = lru_cache(SCHEMAS_KEPT)(self._read_schema)
        self._followed: OrderedDict[tuple[str, bytes | None], _Subscription] = OrderedDict()

    def check_topic(self, name: str) -> None:
        """Check that a topic can be subscribed to.

        Raises:
            ProbeError: `query` if it does not exist, `permission` if the user may not read it.
        """
        topic = self._ask("GetTopic", "TopicRequest", "TopicInfo", topic_name=name)
        if not topic.can_subscribe:
            raise ProbeError(Reason.PERMISSION, f"the user may not subscribe to {name}")

    def schema(self, schema_id: str) -> Any:
        """An Avro schema as JSON; schemas never change, so each is read once."""
        return self._schema(schema_id)

    def _read_schema(self, schema_id: str) -> Any:
        response = self._ask("GetSchema", "SchemaRequest", "SchemaInfo", schema_id=schema_id)
        try:
            return json.loads(response.schema_json)
        except (ValueError, RecursionError):
            raise ProbeError(Reason.DECODE, "the event bus returned a schema that is not JSON") from None

    def read(self, topic: str, after: bytes | None, limit: int, wait_s: float, *, start: int = LATEST) -> Delivered:
        """Read up to `limit` events, waiting for the first one.

        Args:
            after: the position after which to continue; None to begin.
            wait_s: how long to wait for the first response. Without events one comes within 270 s.
            start: where to begin without a position.

        Returns:
            No events and no position if there was no response.

        Raises:
            ProbeError: `cursor_lost` if the bus no longer has the position.
        """
        opened, delivered = self._subscribed(topic, after, limit, wait_s, start)
        opened.cancel()
        return delivered

    def follow(self, topic: str, after: bytes | None, limit: int, wait_s: float) -> Delivered:
        """As `read`, but the subscription stays open for the next call that continues at its position.

        A subscription that has broken off is opened again once.
        """
        with self._opening:
            opened = self._followed.pop((topic, after), None)
        delivered = None
        if opened is not None:
            try:
                delivered = opened.delivered(limit, wait_s)
            except ProbeError:
                opened.cancel()
            if opened.ended:
                delivered = delivered if delivered is not None and delivered.events else None
        if opened is None or delivered is None:
            opened, delivered = self._subscribed(topic, after, limit, wait_s, LATEST)
        self._keep(topic, opened, delivered)
        return delivered

    def _subscribed(
        self, topic: str, after: bytes | None, limit: int, wait_s: float, start: int
    ) -> tuple[_Subscription, Delivered]:
        """A new subscription, and what it delivered first."""
        first = {"topic_name": topic, "replay_preset": start if after is None else FROM_POSITION}
        if after is not None:
            first["replay_id"] = after

        def use(token: str, organisation: str) -> tuple[_Subscription, Delivered]:
            spend()
            opened = _Subscription(self, self._metadata(token, organisation), first, limit)
            try:
                return opened, opened.delivered(limit, wait_s)
            except BaseException:
                opened.cancel()
                raise

        return self._login.signed_in(use)

    def _keep(self, topic: str, opened: _Subscription, delivered: Delivered) -> None:
        """Keep a subscription open for the next reading, and end those that no reading has continued."""
        ends = [opened]
        if delivered.position is not None and not opened.ended:
            with self._opening:
                known = self._followed.pop((topic, delivered.position), None)
                self._followed[topic, delivered.position] = opened
                ends = [] if known is None else [known]
                while len(self._followed) > MOST_FOLLOWED:
                    ends.append(self._followed.popitem(last=False)[1])
        for each in ends:
            each.cancel()

    # -- requests

    def stub(self, method: str, request: str, response: str, *, streams: bool = False) -> Any:
        """A method of the API, to be called."""
        messages = _messages()
        with self._opening:
            if self._closed:
                raise _closed()
            if self._channel is None:
                self._channel = self._connected()
            make = self._channel.stream_stream if streams else self._channel.unary_unary
        return make(f"/{SERVICE}/{method}", messages[request].SerializeToString, messages[response].FromString)

    def _connected(self) -> Any:
        # gRPC's own retries would send a request again that the budget counts once.
        options = (
            ("grpc.max_receive_message_length", MESSAGE_LIMIT_BYTES),
            ("grpc.enable_retries", 0),
            ("grpc.enable_http_proxy", 0),
            ("grpc.max_reconnect_backoff_ms", MOST_BACKOFF_MS),
        )
        if is_local(self._address):
            return self._grpc.insecure_channel(self._address, options=options)
        return self._grpc.secure_channel(self._address, self._grpc.ssl_channel_credentials(), options=options)

    def _metadata(self, token: str, organisation: str) -> tuple[tuple[str, str], ...]:
        return ("accesstoken", token), ("instanceurl", self._instance_url), ("tenantid", organisation)

    def _ask(self, method: str, request: str, response: str, **words: Any) -> Any:
        def use(token: str, organisation: str) -> Any:
            spend()
            wait_s = left(LONGEST_REQUEST_S)
            message = _messages()[request](**words)
            try:
                call = self.stub(method, request, response).future(
                    message, timeout=wait_s, metadata=self._metadata(token, organisation)
                )
                return call.result(timeout=wait_s + GRACE_S)
            except (self._grpc.RpcError, self._grpc.FutureTimeoutError, self._grpc.FutureCancelledError) as error:
                raise self.failure(error) from None
            except ValueError:  # gRPC's error for a closed channel
                raise _closed() from None

        return self._login.signed_in(use)

    def failure(self, error: Any) -> ProbeError:
        """The error for a failed request."""
        grpc = self._grpc
        if isinstance(error, grpc.FutureTimeoutError):
            return ProbeError(Reason.TIMEOUT, "the event bus did not respond in time")
        if not isinstance(error, grpc.RpcError):
            return ProbeError(Reason.UNREACHABLE, f"the event bus cannot be read ({type(error).__name__})")
        status, named = _outcome(error)
        words = self._scrub(f"{status.name}: {error.details() or ''}", 200)
        if named in _LOST:
            return ProbeError(Reason.CURSOR_LOST, f"the event bus no longer has the position: {words}")
        reason, hint = {
            grpc.StatusCode.UNAUTHENTICATED: (Reason.AUTH, ""),
            grpc.StatusCode.PERMISSION_DENIED: (Reason.PERMISSION, "give the user read access to the object"),
            grpc.StatusCode.NOT_FOUND: (Reason.QUERY, "select the object under Change Data Capture in Setup"),
            grpc.StatusCode.INVALID_ARGUMENT: (Reason.QUERY, ""),
            grpc.StatusCode.DEADLINE_EXCEEDED: (Reason.TIMEOUT, ""),
            grpc.StatusCode.RESOURCE_EXHAUSTED: (
                Reason.OVER_BUDGET,
                "the org's allocation of delivered events is used up",
            ),
        }.get(status, (Reason.UNREACHABLE, "check event_bus, and whether this machine may connect to it"))
        if named == f"{_CODES}service.auth.error":
            reason, hint = Reason.AUTH, ""
        return ProbeError(reason, f"the event bus responded with {words}", hint=hint)

    def close(self) -> None:
        """End running requests."""
        with self._opening:
            self._closed = True
            channel, self._channel = self._channel, None
            followed, self._followed = self._followed, OrderedDict()
        for each in followed.values():
            each.cancel()
        if channel is not None:
            channel.close()


class _Subscription:
    """One subscription, from its first request until it is cancelled.

    Responses arrive on a thread of their own, so that waiting for one ends whatever gRPC does.

    Attributes:
        ended: the bus has ended it.
    """

    def __init__(
        self, bus: EventBus, metadata: Sequence[tuple[str, str]], first: Mapping[str, Any], limit: int
    ) -> None:
        self.ended = False
        self._bus = bus
        self._pending = min(limit, MOST_REQUESTED)
        self._outgoing: SimpleQueue[Any] = SimpleQueue()
        self._incoming: Queue[Any] = Queue(maxsize=2)
        self._over = threading.Event()
        self._request = _messages()["FetchRequest"]
        self._outgoing.put(self._request(num_requested=self._pending, **first))
        try:
            self._call = bus.stub("Subscribe", "FetchRequest", "FetchResponse", streams=True)(
                iter(self._outgoing.get, None), metadata=metadata
            )
        except ValueError:  # gRPC's error for a closed channel
            raise _closed() from None
        threading.Thread(target=self._receive, name="event-bus", daemon=True).start()

    def cancel(self) -> None:
        """End it."""
        self._over.set()
        self._outgoing.put(None)
        self._call.cancel()

    def delivered(self, limit: int, wait_s: float) -> Delivered:
        """The next events, about `limit` of them, or until nothing more arrives.

        Args:
            wait_s: how long to wait for the first response.
        """
        events: list[BusEvent] = []
        position: bytes | None = None
        size = 0
        until = time.monotonic() + wait_s
        while len(events) < limit and size < ENOUGH_BYTES:
            if not self._pending:
                self._pending = min(limit - len(events), MOST_REQUESTED)
                self._outgoing.put(self._request(num_requested=self._pending))
            response = self._next(until)
            if response is None:
                break
            self._pending -= len(response.events)
            if self._pending < 0:
                raise ProbeError(Reason.DECODE, "the event bus delivered more events than were requested")
            if any(not each.replay_id for each in response.events):
                raise ProbeError(Reason.DECODE, "the event bus delivered an event without a replay id")
            events += map(_event, response.events)
            size += sum(len(each.event.payload) for each in response.events)
            position = events[-1].replay_id if response.events else response.latest_replay_id or position
            if position and not response.events and self._incoming.empty():
                break  # nothing new until this position; one that waited here may be old
            if response.events:
                until = time.monotonic() + QUIET_S
        return Delivered(events=events, position=position, more=len(events) >= limit or size >= ENOUGH_BYTES)

    def _next(self, until: float) -> Any:
        """The next response; None if none arrives in time, or the stream has ended."""
        try:
            came = self._incoming.get(timeout=max(0.0, until - time.monotonic()))
        except Empty:
            return None
        self.ended = came is None or isinstance(came, BaseException)
        if isinstance(came, BaseException):
            raise self._bus.failure(came)
        return came

    def _receive(self) -> None:
        """Take responses until the stream ends; its end is passed on as None, its failure as the exception."""
        try:
            for response in self._call:
                self._pass_on(response)
            self._pass_on(None)
        except Exception as error:
            self._pass_on(error)

    def _pass_on(self, item: Any) -> None:
        while not self._over.is_set():
            with suppress(Full):
                self._incoming.put(item, timeout=0.1)
                return


def _closed() -> ProbeError:
    return ProbeError(Reason.UNREACHABLE, "the connection to the event bus was closed")


def _event(delivered: Any) -> BusEvent:
    event = delivered.event
    return BusEvent(
        event_id=event.id, replay_id=delivered.replay_id, schema_id=event.schema_id, payload=event.payload
    )


def _outcome(error: Any) -> tuple[Any, str]:
    """The status of a failed request, and the API's own code for the failure."""
    trailers = {str(name): value for name, value in error.trailing_metadata() or ()}
    return error.code(), str(trailers.get("error-code", ""))


def is_local(address: str) -> bool:
    """Whether an address is on this machine, where connections need no TLS."""
    return address.rpartition(":")[0].strip("[]") in {"127.0.0.1", "localhost", "::1"}


def missing_driver(package: str) -> ProbeError:
    """The error for a package that reading the event bus needs."""
    return ProbeError(
        Reason.QUERY,
        f"the event bus cannot be read: {package} is not installed",
        hint="pip install 'plumbline-auditor[salesforce]'",
    )


@cache
def _messages() -> Mapping[str, Any]:
    """The classes of the messages, by name."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    package = SERVICE.rpartition(".")[0]
    file = descriptor_pb2.FileDescriptorProto(name="event_bus.proto", package=package, syntax="proto3")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field_name, (number, kind) in fields.items():
            added = message.field.add(name=field_name, number=number, label=1)
            if isinstance(kind, int):
                added.type = kind
                continue
            added.type, added.type_name = 11, f".{package}.{kind.removesuffix(_REPEATED)}"
            added.label = 3 if kind.endswith(_REPEATED) else 1
    pool = descriptor_pool.DescriptorPool()  # of its own: another library may have messages of these names
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in _FIELDS
    }

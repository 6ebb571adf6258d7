"""The Pub/Sub API over gRPC: GetTopic, GetSchema, Subscribe.

Source: Pub/Sub API Developer Guide (2026): "Subscribe RPC Method" (at most 100 events a request; requests add up;
the stream stays open while events are pending), "Pull Subscription and Flow Control", "Headers for RPC Method
Calls" (accesstoken, instanceurl, tenantid), "Handle Errors" and "Retry Long-Lived RPC Calls After an Error Occurs"
(error codes in the trailer `error-code`; ...fetch.replayid.corrupted is also an id behind the 72 hours); the
comments of pubsub_api.proto (an empty response with the latest replay id within 270 seconds; replay options count
in the first request only; another topic in a later request is INVALID_ARGUMENT).

Where the documents are silent: more than 100 events in a request are refused like less than 1; an unknown topic or
schema is NOT_FOUND without an error code; a stream with nothing pending is ended after `idle_s`; when the session
of an open stream ends, so does the stream. There is no TLS here, where the vendor has nothing else.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn
from uuid import uuid4

import grpc

from tests.standins.salesforce.errors import ApiError
from tests.standins.salesforce.events import Bus, EventType
from tests.standins.salesforce.oauth import ORGANISATION, Authority
from tests.standins.salesforce.wire import CUSTOM, EARLIEST, MESSAGES, METHODS, SERVICE

CODES = "sfdc.platform.eventbus.grpc."
AUTH_ERROR = CODES + "service.auth.error"
UNAVAILABLE = CODES + "service.unavailable"
CORRUPTED = CODES + "subscription.fetch.replayid.corrupted"
MISSING_ID = CODES + "subscription.fetch.replayid.validation.failed"
BAD_NUMBER = CODES + "subscription.fetch.requested.events.invalid"
LIMIT_EXCEEDED = CODES + "subscription.limit.exceeded"
MOST_REQUESTED = 100


class _Pending:
    """What a subscriber has asked for and not got yet."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.asked_at = time.monotonic()
        self.closed = False
        self.left = False
        self.broken: tuple[grpc.StatusCode, str, str] | None = None


class PubSub:
    """The server.

    Attributes:
        keepalive_s: after how long without an event an empty response is sent.
        idle_s: after how long with nothing pending a stream is ended.
        most_together: how many events a response holds at most.
        repeating: every event is delivered twice, as "at least once" permits.
        calls: how often each method was called.
    """

    def __init__(self, bus: Bus, authority: Authority, instance_url: str) -> None:
        self.keepalive_s = 270.0
        self.idle_s = 60.0
        self.most_together = MOST_REQUESTED
        self.repeating = False
        self.calls: Counter[str] = Counter()
        self._bus = bus
        self._authority = authority
        self._instance_url = instance_url
        self._failures: list[tuple[str, grpc.StatusCode, str]] = []
        self._streams: set[_Pending] = set()
        self._stopped = False
        made = {"GetTopic": self._get_topic, "GetSchema": self._get_schema, "Subscribe": self._subscribe}
        handlers = {}
        for name, (asked, given) in METHODS.items():
            maker = (
                grpc.stream_stream_rpc_method_handler if name == "Subscribe" else grpc.unary_unary_rpc_method_handler
            )
            handlers[name] = maker(made[name], MESSAGES[asked].FromString, MESSAGES[given].SerializeToString)
        self._server = grpc.server(ThreadPoolExecutor(32))
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    @property
    def streams(self) -> int:
        """How many subscriptions are open."""
        with self._bus.arrived:
            return len(self._streams)

    def close(self) -> None:
        """Stop it and end its streams."""
        with self._bus.arrived:
            self._stopped = True
            self._bus.arrived.notify_all()
        self._server.stop(0).wait()

    def fail(self, code: grpc.StatusCode, error_code: str = "", *, on: str = "Subscribe", times: int = 1) -> None:
        """The next calls of a method fail."""
        self._failures += [(on, code, error_code)] * times

    def break_streams(
        self, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE, error_code: str = UNAVAILABLE
    ) -> None:
        """End all open streams with an error."""
        with self._bus.arrived:
            for stream in self._streams:
                stream.broken = (code, error_code, "the stream was ended")
            self._bus.arrived.notify_all()

    # the methods

    def _get_topic(self, request: Any, context: Any) -> Any:
        rpc_id, _ = self._let_in("GetTopic", context)
        kinds = self._kinds(request.topic_name, context, rpc_id)
        return MESSAGES["TopicInfo"](
            topic_name=request.topic_name,
            tenant_guid=f"core/prod/{ORGANISATION}",
            can_publish=not kinds[0].changes,
            can_subscribe=True,
            schema_id=kinds[0].schema_id,
            rpc_id=rpc_id,
        )

    def _get_schema(self, request: Any, context: Any) -> Any:
        rpc_id, _ = self._let_in("GetSchema", context)
        kind = self._bus.schema(request.schema_id)
        if kind is None:
            _refuse(context, grpc.StatusCode.NOT_FOUND, "", "there is no such schema", rpc_id)
        return MESSAGES["SchemaInfo"](schema_json=kind.schema_json, schema_id=kind.schema_id, rpc_id=rpc_id)

    def _subscribe(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
        rpc_id, token = self._let_in("Subscribe", context)
        first = next(requests, None)
        if first is None:
            return
        topics = [kind.topic for kind in self._kinds(first.topic_name, context, rpc_id)]
        _check_number(first, context, rpc_id)
        position = self._begin(first, context, rpc_id)
        pending = _Pending(first.num_requested)
        with self._bus.arrived:
            self._streams.add(pending)
        context.add_callback(lambda: self._leave(pending))
        threading.Thread(target=self._listen, args=(requests, first.topic_name, pending), daemon=True).start()
        try:
            while True:
                response, position = self._next(pending, position, topics, token)
                if pending.broken:
                    _refuse(context, *pending.broken, rpc_id)
                if response is None or not context.is_active():
                    return
                response.rpc_id = rpc_id
                yield response
        finally:
            with self._bus.arrived:
                self._streams.discard(pending)

    # the parts of a subscription

    def _leave(self, pending: _Pending) -> None:
        """The subscriber has cancelled the stream, or is gone."""
        with self._bus.arrived:
            pending.left = True
            self._bus.arrived.notify_all()

    def _next(self, pending: _Pending, position: bytes, topics: list[str], token: str) -> tuple[Any, bytes]:
        """The next response and where the subscription then stands; no response where the stream ends."""
        keepalive_at = time.monotonic() + self.keepalive_s
        with self._bus.arrived:
            while True:
                if not self._authority.valid(token):
                    pending.broken = (grpc.StatusCode.UNAUTHENTICATED, AUTH_ERROR, "the session has ended")
                if pending.broken or self._stopped or pending.left or (pending.closed and not pending.number):
                    return None, position
                found = self._bus.after(position, topics, min(pending.number, self.most_together))
                now = time.monotonic()
                if found:
                    pending.number -= len(found)
                    pending.asked_at = now
                    position = found[-1].replay_id
                    sent = [_consumed(each) for each in found for _ in range(2 if self.repeating else 1)]
                    return self._response(sent, position, pending.number), position
                if not pending.number and now - pending.asked_at > self.idle_s:
                    return None, position
                if now >= keepalive_at:
                    tip = max(position, self._bus.name_tip()) if pending.number else position
                    return self._response([], tip, pending.number), tip
                self._bus.arrived.wait(min(0.5, max(0.001, keepalive_at - now)))

    def _response(self, events: list[Any], latest: bytes, pending: int) -> Any:
        return MESSAGES["FetchResponse"](events=events, latest_replay_id=latest, pending_num_requested=pending)

    def _begin(self, first: Any, context: Any, rpc_id: str) -> bytes:
        with self._bus.arrived:
            if first.replay_preset == EARLIEST:
                return b""
            if first.replay_preset != CUSTOM:
                return self._bus.name_tip()
            known = self._bus.knows(first.replay_id)
        if not first.replay_id:
            message = "replay_id is required for the replay preset CUSTOM"
            _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, MISSING_ID, message, rpc_id)
        if not known:
            message = "The Replay ID validation failed. Ensure that the Replay ID is valid."
            _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, CORRUPTED, message, rpc_id)
        return bytes(first.replay_id)

    def _listen(self, requests: Iterator[Any], topic: str, pending: _Pending) -> None:
        """Take the further requests of a subscriber."""
        wrong = (grpc.StatusCode.INVALID_ARGUMENT, BAD_NUMBER, "num_requested must be from 1 to 100")
        try:
            for request in requests:
                with self._bus.arrived:
                    if request.topic_name not in {"", topic}:
                        pending.broken = (grpc.StatusCode.INVALID_ARGUMENT, "", "the topic cannot change")
                    elif not 0 < request.num_requested <= MOST_REQUESTED:
                        pending.broken = wrong
                    pending.number += request.num_requested
                    pending.asked_at = time.monotonic()
                    self._bus.arrived.notify_all()
        except grpc.RpcError:
            pass
        with self._bus.arrived:
            pending.closed = True
            self._bus.arrived.notify_all()

    def _kinds(self, topic: str, context: Any, rpc_id: str) -> list[EventType]:
        kinds = self._bus.types(topic)
        if not kinds:
            _refuse(context, grpc.StatusCode.NOT_FOUND, "", f"there is no topic {topic}", rpc_id)
        return kinds

    def _let_in(self, method: str, context: Any) -> tuple[str, str]:
        self.calls[method] += 1
        rpc_id = str(uuid4())
        failure = next((each for each in self._failures if each[0] in {method, "*"}), None)
        if failure:
            self._failures.remove(failure)
            _refuse(context, failure[1], failure[2], "the call was told to fail", rpc_id)
        given = {name: value for name, value in context.invocation_metadata()}
        token = given.get("accesstoken", "")
        right = given.get("instanceurl") == self._instance_url and given.get("tenantid", "")[:15] == ORGANISATION[:15]
        try:
            self._authority.check(token if right else "")
        except ApiError:
            _refuse(context, grpc.StatusCode.UNAUTHENTICATED, AUTH_ERROR, "authentication failed", rpc_id)
        return rpc_id, token


def _consumed(event: Any) -> Any:
    produced = MESSAGES["ProducerEvent"](id=event.id, schema_id=event.type.schema_id, payload=event.payload)
    return MESSAGES["ConsumerEvent"](event=produced, replay_id=event.replay_id)


def _check_number(request: Any, context: Any, rpc_id: str) -> None:
    if not 0 < request.num_requested <= MOST_REQUESTED:
        message = "num_requested must be from 1 to 100"
        _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, BAD_NUMBER, message, rpc_id)


def _refuse(context: Any, code: grpc.StatusCode, error_code: str, message: str, rpc_id: str) -> NoReturn:
    trailers = (("rpc-id", rpc_id), *((("error-code", error_code),) if error_code else ()))
    context.set_trailing_metadata(trailers)
    context.abort(code, f"{message} rpcId: {rpc_id}")
    raise AssertionError("abort raises")

"""Queues and subscriptions of Azure Service Bus.

The management API reports how many messages wait; letters are peeked over AMQP, which takes no lock and raises no
delivery count. A dead letter never expires and is never moved automatically. Its enqueued time is that of its first
acceptance: the time of dead-lettering is recorded nowhere.
Source: learn.microsoft.com/azure/service-bus-messaging (message browsing, dead-letter queues), the management API's
`QueueDescription` and `SubscriptionDescription`.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import re
import socket
import threading
import time
from contextvars import copy_context
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Literal, Self
from urllib.parse import quote, quote_plus, urlsplit

from pydantic import SecretStr, field_validator, model_validator

from probes.addresses import WEB, check_address, check_segment
from probes.call_deadline import begins, came, left, one_call, timed_out
from probes.contract import ProbeError, Reason
from probes.queue_contract import Letter, QueueReading
from probes.queues.message import Message, MessageSettings, figure, missing_driver, read_each

API_VERSION = "2021-05"

BATCH = 250
"""Messages requested at once; fewer may come."""

FIRST = 4
ENOUGH_BYTES = 2_000_000
"""Messages are read four at a time, and four times as many each time as long as they are small together."""

LOOK_BYTES = 64 * 1024 * 1024
"""Most bytes of one peek; the next one continues after it."""

SIGNED_S = 300
"""How long a signature for the management API is valid."""


class ServiceBusSettings(MessageSettings):
    """A queue, or a subscription of a topic, in Azure Service Bus; role `dead` is its dead-letter queue.

    Attributes:
        connection: the connection string of a policy with Listen and Manage, a secret.
        queue: which queue, or
        topic, subscription: which subscription.
        management: URL of the management API, if not that of the namespace.
        key: `field:NAME` of an application property, `field:subject`, `field:session_id` or `field:correlation_id`.
    """

    kind: Literal["service_bus"]
    connection: SecretStr
    queue: str | None = None
    topic: str | None = None
    subscription: str | None = None
    management: str | None = None

    @field_validator("queue", "topic", "subscription")
    @classmethod
    def _asked_for(cls, name: str | None) -> str | None:
        if name is not None:
            for part in name.split("/"):  # a queue's name may be a path
                check_segment(part)
        return name

    @field_validator("management")
    @classmethod
    def _certain(cls, url: str | None) -> str | None:
        return url if url is None or "://" not in url else check_address(url, login=False, schemes=WEB)

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.queue is None) == (self.topic is None) or (self.topic is None) != (self.subscription is None):
            raise ValueError("name queue:, or topic: and subscription:")
        if not {"Endpoint", "SharedAccessKeyName", "SharedAccessKey"} <= set(self.words()):
            raise ValueError("connection: wants Endpoint=...;SharedAccessKeyName=...;SharedAccessKey=...")
        return self

    def words(self) -> dict[str, str]:
        """The parts of the connection string."""
        parts = (part.partition("=") for part in self.connection.get_secret_value().split(";") if part)
        return {name.strip(): value for name, _, value in parts}

    @property
    def place(self) -> str:
        """The path of the queue or subscription."""
        return self.queue or f"{self.topic}/subscriptions/{self.subscription}"


class ServiceBusProbe:
    """Reads one queue or subscription; each peek has its own connection."""

    page_limit = 1_000

    def __init__(self, settings: ServiceBusSettings, _system: object = None) -> None:
        from probes.bounded_http import BoundedClient

        try:
            import azure.servicebus
            import azure.servicebus.exceptions
        except ModuleNotFoundError as error:
            raise missing_driver("azure-servicebus", "servicebus") from error
        self._settings = settings
        self.timeout_s = settings.timeout_s
        self._azure: Any = azure.servicebus
        self._words = settings.words()
        host = urlsplit(self._words["Endpoint"]).netloc
        base_url = settings.management or f"https://{host}"
        self._http = BoundedClient(base_url=base_url, timeout_s=settings.timeout_s)

    @one_call
    def read(self, peek: int, after: str | None = None) -> QueueReading:
        settings = self._settings
        description = self._described()
        counted = "DeadLetterMessageCount" if settings.role == "dead" else "ActiveMessageCount"
        depth = _count(description, counted)
        oldest: datetime | None = None
        letters: list[Letter] = []
        more = False
        if settings.role == "dead" and depth:
            oldest, letters, more = self._within_time(int(after) + 1 if after else 1, min(peek, self.page_limit))
        last = letters[-1].letter_id if letters else after or "0"  # its sequence number
        return QueueReading(
            depth=depth,
            oldest_at=oldest,
            age_of="since it was first accepted" if oldest else "",
            letters=tuple(letters),
            truncated=bool(depth) and (not peek or more),
            next=last,
            notes=() if depth is not None else (f"Service Bus describes this entity without {counted}",),
        )

    # -- figures

    def _described(self) -> str:
        """The entity's description, from the management API."""
        import httpx

        settings = self._settings
        path = f"/{quote(settings.place)}"
        try:
            response = self._http.ask(
                "GET", path, params={"api-version": API_VERSION}, headers={"Authorization": self._signed(path)}
            )
        except httpx.TimeoutException:
            raise ProbeError(Reason.TIMEOUT, f"no answer within {settings.timeout_s:g} s") from None
        except httpx.HTTPError as error:
            raise ProbeError(Reason.UNREACHABLE, f"Service Bus cannot be reached: {type(error).__name__}") from None
        for status, reason, message in (
            (HTTPStatus.UNAUTHORIZED, Reason.AUTH, "Service Bus refuses the key"),
            (HTTPStatus.FORBIDDEN, Reason.PERMISSION, "the key may not manage; counts want Manage"),
            (HTTPStatus.TOO_MANY_REQUESTS, Reason.OVER_BUDGET, "Service Bus asks for fewer requests"),
            (HTTPStatus.NOT_FOUND, Reason.QUERY, f"there is no {settings.place}"),
        ):
            if response.status_code == status:
                raise ProbeError(reason, message)
        if response.is_error:
            worth_a_try = response.status_code >= 500
            reason = Reason.UNREACHABLE if worth_a_try else Reason.QUERY
            raise ProbeError(reason, f"Service Bus answered {response.status_code}")
        if "Description" not in response.text:
            # For an unknown name it returns an empty list.
            raise ProbeError(Reason.QUERY, f"there is no {settings.place}")
        return response.text

    def _signed(self, path: str) -> str:
        """A shared access signature. Source: learn.microsoft.com/rest/api/eventhub/generate-sas-token."""
        target = quote_plus(f"{str(self._http.base_url).rstrip('/')}{path}")
        expires = str(int(time.time()) + SIGNED_S)
        key = self._words["SharedAccessKey"].encode()
        signature = base64.b64encode(hmac.new(key, f"{target}\n{expires}".encode(), hashlib.sha256).digest())
        name = quote_plus(self._words["SharedAccessKeyName"])
        return f"SharedAccessSignature sr={target}&sig={quote_plus(signature)}&se={expires}&skn={name}"

    # -- letters

    def _within_time(self, begin: int, count: int) -> tuple[datetime | None, list[Letter], bool]:
        """Peek in a separate thread, because none of the driver's settings limits some of its waits."""
        answered: list[tuple[datetime | None, list[Letter], bool]] = []
        failed: list[Exception] = []
        receivers: list[Any] = []

        def work() -> None:
            try:
                answered.append(self._peeked(begin, count, receivers))
            except Exception as error:
                failed.append(error)

        worker = threading.Thread(target=copy_context().run, args=(work,), name="service-bus-look", daemon=True)
        seconds = left()
        worker.start()
        worker.join(seconds)
        if failed and isinstance(failed[0], ProbeError):
            raise failed[0]
        if failed:
            raise self._explain(failed[0])
        if not answered:
            _cut(receivers)
            raise timed_out(self._settings.timeout_s)
        return answered[0]

    def _peeked(self, begin: int, count: int, receivers: list[Any]) -> tuple[datetime | None, list[Letter], bool]:
        """When the oldest message was enqueued, and up to `count` letters from a sequence number on."""
        settings = self._settings
        words = {"sub_queue": self._azure.ServiceBusSubQueue.DEAD_LETTER}
        with self._azure.ServiceBusClient.from_connection_string(
            settings.connection.get_secret_value(), retry_total=0
        ) as client:
            receiver = (
                client.get_queue_receiver(settings.queue, **words)
                if settings.queue
                else client.get_subscription_receiver(settings.topic, settings.subscription, **words)
            )
            receivers.append(receiver)
            with receiver:
                first = receiver.peek_messages(max_message_count=1, sequence_number=1)
                letters_so_far: list[Letter] = []
                more: Any = count > 0
                size, wanted = 0, FIRST
                while len(letters_so_far) < count and size < LOOK_BYTES:
                    more = receiver.peek_messages(
                        max_message_count=min(wanted, count - len(letters_so_far)), sequence_number=begin
                    )
                    if not more:
                        break
                    size_of_all = sum(_size(each) for each in more)
                    begins()
                    came(size_of_all)
                    letters = read_each(more, self._letter, lambda each: each.sequence_number)
                    letters_so_far += letters
                    begin = more[len(letters) - 1].sequence_number + 1
                    size += size_of_all
                    wanted = min(4 * wanted, BATCH) if size_of_all < ENOUGH_BYTES else FIRST
                return _enqueued_at(first[0]) if first else None, letters_so_far, bool(more)

    def _letter(self, each: Any) -> Letter:
        properties = {_text(name): value for name, value in (each.application_properties or {}).items()}
        own_fields = {name: getattr(each, name) for name in ("message_id", "subject", "session_id", "correlation_id")}
        fields = {**{name: value for name, value in own_fields.items() if value is not None}, **properties}
        parts = (each.dead_letter_reason, each.dead_letter_error_description)
        try:
            payload = b"".join(each.body)
        except TypeError:
            payload = None  # a body other than bytes: an AMQP value
        return Message(fields, payload).letter(
            self._settings,
            str(each.sequence_number),
            reason=": ".join(_text(part) for part in parts if part) or None,
            attempts=each.delivery_count,
        )

    def _explain(self, error: Exception) -> ProbeError:
        errors, place = self._azure.exceptions, self._settings.place
        for kind, reason, message in (
            (errors.ServiceBusAuthenticationError, Reason.AUTH, "Service Bus refuses the key"),
            (errors.ServiceBusAuthorizationError, Reason.PERMISSION, f"the key may not listen to {place}"),
            (errors.MessagingEntityNotFoundError, Reason.QUERY, f"there is no {place}"),
            (errors.ServiceBusServerBusyError, Reason.OVER_BUDGET, "Service Bus asks for fewer requests"),
            (errors.OperationTimeoutError, Reason.TIMEOUT, f"no answer within {self._settings.timeout_s:g} s"),
            (errors.ServiceBusError, Reason.UNREACHABLE, "Service Bus cannot be reached over AMQP"),
        ):
            if isinstance(error, kind):
                return ProbeError(reason, message)
        return ProbeError(Reason.DECODE, f"Service Bus gave no sensible answer: {type(error).__name__}")

    @one_call
    def prove_read_only(self) -> str:
        self._described()
        return "asks for counts and peeks: no lock is taken, no delivery counted"

    def close(self) -> None:
        self._http.close()


def _count(described: str, name: str) -> int | None:
    match = re.search(rf"<(?:\w+:)?{name}[^>]*>([0-9]+)<", described)
    return figure(match.group(1)) if match else None


def _enqueued_at(message: Any) -> datetime | None:
    """When a message was enqueued, None if it is not an instant."""
    try:
        at = message.enqueued_time_utc
        return at.astimezone(UTC) if at is not None and 1970 < at.year < 9999 else None
    except (ValueError, OverflowError, TypeError, AttributeError, OSError):
        return None


def _size(message: Any) -> int:
    """The bytes of a message's body."""
    try:
        return sum(len(part) for part in message.body)
    except TypeError:
        return 0


def _cut(receivers: list[Any]) -> None:
    """End the connections of these receivers, which their thread is waiting for."""
    for receiver in receivers:
        # Private attributes of azure-servicebus (7.15): closing a receiver would wait for the server.
        with contextlib.suppress(Exception):
            receiver._handler._connection._transport.sock.shutdown(socket.SHUT_RDWR)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

"""Platform events of a Salesforce org, as a queue: a topic to which an integration publishes what it failed to do.

Each event that the bus still keeps (72 hours) is a letter. A subscription consumes nothing, but every delivered event
counts towards the org's daily allocation: so the probe keeps what it has read, and requests only what came after it.
The bus does not report what its subscribers have read, so a backlog (roles `main` and `retry`) cannot be seen.
Source: Platform Events Developer Guide, "Platform Event Fields", "Platform Event Allocations"; Pub/Sub API Developer
Guide, "Event Message Durability", "Event Deserialization Considerations" (instants are milliseconds since 1970).
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Literal, Self

from pydantic import field_validator, model_validator

from probes.call_deadline import left, one_call
from probes.contract import ProbeError, Reason
from probes.queue_contract import Letter, QueueReading
from probes.queues.message import Message, MessageSettings, dropped_at, instant_at, read_each
from probes.records.salesforce.event_bus import EARLIEST, BusEvent, EventBus
from probes.records.salesforce.payloads import Payloads, UndecodableError
from probes.records.salesforce.settings import SalesforceSettings

KEPT_S = 72 * 3600.0
"""How long the bus keeps an event."""

LOOK_EVERY_S = 15.0
"""The bus is not read more often than this, however often the queue is audited."""

SILENCE_S = 2.0
"""How long to wait for the first response: without new events none comes for up to 270 s."""

AT_ONCE = 500

MOST_EVENTS = 50_000
MOST_BYTES = 32 * 1024 * 1024
"""Events kept in memory, and their bytes. Beyond either the number of letters is unknown."""

_SIMPLE = frozenset({"null", "boolean", "int", "long", "float", "double", "string", "bytes"})


class SalesforceEventsSettings(MessageSettings):
    """A topic of platform events.

    Attributes:
        system: the Salesforce system of the map.
        topic: the API name of the event, such as `Failed_Sync__e`, or its topic `/event/Failed_Sync__e`.
        key: `field:NAME` of a field of the event.
    """

    kind: Literal["salesforce_events"]
    system: str
    topic: str

    @field_validator("topic")
    @classmethod
    def _is_topic(cls, topic: str) -> str:
        name = topic.removeprefix("/event/")
        if not re.fullmatch(r"[A-Za-z]\w{0,254}", name):
            raise ValueError(f"{topic!r} is not a platform event; write for example Failed_Sync__e")
        return f"/event/{name}"

    @model_validator(mode="after")
    def _holds_letters(self) -> Self:
        if self.role != "dead":
            raise ValueError(
                "the event bus does not report what its subscribers have read: only role: dead, of a topic to which "
                "failures are published"
            )
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """An event that was read, with the instant of its publication.

    Attributes:
        unreadable: why its fields cannot be read; "" if they can.
    """

    event: BusEvent
    fields: Mapping[str, Any] = field(default_factory=dict)
    unreadable: str = ""
    published_at: datetime | None = None


class SalesforceEventsProbe:
    """Reads one topic."""

    page_limit = 1_000

    def __init__(self, settings: SalesforceEventsSettings, system: SalesforceSettings) -> None:
        if not isinstance(system, SalesforceSettings):
            raise ProbeError(
                Reason.QUERY, f"{settings.system} is not a Salesforce system", hint="use a system of kind: salesforce"
            )
        from probes.records.salesforce.session import Session

        self._settings = settings
        self.timeout_s = settings.timeout_s
        self._session = Session(system)
        self._bus = EventBus(system.event_bus, system.url, self._session, self._session.scrub.line)
        self._payloads = Payloads(self._bus.schema, _simple)
        self._kept: deque[_Kept] = deque()
        self._bytes = 0
        self._position: bytes | None = None
        self._whole = False
        self._looked_at = float("-inf")
        self._reading = threading.Lock()

    @one_call
    def read(self, peek: int, after: str | None = None) -> QueueReading:
        if not self._reading.acquire(timeout=min(left(), threading.TIMEOUT_MAX)):
            raise ProbeError(Reason.TIMEOUT, "another reading of the topic took too long")
        try:
            if time.monotonic() - self._looked_at >= LOOK_EVERY_S or not self._whole:
                self._look()
            return self._reading_of(min(peek, self.page_limit), after)
        finally:
            self._reading.release()

    def _look(self) -> None:
        """Read what has come since the last look."""
        self._whole = False
        try:
            self._catch_up()
        except ProbeError as failure:
            if failure.reason is not Reason.CURSOR_LOST:
                raise
            # The position has aged out, or the org was moved: what the bus keeps now is all there is.
            self._kept.clear()
            self._bytes, self._position = 0, None
            self._catch_up()
        self._looked_at = time.monotonic()

    def _catch_up(self) -> None:
        half_s = left() / 2
        while len(self._kept) < MOST_EVENTS and self._bytes < MOST_BYTES:
            wait_s = min(SILENCE_S, left() / 4)
            delivered = self._bus.read(self._settings.topic, self._position, AT_ONCE, wait_s, start=EARLIEST)
            for event in delivered.events:
                self._kept.append(self._read(event))
                self._bytes += len(event.payload)
            if delivered.position is None:
                self._bus.check_topic(self._settings.topic)  # it has nothing new, and is not just hanging
            self._position = delivered.position or self._position
            if not delivered.more:
                self._whole = True
                return
            if left() < half_s:
                return

    def _read(self, event: BusEvent) -> _Kept:
        try:
            fields = self._payloads.read(event)
        except UndecodableError as error:
            return _Kept(event=event, unreadable=str(error))
        created_ms = fields.get("CreatedDate")
        at = instant_at(created_ms / 1000) if isinstance(created_ms, int) else None
        return _Kept(event=event, fields=fields, published_at=at)

    def _reading_of(self, peek: int, after: str | None) -> QueueReading:
        oldest = datetime.now(UTC) - timedelta(seconds=KEPT_S)
        while self._kept and (at := self._kept[0].published_at) is not None and at < oldest:
            self._bytes -= len(self._kept.popleft().event.payload)
        begin = 0
        if after is not None:
            ids = [each.event.replay_id.hex() for each in islice(self._kept, MOST_EVENTS)]
            begin = ids.index(after) + 1 if after in ids else 0
        chosen = list(islice(self._kept, begin, begin + peek))
        letters = read_each(chosen, self._letter, lambda each: each.event.event_id)
        end = begin + len(letters)
        oldest_at = self._kept[0].published_at if self._kept else None
        notes = () if self._whole else ("the number of events is unknown: not all have been read yet",)
        return QueueReading(
            depth=len(self._kept) if self._whole else None,
            oldest_at=oldest_at,
            age_of="since it was published",
            retention_s=KEPT_S,
            drops_at=dropped_at(oldest_at, KEPT_S),
            notes=notes,
            letters=letters,
            truncated=end < len(self._kept) or not self._whole,
            next=self._kept[end - 1].event.replay_id.hex() if letters else after,
            left_mark=self._kept[0].event.replay_id.hex() if self._kept else "",
        )

    def _letter(self, kept: _Kept) -> Letter:
        if kept.unreadable:
            message = Message({}, None, odd=kept.unreadable)
        else:
            message = Message(kept.fields, json.dumps(kept.fields, default=str))
        return message.letter(self._settings, kept.event.event_id, first_failed_at=kept.published_at)

    @one_call
    def prove_read_only(self) -> str:
        self._bus.check_topic(self._settings.topic)
        return "subscribes to the topic, which takes nothing from it"

    def close(self) -> None:
        self._bus.close()
        self._session.close()


def _simple(schema: Any) -> Any:
    """A schema whose fields are all simple values: others may be endless in a few bytes."""
    for each in schema["fields"]:
        kinds = each["type"] if isinstance(each["type"], list) else [each["type"]]
        if any(not isinstance(kind, str) or kind not in _SIMPLE for kind in kinds):
            raise UndecodableError("its schema has a field that is not a simple value")
    return schema

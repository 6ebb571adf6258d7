"""Queues in MuleSoft Anypoint MQ.

The Stats API reports how many messages wait, the Admin API how long they are kept. There is no peek: reading locks a
message, and returning it counts as an unsuccessful delivery. Letters are only read if the map says `peek: lock`,
never in a queue with its own dead letters, and are returned at once. No API reports the age of the oldest message,
nor whether a dead-lettered message keeps its creation time: when letters are dropped is unknown.
Source: docs.mulesoft.com/mq (mq-apis, mq-queues), the portals of the Broker, Admin and Stats APIs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from pydantic import SecretStr, field_validator

from probes.addresses import WEB, check_address, check_segment
from probes.call_deadline import becomes, left, one_call, within
from probes.contract import ProbeError, Reason
from probes.exact_json import TooDeepError, TooManyError, decode, decode_shallow, weight
from probes.queue_contract import Letter, QueueReading
from probes.queues.message import NAMELESS, Message, MessageSettings, figure, read_one, table
from probes.secrets import Scrubber

if TYPE_CHECKING:
    import httpx

    from probes.http.authentication import Credentials

BATCH = 10
"""Messages that one request reads or returns, by Anypoint MQ."""

LOCKED_S = 60
"""How long a message stays locked if a peek is interrupted before it is returned."""

LOOK_S = 20
"""How long a peek may take."""

NO_LOCK = "a letter came without messageId and lockId: it stays locked until its time is over"

DESCRIBED_S = 5 * 60
"""How long a queue's settings are cached: the Admin API allows fifty requests a minute."""


class AnypointMqSettings(MessageSettings):
    """A queue in Anypoint MQ.

    Attributes:
        organization, environment, region, queue: which queue.
        client_id, client_secret: of a connected app that may read MQ's statistics and, for a peek, subscribe.
        peek: `lock` allows reading letters and returning them, which counts as a delivery.
        url: of the control plane.
        broker_url: of the broker, if not the region's default.
        key: `field:NAME` of a user property or header.
    """

    kind: Literal["anypoint_mq"]
    organization: str
    environment: str
    region: str
    queue: str
    client_id: str
    client_secret: SecretStr
    peek: Literal["never", "lock"] = "never"
    url: str = "https://anypoint.mulesoft.com"
    broker_url: str | None = None

    @field_validator("organization", "environment", "region", "queue")
    @classmethod
    def _asked_for(cls, name: str) -> str:
        return check_segment(name)

    @field_validator("url", "broker_url")
    @classmethod
    def _certain(cls, url: str | None) -> str | None:
        return url if url is None or "://" not in url else check_address(url, login=False, schemes=WEB)


class AnypointMqProbe:
    """Reads one queue. A peek always starts over: there is no cursor."""

    page_limit = 1_000

    def __init__(self, settings: AnypointMqSettings, _system: object = None) -> None:
        from probes.bounded_http import BoundedClient
        from probes.http.grants import Client, ClientCredentials
        from probes.http.learning_scrubber import LearningScrubber
        from probes.http.line import THROUGH_PROXIES
        from probes.http.token_endpoint import TokenEndpoint
        from probes.http.tokens import TokenSource

        self._settings = settings
        self.timeout_s = settings.timeout_s
        self._http = BoundedClient(timeout_s=settings.timeout_s)
        place = "/".join(
            (
                "organizations",
                quote(settings.organization, safe=""),
                "environments",
                quote(settings.environment, safe=""),
            )
        )
        region, queue = f"{place}/regions/{quote(settings.region, safe='')}", quote(settings.queue, safe="")
        broker = settings.broker_url or f"https://mq-{quote(settings.region, safe='')}.anypoint.mulesoft.com"
        self._stats = f"{settings.url}/mq/stats/api/v1/{region}/queues"
        self._admin = f"{settings.url}/mq/admin/api/v1/{region}/destinations/queues/{queue}"
        self._messages = f"{broker}/api/v1/{place}/destinations/{queue}/messages"
        endpoint = TokenEndpoint(
            f"{settings.url}/accounts/api/v2/oauth2/token",
            LearningScrubber(Scrubber.of(settings)),
            timeout_s=settings.timeout_s,
            line=THROUGH_PROXIES,
            advice="check the connected app in Anypoint's Access Management",
        )
        client = Client(settings.client_id, settings.client_secret.get_secret_value())
        self._tokens = TokenSource(ClientCredentials(client, {}), endpoint)
        self._described: Mapping[str, Any] = {}
        self._described_until = 0.0

    @one_call
    def read(self, peek: int, after: str | None = None) -> QueueReading:
        settings = self._settings
        notes: list[str] = []
        queue_settings = self._settings_of_queue()
        answered = self._ask("GET", self._stats, params={"destinationIds": settings.queue}) or [{}]
        figures = table(answered[0]) if isinstance(answered, list) and len(answered) == 1 else {}
        depth = figure(figures.get("messages"))
        if depth is None:
            notes.append("Anypoint MQ answers without figures of this queue")
        in_flight = figure(figures.get("inflightMessages"))
        if in_flight:
            notes.append(f"{in_flight} messages are being processed")
        letters: tuple[Letter, ...] = ()
        if settings.role == "dead" and depth:
            letters = self._look(queue_settings, min(peek, self.page_limit), notes)
        truncated = depth is None or depth > len(letters)
        stamps = (_instant(letter.headers.get("created")) for letter in letters)
        created = [at for at in stamps if at is not None]
        oldest_at = min(created) if created and not truncated else None
        ttl_ms = figure(queue_settings.get("defaultTtl"))
        if ttl_ms and settings.role == "dead" and depth:
            notes.append("when it drops its oldest letter is not known")
        return QueueReading(
            depth=depth,
            oldest_at=oldest_at,
            age_of="since the message was created, by its own word" if oldest_at else "",
            retention_s=ttl_ms / 1000 if ttl_ms else None,
            notes=tuple(notes),
            letters=letters,
            truncated=truncated,
        )

    def _settings_of_queue(self) -> Mapping[str, Any]:
        if time.monotonic() > self._described_until:
            self._described = table(self._ask("GET", self._admin))
            self._described_until = time.monotonic() + DESCRIBED_S
        return self._described

    # -- letters

    def _look(self, queue_settings: Mapping[str, Any], count: int, notes: list[str]) -> tuple[Letter, ...]:
        if self._settings.peek != "lock":
            notes.append("letters are not looked at: each look would count as a delivery (peek: lock allows it)")
            return ()
        if queue_settings.get("deadLetterQueueId"):
            notes.append("letters are not looked at: the queue moves on what is delivered in vain too often")
            return ()
        notes.append("looking locks the letters for a moment and counts as a delivery in vain")
        met: dict[str, Letter] = {}
        locks: list[dict[str, Any]] = []
        look_s = min(LOOK_S, left() / 2)
        until = time.monotonic() + look_s
        parameters = {"batchSize": BATCH, "pollingTime": 0, "lockTtl": LOCKED_S * 1000}
        try:
            with within(look_s):
                while len(met) < count and time.monotonic() < until:
                    messages = self._ask("GET", self._messages, params=parameters) or []
                    if not isinstance(messages, list):
                        raise ProbeError(Reason.DECODE, "Anypoint MQ's answer is no list of messages")
                    if not messages:
                        break
                    before = len(met)
                    for each in messages:
                        headers = table(table(each).get("headers"))
                        lock = {name: headers.get(name) for name in ("messageId", "lockId")}
                        if all(isinstance(queue_settings, str) for queue_settings in lock.values()):
                            locks.append(lock)
                        elif NO_LOCK not in notes:
                            notes.append(NO_LOCK)
                        letter = read_one(each, self._letter, lambda one: one["headers"]["messageId"])
                        met[letter.letter_id] = letter
                    if len(met) == before:
                        break  # the same ones again, not locked
        except ProbeError as error:
            notes.append(f"not all letters were looked at: {error.message}")
        finally:
            self._give_back(locks, notes)
        return tuple(met.values())

    def _give_back(self, locks: list[dict[str, Any]], notes: list[str]) -> None:
        """Return messages. Only ever at `/locks`: the same request one level up would delete them."""
        for begin in range(0, len(locks), BATCH):
            try:
                self._ask("DELETE", f"{self._messages}/locks", json=locks[begin : begin + BATCH])
            except ProbeError:
                notes.append(f"letters stay locked for up to {LOCKED_S} s: they could not be given back")
                return

    def _letter(self, each: Mapping[str, Any]) -> Letter:
        headers = {name: value for name, value in table(each.get("headers")).items() if name != "lockId"}
        properties, body = each.get("properties"), each.get("body")
        odd = [] if isinstance(properties, Mapping | None) else ["its properties are no table"]
        if not isinstance(body, str | None):
            odd.append("its body is no text")
            body = None
        if "messageId" not in headers:
            odd.append("it has no messageId")
        return Message({**headers, **table(properties)}, body, odd="; ".join(odd)).letter(
            self._settings, headers.get("messageId") or NAMELESS, attempts=headers.get("deliveryCount")
        )

    # -- requests

    def _ask(self, method: str, url: str, **words: Any) -> Any:
        sent = self._tokens.credentials()
        response = self._send(method, url, sent, **words)
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            fresh = self._tokens.renewed(sent)
            response = response if fresh is None else self._send(method, url, fresh, **words)
            if response.status_code == HTTPStatus.UNAUTHORIZED:
                self._tokens.in_vain()
                raise ProbeError(Reason.AUTH, "Anypoint refuses the login")
        if response.status_code == HTTPStatus.NO_CONTENT or not response.content:
            return None
        try:
            becomes(weight(response.content))
            try:
                return decode(response.content)
            except TooDeepError:  # one message among many
                return decode_shallow(response.content)
        except TooManyError as error:
            raise ProbeError(Reason.TOO_LARGE, f"Anypoint MQ answered {error}") from None
        except ValueError:
            raise ProbeError(Reason.DECODE, "Anypoint MQ's answer is not JSON") from None

    def _send(self, method: str, url: str, sent: Credentials, **words: Any) -> httpx.Response:
        """An answer that is a success, or one that refuses the token."""
        import httpx

        settings = self._settings
        try:
            response = self._http.ask(method, url, headers={sent.name: sent.value}, **words)
        except httpx.TimeoutException:
            raise ProbeError(Reason.TIMEOUT, f"no answer within {settings.timeout_s:g} s") from None
        except httpx.HTTPError as error:
            raise ProbeError(Reason.UNREACHABLE, f"Anypoint MQ cannot be reached: {type(error).__name__}") from None
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            return response
        for status, reason, message in (
            (HTTPStatus.FORBIDDEN, Reason.PERMISSION, f"the app may not read {settings.queue}"),
            (HTTPStatus.NOT_FOUND, Reason.QUERY, f"there is no queue {settings.queue} in {settings.region}"),
            (HTTPStatus.TOO_MANY_REQUESTS, Reason.OVER_BUDGET, "Anypoint MQ asks for fewer requests"),
        ):
            if response.status_code == status:
                raise ProbeError(reason, message)
        if "Destination not found" in response.content[:1000].decode(errors="replace"):
            raise ProbeError(Reason.QUERY, f"there is no queue {settings.queue} in {settings.region}")
        if response.is_error:
            reason = Reason.UNREACHABLE if response.status_code >= 500 else Reason.QUERY
            raise ProbeError(reason, f"Anypoint MQ answered {response.status_code}")
        return response

    @one_call
    def prove_read_only(self) -> str:
        if self._settings.peek == "never":
            return "asks for counts alone, reads no message"
        return "reads letters and gives them back, which counts as a delivery in vain"

    def close(self) -> None:
        self._http.close()
        self._tokens.close()


def _instant(text: Any) -> datetime | None:
    try:
        at = parsedate_to_datetime(str(text)) if text else None
        return at.astimezone(UTC) if at is not None and 1970 < at.year < 9999 else None
    except (ValueError, OverflowError, TypeError, IndexError):
        return None

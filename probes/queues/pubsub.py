"""Subscriptions of Google Cloud Pub/Sub.

Pub/Sub has no peek: a pulled message is hidden until its acknowledgement deadline, and in a subscription with a dead
letter policy each pull counts as a delivery attempt. Letters are only read if the map says `peek: pull`, never in a
subscription with such a policy, and are released at once; best through the auditor's own subscription on the
dead-letter topic, which affects no one else. Only Cloud Monitoring reports how many messages wait, sampled every 60 s
and up to 120 s late. A dead-lettered message is published anew: its age counts from then.
Source: cloud.google.com/pubsub/docs (handling failures, subscription properties), the list of its metrics.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import field_validator

from probes.addresses import check_segment
from probes.call_deadline import becomes, begins, came, left, one_call, within
from probes.contract import ProbeError, Reason
from probes.exact_json import decode, weight
from probes.queue_contract import Letter, QueueReading
from probes.queues.message import (
    Message,
    MessageSettings,
    dropped_at,
    figure,
    instant_at,
    missing_driver,
    read_one,
)

BATCH = 100
"""Most messages that one pull may return: each may hold 10 MB."""

LOOK_S = 20
"""How long a peek may take; less if messages come back earlier."""

LOOK_BYTES = 64 * 1024 * 1024
RECEIVES = "grpc.max_receive_message_length"
"""Most bytes of one response; by default Google's client accepts any size."""

RETRIES = "grpc.enable_retries"
"""gRPC itself restarts a call whenever a server sends GOAWAY, at some 20 MiB each time."""

BOUNDED = ((RECEIVES, LOOK_BYTES), (RETRIES, 0))
"""Options of every connection."""

GRACE_S = 0.5
"""How much longer than its own deadline to wait for a request, so that gRPC can report its outcome."""

EMPTY_PULLS = 2
"""A pull may return nothing although messages wait: only this many empty ones in a row mean the end."""

MONITORED_S = 10 * 60
"""The period in which Monitoring is queried for the latest point."""

MONITORING = "https://monitoring.googleapis.com"
SCOPES = ("https://www.googleapis.com/auth/pubsub", "https://www.googleapis.com/auth/monitoring.read")
DEAD = "CloudPubSubDeadLetterSource"


class PubSubSettings(MessageSettings):
    """A subscription of Google Cloud Pub/Sub.

    Attributes:
        project, subscription: which; for role `dead` one on the topic of dead letters.
        credentials: file of a service account; by default the environment's credentials.
        endpoint: `HOST:PORT` of an emulator, which requires no login.
        monitoring: where Cloud Monitoring is; with an emulator it is only queried if this is set.
        peek: `pull` allows pulling letters and releasing them.
        key: `field:NAME` of an attribute.
    """

    kind: Literal["pubsub"]
    project: str
    subscription: str
    credentials: str | None = None
    endpoint: str | None = None
    monitoring: str | None = None
    peek: Literal["never", "pull"] = "never"

    @field_validator("project", "subscription")
    @classmethod
    def _asked_for(cls, name: str) -> str:
        if set(name) & set('/\\"?#'):
            raise ValueError("no name of Google's holds / \\ \" ? or #")
        return check_segment(name)

    @property
    def path(self) -> str:
        """The subscription's full name."""
        return f"projects/{self.project}/subscriptions/{self.subscription}"


class PubSubProbe:
    """Reads one subscription. A peek always starts over: Pub/Sub has no cursor."""

    page_limit = 10_000

    def __init__(self, settings: PubSubSettings, _system: object = None) -> None:
        from probes.bounded_http import BoundedClient

        try:
            import google.api_core.exceptions
            import google.auth.exceptions
            import grpc
            from google import pubsub_v1
        except ModuleNotFoundError as error:
            raise missing_driver("google-cloud-pubsub", "pubsub") from error
        self._settings = settings
        self.timeout_s = settings.timeout_s
        self._api: Any = pubsub_v1
        self._grpc: Any = grpc
        self._errors: Any = google.api_core.exceptions
        self._auth_errors: Any = google.auth.exceptions
        self._login: Any = None
        self._client: Any = None
        self._stuck: threading.Thread | None = None
        self._http = BoundedClient(timeout_s=settings.timeout_s)

    @one_call
    def read(self, peek: int, after: str | None = None) -> QueueReading:
        settings = self._settings
        notes: list[str] = []
        try:
            self._open()
            subscription = self._described()
            counted: list[str] = []
            with within(left() / 3):  # figures of a second service must not cost the letters' time
                depth, oldest_at = self._monitored(counted)
            letters: tuple[Letter, ...] = ()
            if settings.role == "dead":
                letters = self._look(subscription, min(peek, self.page_limit), notes)
        except (self._errors.GoogleAPIError, self._auth_errors.GoogleAuthError) as error:
            raise self._explain(error) from None
        notes += counted
        retention_s = subscription.message_retention_duration.total_seconds() or None
        truncated = depth is None or depth > len(letters)
        published = [letter.first_failed_at for letter in letters if letter.first_failed_at is not None]
        if published and not truncated:
            oldest_at = min(published)
        return QueueReading(
            depth=depth,
            oldest_at=oldest_at,
            retention_s=retention_s,
            drops_at=dropped_at(oldest_at, retention_s),
            notes=tuple(notes),
            letters=letters,
            truncated=truncated,
        )

    def _open(self) -> None:
        """Log in and create the client, on first use."""
        from probes.queues.bounded_google import bounded_request

        if self._client is not None:
            return
        if self._stuck is not None and self._stuck.is_alive():  # while one never ends, do not start another
            raise ProbeError(Reason.TIMEOUT, "the server keeps the last request unended", hint="is it Pub/Sub?")
        self._stuck = None
        settings = self._settings
        if settings.endpoint is not None:
            from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

            unsafe = self._grpc.insecure_channel(settings.endpoint, options=BOUNDED)
            self._client = self._api.SubscriberClient(transport=SubscriberGrpcTransport(channel=unsafe))
            return
        import google.auth
        from google.oauth2 import service_account

        from_file: Any = service_account.Credentials.from_service_account_file

        if settings.credentials is not None:
            try:
                self._login = from_file(settings.credentials, scopes=SCOPES)
            except (OSError, ValueError):
                raise ProbeError(Reason.AUTH, "credentials: names no readable file of a service account") from None
        else:
            self._login, _ = google.auth.default(scopes=SCOPES, request=bounded_request(self._http))
        from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

        def channel(host: str, **words: Any) -> Any:
            options = [each for each in words.pop("options", ()) if each[0] != RECEIVES]
            return SubscriberGrpcTransport.create_channel(host, options=[*options, *BOUNDED], **words)

        self._client = self._api.SubscriberClient(
            transport=SubscriberGrpcTransport(credentials=self._login, channel=channel)
        )

    def _ask(self, method: str, timeout_s: float, **words: Any) -> Any:
        """One request, with the subscription's name; the wait for it always ends, whatever gRPC does.

        gRPC ends a request at its deadline only after what it was just sending: a server that sends a lot and reads
            nothing blocks it forever. So it runs on a separate thread, which is abandoned with its connection.

        Raises:
            GoogleAPIError: `DeadlineExceeded` if it was abandoned.
        """
        if self._client is None:
            raise self._errors.ServiceUnavailable("the connection was given up")
        request = _Request(getattr(self._client, method), {"subscription": self._settings.path, **words}, timeout_s)
        if not request.over.wait(min(timeout_s + GRACE_S, threading.TIMEOUT_MAX)):
            self._stuck = request.thread
            self._hang_up()
            raise self._errors.DeadlineExceeded("not even gRPC ended it")
        if request.error is not None:
            raise request.error
        return request.answer

    def _described(self) -> Any:
        """The subscription's settings; retried if the connection had just ended, as Google's do from time to time."""
        for last in (False, True):
            try:
                return self._ask("get_subscription", left())
            except self._errors.ServiceUnavailable:
                if last:
                    raise
        raise AssertionError

    # -- figures

    def _monitored(self, notes: list[str]) -> tuple[int | None, datetime | None]:
        """The number of waiting messages and the age of the oldest one, from Cloud Monitoring."""
        if self._settings.endpoint is not None and self._settings.monitoring is None:
            notes.append("how many wait is not known: only Cloud Monitoring tells it")
            return None, None
        try:
            depth = self._latest("num_undelivered_messages")
            age = self._latest("oldest_unacked_message_age")
        except ProbeError as error:
            notes.append(f"how many wait is not known: {error.message}")
            return None, None
        if depth is None:
            notes.append("how many wait is not known: Cloud Monitoring has no point of the last ten minutes")
            return None, None
        notes.append(f"as of {depth[1]:%H:%M:%S} UTC, when Cloud Monitoring sampled it")
        oldest_at = instant_at(age[1].timestamp() - age[0]) if age is not None and depth[0] else None
        return depth[0], oldest_at

    def _latest(self, metric: str) -> tuple[int, datetime] | None:
        """The latest point of a metric; None if there is none."""
        import httpx

        settings, now = self._settings, datetime.now(UTC)
        wanted = (
            f'metric.type="pubsub.googleapis.com/subscription/{metric}" AND resource.type="pubsub_subscription" '
            f'AND resource.labels.subscription_id="{settings.subscription}"'
        )
        interval = {"startTime": (now - timedelta(seconds=MONITORED_S)).isoformat(), "endTime": now.isoformat()}
        try:
            response = self._http.ask(
                "GET",
                f"{settings.monitoring or MONITORING}/v3/projects/{settings.project}/timeSeries",
                params={"filter": wanted, **{f"interval.{name}": at for name, at in interval.items()}},
                headers=self._token(),
            )
            response.raise_for_status()
            becomes(weight(response.content))
            points = [
                point for series in decode(response.content).get("timeSeries", ()) for point in series["points"]
            ]
            samples = [
                (_instant(point["interval"]["endTime"]), _int64(point["value"]["int64Value"])) for point in points
            ]
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            raise ProbeError(Reason.PERMISSION, f"Cloud Monitoring answered {status}") from None
        except httpx.TimeoutException:
            raise ProbeError(Reason.TIMEOUT, f"Cloud Monitoring: no answer within {settings.timeout_s:g} s") from None
        except httpx.HTTPError as error:
            raise ProbeError(Reason.UNREACHABLE, f"Cloud Monitoring: {type(error).__name__}") from None
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            raise ProbeError(Reason.DECODE, "Cloud Monitoring gave no sensible answer") from None
        if not samples:
            return None
        sampled_at, value = max(samples)
        return value, sampled_at

    def _token(self) -> Mapping[str, str]:
        from probes.queues.bounded_google import bounded_request

        if self._login is None:
            return {}
        try:
            if not self._login.valid:
                self._login.refresh(bounded_request(self._http))
        except self._auth_errors.GoogleAuthError as error:
            raise self._explain(error) from None
        return {"Authorization": f"Bearer {self._login.token}"}

    # -- letters

    def _look(self, subscription: Any, count: int, notes: list[str]) -> tuple[Letter, ...]:
        settings = self._settings
        if settings.peek != "pull":
            notes.append("letters are not looked at: Pub/Sub would hide them meanwhile (peek: pull allows it)")
            return ()
        if subscription.dead_letter_policy.dead_letter_topic:
            notes.append("letters are not looked at: in a subscription with a dead letter policy each look counts")
            return ()
        notes.append("looking hides the letters for a moment")
        until = time.monotonic() + min(LOOK_S, max(1, subscription.ack_deadline_seconds - 2), left() / 2)
        met: dict[str, Letter] = {}
        handles: list[str] = []
        empty = 0
        try:
            while len(met) < count and empty < EMPTY_PULLS and time.monotonic() < until:
                wanted = min(BATCH, count - len(met))
                answer = self._ask("pull", left(until - time.monotonic()), max_messages=wanted)
                empty = 0 if answer.received_messages else empty + 1
                handles += [each.ack_id for each in answer.received_messages]
                begins()
                came(type(answer).pb(answer).ByteSize())
                for each in answer.received_messages:
                    letter = read_one(each.message, self._letter, lambda message: message.message_id)
                    met[letter.letter_id] = letter
        except self._errors.DeadlineExceeded:
            if self._client is None:  # abandoned; otherwise nothing more came in time
                notes.append("not all letters were looked at: Pub/Sub did not end a request")
        except self._errors.GoogleAPIError as error:
            notes.append(f"not all letters were looked at: {self._explain(error).message}")
        except ProbeError as error:
            if error.reason is not Reason.OVER_BUDGET:
                raise
            notes.append(f"not all letters were looked at: {error.message}")
        finally:
            self._release(handles, notes)
        return tuple(
            sorted(met.values(), key=lambda letter: letter.first_failed_at or datetime.max.replace(tzinfo=UTC))
        )

    def _release(self, handles: list[str], notes: list[str]) -> None:
        for begin in range(0, len(handles), BATCH):
            chunk = handles[begin : begin + BATCH]
            try:
                self._ask("modify_ack_deadline", left(), ack_ids=chunk, ack_deadline_seconds=0)
            except (self._errors.GoogleAPIError, ProbeError):
                notes.append("letters stay hidden until their deadline: they could not be released")
                return

    def _letter(self, message: Any) -> Letter:
        attributes = dict(message.attributes)
        source = attributes.get(f"{DEAD}Subscription")
        return Message(attributes, message.data).letter(
            self._settings,
            message.message_id,
            reason=f"delivered in vain to {source}" if source else None,
            attempts=attributes.get(f"{DEAD}DeliveryCount"),
            # It was published anew when it was dead-lettered.
            first_failed_at=_utc(message.publish_time),
        )

    def _explain(self, error: Any) -> ProbeError:
        errors, name = self._errors, self._settings.subscription
        for kind, reason, message in (
            (errors.NotFound, Reason.QUERY, f"there is no subscription {name} in {self._settings.project}"),
            (errors.PermissionDenied, Reason.PERMISSION, f"the login may not read {name}"),
            (errors.Unauthenticated, Reason.AUTH, "Pub/Sub refuses the login"),
            (self._auth_errors.DefaultCredentialsError, Reason.AUTH, "there are no Google credentials"),
            (self._auth_errors.GoogleAuthError, Reason.AUTH, "Google refuses the login"),
            (errors.ResourceExhausted, Reason.OVER_BUDGET, "Pub/Sub asks for fewer requests"),
            (errors.DeadlineExceeded, Reason.TIMEOUT, f"no answer within {self._settings.timeout_s:g} s"),
            ((errors.ServiceUnavailable, errors.RetryError), Reason.UNREACHABLE, "Pub/Sub cannot be reached"),
        ):
            if isinstance(error, kind):
                return ProbeError(reason, message)
        return ProbeError(Reason.QUERY, f"Pub/Sub answered {type(error).__name__}")

    @one_call
    def prove_read_only(self) -> str:
        if self._settings.peek == "never":
            return "asks for the subscription alone, pulls nothing"
        return "pulls letters and releases them, acknowledges nothing"

    def close(self) -> None:
        self._http.close()
        self._hang_up()

    def _hang_up(self) -> None:
        """Close the connection without waiting for requests."""
        client, self._client = self._client, None
        if client is not None:
            client.transport.close()


class _Request:
    """A running request, on its own thread.

    Attributes:
        over: set when it has ended, with `answer` or `error`.
    """

    def __init__(self, method: Callable[..., Any], words: Mapping[str, Any], timeout_s: float) -> None:
        self.over = threading.Event()
        self.answer: Any = None
        self.error: BaseException | None = None
        self.thread = threading.Thread(
            target=self._run, args=(method, words, timeout_s), name="pubsub-request", daemon=True
        )
        self.thread.start()

    def _run(self, method: Callable[..., Any], words: Mapping[str, Any], timeout_s: float) -> None:
        try:
            self.answer = method(**words, retry=None, timeout=timeout_s)
        except BaseException as error:
            self.error = error
        finally:
            self.over.set()


def _utc(at: datetime) -> datetime | None:
    # A subclass of datetime with nanoseconds, which nothing else can store.
    return instant_at(at.timestamp())


def _int64(value: object) -> int:
    """A number of messages or seconds. Raises ValueError for anything else."""
    number = figure(value)
    if number is None:
        raise ValueError("no number that could be true")
    return number


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)

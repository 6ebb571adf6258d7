"""Queues in Amazon SQS.

SQS has no peek. Receiving hides a message and raises its receive count, which can move it on in a queue with its own
redrive policy: letters are only read if the map says `peek: receive`, only in a dead-letter queue without such a
policy, and are made visible again at once afterwards. A standard dead-letter queue keeps the time of a message's
first sending, from which its retention counts; CloudWatch's age counts from the move. Automatic moves are not in
`NumberOfMessagesSent`, so arrivals are not reported.
Source: docs.aws.amazon.com/AWSSimpleQueueService (dead-letter queues, retention, CloudWatch metrics).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import SecretStr, field_validator

from probes.addresses import WEB, check_address
from probes.call_deadline import left, one_call, within
from probes.contract import ProbeError, Reason
from probes.durations import format_duration
from probes.queue_contract import Letter, QueueReading
from probes.queues.message import (
    Message,
    MessageSettings,
    dropped_at,
    figure,
    instant_at,
    missing_driver,
    read_one,
    table,
)

BATCH = 10
"""Messages that one request receives or releases, by SQS."""

HIDDEN_S = 30
"""How long a message stays hidden if a peek is interrupted before it is made visible again."""

LOOK_S = 20
"""How long a peek may take: the first message must still be hidden when the last one is received."""

EMPTY_RECEIVES = 3
"""A short poll asks only some servers: only this many empty responses in a row mean the end."""

SOURCES = 20
"""Most source queues to look up."""

DESCRIBED_S = 5 * 60
"""How long their settings are cached."""

METRIC_AGE_S = 15 * 60
"""The period in which CloudWatch is queried for the latest point: after a pause the first points come that late."""

ABSENT = frozenset({"QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"})
REFUSED = frozenset({"InvalidClientTokenId", "SignatureDoesNotMatch", "UnrecognizedClientException", "ExpiredToken"})
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "AuthorizationError"})
THROTTLED = frozenset({"ThrottlingException", "RequestThrottled", "Throttling", "KmsThrottled", "OverLimit"})


class SqsSettings(MessageSettings):
    """A queue in Amazon SQS.

    Attributes:
        queue_url: the URL from SQS.
        region: of the queue.
        access_key, secret_key: of the login; by default those of the environment or the machine's role.
        endpoint: of another server that speaks SQS.
        peek: `receive` allows receiving letters and releasing them, which raises their receive counts.
        cloudwatch: ask CloudWatch for the age of the oldest message.
        cloudwatch_endpoint: of another server that speaks CloudWatch.
        key: `field:NAME` of a message attribute.
    """

    kind: Literal["sqs"]
    queue_url: str
    region: str
    access_key: SecretStr | None = None
    secret_key: SecretStr | None = None
    endpoint: str | None = None
    peek: Literal["never", "receive"] = "never"
    cloudwatch: bool = True
    cloudwatch_endpoint: str | None = None

    @field_validator("queue_url", "endpoint", "cloudwatch_endpoint")
    @classmethod
    def _certain(cls, url: str | None) -> str | None:
        return url if url is None or "://" not in url else check_address(url, login=False, schemes=WEB)

    def client(self) -> dict[str, Any]:
        """The configuration of every boto3 client."""
        from botocore.config import Config

        words: dict[str, Any] = {
            "region_name": self.region,
            "config": Config(
                connect_timeout=self.timeout_s, read_timeout=self.timeout_s, retries={"total_max_attempts": 1}
            ),
        }
        if self.access_key is not None and self.secret_key is not None:
            words["aws_access_key_id"] = self.access_key.get_secret_value()
            words["aws_secret_access_key"] = self.secret_key.get_secret_value()
        return words


class SqsProbe:
    """Reads one queue. A peek always starts over: SQS has no order."""

    page_limit = 10_000

    def __init__(self, settings: SqsSettings, _system: object = None) -> None:
        from probes.queues.bounded_aws import BoundedExchange

        try:
            import boto3
            import botocore.exceptions
        except ModuleNotFoundError as error:
            raise missing_driver("boto3", "sqs") from error
        self._settings = settings
        self.timeout_s = settings.timeout_s
        self._errors: Any = botocore.exceptions
        self._failures = (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, ProbeError)
        session = boto3.session.Session()
        words = settings.client()
        self._sqs: Any = session.client("sqs", endpoint_url=settings.endpoint, **words)
        self._cloudwatch: Any = (
            session.client("cloudwatch", endpoint_url=settings.cloudwatch_endpoint or settings.endpoint, **words)
            if settings.cloudwatch
            else None
        )
        self._exchange = BoundedExchange(settings.timeout_s)
        for client in (self._sqs, self._cloudwatch):
            if client is not None:
                self._exchange.attach(client)
        self._sources: list[str] = []
        self._sources_until = 0.0

    @one_call
    def read(self, peek: int, after: str | None = None) -> QueueReading:
        settings = self._settings
        notes: list[str] = []
        attributes = self._attributes()
        waiting = [
            _number(attributes, f"ApproximateNumberOfMessages{kind}") for kind in ("", "NotVisible", "Delayed")
        ]
        depth = None if waiting[0] is None else sum(each or 0 for each in waiting)
        if depth is None:
            notes.append("SQS answers without ApproximateNumberOfMessages")
        retention_s = _number(attributes, "MessageRetentionPeriod")
        fifo = settings.queue_url.endswith(".fifo")
        letters: tuple[Letter, ...] = ()
        sent_at: datetime | None = None
        refusal = self._refusal(attributes)
        if settings.role == "dead":
            with within(left() / 3):  # the letters are worth more
                notes += self._source_notes(retention_s)
        if settings.role == "dead" and depth:
            notes.append(refusal or "looking raises the letters' receive counts and hides them for a moment")
            if peek and not refusal:
                letters, sent_at = self._look(min(peek, self.page_limit), notes)
        truncated = depth is None or depth > len(letters)
        if settings.role == "dead" and depth and not fifo and (refusal or (peek and truncated)):
            notes.append("when its oldest letter is dropped is not known: that counts from when it was first sent")
        oldest_at = self._moved_at(notes) if depth else None
        return QueueReading(
            depth=depth,
            oldest_at=oldest_at,
            age_of="since it was moved here" if oldest_at and settings.role == "dead" else "",
            retention_s=retention_s,
            drops_at=dropped_at(oldest_at if fifo else None if truncated else sent_at, retention_s),
            notes=tuple(notes),
            letters=letters,
            truncated=truncated,
        )

    def _attributes(self) -> Mapping[str, str]:
        try:
            answer = self._sqs.get_queue_attributes(QueueUrl=self._settings.queue_url, AttributeNames=["All"])
        except self._failures as error:
            raise self._explain(error) from None
        attributes: Mapping[str, str] = answer.get("Attributes") or {}
        return attributes

    def _source_notes(self, retention_s: int | None) -> list[str]:
        """Notes on the source queues, and on letters that may be dropped on arrival; refreshed from time to time."""
        if time.monotonic() < self._sources_until:
            return self._sources
        notes = []
        try:
            answer = self._sqs.list_dead_letter_source_queues(QueueUrl=self._settings.queue_url, MaxResults=SOURCES)
            urls = [url for url in (answer.get("queueUrls") or [])[:SOURCES] if isinstance(url, str)]
            here = [url for url in urls if urlsplit(url)[:2] == urlsplit(self._settings.queue_url)[:2]]
            if urls:
                notes.append(f"dead letters of {', '.join(sorted(_name(url) for url in urls))}")
            for url in here if retention_s is not None and not self._settings.queue_url.endswith(".fifo") else ():
                response = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["MessageRetentionPeriod"])
                kept_s = _number(response.get("Attributes") or {}, "MessageRetentionPeriod")
                if kept_s is not None and retention_s is not None and retention_s <= kept_s:
                    notes.append(
                        f"{_name(url)} keeps messages for {format_duration(kept_s)} and this queue for no longer, "
                        "counted from the first sending: a letter may be dropped as soon as it comes"
                    )
        except self._failures as error:
            notes.append(f"whose dead letters these are is not known: {self._explain(error).message}")
        self._sources, self._sources_until = notes, time.monotonic() + DESCRIBED_S
        return notes

    def _moved_at(self, notes: list[str]) -> datetime | None:
        """When the oldest message came into this queue, from CloudWatch."""
        if self._cloudwatch is None:
            notes.append("its age is not known: SQS tells it through CloudWatch alone")
            return None
        now = datetime.now(UTC)
        try:
            points = self._cloudwatch.get_metric_statistics(
                Namespace="AWS/SQS",
                MetricName="ApproximateAgeOfOldestMessage",
                Dimensions=[{"Name": "QueueName", "Value": _name(self._settings.queue_url)}],
                StartTime=now - timedelta(seconds=METRIC_AGE_S),
                EndTime=now,
                Period=60,
                Statistics=["Maximum"],
            )["Datapoints"]
        except self._failures as error:
            notes.append(f"its age is not known: {self._explain(error).message}")
            return None
        if not points:
            notes.append("its age is not known: CloudWatch has no point of the last quarter of an hour")
            return None
        try:
            last = max(points, key=lambda point: point["Timestamp"])
            oldest_at: datetime = last["Timestamp"].astimezone(UTC) - timedelta(seconds=float(last["Maximum"]))
        except (TypeError, KeyError, ValueError, OverflowError):
            notes.append("its age is not known: CloudWatch gave no sensible answer")
            return None
        return oldest_at if oldest_at.year > 1970 else None

    # -- letters

    def _refusal(self, attributes: Mapping[str, str]) -> str:
        """Why letters are not read; "" if they are."""
        if self._settings.peek != "receive":
            return "letters are not looked at: each look would count as a receive (peek: receive allows it)"
        if "RedrivePolicy" in attributes:
            return "letters are not looked at: the queue moves on what is received too often"
        return ""

    def _look(self, count: int, notes: list[str]) -> tuple[tuple[Letter, ...], datetime | None]:
        """Receive letters and release them; returns them and the first one's sending time."""
        met: dict[str, Letter] = {}
        handles: list[str] = []
        sent: list[datetime] = []
        empty = 0
        try:
            look_s = min(LOOK_S, left() / 2)  # the rest is for the release
            until = time.monotonic() + look_s
            with within(look_s):
                while len(met) < count and empty < EMPTY_RECEIVES and time.monotonic() < until:
                    answer = self._sqs.receive_message(
                        QueueUrl=self._settings.queue_url,
                        MaxNumberOfMessages=min(BATCH, count - len(met)),
                        VisibilityTimeout=HIDDEN_S,
                        MessageSystemAttributeNames=["All"],
                        MessageAttributeNames=["All"],
                    )
                    messages = answer.get("Messages") or []
                    empty = 0 if messages else empty + 1
                    handles += [
                        each["ReceiptHandle"] for each in messages if isinstance(each.get("ReceiptHandle"), str)
                    ]
                    for each in messages:
                        letter = read_one(each, self._letter, lambda one: one["MessageId"])
                        met[letter.letter_id] = letter
                        sent_at = _instant(table(each.get("Attributes")).get("SentTimestamp"))
                        sent += [sent_at] if sent_at is not None else []
        except self._failures as error:
            notes.append(f"not all letters were looked at: {self._explain(error).message}")
        finally:
            self._release(handles, notes)
        letters = sorted(met.values(), key=lambda letter: letter.first_failed_at or datetime.max.replace(tzinfo=UTC))
        return tuple(letters), min(sent, default=None)

    def _release(self, handles: list[str], notes: list[str]) -> None:
        for begin in range(0, len(handles), BATCH):
            entries = [
                {"Id": str(at), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                for at, handle in enumerate(handles[begin : begin + BATCH])
            ]
            try:
                self._sqs.change_message_visibility_batch(QueueUrl=self._settings.queue_url, Entries=entries)
            except self._failures:
                notes.append(f"letters stay hidden for up to {HIDDEN_S} s: they could not be released")
                return

    def _letter(self, each: Mapping[str, Any]) -> Letter:
        system = table(each.get("Attributes"))
        attributes = {
            name: table(value).get("StringValue", table(value).get("BinaryValue"))
            for name, value in table(each.get("MessageAttributes")).items()
        }
        received = _number(system, "ApproximateReceiveCount")
        source = str(system.get("DeadLetterQueueSourceArn") or "").rpartition(":")[2]
        first_at = _instant(system.get("ApproximateFirstReceiveTimestamp"))
        return Message({**system, **attributes}, each.get("Body")).letter(
            self._settings,
            each["MessageId"],
            reason=f"received in vain from {source}" if source else None,
            # This peek and earlier ones count as receives, so this is an upper bound of deliveries.
            attempts=received - 1 if received else None,
            first_failed_at=first_at if source else None,
        )

    def _explain(self, error: Any) -> ProbeError:
        errors = self._errors
        if isinstance(error, ProbeError):
            return error
        if isinstance(error, errors.ClientError):
            code = error.response["Error"]["Code"]
            status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
            name = _name(self._settings.queue_url)
            for codes, reason, message in (
                (ABSENT, Reason.QUERY, f"there is no queue {name}"),
                (REFUSED, Reason.AUTH, "SQS refuses the login"),
                (DENIED, Reason.PERMISSION, f"the login may not read {name}"),
                (THROTTLED, Reason.OVER_BUDGET, "SQS asks for fewer requests"),
            ):
                if code.rpartition("#")[2] in codes:
                    return ProbeError(reason, message)
            return ProbeError(Reason.UNREACHABLE if status >= 500 else Reason.QUERY, f"SQS answered {code[:100]}")
        if isinstance(error, errors.NoCredentialsError | errors.PartialCredentialsError):
            return ProbeError(Reason.AUTH, "there are no AWS credentials", hint="say access_key: and secret_key:")
        if isinstance(error, errors.ReadTimeoutError | errors.ConnectTimeoutError):
            return ProbeError(Reason.TIMEOUT, f"no answer within {self._settings.timeout_s:g} s")
        if isinstance(error, errors.HTTPClientError | errors.ConnectionError):
            return ProbeError(Reason.UNREACHABLE, "SQS cannot be reached")
        return ProbeError(Reason.DECODE, f"SQS gave no sensible answer: {type(error).__name__}")

    @one_call
    def prove_read_only(self) -> str:
        attributes = self._attributes()
        if self._settings.peek == "never":
            return "asks for attributes alone, receives nothing"
        if "RedrivePolicy" in attributes:
            return "asks for attributes alone: the queue moves on what is received too often"
        return "receives letters and releases them, which raises their receive counts"

    def close(self) -> None:
        self._exchange.close()
        self._sqs.close()
        if self._cloudwatch is not None:
            self._cloudwatch.close()


def _name(queue_url: str) -> str:
    return queue_url.rpartition("/")[2]


def _number(attributes: Mapping[str, Any], name: str) -> int | None:
    return figure(attributes.get(name))


def _instant(stamp_ms: object) -> datetime | None:
    number = figure(stamp_ms)
    return None if number is None else instant_at(number / 1000)

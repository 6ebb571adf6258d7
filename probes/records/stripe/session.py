"""Access to Stripe's API: the allowed requests, their version, and the meaning of its errors.

Source: docs.stripe.com/api (Authentication, Errors, Versioning, Pagination, Connected accounts), /error-codes,
/rate-limits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from probes.contract import ProbeError, Reason
from probes.http.allowed_reads import AllowedReads
from probes.http.authentication import bearer
from probes.http.learning_scrubber import LearningScrubber
from probes.http.line import DIRECT, Line
from probes.http.transport import STATUS, Meaning, Refusal, Transport
from probes.records.stripe.settings import StripeSettings
from probes.records.stripe.shapes import COLLECTIONS
from probes.secrets import Scrubber

READS = (
    re.compile(rf"GET /v1/({'|'.join(COLLECTIONS)})(/[^/?\s]+)?(\?[^\s]*)?"),
    re.compile(r"GET /v1/events(\?[^\s]*)?"),
    re.compile(r"GET /healthcheck"),
)
"""Every request that is sent. `/search` is not among them: `Session.read` sends no id of that name."""

SEARCH = "search"
"""The part of Search's path that is an id in other paths."""

MOMENT_S = 1.0
"""How long to pause after too many calls: the account's limits are per second."""

LOCKED_S = 2.0

_SHOWN_KEY = re.compile(r"\b[sprw]k_(?:live|test)_[\w*]+")
_OTHER_MODE = re.compile(r"similar object exists in (live|test) mode")
_HINTS = {
    "global-rate": "the account's limit of calls per second is reached, counting all callers",
    "endpoint-rate": "the limit of calls per second of this endpoint is reached, counting all callers",
    "global-concurrency": "the account has too many concurrent calls",
    "endpoint-concurrency": "this endpoint has too many concurrent calls",
    "resource-specific": "too many calls for one object or account",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An error as the API reports it; every field is empty if it reports none."""

    code: str = ""
    type: str = ""
    message: str = ""
    param: str = ""


class Session:
    """One account, or one that is connected to it."""

    def __init__(self, settings: StripeSettings, line: Line = DIRECT) -> None:
        self._version = settings.api_version
        self._scrub = LearningScrubber(Scrubber.of(settings))
        headers = {"Stripe-Version": settings.api_version}
        if settings.account is not None:
            headers["Stripe-Account"] = settings.account
        self._transport = Transport(
            urlsplit(settings.url),
            authentication=bearer(settings.key.get_secret_value()),
            scrub=self._scrub,
            allowed=AllowedReads(READS),
            headers=headers,
            timeout_s=settings.budget.timeout_s,
            connections=settings.budget.connections,
            retries=settings.retries,
            line=line,
            too_large="lower budget.records_per_s, or compare fewer fields",
            named="account",
        )

    def ask(self, path: str, query: Iterable[tuple[str, str]] = ()) -> Mapping[str, Any]:
        """Read one response.

        Raises:
            ProbeError: for every failure.
        """
        return self._get(path, query, explained)

    def read(
        self, collection: str, object_id: str, expand: Iterable[str] = (), *, deleted: bool = False
    ) -> Mapping[str, Any] | None:
        """Read one object; None if there is none, or if it is deleted.

        Args:
            deleted: whether to return what is left of a deleted object.

        Raises:
            ProbeError: for every failure.
        """
        if object_id in {SEARCH, "", ".", ".."}:
            raise ProbeError(Reason.QUERY, "a key that cannot be part of a path", of_key=True)
        absent = False

        def explained_of_one(refusal: Refusal) -> Meaning | None:
            nonlocal absent
            error = refused(refusal.said)
            gone = refusal.status == 404 and error.code == "resource_missing"
            absent = gone and not _OTHER_MODE.search(error.message)
            return explained(refusal)

        target = f"{collection}/{quote(object_id, safe='')}"
        try:
            record = self._get(target, [("expand[]", each) for each in expand], explained_of_one)
        except ProbeError:
            if absent:
                return None
            raise
        kind = COLLECTIONS[collection].kind
        if record.get("object") != kind or record.get("id") != object_id:
            raise ProbeError(Reason.DECODE, f"{collection} returned something other than the requested {kind}")
        return None if record.get("deleted") is True and not deleted else record

    def _get(
        self, path: str, query: Iterable[tuple[str, str]], explain: Callable[[Refusal], Meaning | None]
    ) -> Mapping[str, Any]:
        parameters = urlencode(list(query))
        target = f"/v1/{path}{'?' if parameters else ''}{parameters}"
        response = self._transport.ask("GET", target, explained=explain)
        version = response.headers.get("stripe-version", self._version)
        if version != self._version:
            shown = self._scrub(version)[:40]
            raise ProbeError(
                Reason.DECODE, f"/v1/{path.partition('/')[0]} returned version {shown}, not {self._version}"
            )
        document = response.document
        if not isinstance(document, dict):
            raise ProbeError(Reason.DECODE, f"/v1/{path.partition('/')[0]} returned something that is not an object")
        if "error" in document:
            error = refused(json.dumps({"error": document["error"]}, default=str).encode())
            words = self._scrub(_words(error, ""))[:200]
            raise ProbeError(
                Reason.DECODE, f"/v1/{path.partition('/')[0]} returned an error with a success status: {words}"
            )
        return document

    def head(self) -> Mapping[str, str]:
        """The headers of a response that requires no key."""
        return self._transport.head("/healthcheck", method="GET", signed_in=False)

    def close(self) -> None:
        """End running requests."""
        self._transport.close()


def refused(said: bytes) -> Refused:
    """The error that a body reports."""
    try:
        error = json.loads(said)["error"]
        words = {name: error.get(name) for name in ("code", "type", "message", "param")}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Refused()
    return Refused(**{name: word for name, word in words.items() if isinstance(word, str)})


def _words(error: Refused, request_id: str) -> str:
    of = f" ({request_id})" if re.fullmatch(r"req_\w{1,60}", request_id) else ""
    return f"{error.code or error.type or 'error'}{of}: {_SHOWN_KEY.sub('the key', error.message)}"


def explained(refusal: Refusal) -> Meaning | None:
    """The meaning of a refusal, by the API's error code."""
    error = refused(refusal.said)
    if not error.code and not error.type and not error.message:
        return None
    status = refusal.status
    reason = STATUS.get(status) or (Reason.UNREACHABLE if status >= 500 else Reason.QUERY)
    hint, rest_s = "", None
    if error.code == "lock_timeout":
        reason, rest_s = Reason.OVER_BUDGET, LOCKED_S
        hint = "Stripe has locked the object for another call"
    elif reason is Reason.OVER_BUDGET:
        rest_s = MOMENT_S
        limit = refusal.headers.get("stripe-rate-limited-reason", "")
        hint = _HINTS.get(limit, "the account's limit of calls per second is reached")
    elif reason is Reason.PERMISSION:
        hint = "grant the restricted key read permission for the collection and for events"
    elif reason is Reason.AUTH:
        hint = "check key: it may be revoked or expired"
    elif error.code == "resource_missing" and error.param in {"starting_after", "ending_before"}:
        reason = Reason.CURSOR_LOST
    elif other := _OTHER_MODE.search(error.message):
        reason, hint = Reason.AUTH, f"the object exists in {other[1]} mode, but the key is for the other one"
    words = _words(error, refusal.headers.get("request-id", ""))
    return Meaning(reason=reason, words=words, hint=hint, retry_after_s=rest_s)

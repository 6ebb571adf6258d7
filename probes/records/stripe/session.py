"""Asking Stripe's API in its own words: what may be sent, in which version, and what its errors mean.

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
"""What stands where an id does in the path of Search."""

MOMENT_S = 1.0
"""How long the account is left alone that has had too many calls: its limits count by the second."""

LOCKED_S = 2.0

_SHOWN_KEY = re.compile(r"\b[sprw]k_(?:live|test)_[\w*]+")
_OTHER_MODE = re.compile(r"similar object exists in (live|test) mode")
_HINTS = {
    "global-rate": "the account's calls per second are used up, by all who call",
    "endpoint-rate": "the calls per second of this endpoint are used up, by all who call",
    "global-concurrency": "too many calls of the account are under way",
    "endpoint-concurrency": "too many calls of this endpoint are under way",
    "resource-specific": "too many calls for one object or account",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An error as the API tells one; all of it empty where it tells none."""

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
        """Read one answer.

        Raises:
            ProbeError: whatever keeps it from one.
        """
        return self._asked(path, query, explained)

    def read(
        self, collection: str, object_id: str, expand: Iterable[str] = (), *, deleted: bool = False
    ) -> Mapping[str, Any] | None:
        """Read one object; None if there is none, or if it is deleted.

        Args:
            deleted: what is left of a deleted object is wanted, too.

        Raises:
            ProbeError: whatever keeps it from being known.
        """
        if object_id in {SEARCH, "", ".", ".."}:
            raise ProbeError(Reason.QUERY, "a key that no path can hold", of_key=True)
        absent = False

        def explained_of_one(refusal: Refusal) -> Meaning | None:
            nonlocal absent
            told = refused(refusal.said)
            gone = refusal.status == 404 and told.code == "resource_missing"
            absent = gone and not _OTHER_MODE.search(told.message)
            return explained(refusal)

        target = f"{collection}/{quote(object_id, safe='')}"
        try:
            found = self._asked(target, [("expand[]", each) for each in expand], explained_of_one)
        except ProbeError:
            if absent:
                return None
            raise
        kind = COLLECTIONS[collection].kind
        if found.get("object") != kind or found.get("id") != object_id:
            raise ProbeError(Reason.DECODE, f"{collection} answered something else than the {kind} asked for")
        return None if found.get("deleted") is True and not deleted else found

    def _asked(
        self, path: str, query: Iterable[tuple[str, str]], explain: Callable[[Refusal], Meaning | None]
    ) -> Mapping[str, Any]:
        told = urlencode(list(query))
        answer = self._transport.ask("GET", f"/v1/{path}{'?' if told else ''}{told}", explained=explain)
        version = answer.headers.get("stripe-version", self._version)
        if version != self._version:
            shown = self._scrub(version)[:40]
            raise ProbeError(
                Reason.DECODE, f"/v1/{path.partition('/')[0]} answered in version {shown}, not in {self._version}"
            )
        document = answer.document
        if not isinstance(document, dict):
            raise ProbeError(Reason.DECODE, f"/v1/{path.partition('/')[0]} answered something that is no object")
        if "error" in document:
            error = refused(json.dumps({"error": document["error"]}, default=str).encode())
            words = self._scrub(_words(error, ""))[:200]
            raise ProbeError(Reason.DECODE, f"/v1/{path.partition('/')[0]} answered an error with success: {words}")
        return document

    def head(self) -> Mapping[str, str]:
        """The headers of an answer that everybody may ask for."""
        return self._transport.head("/healthcheck", method="GET", signed_in=False)

    def close(self) -> None:
        """End requests under way."""
        self._transport.close()


def refused(said: bytes) -> Refused:
    """The error that a body tells."""
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
    """What a refusal means by the code that the API gives it."""
    error = refused(refusal.said)
    if not error.code and not error.type and not error.message:
        return None
    status = refusal.status
    reason = STATUS.get(status) or (Reason.UNREACHABLE if status >= 500 else Reason.QUERY)
    hint, rest_s = "", None
    if error.code == "lock_timeout":
        reason, rest_s = Reason.OVER_BUDGET, LOCKED_S
        hint = "Stripe holds the object for another call at the moment"
    elif reason is Reason.OVER_BUDGET:
        rest_s = MOMENT_S
        told = refusal.headers.get("stripe-rate-limited-reason", "")
        hint = _HINTS.get(told, "the account's calls per second are used up")
    elif reason is Reason.PERMISSION:
        hint = "give the restricted key read permission for what is read, and for events"
    elif reason is Reason.AUTH:
        hint = "check key: and whether it was revoked or expired"
    elif error.code == "resource_missing" and error.param in {"starting_after", "ending_before"}:
        reason = Reason.CURSOR_LOST
    elif found := _OTHER_MODE.search(error.message):
        reason, hint = Reason.AUTH, f"the object is there in {found[1]} mode, and the key is for the other one"
    words = _words(error, refusal.headers.get("request-id", ""))
    return Meaning(reason=reason, words=words, hint=hint, retry_after_s=rest_s)

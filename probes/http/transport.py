"""Requests to one API: signed in, checked against the list of reads, within one deadline, retried, JSON parsed.

The rules for every API probe are implemented here once: redirects are never followed; no request goes to a host other
than the API's own, because it carries secrets; a response is bounded as it is unpacked; no text holds a secret.

Conditional requests (`If-None-Match`) are not sent. A response is needed in full to be judged, so it would have to be
stored, which the auditor never does with records; and a response without a body counts as a call with every vendor
checked except GitHub. Rarely changing data (a description of fields) is read once and cached by the caller.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import SplitResult, urljoin, urlsplit

import httpx

from probes.addresses import plain_address
from probes.bounded_http import ANSWER_LIMIT_BYTES, BoundedClient, beginning, unpacked
from probes.call_deadline import becomes, left, within
from probes.contract import ProbeError, Reason
from probes.exact_json import TooDeepError, TooManyError, decode, weight
from probes.http.allowed_reads import AllowedReads
from probes.http.authentication import Authentication, Credentials, nobody
from probes.http.header_times import instant, retry_after_s, span
from probes.http.learning_scrubber import LearningScrubber
from probes.http.line import DIRECT, Line
from probes.http.rate_limits import rate_limits, wait_s
from probes.http.retries import LEAST_LEFT_S, LONGEST_WAIT_S, PassingError, passes, repeated
from probes.metering import learned

RETRIES = 2
"""The default number of retries."""

STATUS = {
    401: Reason.AUTH,
    403: Reason.PERMISSION,
    407: Reason.AUTH,
    413: Reason.TOO_LARGE,
    414: Reason.TOO_LARGE,
    429: Reason.OVER_BUDGET,
    431: Reason.TOO_LARGE,
}
"""The meaning of a status without a vendor's own error; 5xx is `unreachable`, everything else `query`."""

_ADVICE = {
    401: "check the system's auth: or headers: in the map: the credentials are wrong, expired or revoked, or missing",
    403: "allow these credentials to read it, or remove it from the map",
}

_LATER = frozenset({429, 503})
"""Statuses with which a server may ask for a pause."""

_GATEWAY = frozenset({502, 504})
"""Statuses from a gateway instead of the server itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response.

    Attributes:
        document: the JSON; None with a status that was expected beside success.
        headers: as received.
    """

    document: Any
    status: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An unsuccessful response.

    Attributes:
        said: the beginning of its body, as received.
    """

    status: int
    headers: Mapping[str, str]
    said: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """The meaning of a refusal in one API.

    Attributes:
        words: the API's message, instead of the beginning of the body.
        retry_after_s: how long to pause, if the response does not say so itself.
    """

    reason: Reason
    words: str = ""
    hint: str = ""
    retry_after_s: float | None = None


ReadT = TypeVar("ReadT")

Explained = Callable[[Refusal], Meaning | None]


def unexplained(refusal: Refusal) -> None:
    """No API-specific meaning: the status decides."""


class _RefusedError(Exception):
    """The API returned 401."""

    def __init__(self, error: ProbeError) -> None:
        super().__init__(str(error))
        self.error = error


class Transport:
    """Sends requests to one API. Calls may come from several threads at once.

    Args:
        origin: scheme, host and port; other parts are ignored.
        authentication: signs every request in.
        scrub: a scrubber for the secrets; learns those of the authentication.
        allowed: the list of allowed requests.
        headers: sent with every request.
        timeout_s: the deadline of one request with everything that belongs to it.
        retries: the most retries of a request.
        too_large: what to do about a response that is too large, for messages.
        named: the name of the other side in hints.
    """

    def __init__(
        self,
        origin: SplitResult,
        *,
        authentication: Authentication | None = None,
        scrub: LearningScrubber,
        allowed: AllowedReads,
        headers: Mapping[str, str] | None = None,
        verify: bool = True,
        timeout_s: float,
        connections: int,
        retries: int = RETRIES,
        line: Line = DIRECT,
        too_large: str = "",
        named: str = "API",
    ) -> None:
        self._authentication = authentication or nobody()
        self._scrub = scrub
        self._scrub.learn(self._authentication.secrets)
        self._allowed = allowed
        self._timeout_s = timeout_s
        self._retries = retries
        self._too_large = too_large
        self._named = named
        self._closing = threading.Event()
        self._pause: _Pause | None = None
        self._client = BoundedClient(
            timeout_s=timeout_s,
            headers={"Accept": "application/json", "User-Agent": "plumbline-auditor", **(headers or {})},
            transport=line.connect(verify, connections * 2),
        )
        host = origin.hostname or ""
        port = f":{origin.port}" if origin.port else ""
        self._origin = f"{origin.scheme}://{f'[{host}]' if ':' in host else host}{port}/"
        self._address = httpx.URL(self._origin)

    def ask(
        self,
        method: str,
        target: str,
        *,
        body: bytes | None = None,
        expected: Collection[int] = (),
        explained: Explained = unexplained,
    ) -> Answer:
        """Send one request and read its JSON.

        Args:
            target: path and query, percent-encoded, exactly as they should arrive.
            body: JSON.
            expected: statuses that count as a response without a document.
            explained: returns the API-specific meaning of a refusal.

        Raises:
            ProbeError: for every failure.
        """

        def read(response: httpx.Response, shown: str) -> Answer:
            document = None if response.status_code in expected else self._document(response, shown)
            return Answer(document=document, status=response.status_code, headers=response.headers)

        return self._sent(method, target, body, read, expected, explained)

    def text(
        self, target: str, *, accept: str, explained: Explained = unexplained
    ) -> tuple[bytes, Mapping[str, str]]:
        """The body and the headers of a successful response that is not JSON.

        Args:
            accept: its content type.

        Raises:
            ProbeError: for every failure.
        """

        def read(response: httpx.Response, _: str) -> tuple[bytes, Mapping[str, str]]:
            body = b"".join(unpacked(response, ANSWER_LIMIT_BYTES, hint=self._too_large))
            return body, response.headers

        return self._sent("GET", target, None, read, (), explained, accept=accept)

    def head(self, target: str, *, method: str = "HEAD", signed_in: bool = True) -> Mapping[str, str]:
        """The headers of a response with any status.

        Args:
            method: GET if the API supports nothing else.
            signed_in: false for public requests.

        Raises:
            ProbeError: there is no response.
        """

        def read(response: httpx.Response, _: str) -> Mapping[str, str]:
            return response.headers

        return self._sent(method, target, None, read, None, unexplained, signed_in)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Remarks on signing in."""
        return self._authentication.remarks

    def close(self) -> None:
        """End running requests."""
        self._closing.set()
        self._client.close()
        self._authentication.close()

    # -- sending

    def _sent(
        self,
        method: str,
        target: str,
        body: bytes | None,
        read: Callable[[httpx.Response, str], ReadT],
        expected: Collection[int] | None,
        explained: Explained,
        signed_in: bool = True,
        accept: str = "",
    ) -> ReadT:
        """Send a request and return the result of `read` for its response.

        Args:
            expected: statuses that are not refusals; None for all.
        """
        self._allowed.check(method, target)
        request = _Request(method=method, target=target, body=body, accept=accept)

        def once(credentials: Credentials | None) -> ReadT:
            return self._exchanged(request, credentials, read, expected, explained)

        def tried() -> ReadT:
            if not signed_in:
                return once(None)
            credentials = self._authentication.credentials()
            try:
                return once(credentials)
            except _RefusedError as refused:
                fresh = None if credentials is None else self._authentication.renewed(credentials)
                if fresh is None:
                    raise refused.error from None
            try:
                return once(fresh)
            except _RefusedError as refused:
                self._authentication.in_vain()
                raise refused.error from None

        with within(self._timeout_s):
            return repeated(tried, retries=self._retries, closing=self._closing)

    def _exchanged(
        self,
        request: _Request,
        credentials: Credentials | None,
        read: Callable[[httpx.Response, str], ReadT],
        expected: Collection[int] | None,
        explained: Explained,
    ) -> ReadT:
        """Send a request once."""
        self._keep_pause()
        headers = {} if credentials is None else {credentials.name: credentials.value}
        if request.accept:
            headers["Accept"] = request.accept
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        responded = False
        try:
            with self._client.stream(
                request.method,
                self._address,
                content=request.body,
                headers=headers,
                # Not as part of the URL, which httpx would normalize: `..` and encoded parts must arrive unchanged.
                extensions={"target": request.target.encode("ascii")},
            ) as response:
                responded = True
                limits = rate_limits(dict(response.headers), instant(response.headers.get("date")))
                for limit in limits:
                    learned(limit)
                if expected is None or response.is_success or response.status_code in expected:
                    return read(response, self._scrub(request.path))
                raise self._refused(response, request, explained, wait_s(limits))
        except httpx.TimeoutException:
            raise self._timed_out() from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            failure = self._lost(error)
            if not responded and isinstance(error, httpx.TransportError) and passes(error):
                raise PassingError(failure) from None
            raise failure from None
        except RuntimeError as error:  # httpx's error for a closed client
            if not self._closing.is_set():
                raise
            raise self._lost(error) from None

    def _keep_pause(self) -> None:
        """Wait for the end of a short pause that the API requested for all requests."""
        pause = self._pause
        wait_s = 0.0 if pause is None else pause.until - time.monotonic()
        if pause is not None and wait_s > 0.0:
            if wait_s + LEAST_LEFT_S >= left():
                raise pause.error
            self._closing.wait(wait_s)

    def _document(self, response: httpx.Response, shown: str) -> Any:
        body = b"".join(unpacked(response, ANSWER_LIMIT_BYTES, hint=self._too_large))
        try:
            becomes(weight(body))
            return decode(body)
        except TooManyError as error:
            raise ProbeError(Reason.TOO_LARGE, f"{shown} returned {error}", hint=self._too_large) from None
        except TooDeepError as error:
            raise ProbeError(Reason.DECODE, f"{shown} returned {error}, which is not read") from None
        except ValueError:
            kind = self._scrub.line(response.headers.get("content-type", "no content type"), 80)
            raise ProbeError(
                Reason.DECODE, f"{shown} returned {len(body)} bytes that are not JSON ({kind})"
            ) from None

    # -- failing

    def _refused(
        self, response: httpx.Response, request: _Request, explained: Explained, reset_s: float | None
    ) -> Exception:
        """The error for an unsuccessful response, and whether it is transient."""
        status, headers = response.status_code, response.headers
        shown = self._scrub(request.path)
        if 300 <= status < 400:
            return self._redirected(status, request.path, shown, headers.get("location"))
        refusal = Refusal(status=status, headers=headers, said=beginning(response))
        meaning = explained(refusal) or _by_status(refusal)
        words = meaning.words or refusal.said.decode(errors="replace")
        wait = headers.get("retry-after")
        requested_s = retry_after_s(wait, headers.get("date"))
        rest_s, hint = requested_s, meaning.hint
        if rest_s is None and meaning.reason is Reason.OVER_BUDGET:
            rest_s = reset_s if meaning.retry_after_s is None else meaning.retry_after_s
        if requested_s is not None:
            hint = "; ".join(filter(None, (hint, f"the server requests a pause of {span(requested_s, wait or '')}")))
        error = ProbeError(
            meaning.reason,
            f"HTTP {status} from {shown}: {self._scrub.line(words, 200)}",
            hint=hint,
            retry_after_s=rest_s,
        )
        if status == 401:
            return _RefusedError(error)
        if status in _GATEWAY:
            return PassingError(error, requested_s)
        if status in _LATER and requested_s is not None and requested_s <= LONGEST_WAIT_S:
            self._pause = _Pause(until=time.monotonic() + requested_s, error=error)
            return PassingError(error, requested_s)
        return error

    def _redirected(self, status: int, path: str, shown: str, location: str | None) -> ProbeError:
        if location is None:
            return ProbeError(Reason.QUERY, f"HTTP {status} from {shown}, without saying where to")
        try:
            to = self._scrub.line(plain_address(urlsplit(urljoin(self._origin.rstrip("/") + path, location))), 200)
        except ValueError:
            to = "something that is not an address"
        return ProbeError(
            Reason.QUERY,
            f"HTTP {status} from {shown}: redirected to {to}",
            hint="redirects are not followed, so that no secret goes elsewhere; correct url: or the path",
        )

    def _timed_out(self) -> ProbeError:
        return ProbeError(
            Reason.TIMEOUT,
            f"no complete response within {self._timeout_s:g} s",
            hint=f"raise budget.timeout if the {self._named} is only slow",
        )

    def _lost(self, error: Exception) -> ProbeError:
        return ProbeError(
            Reason.UNREACHABLE,
            self._scrub(f"{type(error).__name__}: {error}"),
            hint="check the system's url and whether the server runs",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pause:
    """A short pause that the API requested.

    Attributes:
        until: its end, in monotonic seconds.
        error: the refusal that requested it.
    """

    until: float
    error: ProbeError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    method: str
    target: str
    body: bytes | None
    accept: str = ""

    @property
    def path(self) -> str:
        """The path without the query, which may hold secrets and keys."""
        return self.target.partition("?")[0]


def _by_status(refusal: Refusal) -> Meaning:
    status = refusal.status
    reason = STATUS.get(status, Reason.UNREACHABLE if status >= 500 else Reason.QUERY)
    if status == 403 and refusal.headers.get("x-ratelimit-remaining") == "0":  # GitHub's sign of a spent budget
        reason = Reason.OVER_BUDGET
    return Meaning(reason=reason, hint=_ADVICE.get(status, ""))

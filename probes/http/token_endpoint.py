"""Requests to a token endpoint. Every response other than a token becomes a named error with advice.

A permanent refusal is `auth`, and is not retried at once: servers lock out clients that fail to sign in too often. A
missing server is `unreachable` or `timeout`, as for any server.
Source: RFC 6749, sections 5.1, 5.2 and 7.1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx

from probes.addresses import plain_address
from probes.bounded_http import BoundedClient, beginning, unpacked
from probes.contract import ProbeError, Reason
from probes.exact_json import TooDeepError, TooManyError, decode
from probes.http.grants import Grant
from probes.http.header_times import instant, retry_after_s, span
from probes.http.learning_scrubber import LearningScrubber
from probes.http.line import DIRECT, Line
from probes.metering import operation

ANSWER_LIMIT_BYTES = 256 * 1024
"""The largest response read: a token is a few kilobytes."""

LEAVE_ALONE_S = 60.0
"""Pause after a server has refused a token."""

CLOCKS_APART_S = 60.0
"""Larger clock differences are mentioned when a token is refused."""

LONGEST_TOKEN = 16_000
"""Most characters of a token: servers refuse longer headers."""

_ADVICE = {
    "invalid_client": "check client_id and client_secret, and whether the server takes them in the form or as basic",
    "invalid_client_id": "check client_id",
    "invalid_scope": "check the scope, and what the server allows the app",
    "unauthorized_client": "allow this grant for the app, where the app is set up",
    "unsupported_grant_type": "the server does not support this grant; is it the right token endpoint?",
}
_BEARERS = frozenset({"bearer", "bot", "user", ""})
"""Names of the token type for `Bearer`; Slack names the token's owner. Some servers leave it out."""


class TokenEndpoint:
    """A token endpoint.

    Args:
        url: on https, or on loopback; checked when the map is read.
        scrub: learns each secret before it is sent, and each token before it is used.
        verify: false to accept any TLS certificate.
        advice: what to do if a token is refused without a more precise error.
        learned: called with each response that holds a token.
    """

    def __init__(
        self,
        url: str,
        scrub: LearningScrubber,
        *,
        timeout_s: float,
        verify: bool = True,
        line: Line = DIRECT,
        advice: str = "check how the app is set up at the server",
        learned: Callable[[Mapping[str, Any]], None] = lambda _: None,
    ) -> None:
        self._url = url
        address = urlsplit(url)
        self._name = f"the token endpoint {plain_address(address).partition('://')[2]}"
        self._scrub = scrub
        self._timeout_s = timeout_s
        self._advice = advice
        self._learned = learned
        self._client = BoundedClient(
            timeout_s=timeout_s,
            headers={"Accept": "application/json", "User-Agent": "plumbline-auditor"},
            transport=line.connect(verify, 2),
        )

    def ask(self, grant: Grant) -> tuple[str, Any]:
        """Request a token.

        Returns:
            The token, and its lifetime in seconds as given in the response.

        Raises:
            ProbeError: it could not be obtained.
        """
        question = grant.question()
        self._scrub.learn(question.secrets)
        self._scrub.learn_tokens(question.tokens)
        headers = {"Content-Type": "application/x-www-form-urlencoded", **question.headers}
        try:
            with (
                operation(""),
                self._client.stream(
                    "POST", self._url, content=urlencode(question.form).encode(), headers=headers
                ) as response,
            ):
                if not response.is_success:
                    raise self._refused(response, grant)
                document = self._read(response)
        except httpx.TimeoutException:
            raise ProbeError(
                Reason.TIMEOUT,
                f"no complete response from {self._name} within {self._timeout_s:g} s",
                hint="raise budget.timeout if the server is only slow",
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL, RuntimeError) as error:
            raise ProbeError(
                Reason.UNREACHABLE,
                self._scrub(f"{self._name}: {type(error).__name__}: {error}"),
                hint="check the token endpoint's address and whether the server runs",
            ) from None
        return self._token(document, grant)

    def _read(self, response: httpx.Response) -> Any:
        """The document of a successful response."""
        hint = "is this the token endpoint? web pages for people return HTML like this"
        try:
            body = b"".join(unpacked(response, ANSWER_LIMIT_BYTES))
            return decode(body)
        except ProbeError as failure:
            if failure.reason not in {Reason.TOO_LARGE, Reason.DECODE}:
                raise
            problem = failure.message
        except (TooManyError, TooDeepError) as failure:
            problem = str(failure)
        except ValueError:
            kind = " ".join(response.headers.get("content-type", "no content type").split())[:80]
            problem = self._scrub(f"{len(body)} bytes that are not JSON ({kind})")
        raise self._no_token(f"{self._name} returned {problem}", hint)

    def _token(self, document: Any, grant: Grant) -> tuple[str, Any]:
        """The token in a response; it counts as a secret from here on."""
        if not isinstance(document, dict):
            raise self._no_token(f"{self._name} returned JSON that is not an object", "is this the token endpoint?")
        token = document.get("access_token")
        known = (document.get("id_token"), *grant.answered(document), token)
        self._scrub.learn_tokens([each for each in known if isinstance(each, str) and len(each) <= LONGEST_TOKEN])
        if not token and document.get("error"):  # some report an error with status 200
            code, words = _error(document)
            raise self._no_token(f"{self._name} returned {words}", self._what_to_do(grant, code))
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token.strip():
            raise self._no_token(f"{self._name} returned no access_token", "is this the token endpoint?")
        if len(token) > LONGEST_TOKEN:
            raise self._no_token(f"{self._name} returned a token of {len(token)} characters", "request fewer scopes")
        kind = document.get("token_type", "")
        if not isinstance(kind, str) or kind.lower() not in _BEARERS:
            raise self._no_token(
                f"{self._name} returned a token of the type {self._scrub(str(kind))[:40]!r}",
                "only bearer tokens are sent; set the app up to receive one",
            )
        self._learned(document)
        return token, document.get("expires_in")

    def _refused(self, response: httpx.Response, grant: Grant) -> ProbeError:
        """The error for an unsuccessful response."""
        status, wait = response.status_code, response.headers.get("retry-after")
        if 300 <= status < 400:
            return self._no_token(
                f"HTTP {status} from {self._name}: redirected",
                "redirects are not followed, so that no secret goes elsewhere; correct the token endpoint's address",
            )
        body = beginning(response)
        try:
            code, words = _error(decode(body))
        except (ValueError, TooDeepError, TooManyError):
            code, words = "", body.decode(errors="replace")
        message = self._scrub.line(f"HTTP {status} from {self._name}: {words}", 400)
        wait_s = retry_after_s(wait, response.headers.get("date"))
        if status == 429 or status >= 500:
            reason = Reason.OVER_BUDGET if status == 429 else Reason.UNREACHABLE
            hint = "" if wait_s is None else f"the server requests a pause of {span(wait_s, wait or '')}"
            return ProbeError(reason, message, hint=hint, retry_after_s=wait_s)
        if status in {404, 405, 410}:
            return self._no_token(message, "is this the token endpoint?")
        apart = _clocks_apart(response.headers.get("date")) if code == "invalid_grant" else ""
        return self._no_token(message, self._what_to_do(grant, code) + apart)

    def _what_to_do(self, grant: Grant, code: str) -> str:
        return grant.advice(code) or _ADVICE.get(code) or self._advice

    def _no_token(self, message: str, hint: str) -> ProbeError:
        return ProbeError(Reason.AUTH, self._scrub.line(message, 400), hint=hint, retry_after_s=LEAVE_ALONE_S)

    def close(self) -> None:
        """End a running request."""
        self._client.close()


def _error(document: Mapping[str, Any]) -> tuple[str, str]:
    """The code and the text of an OAuth error."""
    if not isinstance(document, dict) or "error" not in document:
        return "", str(document)
    code, described = document["error"], document.get("error_description")
    return str(code)[:80], str(code) if described is None else f"{code}: {described}"


def _clocks_apart(date: str | None) -> str:
    """A note on the server's clock if it is far from this machine's."""
    at = instant(date)
    apart_s = 0.0 if at is None else (at - datetime.now(UTC)).total_seconds()
    if abs(apart_s) < CLOCKS_APART_S:
        return ""
    return f"; the server's clock is {abs(apart_s):.0f} s {'ahead of' if apart_s > 0 else 'behind'} this machine's"

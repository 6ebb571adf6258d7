"""Sending requests to one HTTP API and reading its JSON: a deadline for each, limits in bytes, no secret in a text.

Redirects are never followed and no request goes to another host than the one in the system's address: a request
carries the system's secrets.
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urljoin, urlsplit

import httpx

from probes.bounded_http import ANSWER_LIMIT_BYTES, BoundedClient, beginning, unpacked
from probes.call_deadline import becomes
from probes.contract import ProbeError, Reason
from probes.exact_json import TooDeepError, TooManyError, decode, weight
from probes.records.rest import answers, walk
from probes.records.rest.request_template import Asked, Template
from probes.secrets import HIDDEN, Scrubber, secrets_in

_STATUS = {
    401: Reason.AUTH,
    403: Reason.PERMISSION,
    407: Reason.AUTH,
    413: Reason.TOO_LARGE,
    414: Reason.TOO_LARGE,
    429: Reason.OVER_BUDGET,
}

_CURSOR_REFUSED = frozenset({400, 404, 410, 422})
"""What an API answers to a cursor that it does not know any more."""

_SAFE = "%/:@!$&'()*+,;=~-._"
_HIDDEN = re.compile("\0(\\d+)\0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back.

    Attributes:
        document: the JSON; None where the record asked for is not there.
        path: what was asked, path and query as they were sent, without the parameters of the system's address.
        link: the Link header.
    """

    document: Any
    status: int
    path: str
    link: str | None


class RestClient:
    """Sends requests to one HTTP API.

    Args:
        url: the system's address; its path goes before every template's, its parameters go with every request.
        scrub: takes the system's secrets out of a text.
        headers: sent with every request.
        timeout_s: the deadline of one request.
    """

    def __init__(
        self,
        url: str,
        scrub: Scrubber,
        headers: Mapping[str, str],
        *,
        verify: bool,
        timeout_s: float,
        connections: int,
    ) -> None:
        self._timeout_s = timeout_s
        self._scrub = scrub
        self._origin = urlsplit(url)
        self._base_path = quote(self._origin.path.rstrip("/"), safe=_SAFE)
        self._fixed = tuple(part for part in self._origin.query.split("&") if part)
        sent = dict(headers)
        if self._origin.username is not None:
            pair = f"{unquote(self._origin.username)}:{unquote(self._origin.password or '')}"
            login = f"Basic {base64.b64encode(pair.encode()).decode()}"
            if "authorization" not in {name.lower() for name in sent}:
                sent["Authorization"] = login
        self._secrets = self._held(sent)
        self._learnt: set[str] = set()
        self._learning = threading.Lock()
        most = connections * 2
        limits = httpx.Limits(max_connections=most, max_keepalive_connections=most)
        self._client = BoundedClient(
            timeout_s=timeout_s,
            headers={"Accept": "application/json", "User-Agent": "plumbline-auditor", **sent},
            # A transport of its own, which no proxy of the environment comes between.
            transport=httpx.HTTPTransport(verify=verify, limits=limits),
        )
        host = self._origin.hostname or ""
        port = f":{self._origin.port}" if self._origin.port else ""
        self._address = httpx.URL(f"{self._origin.scheme}://{f'[{host}]' if ':' in host else host}{port}/")
        self._last = self._target(self._base_path, "")

    def _held(self, headers: Mapping[str, str]) -> list[str]:
        """Everything that must never be told, in every form in which it may come back, longest first."""
        held = [*headers.values(), self._origin.password or ""]
        held += [part for each in headers.values() for part in each.split() if len(part) >= 8]
        asked = [value for _, value in parse_qsl(self._origin.query)]
        held += [each for each in (*asked, *(part.partition("=")[2] for part in self._fixed)) if len(each) >= 4]
        forms = {form for each in held for form in (each, quote(each, safe=""), quote(each), unquote(each))}
        return sorted(forms - {""}, key=len, reverse=True)

    # -- asking

    def ask(self, asked: Asked, *, absent_is_none: bool = False, walking: bool = False) -> Answer:
        """Send one request and read its JSON.

        Args:
            absent_is_none: 404 and 410 are an answer.
            walking: the request goes on in a list, so that an API may not know any more where it stood.

        Raises:
            ProbeError: whatever keeps it from an answer.
        """
        self._learn(asked.template)
        return self._ask(self._base_path + asked.path, asked, absent_is_none=absent_is_none, walking=walking)

    def ask_next(self, kept: str, template: Template) -> Answer:
        """Ask for the next page by its address, as `next_address` gave it."""
        self._learn(template)
        path, _, query = self._shown(kept, template).partition("?")
        asked = Asked(path=path, query=query, template=template)
        return self._ask(path, asked, absent_is_none=False, walking=True)

    def next_address(self, answer: Answer, told: str, template: Template) -> str:
        """The address of a next page as it may be kept: path and query, without any secret.

        Args:
            template: by which the first page was asked for.

        Raises:
            ProbeError: `query` where it is on another host.
        """
        path, _, query = walk.within(self._origin, answer.path, told).partition("?")
        fixed = {unquote(part.partition("=")[0]) for part in self._fixed}
        left = "&".join(part for part in query.split("&") if part and unquote(part.partition("=")[0]) not in fixed)
        return self._hidden(quote(path, safe=_SAFE) + (f"?{quote(left, safe=_SAFE + '?')}" if left else ""), template)

    def _learn(self, template: Template) -> None:
        """Know the secrets that a template sends, before any thread sends it."""
        told = repr(template)
        with self._learning:
            if told not in self._learnt:
                if found := secrets_in(template):
                    self._scrub = self._scrub.knowing(found)
                self._learnt.add(told)

    def _numbered(self, template: Template) -> list[str]:
        """Every secret that may stand in an address, each at its number."""
        own = {form for secret in secrets_in(template) for form in (secret, quote(secret, safe=""), quote(secret))}
        return [*self._secrets, *sorted(own, key=lambda each: (-len(each), each))]

    def _ask(self, path: str, asked: Asked, *, absent_is_none: bool, walking: bool) -> Answer:
        target = self._target(path, asked.query)
        if asked.body is None:
            self._last = target
        sent = path + (f"?{asked.query}" if asked.query else "")
        try:
            with self._client.stream(
                asked.method,
                self._address,
                content=asked.body,
                headers={} if asked.body is None else {"Content-Type": "application/json"},
                # Not as part of the URL, which httpx would fold: `..` and what is encoded must arrive as it is.
                extensions={"target": target.encode("ascii")},
            ) as response:
                link = response.headers.get("link")
                if absent_is_none and response.status_code in {404, 410}:
                    return Answer(document=None, status=response.status_code, path=sent, link=link)
                if not response.is_success:
                    raise self._refusal(response, path, walking=walking)
                body = b"".join(unpacked(response, ANSWER_LIMIT_BYTES, hint="lower batch: of the collection"))
        except httpx.TimeoutException:
            raise self._timed_out() from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise self._unreachable(error) from None
        try:
            becomes(weight(body))
            document = decode(body)
        except TooManyError as error:
            raise ProbeError(
                Reason.TOO_LARGE, self._clean(f"{path} answered {error}"), hint="lower batch: of the collection"
            ) from None
        except TooDeepError as error:
            raise ProbeError(Reason.DECODE, self._clean(f"{path} answered {error}, which is not read")) from None
        except ValueError:
            kind = " ".join(response.headers.get("content-type", "no content type").split())[:80]
            raise ProbeError(
                Reason.DECODE, self._clean(f"{path} answered {len(body)} bytes that are not JSON ({kind})")
            ) from None
        return Answer(document=document, status=response.status_code, path=sent, link=link)

    def head(self) -> httpx.Headers:
        """The headers of what was asked last. Raises ProbeError."""
        try:
            extensions = {"target": self._last.encode("ascii")}
            with self._client.stream("HEAD", self._address, extensions=extensions) as response:
                return response.headers
        except httpx.TimeoutException:
            raise self._timed_out() from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from None

    def _target(self, path: str, query: str) -> str:
        """Path and query of a request, with what the system's address sends every time."""
        given = {unquote(part.partition("=")[0]) for part in query.split("&")}
        parts = [
            quote(part, safe=_SAFE + "?") for part in self._fixed if unquote(part.partition("=")[0]) not in given
        ]
        whole = "&".join([*parts, *([query] if query else [])])
        return (path or "/") + (f"?{whole}" if whole else "")

    # -- failing

    def _timed_out(self) -> ProbeError:
        return ProbeError(
            Reason.TIMEOUT,
            f"no whole answer within {self._timeout_s:g} s",
            hint="raise budget.timeout if the API is only slow",
        )

    def _unreachable(self, error: Exception) -> ProbeError:
        return ProbeError(
            Reason.UNREACHABLE,
            self._clean(f"{type(error).__name__}: {error}"),
            hint="check the system's url and whether the server runs",
        )

    def _refusal(self, response: httpx.Response, path: str, *, walking: bool) -> ProbeError:
        """What an answer that is no success means."""
        status, headers = response.status_code, response.headers
        path = self._clean(path)
        if 300 <= status < 400:
            return self._redirected(status, path, headers.get("location"))
        reason = _STATUS.get(status, Reason.UNREACHABLE if status >= 500 else Reason.QUERY)
        if status == 403 and headers.get("x-ratelimit-remaining") == "0":  # GitHub's word for a spent budget
            reason = Reason.OVER_BUDGET
        if walking and status in _CURSOR_REFUSED:
            reason = Reason.CURSOR_LOST
        told = headers.get("retry-after")
        wait_s = answers.retry_after_s(told, headers.get("date"))
        return ProbeError(
            reason,
            self._clean(f"HTTP {status} from {path}: {self._said(response)}"),
            hint="" if wait_s is None else f"the server asks to wait {_span(wait_s, told or '')}",
            retry_after_s=wait_s,
        )

    def _said(self, response: httpx.Response) -> str:
        """The beginning of an error's text, without secrets."""
        return " ".join(self._clean(beginning(response).decode(errors="replace")).split())[:200]

    def _redirected(self, status: int, path: str, location: str | None) -> ProbeError:
        if location is None:
            return ProbeError(Reason.QUERY, f"HTTP {status} from {path}, without saying where to")
        try:
            origin = f"{self._origin.scheme}://{self._origin.netloc.rpartition('@')[2]}"
            to = " ".join(self._clean(walk.address(urlsplit(urljoin(origin + path, location)))).split())[:200]
        except ValueError:
            to = "something that is no address"
        return ProbeError(
            Reason.QUERY,
            f"HTTP {status} from {path}: redirected to {to}",
            hint="redirects are not followed, so that no secret goes elsewhere; correct url: or the template",
        )

    def _clean(self, text: str) -> str:
        text = self._scrub(text)
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text

    def _hidden(self, text: str, template: Template) -> str:
        """A text with its secrets exchanged for their numbers."""
        for number, secret in enumerate(self._numbered(template)):
            if len(secret) >= 4:
                text = text.replace(secret, f"\0{number}\0")
        return text

    def _shown(self, text: str, template: Template) -> str:
        numbered = self._numbered(template)
        try:
            return _HIDDEN.sub(lambda found: numbered[int(found[1])], text)
        except IndexError:
            raise ProbeError(Reason.CURSOR_LOST, "a cursor of another map") from None

    def close(self) -> None:
        """End requests under way."""
        self._client.close()


def _span(wait_s: float, told: str) -> str:
    """How long to wait, in the server's own words where it asks for more than anybody waits."""
    said = " ".join(told.split())[:40]
    return f"more than a year ({said})" if wait_s >= answers.LONGEST_WAIT_S else f"{wait_s:g} s"

"""Requests to one HTTP API by templates: addresses below the system's own, cursors stored without secrets.

The transport (`probes.http`) sends, signs in, bounds and retries requests.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from probes.contract import ProbeError, Reason
from probes.http import walk
from probes.http.allowed_reads import AllowedReads
from probes.http.authentication import basic
from probes.http.learning_scrubber import LearningScrubber
from probes.http.line import DIRECT, Line
from probes.http.settings import Auth, TokenAuth, on_this_machine
from probes.http.sign_in import authentication_of
from probes.http.transport import RETRIES, Meaning, Refusal, Transport, unexplained
from probes.records.rest.request_template import Asked, Template
from probes.secrets import Scrubber, secrets_in

_CURSOR_REFUSED = frozenset({400, 404, 410, 422})
"""Statuses for a cursor that an API no longer knows."""

_SAFE = "%/:@!$&'()*+,;=~-._"
_HIDDEN = re.compile("\0(\\d+)\0")
_TOKEN = "\0token\0"  # noqa: S105 -- where one stood in an address; the next one is sent in its place


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response.

    Attributes:
        document: the JSON; None if the requested record does not exist.
        path: path and query as sent, without the parameters of the system's address.
        link: the Link header.
    """

    document: Any
    status: int
    path: str
    link: str | None


class RestClient:
    """Sends requests to one HTTP API.

    Args:
        url: the system's address; its path is prepended to every template's, its parameters are added to every
            request, and its login signs in by default.
        scrub: removes the system's secrets from a text.
        headers: sent with every request.
        auth: the map's sign-in settings.
        timeout_s: the deadline of one request.
        retries: the most retries of a request.
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
        auth: Auth | None = None,
        retries: int = RETRIES,
        line: Line = DIRECT,
    ) -> None:
        self._scrub = LearningScrubber(scrub)
        self._origin = urlsplit(url)
        self._base_path = quote(self._origin.path.rstrip("/"), safe=_SAFE)
        self._fixed = tuple(part for part in self._origin.query.split("&") if part)
        words: dict[str, Any] = {"verify": verify, "timeout_s": timeout_s, "line": line}
        self._token_endpoint = isinstance(auth, TokenAuth)
        authentication = authentication_of(auth, self._scrub, api_host=self._origin.hostname, **words)
        named = {name.lower() for name in headers}
        if auth is None and self._origin.username is not None and "authorization" not in named:
            authentication = basic(unquote(self._origin.username), unquote(self._origin.password or ""))
        self._authentication = authentication
        self._secrets = self._held([*headers.values(), *authentication.secrets])
        self._scrub.learn(self._secrets)
        self._allowed = AllowedReads()
        self._learnt: set[str] = set()
        self._learning = threading.Lock()
        self._transport = Transport(
            self._origin,
            authentication=authentication,
            scrub=self._scrub,
            allowed=self._allowed,
            headers=headers,
            connections=connections,
            retries=retries,
            too_large="lower batch: of the collection",
            **words,
        )
        self._last = self._target(self._base_path, "")

    def _held(self, sent: Iterable[str]) -> list[str]:
        """Every secret, in every form in which it may come back, longest first."""
        held = [*sent, self._origin.password or ""]
        held += [part for each in held for part in each.split() if len(part) >= 8]
        asked = [value for _, value in parse_qsl(self._origin.query)]
        held += [each for each in (*asked, *(part.partition("=")[2] for part in self._fixed)) if len(each) >= 4]
        forms = {form for each in held for form in (each, quote(each, safe=""), quote(each), unquote(each))}
        return sorted(forms - {""}, key=len, reverse=True)

    @property
    def signs_in_by_post(self) -> bool:
        """Whether tokens are requested from a token endpoint."""
        return self._token_endpoint

    # -- requests

    def allow(self, posts: Iterable[str]) -> None:
        """Put the paths of POSTs that only read, as the map names them, on the list of what may be sent."""
        for path in posts:
            self._allowed.add_post(self._base_path + path)

    def ask(self, asked: Asked, *, absent_is_none: bool = False, walking: bool = False) -> Answer:
        """Send one request and read its JSON.

        Args:
            absent_is_none: 404 and 410 count as a response.
            walking: the request continues a list, so the API may have lost its position.

        Raises:
            ProbeError: for every failure.
        """
        self._learn(asked.template)
        return self._ask(self._base_path + asked.path, asked, absent_is_none=absent_is_none, walking=walking)

    def ask_next(self, kept: str, template: Template) -> Answer:
        """Read the next page by an address from `next_address`."""
        self._learn(template)
        path, _, query = self._shown(kept, template).partition("?")
        asked = Asked(path=path, query=query, template=template)
        return self._ask(path, asked, absent_is_none=False, walking=True)

    def next_address(self, answer: Answer, told: str, template: Template) -> str:
        """The address of a next page in storable form: path and query, without any secret.

        Args:
            template: the template of the first page's request.

        Raises:
            ProbeError: `query` if it is on another host.
        """
        try:
            path, _, query = walk.within(self._origin, answer.path, told).partition("?")
        except ProbeError as failure:
            raise self._scrub.error(failure) from None
        fixed = {unquote(part.partition("=")[0]) for part in self._fixed}
        left = "&".join(part for part in query.split("&") if part and unquote(part.partition("=")[0]) not in fixed)
        return self._hidden(quote(path, safe=_SAFE) + (f"?{quote(left, safe=_SAFE + '?')}" if left else ""), template)

    def _learn(self, template: Template) -> None:
        """Learn the secrets in a template before any thread sends it."""
        told = repr(template)
        with self._learning:
            if told not in self._learnt:
                self._scrub.learn(secrets_in(template))
                self._learnt.add(told)

    def _numbered(self, template: Template) -> list[str]:
        """Every secret that may be part of an address, by number."""
        own = {form for secret in secrets_in(template) for form in (secret, quote(secret, safe=""), quote(secret))}
        return [*self._secrets, *sorted(own, key=lambda each: (-len(each), each))]

    def _ask(self, path: str, asked: Asked, *, absent_is_none: bool, walking: bool) -> Answer:
        target = self._target(path, asked.query)
        if asked.body is None:
            self._last = target
        answer = self._transport.ask(
            asked.method,
            target,
            body=asked.body,
            expected={404, 410} if absent_is_none else (),
            explained=_walking if walking else unexplained,
        )
        sent = path + (f"?{asked.query}" if asked.query else "")
        link = answer.headers.get("link")
        return Answer(document=answer.document, status=answer.status, path=sent, link=link)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Remarks on signing in."""
        if self._origin.scheme == "http" and self._secrets and not on_this_machine(self._origin.hostname or ""):
            told = "url begins with http://, so credentials and records are sent unencrypted"
            return (told, *self._transport.remarks)
        return self._transport.remarks

    def head(self) -> Mapping[str, str]:
        """The headers of the last request's target. Raises ProbeError."""
        return self._transport.head(self._last)

    def _target(self, path: str, query: str) -> str:
        """Path and query of a request, with the parts of the system's address."""
        given = {unquote(part.partition("=")[0]) for part in query.split("&")}
        parts = [
            quote(part, safe=_SAFE + "?") for part in self._fixed if unquote(part.partition("=")[0]) not in given
        ]
        whole = "&".join([*parts, *([query] if query else [])])
        return (path or "/") + (f"?{whole}" if whole else "")

    # -- cursors

    def _hidden(self, text: str, template: Template) -> str:
        """A text with its secrets replaced by their numbers."""
        for number, secret in enumerate(self._numbered(template)):
            if len(secret) >= 4:
                text = text.replace(secret, f"\0{number}\0")
        if token := self._authentication.token:  # some APIs put it into the address of their next page
            for form in (token, quote(token, safe="")):
                text = text.replace(form, _TOKEN)
        return text

    def _shown(self, text: str, template: Template) -> str:
        numbered = self._numbered(template)
        if _TOKEN in text:
            self._authentication.credentials()
            text = text.replace(_TOKEN, quote(self._authentication.token, safe=""))
        try:
            return _HIDDEN.sub(lambda found: numbered[int(found[1])], text)
        except IndexError:
            raise ProbeError(Reason.CURSOR_LOST, "a cursor of another map") from None

    def close(self) -> None:
        """End running requests."""
        self._transport.close()


def _walking(refusal: Refusal) -> Meaning | None:
    """The meaning of a refusal in the middle of a list."""
    return Meaning(reason=Reason.CURSOR_LOST) if refusal.status in _CURSOR_REFUSED else None

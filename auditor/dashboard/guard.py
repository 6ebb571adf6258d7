"""The middleware in front of Streamlit: refuses requests not meant for the dashboard, identifies people, forbids
frames.

Streamlit's own `server.allowedHosts` guards the WebSocket only, and its `server.trustedUserHeaders` believes every
address. An ASGI middleware is Streamlit's documented hook before all of its routes, static files and health included:
https://docs.streamlit.io/develop/api-reference/execution-flow/st.app
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, MutableMapping
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from auditor.dashboard.access import (
    ENDED,
    LOGIN,
    LOGOUT,
    Access,
    Asks,
    Headers,
    Onlooker,
    Person,
    Refusal,
    Stranger,
    barred,
    elsewhere,
    refusal,
    who,
)
from auditor.dashboard.oidc import CALLBACK, Claims
from auditor.dashboard.signed_out import SignedOut

PERSON = "X-Plumbline-Person"
"""The header in which the guard passes on to the pages who sent the request; dropped when it comes from outside."""

SEAL = secrets.token_hex(16)
"""A secret of this process, which proves to the pages that the guard wrote the header."""

SIGNED_OUT = SignedOut()
"""Sign-ins that people have ended. The cookie alone would let an open page, or a copy of the cookie, go on."""

FAILED, FAILED_VALUE = "sign-in", "failed"
"""What the address of a page holds after a sign-in that did not succeed."""

USER_COOKIE = b"_streamlit_user"

PLACE = "plumbline_place"
"""The cookie with the page that someone asked for before they signed in."""

ADDRESS_LIMIT = 3000
"""Most characters of it; browsers take 4096 bytes a cookie."""

_VISIBLE = re.compile("/[!-~]*")

PROTECTION = (
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""Headers of every response, with the policy: no framing, no type sniffing, no referrer."""

_POLICY = (
    "default-src 'self'; script-src 'self'{inline}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; media-src 'self' blob:; worker-src 'self' blob:; connect-src 'self' data: blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-src 'self'; frame-ancestors 'none'"
)
"""Nothing is loaded from other hosts, and only Streamlit's own scripts run. They write its styles."""

_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def policy(page: str) -> str:
    """The content security policy that allows only the page's own inline scripts, by digest."""
    digests = (base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in _INLINE.findall(page))
    return _POLICY.format(inline="".join(f" 'sha256-{each}'" for each in digests))


class Guard:
    """ASGI middleware in front of everything the dashboard serves."""

    def __init__(
        self,
        app: App,
        *,
        access: Access,
        page: str,
        addresses: Collection[str] | None = None,
        base: str = "",
        first: str = "",
        proves: Callable[[Headers], Claims | None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Wrap an app.

        Args:
            page: the HTML page that Streamlit serves.
            addresses: the paths of the dashboard's pages. For every other path Streamlit serves the same HTML, which
                must not look like a success to a program. None for any path.
            base: what all paths of the dashboard begin with, such as "/plumbline".
            first: the name of the page that Streamlit serves at the root alone; "" for none.
            proves: the claims of the sign-in that a request proves.
            clock: seconds since 1970.
        """
        self._app = app
        self._addresses = addresses
        self._access = access
        self._base = base
        self._first = first
        self._proves = proves
        self._clock = clock
        self._protection = (*PROTECTION, (b"content-security-policy", policy(page).encode()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it here."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers: Headers = [(bytes(name).lower(), bytes(value)) for name, value in scope["headers"]]
        websocket = scope["type"] == "websocket"
        target = bytes(scope.get("raw_path") or scope["path"].encode())
        refused = refusal(self._access, websocket=websocket, headers=headers, target=target)
        if refused is not None:
            await self._refuse(scope, receive, send, refused)
            return
        client = scope.get("client")
        now = self._clock()
        claims = self._proves(headers) if self._access.oidc is not None else None
        peer = client[0] if client else None
        sender = present(who(self._access, headers=headers, peer=peer, claims=claims, now=now), now)
        path = scope["path"]
        below = path.removeprefix(self._base)
        page = path.rstrip("/") in (self._addresses or {self._base})
        refused = barred(sender, path=below, page=page)
        if refused is not None:
            await self._refuse(scope, receive, send, refused)
            return
        query = bytes(scope.get("query_string", b"")).decode("latin-1")
        if self._first and below.rstrip("/") == f"/{self._first}" and not websocket:
            await self._send_to(f"{self._base}/?{query}".removesuffix("?"), send)
            return
        if below == LOGIN and not websocket:
            place = elsewhere(self._access, headers=headers, target=f"{path}?{query}")
            if place is not None:
                await self._send_to(place, send)
                return
        if below == LOGOUT:
            sign_out(sender, now)
        own = PERSON.lower().encode()
        kept = [(name, value) for name, value in headers if name != own]
        sealed_scope = {**scope, "headers": [*kept, (own, sealed(sender).encode())]}

        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start" and self._access.oidc is not None:
                asked = page and isinstance(sender, Stranger)
                message = self._remembering(scope, headers, below, message, asked=asked)
            if message["type"] == "http.response.start" and self._is_fallback(scope["path"], message):
                message = {**message, "status": 404}
            if message["type"] == "http.response.start" and self._sign_in_failed(scope, below, message):
                kept = [(name, value) for name, value in message.get("headers", ()) if bytes(name) != b"location"]
                back = f"{self._base}/?{FAILED}={FAILED_VALUE}".encode()
                message = {**message, "status": 302, "headers": [*kept, (b"location", back)]}
            if message["type"] in {"http.response.start", "websocket.http.response.start"}:
                message = {**message, "headers": self._protect(message.get("headers", ()))}
            await send(message)

        await self._app(sealed_scope, receive, protected)

    def _remembering(self, scope: Scope, headers: Headers, below: str, message: Message, *, asked: bool) -> Message:
        """The start of a response that keeps the page which a stranger asked for, or leads there after the sign-in.

        Streamlit itself leads to the first page, and a link in a message would be lost.

        Args:
            asked: a stranger has asked for a page.
        """
        path, query = scope["path"], bytes(scope.get("query_string", b"")).decode("latin-1")
        kept = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
        if asked and message["status"] == 200 and FAILED not in query:
            place = quote(f"{path}?{query}" if query else path, safe="")
            place = place if len(place) <= ADDRESS_LIMIT else ""
            return {**message, "headers": [*kept, (b"set-cookie", self._place(place, "600"))]}
        if below != CALLBACK or not _signs_in(message):
            return message
        place = unquote(cookie_value(headers, PLACE))
        if not _VISIBLE.fullmatch(place) or place.partition("?")[0].rstrip("/") not in (self._addresses or ()):
            return message
        others = [(name, value) for name, value in kept if name != b"location"]
        return {**message, "headers": [*others, (b"location", place.encode()), (b"set-cookie", self._place("", "0"))]}

    def _place(self, value: str, lasts_s: str) -> bytes:
        return f"{PLACE}={value}; Path={self._base or '/'}; Max-Age={lasts_s}; HttpOnly; SameSite=Lax".encode()

    def _sign_in_failed(self, scope: Scope, below: str, message: Message) -> bool:
        """Whether Streamlit answers that nobody has signed in; it shows that to nobody."""
        if self._access.oidc is None:
            return False
        asked = parse_qs(bytes(scope.get("query_string", b"")).decode("latin-1"))
        if below == CALLBACK and not asked.keys() & {"code", "error"}:
            return False  # the way back from signing out
        made = _signs_in(message)
        return (below == CALLBACK and not made) or (below == LOGIN and message["status"] >= 400)

    def _is_fallback(self, path: str, message: Message) -> bool:
        """Whether a response is the HTML that Streamlit serves for a path that does not exist."""
        if self._addresses is None or message["status"] != 200 or path.rstrip("/") in self._addresses:
            return False
        kinds = [bytes(value) for name, value in message.get("headers", ()) if bytes(name).lower() == b"content-type"]
        return any(each.startswith(b"text/html") for each in kinds)

    def _protect(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        ours = {name for name, _ in self._protection}
        kept = ((bytes(name), bytes(value)) for name, value in headers if bytes(name).lower() not in ours)
        return [*((name, self._secured(name, value)) for name, value in kept), *self._protection]

    def _secured(self, name: bytes, value: bytes) -> bytes:
        """Keep cookies to TLS where people use the dashboard over TLS; Streamlit does not know of a proxy's."""
        oidc = self._access.oidc
        if name.lower() != b"set-cookie" or oidc is None or not oidc.secure or b"; secure" in value.lower():
            return value
        return value + b"; Secure"

    async def _send_to(self, place: str, send: Send) -> None:
        headers = [(b"location", place.encode("latin-1")), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 302, "headers": self._protect(headers)})
        await send({"type": "http.response.body", "body": b""})

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, refused: Refusal) -> None:
        body = (refused.text + "\n").encode()
        kind = "http.response"
        if scope["type"] == "websocket":
            await receive()  # the connect event, which must be received before the response
            if "websocket.http.response" not in scope.get("extensions", {}):
                await send({"type": "websocket.close", "code": 1008})
                return
            kind = "websocket.http.response"
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
        await send({"type": f"{kind}.start", "status": refused.status, "headers": self._protect(headers)})
        await send({"type": f"{kind}.body", "body": body})


def _signs_in(message: Message) -> bool:
    """Whether a response gives the browser the cookie of a sign-in."""
    return any(
        bytes(name) == b"set-cookie" and bytes(value).startswith(USER_COOKIE + b"=") and b"Max-Age=0" not in value
        for name, value in message.get("headers", ())
    )


def cookie_value(headers: Headers, name: str) -> str:
    """The value of a cookie as the browser sent it; "" if it sent none."""
    sent = ";".join(value.decode("latin-1") for header, value in headers if header == b"cookie")
    pairs = (each.strip().partition("=") for each in sent.split(";"))
    return next((value for each, _, value in pairs if each == name), "")


def present(asks: Asks, now: float) -> Asks:
    """Who someone still is: nobody, once the sign-in has ended."""
    if isinstance(asks, Stranger) or asks.until is None:
        return asks
    if now >= asks.until or SIGNED_OUT.holds(asks.session, asks.since or 0.0):
        return Stranger(why=ENDED, can_sign_in=True)
    return asks


def sign_out(asks: Asks, now: float) -> None:
    """End a sign-in in every page and for every copy of its cookie."""
    if not isinstance(asks, Stranger) and asks.since is not None:
        SIGNED_OUT.end(asks.session, asks.since, now)


def sealed(asks: Asks) -> str:
    """The header value that passes on to the pages who sent the request."""
    return f"{SEAL} {json.dumps({'kind': type(asks).__name__, **asdict(asks)})}"


def unsealed(header: str | None) -> Asks:
    """Read who sent the request; without the guard's header, someone who may view nothing."""
    seal, _, document = (header or "").partition(" ")
    if not secrets.compare_digest(seal.encode(), SEAL.encode()):
        return Stranger(why="The dashboard was not started with `auditor dashboard`, so it does not know who asks.")
    fields: dict[str, Any] = json.loads(document)
    return _KINDS[fields.pop("kind")](**fields)


_KINDS: dict[str, type[Person] | type[Onlooker] | type[Stranger]] = {
    each.__name__: each for each in (Person, Onlooker, Stranger)
}

"""What stands before Streamlit: refuses what is not meant for the dashboard, says who asks, and forbids frames.

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
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import asdict
from typing import Any

from auditor.dashboard.access import Access, Headers, Onlooker, Person, Refusal, refusal, who

PERSON = "X-Plumbline-Person"
"""The header in which the guard tells the pages who asks. Whoever sends it from outside sends it in vain."""

SEAL = secrets.token_hex(16)
"""Known to this process alone, so that what the pages read is what the guard wrote."""

PROTECTION = (
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""On every answer, with the policy: shown in no frame, never taken for another type, no address told to others."""

_POLICY = (
    "default-src 'self'; script-src 'self'{inline}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; media-src 'self' blob:; worker-src 'self' blob:; connect-src 'self' data: blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-src 'self'; frame-ancestors 'none'"
)
"""Nothing is loaded from another host, and no script runs but Streamlit's own. Its styles are written by scripts."""

_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def policy(page: str) -> str:
    """The content security policy under which a page runs the scripts that stand in it, by digest, and no other."""
    digests = (base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in _INLINE.findall(page))
    return _POLICY.format(inline="".join(f" 'sha256-{each}'" for each in digests))


class Guard:
    """ASGI middleware in front of everything that the dashboard serves."""

    def __init__(self, app: App, *, access: Access, page: str) -> None:
        """Stand before an app.

        Args:
            page: the HTML page that Streamlit answers with.
        """
        self._app = app
        self._access = access
        self._protection = (*PROTECTION, (b"content-security-policy", policy(page).encode()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it here."""
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
        found = who(self._access, headers=headers, peer=client[0] if client else None)
        own = PERSON.lower().encode()
        kept = [(name, value) for name, value in headers if name != own]
        told = {**scope, "headers": [*kept, (own, sealed(found).encode())]}

        async def protected(message: Message) -> None:
            if message["type"] in {"http.response.start", "websocket.http.response.start"}:
                message = {**message, "headers": self._protect(message.get("headers", ()))}
            await send(message)

        await self._app(told, receive, protected)

    def _protect(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        ours = {name for name, _ in self._protection}
        return [*((name, value) for name, value in headers if bytes(name).lower() not in ours), *self._protection]

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, refused: Refusal) -> None:
        body = (refused.text + "\n").encode()
        kind = "http.response"
        if scope["type"] == "websocket":
            await receive()  # the connect, which has to be heard before it is answered
            if "websocket.http.response" not in scope.get("extensions", {}):
                await send({"type": "websocket.close", "code": 1008})
                return
            kind = "websocket.http.response"
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
        await send({"type": f"{kind}.start", "status": refused.status, "headers": self._protect(headers)})
        await send({"type": f"{kind}.body", "body": body})


def sealed(found: Person | Onlooker) -> str:
    """Who asks, as the guard tells it to the pages."""
    return f"{SEAL} {json.dumps(asdict(found))}"


def unsealed(told: str | None) -> Person | Onlooker:
    """Who asks, as a page reads it; without the guard's word somebody who may look."""
    seal, _, document = (told or "").partition(" ")
    if not secrets.compare_digest(seal.encode(), SEAL.encode()):
        return Onlooker(why="The dashboard was not started with `auditor dashboard`, so it does not know who asks.")
    held: dict[str, Any] = json.loads(document)
    return Person(**held) if "known_by" in held else Onlooker(**held)

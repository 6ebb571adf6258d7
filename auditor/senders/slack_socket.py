"""Socket Mode: a connection to Slack over which it reports what people press, without an address of our own.

Sources: https://docs.slack.dev/apis/events-api/using-socket-mode (hello, envelopes that are acknowledged within three
seconds, disconnect), https://docs.slack.dev/reference/methods/apps.connections.open, and slack_sdk 3.48.0. Its client
reconnects by itself, waiting in ways that nobody can end, so here each connection has a client of its own.
"""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

from auditor.escaping import visible
from auditor.senders.contract import TIMEOUT_S, Receipt
from auditor.senders.json_post import JsonPost
from auditor.senders.slack_bot import SlackBotSettings, judged

if TYPE_CHECKING:
    from slack_sdk.socket_mode.client import BaseSocketModeClient
    from slack_sdk.socket_mode.request import SocketModeRequest

MISSING = "slack_sdk is missing; install plumbline-auditor[slack]"

HELLO_S = 10.0

LOOK_S = 0.1
"""How often it is checked meanwhile whether the connection lasts."""

BUFFER_BYTES = 64 * 1024
"""Bytes read at once; the client calls itself once more for each part of a message."""

SWITCHED_OFF = "link_disabled"
"""Why Slack ends a connection of an app whose Socket Mode is switched off."""

_RENEW = "put an app-level token with the scope connections:write into alerts.slack_bot.app_token"
_HINTS = {
    "invalid_auth": _RENEW,
    "not_authed": _RENEW,
    "not_allowed_token_type": _RENEW,
    "token_revoked": _RENEW,
    "token_expired": _RENEW,
    "missing_scope": "give the app-level token the scope connections:write",
    "account_inactive": "install the app again",
}

log = logging.getLogger(__name__)

_SILENT = logging.Logger("slack_sdk", logging.CRITICAL + 1)
"""The client's messages hold addresses and what people pressed."""

Heard = Callable[[str, Mapping[str, Any]], None]
"""Called with the identity of an envelope and its payload, once the envelope is acknowledged."""


class NotListeningError(Exception):
    """There is no connection; the text says why and what to do, without a secret.

    Attributes:
        lasting: whether it stays so until somebody changes the app, its token or this installation.
        retry_after_s: how long Slack asks to wait.
    """

    def __init__(self, why: str, *, lasting: bool = False, retry_after_s: float | None = None) -> None:
        super().__init__(why)
        self.lasting = lasting
        self.retry_after_s = retry_after_s


class SlackSockets:
    """Opens connections with the app-level token of one app.

    Args:
        timeout_s: the deadline of a request for an address.
        hello_s: how long Slack may take to greet on a new connection.
    """

    def __init__(self, settings: SlackBotSettings, *, timeout_s: float = TIMEOUT_S, hello_s: float = HELLO_S) -> None:
        self._hello_s = hello_s
        self._token = settings.app_token.get_secret_value()
        self._url = settings.url.get_secret_value().rstrip("/")
        self._post = JsonPost(
            self._url,
            timeout_s=timeout_s,
            headers={"Authorization": f"Bearer {self._token}"},
            secrets=[self._token],
            judge=partial(judged, hints=_HINTS),
        )

    def try_out(self) -> Receipt:
        """Whether a connection could be opened now; opens none."""
        if find_spec("slack_sdk") is None:
            return Receipt(outcome="rejected", error=MISSING)
        return self._address()

    def _address(self) -> Receipt:
        """The address for one connection, a secret, in the reply."""
        receipt = self._post.send({}, path="/apps.connections.open")
        if receipt.outcome == "sent" and not self._trusted(receipt.reply.get("url")):
            return Receipt(outcome="refused", error="Slack named no address that is encrypted")
        return receipt

    def _trusted(self, url: object) -> bool:
        """Whether a connection to an address is encrypted, if the Web API is; the client encrypts port 443 alone."""
        try:
            parts = urlsplit(str(url))
            encrypted = parts.scheme == "wss" and parts.port in {None, 443}
        except ValueError:
            return False
        plain = parts.scheme == "ws" and urlsplit(self._url).scheme == "http"
        return bool(parts.hostname) and (encrypted or plain)

    def open(self, heard: Heard, stopping: threading.Event) -> SlackSocket:
        """Open a connection and wait until Slack greets.

        Args:
            stopping: ends the waiting.

        Raises:
            NotListeningError: Slack refuses, cannot be reached, or says nothing.
        """
        if find_spec("slack_sdk") is None:
            raise NotListeningError(MISSING, lasting=True)
        receipt = self._address()
        if receipt.outcome != "sent":
            lasting = receipt.outcome == "rejected"
            raise NotListeningError(receipt.error, lasting=lasting, retry_after_s=receipt.retry_after_s)
        opened = SlackSocket(self._token, str(receipt.reply["url"]), heard)
        if not opened.greeted(self._hello_s, stopping):
            opened.close()
            raise NotListeningError("Slack accepts no connection (its WebSocket does not respond)")
        return opened

    def close(self) -> None:
        """Cut off a request for an address, from another thread."""
        self._post.cut_off()


class SlackSocket:
    """One connection.

    Args:
        url: where to connect, a secret.

    Attributes:
        ended_because: why Slack wants it to end; "" if it has said nothing.
    """

    def __init__(self, token: str, url: str, heard: Heard) -> None:
        from slack_sdk.socket_mode import SocketModeClient

        class Client(SocketModeClient):
            """Leaves reconnecting to whoever has opened the connection."""

            def connect_to_new_endpoint(self, force: bool = False) -> None:
                """Do nothing."""

        self.ended_because = ""
        self._heard = heard
        self._hello = threading.Event()
        self._client = Client(
            token,
            logger=_SILENT,
            auto_reconnect_enabled=False,
            receive_buffer_size=BUFFER_BYTES,
            concurrency=2,
            on_message_listeners=[self._note],
        )
        self._client.socket_mode_request_listeners.append(self._answer)
        if proxy_bypass(urlsplit(url).hostname or ""):
            self._client.proxy = None
        self._client.wss_uri = url
        try:
            self._client.connect()
        except Exception:  # as the client's own errors are of many kinds
            self._client.disconnect()
        if (session := self._client.current_session) is not None and session.sock is not None:
            session.sock = _Ending(session.sock)  # type: ignore[assignment]

    def greeted(self, within_s: float, stopping: threading.Event) -> bool:
        """Wait until Slack greets; False if it does not, or if `stopping` ends the waiting."""
        until_s = time.monotonic() + within_s
        while not self._hello.wait(LOOK_S):
            if stopping.is_set() or not self._client.is_connected() or time.monotonic() > until_s:
                return self._hello.is_set()
        return True

    @property
    def listens(self) -> bool:
        """Whether it is connected, and Slack wants it to go on."""
        return self._client.is_connected() and not self.ended_because

    def _note(self, message: str) -> None:
        try:
            said = json.loads(message)
            kind = said.get("type")
        except (ValueError, AttributeError, RecursionError):
            return
        if kind == "hello":
            self._hello.set()
        elif kind == "disconnect":
            self.ended_because = visible(said.get("reason") or "unknown")[:100]

    def _answer(self, client: BaseSocketModeClient, request: SocketModeRequest) -> None:
        """Acknowledge an envelope at once, and hand on what it holds."""
        from slack_sdk.errors import SlackClientNotConnectedError
        from slack_sdk.socket_mode.response import SocketModeResponse

        with contextlib.suppress(SlackClientNotConnectedError):  # the person sees a warning; the act counts
            client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))
        if request.type == "interactive":
            self._heard(request.envelope_id, request.payload)

    def close(self) -> None:
        """Close the connection and end the client's threads."""
        session = self._client.current_session
        connected = session.sock if session is not None else None
        if connected is not None:
            with contextlib.suppress(OSError):  # wakes whoever reads from it
                connected.shutdown(socket.SHUT_RDWR)
        self._client.closed = True
        self._client.message_queue.put(None)  # wakes whoever waits for messages
        try:
            self._client.close()
        except Exception as error:  # as in opening it
            log.debug("a connection to Slack was not closed (%s)", type(error).__name__)


class _Ending:
    """A socket that reports its end as an error: the client would read nothing from it again and again."""

    def __init__(self, connected: Any) -> None:
        self._connected = connected

    def recv(self, size: int) -> bytes:
        received: bytes = self._connected.recv(size)
        if not received:
            raise ConnectionResetError("the connection was closed")
        return received

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connected, name)

"""A stand-in for the WebSocket side of Slack's Socket Mode, on 127.0.0.1. It is not Slack.

Written from Slack's documentation as of 2026-11 (docs.slack.dev: "Using Socket Mode", "apps.connections.open",
"block_actions payload"): a greeting, envelopes that are to be acknowledged, and what announces the end of a
connection. Frames are those of the websockets library. An address holds a ticket, which opens one connection; a
payload goes to one of the connections, here the newest. Slack's own client is tried against it in
`tests/standins/test_slack_socket.py`.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from tests.waiting import wait_until

APP = "A012ABCD0A0"


class SocketMode:
    """The connections of one app.

    Attributes:
        opened: how many connections were ever opened.
        acknowledged: the envelopes that were, in order.
        greets: whether new connections are greeted.
    """

    def __init__(self) -> None:
        self.opened = 0
        self.acknowledged: list[str] = []
        self.greets = True
        self._tickets: set[str] = set()
        self._connections: list[ServerConnection] = []
        self._server = serve(self._connected, "127.0.0.1", 0, process_request=self._admit)
        self._port = self._server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def address(self) -> str:
        """A fresh address for one connection."""
        ticket = str(uuid4())
        self._tickets.add(ticket)
        return f"ws://127.0.0.1:{self._port}/link/?ticket={ticket}&app_id={APP}"

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        ticket = request.path.partition("ticket=")[2].partition("&")[0]
        if ticket not in self._tickets:
            return connection.respond(HTTPStatus.UNAUTHORIZED, "unknown ticket")
        self._tickets.discard(ticket)
        return None

    def _connected(self, connection: ServerConnection) -> None:
        self.opened += 1
        self._connections.append(connection)
        try:
            if self.greets:
                connection.send(json.dumps(self._hello()))
            for message in connection:
                acknowledged = json.loads(message)
                self.acknowledged.append(str(acknowledged["envelope_id"]))
        except ConnectionClosed:
            pass
        finally:
            self._connections.remove(connection)

    def _hello(self) -> dict[str, Any]:
        debug = {"host": "applink-stand-in", "build_number": 10, "approximate_connection_time": 18060}
        return {
            "type": "hello",
            "connection_info": {"app_id": APP},
            "num_connections": self.connections,
            "debug_info": debug,
        }

    def send(self, payload: Mapping[str, Any], *, envelope: str = "", to: int = -1) -> str:
        """Send a payload in an envelope to one connection, the newest by default; answers the envelope."""
        envelope = envelope or str(uuid4())
        told = {"envelope_id": envelope, "payload": payload, "type": "interactive", "accepts_response_payload": False}
        self._connections[to].send(json.dumps(told))
        return envelope

    def disconnect(self, reason: str = "refresh_requested") -> None:
        """Announce the end of every connection, as Slack does some seconds before it."""
        told = json.dumps({"type": "disconnect", "reason": reason, "debug_info": {"host": "wss-stand-in.slack.com"}})
        for each in [*self._connections]:
            with contextlib.suppress(ConnectionClosed):
                each.send(told)

    def cut(self) -> None:
        """Cut every connection without a word."""
        for each in [*self._connections]:
            with contextlib.suppress(OSError):
                each.socket.shutdown(socket.SHUT_RDWR)

    def await_connections(self, count: int = 1) -> None:
        """Wait until so many connections are open."""
        wait_until(lambda: self.connections == count, what=f"for {count} connections")

    def close(self) -> None:
        """Stop it."""
        self._server.shutdown()
        self.cut()
        self._thread.join()

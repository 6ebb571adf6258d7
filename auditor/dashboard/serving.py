"""How the dashboard is served: the command, and the free port it is given."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Mapping
from importlib.util import find_spec

from auditor.dashboard.site import APP
from auditor.escaping import visible
from probes import allocator

DEFAULT_PORT = 8501


LOOPBACK = "127.0.0.1"

_PEERS_AS_THEY_ARE = {"FORWARDED_ALLOW_IPS": ""}
"""The web server's setting that keeps request headers from changing the client address."""


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """An environment with what the server needs: few heaps for its many threads, and client addresses as they are."""
    return {**own, **allocator.variables(own), **_PEERS_AS_THEY_ARE}


def command(port: int, address: str = LOOPBACK) -> list[str]:
    """The command that serves the dashboard on this port of an address of this machine."""
    return [
        *(sys.executable, "-m", "auditor.dashboard.process", "run", str(APP)),
        *("--server.port", str(port), "--server.address", address),
    ]


def cannot_sign_in() -> str:
    """Why the dashboard cannot sign people in with an issuer, "" if it can."""
    if find_spec("authlib") is None:
        return "--oidc-metadata: Authlib is missing; pip install 'plumbline-auditor[login]'"
    return ""


def cannot_listen(address: str, port: int) -> str:
    """Why the dashboard cannot listen there, "" if it can."""
    try:
        addresses = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        return f"--address: {visible(address)} is neither an address nor a name of this machine"
    family, kind, _, _, place = addresses[0]
    with socket.socket(family, kind) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(place)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"--port: {port} is in use on {visible(address)}; choose another, or 0 for any free one"
            return f"--address: cannot listen on {visible(address)}: {error.strerror}"
    return ""


def free_port(wanted: int) -> int:
    """The port if it is free, otherwise any free one."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            free: int = probe.getsockname()[1]
            return free
    raise OSError("no free port on 127.0.0.1")

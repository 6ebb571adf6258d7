"""How the dashboard is served: the command, and the free port it is given."""

from __future__ import annotations

import socket
import sys

from auditor.dashboard.site import APP

DEFAULT_PORT = 8501


LOOPBACK = "127.0.0.1"

PEERS_AS_THEY_ARE = {"FORWARDED_ALLOW_IPS": ""}
"""The web server's setting by which no header of a request changes the address that it came from."""


def command(port: int, address: str = LOOPBACK) -> list[str]:
    """The command that serves the dashboard on this port of an address of this machine."""
    return [
        *(sys.executable, "-m", "streamlit", "run", str(APP)),
        *("--server.port", str(port), "--server.address", address),
    ]


def free_port(wanted: int) -> int:
    """The port if it can be had, else any free one."""
    for port in (wanted, 0):
        with socket.socket() as held:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                held.bind(("127.0.0.1", port))
            except OSError:
                continue
            found: int = held.getsockname()[1]
            return found
    raise OSError("no free port on 127.0.0.1")

"""Servers that refuse connections: drivers that keep trying until their deadline need not be asked."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence

WITHIN_S = 1.0
"""How long an answer is waited for; a port that is not listened on refuses at once."""

MOST_PORT = 65_535


def all_refuse(places: Sequence[tuple[str, int]], within_s: float = WITHIN_S) -> bool:
    """Whether every one of these hosts and ports refuses a connection at all of its addresses; False if unknown.

    A name may take longer to be resolved than anything can limit, so a thread of its own waits for it.
    """
    refused: list[bool] = []

    def knock() -> None:
        refused.append(all(_refuses(place, within_s) for place in places))

    thread = threading.Thread(target=knock, name="knock", daemon=True)
    thread.start()
    thread.join(within_s)
    return bool(places) and refused == [True]


def _refuses(place: tuple[str, int], within_s: float) -> bool:
    if not 0 < place[1] <= MOST_PORT:  # the resolver would take another one
        return False
    try:
        with socket.create_connection(place, within_s, all_errors=True):
            return False
    except ExceptionGroup as errors:
        return all(isinstance(each, ConnectionRefusedError) for each in errors.exceptions)
    except (OSError, ValueError):
        return False

"""What the requests of a probe go through; a test gives something else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import httpx


def connected(verify: bool, connections: int) -> httpx.BaseTransport:
    """Connections of its own, which no proxy of the environment comes between."""
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    return httpx.HTTPTransport(verify=verify, limits=limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What a probe's requests go through.

    Attributes:
        connect: opens connections, given whether certificates are verified and how many there may be.
    """

    connect: Callable[[bool, int], httpx.BaseTransport] = connected


DIRECT = Line()

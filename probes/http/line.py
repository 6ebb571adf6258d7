"""What the requests of a probe go through; a test gives something else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import httpx


def connected(verify: bool, connections: int) -> httpx.BaseTransport:
    """Connections of its own, which no proxy of the environment comes between."""
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    return httpx.HTTPTransport(verify=verify, limits=limits)


def by_proxies(verify: bool, connections: int) -> None:
    """The client's own connections, through the proxies that the environment names; certificates are verified."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What a probe's requests go through.

    Attributes:
        connect: opens connections, given whether certificates are verified and how many there may be.
    """

    connect: Callable[[bool, int], httpx.BaseTransport | None] = connected


DIRECT = Line()
THROUGH_PROXIES = Line(connect=by_proxies)

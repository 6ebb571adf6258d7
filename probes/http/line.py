"""The connections of a probe's requests; tests substitute their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import httpx

from probes.bounded_http import trusted


def connected(verify: bool, connections: int) -> httpx.BaseTransport:
    """Direct connections, without the proxies of the environment."""
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    return httpx.HTTPTransport(verify=trusted() if verify else False, limits=limits)


def by_proxies(verify: bool, connections: int) -> None:
    """The client's own connections, through the proxies that the environment names; certificates are verified."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The way of a probe's requests.

    Attributes:
        connect: opens connections, with certificate verification and the maximum number as arguments.
    """

    connect: Callable[[bool, int], httpx.BaseTransport | None] = connected


DIRECT = Line()
THROUGH_PROXIES = Line(connect=by_proxies)

"""Host names in requests: what a server of this machine must check so that no other site speaks to it.

A host name that a site points to 127.0.0.1 makes a browser treat the response as the site's own (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
import re

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names that always resolve to this machine."""

Authority = tuple[str, str | None]
"""A normalized host, and its port if one is given."""

_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?))(?::([0-9]{1,5}))?")
_ORIGIN = re.compile(r"https?://([^/?#@\\]+)")


def authority(text: str) -> Authority | None:
    """The host and the port of `host:port`; None if invalid."""
    match = _AUTHORITY.fullmatch(text)
    if match is None or (match[3] is not None and int(match[3]) > 65535):
        return None
    if match[1] is not None:
        try:
            return str(ipaddress.IPv6Address(match[1])), match[3]
        except ValueError:
            return None
    return match[2].lower().removesuffix("."), match[3]


def authority_of_origin(origin: str) -> Authority | None:
    """The host and the port of an `Origin` header; None if it names none."""
    match = _ORIGIN.fullmatch(origin)
    return authority(match[1]) if match else None

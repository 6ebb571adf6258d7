"""The list of requests that a probe may send: all others are refused before they are sent.

HTTP has no read-only session. GET and HEAD are defined to read (RFC 9110, section 9.2.1); a POST reads only if a
vendor or the map's author declares that for its path. The list is the proof, so there is no way around it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable

from probes.contract import ProbeError, Reason

GET_AND_HEAD = re.compile(r"(?:GET|HEAD) /[^\s]*")

METHODS = frozenset({"GET", "HEAD", "POST"})
"""No other method reads, whatever a list contains."""


class AllowedReads:
    """Requests that only read.

    Args:
        allowed: a pattern that must match the whole of `METHOD PATH?QUERY`.
    """

    def __init__(self, allowed: Iterable[re.Pattern[str]] = (GET_AND_HEAD,)) -> None:
        self._allowed = tuple(allowed)
        self._posts: dict[str, re.Pattern[str]] = {}
        self._adding = threading.Lock()

    def add_post(self, path: str) -> None:
        """Allow a POST to this exact path, with any query.

        The caller must know that it only reads: from the map's author, by `read_only_post`.
        """
        if path in self._posts:
            return
        with self._adding:
            self._posts = {**self._posts, path: re.compile(rf"POST {re.escape(path)}(?:\?[^\s]*)?")}

    @property
    def posts(self) -> tuple[str, ...]:
        """The added paths."""
        return tuple(self._posts)

    def __contains__(self, request: tuple[str, str]) -> bool:
        """Whether a request, by its method and its path with the query, may be sent."""
        method, target = request
        whole = f"{method} {target}"
        if method not in METHODS:
            return False
        return any(each.fullmatch(whole) for each in (*self._allowed, *self._posts.values()))

    def check(self, method: str, target: str) -> None:
        """Check a request.

        Raises:
            ProbeError: `query` if it is not on the list; the text does not quote its query.
        """
        if (method, target) not in self:
            path = target.partition("?")[0][:200]
            raise ProbeError(
                Reason.QUERY,
                f"{method} {path} is not on the list of reading requests, and was not sent",
                hint="name a POST that only reads by read_only_post: in the map",
            )

"""What was read of an owner and may serve another audit. Pure: instants are tickets, numbers that only grow."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One result.

    Attributes:
        began: the ticket of the read that returned it, drawn before the request was sent.
        records, size_bytes: what it counts for.
    """

    began: int
    value: Any
    records: int = 0
    size_bytes: int = 0


class ReadStore:
    """Keeps the latest result of each request, within bounds: what does not fit is not kept.

    Args:
        records_limit, bytes_limit: the most that is kept.
    """

    def __init__(self, *, records_limit: int, bytes_limit: int) -> None:
        self._records_limit = records_limit
        self._bytes_limit = bytes_limit
        self._entries: dict[Hashable, Entry] = {}
        self.records = self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, request: Hashable, since: int) -> Entry | None:
        """The result of a request, if its read began at or after a ticket."""
        entry = self._entries.get(request)
        return entry if entry is not None and entry.began >= since else None

    def put(self, request: Hashable, entry: Entry) -> None:
        """Keep a result instead of an earlier one; a later one that is kept stays."""
        before = self._entries.get(request)
        if before is not None:
            if before.began > entry.began:
                return
            self._drop(request)
        records, size_bytes = self.records + entry.records, self.size_bytes + entry.size_bytes
        if records <= self._records_limit and size_bytes <= self._bytes_limit:
            self._entries[request] = entry
            self.records, self.size_bytes = records, size_bytes

    def forget_before(self, ticket: int | None) -> None:
        """Forget what began before a ticket; everything without one."""
        for request in [each for each, entry in self._entries.items() if ticket is None or entry.began < ticket]:
            self._drop(request)

    def _drop(self, request: Hashable) -> None:
        entry = self._entries.pop(request)
        self.records -= entry.records
        self.size_bytes -= entry.size_bytes

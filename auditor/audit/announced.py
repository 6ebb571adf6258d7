"""Records that a flow's owner has announced as changed, until an audit has read them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from probes.contract import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A record, a position, or both.

    Attributes:
        position: everything before it has been announced, once this entry is read.
        gap: changes at this place were announced without a name, or are lost.
    """

    key: Key | None = None
    position: str | None = None
    gap: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The announcements that one audit reads.

    Attributes:
        position: where the announcements continue after these; None if that is not known yet.
        gap: others were not announced by name: a list of changes, or the sweep, finds them.
        stuck: there are some, but the audit had no means to read even the first.
    """

    keys: Sequence[Key] = ()
    position: str | None = None
    gap: bool = False
    entries: int = 0
    stuck: bool = False


class Inbox:
    """Announcements in order. One thread adds to them, another takes them.

    Attributes:
        stuck: the last audit had no means to read any of them.
    """

    def __init__(self) -> None:
        self._entries: deque[_Entry] = deque()
        self._lock = threading.Lock()
        self.stuck = False

    def __len__(self) -> int:
        """How many announced records have not been read yet."""
        with self._lock:
            return sum(each.key is not None or each.gap for each in self._entries)

    def add(self, keys: Sequence[Key], position: str | None, *, gap: bool = False) -> None:
        """Add announcements, with the position after them."""
        with self._lock:
            self._entries += (_Entry(key=key) for key in keys)
            if position is not None or gap:
                if not keys and not gap and self._entries and self._entries[-1].key is None:
                    gap = self._entries.pop().gap  # only the latest of several positions counts
                self._entries.append(_Entry(position=position, gap=gap))

    def look(self, limit: int) -> Sequence[Key]:
        """The first records, at most `limit` of them, each once."""
        with self._lock:
            keys = dict.fromkeys(each.key for each in self._entries if each.key is not None)
        return list(keys)[:limit]

    def batch(self, read: Collection[Key]) -> Batch:
        """The announcements up to the first one whose record is not among those that are read."""
        keys: dict[Key, None] = {}
        position, gap, count = None, False, 0
        with self._lock:
            for entry in self._entries:
                if entry.key is not None:
                    if entry.key not in read:
                        break
                    keys[entry.key] = None
                position = entry.position or position
                gap = gap or entry.gap
                count += 1
            stuck = count == 0 and bool(self._entries)
        return Batch(keys=list(keys), position=position, gap=gap, entries=count, stuck=stuck)

    def done(self, batch: Batch) -> None:
        """Remove what an audit has read."""
        with self._lock:
            self.stuck = batch.stuck
            for _ in range(batch.entries):
                self._entries.popleft()
